//! The forward pass over groups of rows.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{LayerRunner, PreparedProducts, StateCheckpoint, StoredState};
use crate::Real;
use crate::cell::{Cell, ForwardArgs, GainCounts, ShapeRecorder};
use crate::dims::GroupDims;
use crate::matrix::{Rows, RowsMut, zeros};
use crate::memory::{RowExtent, RowStates, StepMemory, StepSlices, TapePolicy};
use crate::product::WeightProduct;
use crate::sequence::{GainSaturation, GainStats, LayerState, OutputSelection, StepTrace};

/// Output of one group.
pub(super) struct GroupOutput<R> {
    pub(super) h: Vec<R>,
    pub(super) last: LayerState<R>,
    pub(super) observed: GainStats,
    pub(super) trace: StepTrace<R>,
    pub(super) stored: Option<StoredState<R>>,
}

/// The forward pass of one thread.
pub(super) struct ForwardTask<'a, R, C> {
    pub(super) runner: &'a LayerRunner<'a, R, C>,
    pub(super) prepared: &'a PreparedProducts<R>,
    /// Row ranges, each with the stored memory of an earlier pass over as many rows.
    pub(super) groups: Vec<(Range<usize>, Option<StoredState<R>>)>,
    pub(super) keep: TapePolicy,
    pub(super) wanted: OutputSelection,
}

impl<R: Real, C: Cell<R>> WithSimd for ForwardTask<'_, R, C> {
    type Output = Vec<GroupOutput<R>>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Vec<GroupOutput<R>> {
        let groups = std::mem::take(&mut self.groups);
        groups.into_iter().map(|(rows, reuse)| self.group(simd, rows, reuse)).collect()
    }
}

impl<R: Real, C: Cell<R>> ForwardTask<'_, R, C> {
    fn group<S: Simd>(
        &self,
        simd: S,
        rows: Range<usize>,
        reuse: Option<StoredState<R>>,
    ) -> GroupOutput<R> {
        let group = RowGroup::new::<S>(self.runner, self.prepared, rows, false);
        let steps = self.runner.task.sequence.sizes.steps;
        let room = if self.keep == TapePolicy::Steps { steps } else { 1 };
        let mut memory = match reuse {
            Some(StoredState::Steps(memory))
                if memory.fits(group.extent, group.size.rows, room) =>
            {
                memory
            }
            _ => StepMemory::new(group.extent, group.size.rows, room),
        };
        group.load_initial_state::<S>(&mut memory);
        let mut done = GroupOutput {
            h: Vec::new(),
            last: LayerState { h: Vec::new(), inner: Vec::new() },
            observed: group.observed(self.wanted),
            trace: StepTrace::default(),
            stored: None,
        };
        let mut states = Vec::new();
        let mut counts = GainCounts::default();
        let records = (self.wanted.moments || self.wanted.trace) && self.runner.cell.adapts();
        let room = group.size.rows * group.size.padded;
        let mut shapes = records.then(|| GainSaturation { n: zeros(room), s: zeros(room) });
        for t in 0..steps {
            if let TapePolicy::States(segment) = self.keep
                && t % segment == 0
            {
                let RowStates { u, inner } = memory.state(t);
                states.push(StateCheckpoint { u: u.to_vec(), inner: inner.to_vec() });
            }
            let of_step = shapes
                .as_mut()
                .map(|GainSaturation { n, s }| GainSaturation { n: &mut n[..], s: &mut s[..] });
            let recorder = ShapeRecorder { counts: &mut counts, shapes: of_step };
            group.advance(simd, t, memory.step(t), recorder);
            group.record_step::<S>(t, &memory, self.wanted, &mut done);
            if let Some(GainSaturation { n, s }) = &shapes {
                group.record_shapes(GainSaturation { n, s }, self.wanted, &mut done);
            }
        }
        done.observed.guard_hits = counts.guard_hits;
        done.observed.negative_gains = counts.negative_gains;
        let RowStates { u, inner } = memory.state(steps);
        group.copy_h(u, &mut done.last.h);
        group.copy_inner::<S>(inner, &mut done.last.inner);
        done.stored = match self.keep {
            TapePolicy::Nothing => None,
            TapePolicy::Steps => Some(StoredState::Steps(memory)),
            TapePolicy::States(_) => Some(StoredState::States(states)),
        };
        done
    }
}

/// A group of rows that goes through a sequence together.
pub(super) struct RowGroup<'a, R, C> {
    pub(super) runner: &'a LayerRunner<'a, R, C>,
    pub(super) products: &'a [WeightProduct<R>],
    pub(super) rows: Range<usize>,
    pub(super) size: GroupDims,
    pub(super) extent: RowExtent,
}

impl<'a, R: Real, C: Cell<R>> RowGroup<'a, R, C> {
    pub(super) fn new<S: Simd>(
        runner: &'a LayerRunner<'a, R, C>,
        prepared: &'a PreparedProducts<R>,
        rows: Range<usize>,
        wants_x: bool,
    ) -> Self {
        let size = runner.size(rows.len(), R::lanes::<S>(), wants_x);
        let extent = runner.extent(&size, R::lanes::<S>());
        Self { runner, products: &prepared.products, rows, size, extent }
    }

    /// Writes the state before the first step into `memory`.
    fn load_initial_state<S: Simd>(&self, memory: &mut StepMemory<R>) {
        let RowStates { u, inner } = memory.state_mut(0);
        u.fill(R::ZERO);
        inner.fill(R::ZERO);
        let Some(from) = self.runner.task.sequence.from else { return };
        let hidden = self.size.hidden;
        for (u, row) in u.chunks_exact_mut(self.extent.u).zip(self.rows.clone()) {
            u[..hidden].copy_from_slice(&from.h[row * hidden..][..hidden]);
        }
        if !inner.is_empty() {
            let each = from.inner.len() / self.runner.task.sequence.sizes.batch;
            let given = &from.inner[self.rows.start * each..self.rows.end * each];
            self.runner.cell.load::<S>(&self.size, given, inner);
        }
    }

    /// Computes step `t`.
    pub(super) fn advance<S: Simd>(
        &self,
        simd: S,
        t: usize,
        slices: StepSlices<'_, R>,
        recorder: ShapeRecorder<'_, R>,
    ) {
        let (size, extent) = (&self.size, self.extent);
        self.copy_inputs(t, slices.u);
        let u = Rows { values: slices.u, stride: extent.u };
        for product in self.products {
            let mut pre = RowsMut { values: slices.pre, stride: extent.pre };
            product.forward(simd, u, &mut pre, size.rows);
        }
        self.drive(t, slices.pre);
        let h = RowsMut { values: slices.next_u, stride: extent.u };
        let (inner, next) = (&*slices.inner, slices.next_inner);
        let pre = slices.pre;
        let step = ForwardArgs { size, pre, last: u, h, inner, next, recorder };
        simd.vectorize(ForwardStep(self.runner.cell, step));
    }

    /// Writes x_t and 1 behind h_{t-1}.
    fn copy_inputs(&self, t: usize, u: &mut [R]) {
        let GroupDims { hidden, inputs, .. } = self.size;
        let sequence = self.runner.task.sequence;
        let x = &sequence.x[(t * sequence.sizes.batch + self.rows.start) * inputs..];
        for (row, u) in u.chunks_exact_mut(self.extent.u).enumerate() {
            u[hidden..hidden + inputs].copy_from_slice(&x[row * inputs..][..inputs]);
            u[hidden + inputs] = R::ONE;
        }
    }

    /// Adds the drive of step `t`.
    fn drive(&self, t: usize, pre: &mut [R]) {
        let Some(drive) = self.runner.task.sequence.drive else { return };
        let GroupDims { hidden, padded, .. } = self.size;
        let [by_step, by_row, by_neuron] = drive.strides;
        for (row, pre) in self.rows.clone().zip(pre.chunks_exact_mut(self.extent.pre)) {
            let values = &drive.values[t * by_step + row * by_row..];
            for &block in self.runner.cell.driven() {
                add_drive(&mut pre[block * padded..][..hidden], values, by_neuron);
            }
        }
    }

    /// Records the requested values of step `t`.
    fn record_step<S: Simd>(
        &self,
        t: usize,
        memory: &StepMemory<R>,
        wanted: OutputSelection,
        done: &mut GroupOutput<R>,
    ) {
        let RowStates { u, inner } = memory.state(t + 1);
        if wanted.every_h {
            self.copy_h(u, &mut done.h);
        }
        if wanted.inner {
            self.copy_inner::<S>(inner, &mut done.trace.inner);
        }
        if wanted.trace && self.runner.cell.blocks() == 1 {
            for pre in memory.pre(t).chunks_exact(self.extent.pre) {
                done.trace.a.extend_from_slice(&pre[..self.size.hidden]);
            }
        }
    }

    /// Records the gains and saturations of a step.
    fn record_shapes(
        &self,
        shapes: GainSaturation<&[R]>,
        wanted: OutputSelection,
        done: &mut GroupOutput<R>,
    ) {
        let GroupDims { hidden, padded, .. } = self.size;
        for (n, s) in shapes.n.chunks_exact(padded).zip(shapes.s.chunks_exact(padded)) {
            let (n, s) = (&n[..hidden], &s[..hidden]);
            if wanted.trace {
                done.trace.n.extend_from_slice(n);
                done.trace.s.extend_from_slice(s);
            }
            if wanted.moments {
                let [sum_n, sum_n2, sum_s, sum_s2] = &mut done.observed.moments;
                add_moments(n, sum_n, sum_n2);
                add_moments(s, sum_s, sum_s2);
            }
        }
    }

    fn copy_h(&self, u: &[R], to: &mut Vec<R>) {
        for u in u.chunks_exact(self.extent.u) {
            to.extend_from_slice(&u[..self.size.hidden]);
        }
    }

    fn copy_inner<S: Simd>(&self, inner: &[R], to: &mut Vec<R>) {
        let (cell, first) = (self.runner.cell, to.len());
        to.resize(first + self.size.inner(cell.carried()), R::ZERO);
        cell.unload::<S>(&self.size, inner, &mut to[first..]);
    }

    fn observed(&self, wanted: OutputSelection) -> GainStats {
        let is_wanted = wanted.moments && self.runner.cell.adapts();
        let zeros = || vec![0.0; if is_wanted { self.size.hidden } else { 0 }];
        GainStats { moments: std::array::from_fn(|_| zeros()), ..GainStats::default() }
    }
}

/// [`Cell::forward`], compiled once for every instruction set.
struct ForwardStep<'a, C, R>(&'a C, ForwardArgs<'a, R>);

impl<C: Cell<R>, R: Real> WithSimd for ForwardStep<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.forward(simd, self.1);
    }
}

/// Adds values and their squares to the sums, neuron by neuron.
fn add_moments<R: Real>(values: &[R], sums: &mut [f64], squares: &mut [f64]) {
    for ((value, sum), square) in values.iter().zip(sums).zip(squares) {
        let value: f64 = (*value).into();
        *sum += value;
        *square += value * value;
    }
}

/// Adds a drive to the weighted sums; a stride of zero adds the first value to all neurons.
fn add_drive<R: Real>(pre: &mut [R], values: &[R], by_neuron: usize) {
    for (neuron, pre) in pre.iter_mut().enumerate() {
        *pre += values[neuron * by_neuron];
    }
}
