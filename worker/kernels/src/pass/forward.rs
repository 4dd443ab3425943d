//! Groups of rows on their way through a sequence.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{Before, Kept, Prepared, Runner};
use crate::Real;
use crate::cell::{Cell, Counts, Forward, Told};
use crate::matrix::{Rows, RowsMut, zeros};
use crate::memory::{Extent, Keep, Memory, Place, RowStates};
use crate::product::Product;
use crate::sequence::{GainSaturation, Observed, State, Trace, Wanted};
use crate::size::Size;

/// What a group gives.
pub(super) struct Done<R> {
    pub(super) h: Vec<R>,
    pub(super) last: State<R>,
    pub(super) observed: Observed,
    pub(super) trace: Trace<R>,
    pub(super) kept: Option<Kept<R>>,
}

/// The forward pass of one thread.
pub(super) struct Go<'a, R, C> {
    pub(super) runner: &'a Runner<'a, R, C>,
    pub(super) prepared: &'a Prepared<R>,
    /// Rows, and what an earlier pass has kept of as many.
    pub(super) groups: Vec<(Range<usize>, Option<Kept<R>>)>,
    pub(super) keep: Keep,
    pub(super) wanted: Wanted,
}

impl<R: Real, C: Cell<R>> WithSimd for Go<'_, R, C> {
    type Output = Vec<Done<R>>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Vec<Done<R>> {
        let groups = std::mem::take(&mut self.groups);
        groups.into_iter().map(|(rows, spare)| self.group(simd, rows, spare)).collect()
    }
}

impl<R: Real, C: Cell<R>> Go<'_, R, C> {
    fn group<S: Simd>(&self, simd: S, rows: Range<usize>, spare: Option<Kept<R>>) -> Done<R> {
        let group = Group::new::<S>(self.runner, self.prepared, rows, false);
        let steps = self.runner.task.sequence.sizes.steps;
        let room = if self.keep == Keep::Steps { steps } else { 1 };
        let mut memory = match spare {
            Some(Kept::Steps(memory)) if memory.fits(group.extent, group.size.rows, room) => memory,
            _ => Memory::new(group.extent, group.size.rows, room),
        };
        group.begin::<S>(&mut memory);
        let mut done = Done {
            h: Vec::new(),
            last: State { h: Vec::new(), inner: Vec::new() },
            observed: group.observed(self.wanted),
            trace: Trace::default(),
            kept: None,
        };
        let mut states = Vec::new();
        let mut counts = Counts::default();
        let looks = (self.wanted.moments || self.wanted.trace) && self.runner.cell.adapts();
        let room = group.size.rows * group.size.padded;
        let mut shapes = looks.then(|| GainSaturation { n: zeros(room), s: zeros(room) });
        for t in 0..steps {
            if let Keep::States(segment) = self.keep
                && t % segment == 0
            {
                let RowStates { u, inner } = memory.state(t);
                states.push(Before { u: u.to_vec(), inner: inner.to_vec() });
            }
            let of_step = shapes
                .as_mut()
                .map(|GainSaturation { n, s }| GainSaturation { n: &mut n[..], s: &mut s[..] });
            let told = Told { counts: &mut counts, shapes: of_step };
            group.advance(simd, t, memory.step(t), told);
            group.look::<S>(t, &memory, self.wanted, &mut done);
            if let Some(GainSaturation { n, s }) = &shapes {
                group.measure(GainSaturation { n, s }, self.wanted, &mut done);
            }
        }
        done.observed.guard_hits = counts.guard_hits;
        done.observed.negative_gains = counts.negative_gains;
        let RowStates { u, inner } = memory.state(steps);
        group.copy_h(u, &mut done.last.h);
        group.copy_inner::<S>(inner, &mut done.last.inner);
        done.kept = match self.keep {
            Keep::Nothing => None,
            Keep::Steps => Some(Kept::Steps(memory)),
            Keep::States(_) => Some(Kept::States(states)),
        };
        done
    }
}

/// A group of rows on its way through a sequence.
pub(super) struct Group<'a, R, C> {
    pub(super) runner: &'a Runner<'a, R, C>,
    pub(super) products: &'a [Product<R>],
    pub(super) rows: Range<usize>,
    pub(super) size: Size,
    pub(super) extent: Extent,
}

impl<'a, R: Real, C: Cell<R>> Group<'a, R, C> {
    pub(super) fn new<S: Simd>(
        runner: &'a Runner<'a, R, C>,
        prepared: &'a Prepared<R>,
        rows: Range<usize>,
        wants_x: bool,
    ) -> Self {
        let size = runner.size(rows.len(), R::lanes::<S>(), wants_x);
        let extent = runner.extent(&size, R::lanes::<S>());
        Self { runner, products: &prepared.products, rows, size, extent }
    }

    /// Puts the state before the first step into `memory`.
    fn begin<S: Simd>(&self, memory: &mut Memory<R>) {
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

    /// Does step `t`.
    pub(super) fn advance<S: Simd>(
        &self,
        simd: S,
        t: usize,
        place: Place<'_, R>,
        told: Told<'_, R>,
    ) {
        let (size, extent) = (&self.size, self.extent);
        self.show_inputs(t, place.u);
        let u = Rows { values: place.u, stride: extent.u };
        for product in self.products {
            let mut pre = RowsMut { values: place.pre, stride: extent.pre };
            product.forward(simd, u, &mut pre, size.rows);
        }
        self.drive(t, place.pre);
        let h = RowsMut { values: place.next_u, stride: extent.u };
        let (inner, next) = (&*place.inner, place.next_inner);
        let pre = place.pre;
        let step = Forward { size, pre, last: u, h, inner, next, told };
        simd.vectorize(Onward(self.runner.cell, step));
    }

    /// Puts x_t and 1 behind h_{t-1}.
    fn show_inputs(&self, t: usize, u: &mut [R]) {
        let Size { hidden, inputs, .. } = self.size;
        let sequence = self.runner.task.sequence;
        let x = &sequence.x[(t * sequence.sizes.batch + self.rows.start) * inputs..];
        for (row, u) in u.chunks_exact_mut(self.extent.u).enumerate() {
            u[hidden..hidden + inputs].copy_from_slice(&x[row * inputs..][..inputs]);
            u[hidden + inputs] = R::ONE;
        }
    }

    /// Adds the extra current of step `t`.
    fn drive(&self, t: usize, pre: &mut [R]) {
        let Some(drive) = self.runner.task.sequence.drive else { return };
        let Size { hidden, padded, .. } = self.size;
        let [by_step, by_row, by_neuron] = drive.strides;
        for (row, pre) in self.rows.clone().zip(pre.chunks_exact_mut(self.extent.pre)) {
            let values = &drive.values[t * by_step + row * by_row..];
            for &block in self.runner.cell.driven() {
                add_drive(&mut pre[block * padded..][..hidden], values, by_neuron);
            }
        }
    }

    /// Takes down what is wanted of step `t`.
    fn look<S: Simd>(&self, t: usize, memory: &Memory<R>, wanted: Wanted, done: &mut Done<R>) {
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

    /// Takes down the gains and saturations of a step.
    fn measure(&self, shapes: GainSaturation<&[R]>, wanted: Wanted, done: &mut Done<R>) {
        let Size { hidden, padded, .. } = self.size;
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

    fn observed(&self, wanted: Wanted) -> Observed {
        let is_wanted = wanted.moments && self.runner.cell.adapts();
        let zeros = || vec![0.0; if is_wanted { self.size.hidden } else { 0 }];
        Observed { moments: std::array::from_fn(|_| zeros()), ..Observed::default() }
    }
}

/// [`Cell::forward`], compiled once for every instruction set.
struct Onward<'a, C, R>(&'a C, Forward<'a, R>);

impl<C: Cell<R>, R: Real> WithSimd for Onward<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.forward(simd, self.1);
    }
}

/// Adds values and their squares to sums, neuron by neuron.
fn add_moments<R: Real>(values: &[R], sums: &mut [f64], squares: &mut [f64]) {
    for ((value, sum), square) in values.iter().zip(sums).zip(squares) {
        let value: f64 = (*value).into();
        *sum += value;
        *square += value * value;
    }
}

/// Adds a drive to what neurons receive: the values, or the first for all of them.
fn add_drive<R: Real>(pre: &mut [R], values: &[R], by_neuron: usize) {
    for (neuron, pre) in pre.iter_mut().enumerate() {
        *pre += values[neuron * by_neuron];
    }
}
