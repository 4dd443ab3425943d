//! The backward pass over groups of rows.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::forward::RowGroup;
use super::{LayerRunner, PreparedProducts, StateCheckpoint, StoredState};
use crate::Real;
use crate::cell::{BackwardArgs, Cell, GainCounts, ShapeRecorder};
use crate::dims::GroupDims;
use crate::gradients::BackwardRequest;
use crate::matrix::{Buffer, Rows, RowsMut, zeros};
use crate::memory::{CHUNK, RowStates, StepChunk, StepMemory, TapePolicy};
use crate::product::InputGradient;
use crate::thread_gradients::{GroupGradients, ThreadGradients};

/// The backward pass of one thread.
pub(super) struct BackwardTask<'a, R, C> {
    pub(super) runner: &'a LayerRunner<'a, R, C>,
    pub(super) prepared: &'a PreparedProducts<R>,
    pub(super) work: Vec<(Range<usize>, &'a mut StoredState<R>)>,
    pub(super) keep: TapePolicy,
    pub(super) loss: BackwardRequest<'a, R>,
}

impl<R: Real, C: Cell<R>> WithSimd for BackwardTask<'_, R, C> {
    type Output = ThreadGradients<R, C::Sums>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let size = self.runner.size(1, R::lanes::<S>(), self.loss.wants_x);
        let mut parts = ThreadGradients {
            products: self.prepared.products.iter().map(|p| p.gradient::<S>(&size)).collect(),
            sums: self.runner.cell.sums::<S>(&size),
            outward: Vec::new(),
        };
        let steps = self.runner.task.sequence.sizes.steps;
        for (rows, stored) in self.work {
            let group = RowGroup::new::<S>(self.runner, self.prepared, rows, self.loss.wants_x);
            let mut back = GroupBackward::new::<S>(&group, self.loss);
            match (stored, self.keep) {
                (StoredState::Steps(memory), _) => {
                    back.segment(simd, 0..steps, memory, &mut parts);
                }
                (StoredState::States(states), TapePolicy::States(segment)) => {
                    back.states(simd, states, segment, &mut parts);
                }
                (StoredState::States(_), _) => {}
            }
            parts.outward.push(back.outward);
        }
        parts
    }
}

/// [`Cell::backward`], compiled once for every instruction set.
struct BackwardStep<'a, C: Cell<R>, R: Real>(&'a C, BackwardArgs<'a, R>, &'a mut C::Sums);

impl<C: Cell<R>, R: Real> WithSimd for BackwardStep<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.backward(simd, self.1, self.2);
    }
}

/// [`Cell::grad_state`], compiled once for every instruction set.
struct StateGradStep<'a, 'b, C, R>(&'a C, &'a BackwardArgs<'b, R>, &'a mut [R]);

impl<C: Cell<R>, R: Real> WithSimd for StateGradStep<'_, '_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.grad_state(simd, self.1, self.2);
    }
}

/// The backward pass over a group of rows.
struct GroupBackward<'a, R, C> {
    group: &'a RowGroup<'a, R, C>,
    loss: BackwardRequest<'a, R>,
    grad_u: InputGradient<R>,
    grad_inner: Buffer<R>,
    /// Gradient with respect to the inner state after a step, if requested, in the cell's layout.
    grad_state: Buffer<R>,
    outward: GroupGradients<R>,
}

impl<'a, R: Real, C: Cell<R>> GroupBackward<'a, R, C> {
    fn new<S: Simd>(group: &'a RowGroup<'a, R, C>, loss: BackwardRequest<'a, R>) -> Self {
        let size = &group.size;
        let steps = group.runner.task.sequence.sizes.steps;
        let room = |is_wanted: bool, count: usize| {
            vec![R::ZERO; if is_wanted { steps * count } else { 0 }]
        };
        let inner = size.rows * group.extent.inner;
        Self {
            group,
            loss,
            grad_u: InputGradient::new::<S>(size),
            grad_inner: zeros(inner),
            grad_state: zeros(if loss.wants_states { inner } else { 0 }),
            outward: GroupGradients {
                x: room(size.wants_x, size.rows * size.inputs),
                h: room(loss.wants_states, size.rows * size.hidden),
                inner: room(loss.wants_states, size.inner(group.runner.cell.carried())),
            },
        }
    }

    /// Goes back over segments of `segment` steps, each recomputed from the state before it.
    fn states<S: Simd>(
        &mut self,
        simd: S,
        states: &[StateCheckpoint<R>],
        segment: usize,
        parts: &mut ThreadGradients<R, C::Sums>,
    ) {
        let group = self.group;
        let steps = group.runner.task.sequence.sizes.steps;
        let mut memory = StepMemory::new(group.extent, group.size.rows, segment.min(steps));
        for (index, before) in states.iter().enumerate().rev() {
            let RowStates { u, inner } = memory.state_mut(0);
            u.copy_from_slice(&before.u);
            inner.copy_from_slice(&before.inner);
            let first = index * segment;
            let range = first..steps.min(first + segment);
            for t in range.clone() {
                let slices = memory.step(t - first);
                let recorder = ShapeRecorder { counts: &mut GainCounts::default(), shapes: None };
                group.advance(simd, t, slices, recorder);
            }
            self.segment(simd, range, &mut memory, parts);
        }
    }

    /// Goes back over `steps`, the first of which is at the beginning of `memory`.
    fn segment<S: Simd>(
        &mut self,
        simd: S,
        steps: Range<usize>,
        memory: &mut StepMemory<R>,
        parts: &mut ThreadGradients<R, C::Sums>,
    ) {
        let group = self.group;
        let (runner, extent, rows) = (group.runner, group.extent, group.size.rows);
        let all_steps = runner.task.sequence.sizes.steps;
        for t in steps.clone().rev() {
            if self.loss.every || t + 1 == all_steps {
                self.add_loss_gradient(if self.loss.every { t } else { 0 });
            }
            let slices = memory.step(t - steps.start);
            let step = BackwardArgs {
                size: &group.size,
                pre: &mut *slices.pre,
                last: Rows { values: slices.u, stride: extent.u },
                h: Rows { values: slices.next_u, stride: extent.u },
                grad_h: RowsMut { values: &mut self.grad_u.values, stride: self.grad_u.stride },
                inner: slices.inner,
                next: slices.next_inner,
                grad_inner: &mut self.grad_inner,
            };
            if self.loss.wants_states {
                simd.vectorize(StateGradStep(runner.cell, &step, &mut self.grad_state));
                self.outward.store_grad_states::<C, S>(group, t, &step.grad_h, &self.grad_state);
            }
            simd.vectorize(BackwardStep(runner.cell, step, &mut parts.sums));
            let grad_pre = Rows { values: slices.pre, stride: extent.pre };
            self.grad_u.accumulates = runner.cell.is_leaky();
            for product in group.products {
                product.backward(simd, grad_pre, &mut self.grad_u, rows);
                self.grad_u.accumulates = true;
            }
            self.store_grad_x(t);
            if t % CHUNK == 0 {
                let count = CHUNK.min(all_steps - t);
                let StepChunk { pre, u } = memory.chunk(t - steps.start, count);
                let pre = Rows { values: pre, stride: extent.pre };
                let u = Rows { values: u, stride: extent.u };
                for (product, gradient) in group.products.iter().zip(&mut parts.products) {
                    product.add(simd, pre, u, gradient);
                }
                runner.cell.flush(&mut parts.sums);
            }
        }
    }

    /// Adds the loss gradient with respect to h of step `t`.
    fn add_loss_gradient(&mut self, t: usize) {
        let hidden = self.group.size.hidden;
        let first = t * self.group.runner.task.sequence.sizes.batch + self.group.rows.start;
        let given = self.loss.grad_h[first * hidden..].chunks_exact(hidden);
        for (grad_h, given) in self.grad_u.values.chunks_exact_mut(self.grad_u.stride).zip(given) {
            grad_h.iter_mut().zip(given).for_each(|(grad_h, given)| *grad_h += *given);
        }
    }

    fn store_grad_x(&mut self, t: usize) {
        let GroupDims { rows, hidden, inputs, wants_x, .. } = self.group.size;
        if !wants_x {
            return;
        }
        let x = self.outward.x[t * rows * inputs..].chunks_exact_mut(inputs);
        for (grad_u, x) in self.grad_u.values.chunks_exact_mut(self.grad_u.stride).zip(x) {
            let grad_x = &mut grad_u[hidden..hidden + inputs];
            x.copy_from_slice(grad_x);
            // Whole vectors of neurons may overlap these numbers, so they must be zero.
            grad_x.fill(R::ZERO);
        }
    }
}

impl<R: Real> GroupGradients<R> {
    /// Stores the gradients with respect to the states after step `t`.
    fn store_grad_states<C: Cell<R>, S: Simd>(
        &mut self,
        group: &RowGroup<'_, R, C>,
        t: usize,
        grad_h: &RowsMut<'_, R>,
        grad_state: &[R],
    ) {
        let GroupDims { rows, hidden, .. } = group.size;
        let h = self.h[t * rows * hidden..].chunks_exact_mut(hidden);
        for (grad_h, h) in grad_h.values.chunks_exact(grad_h.stride).zip(h) {
            h.copy_from_slice(&grad_h[..hidden]);
        }
        let each = group.size.inner(group.runner.cell.carried());
        let inner = &mut self.inner[t * each..(t + 1) * each];
        group.runner.cell.unload::<S>(&group.size, grad_state, inner);
    }
}
