//! Groups of rows on their way back.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::forward::Group;
use super::{Before, Kept, Prepared, Runner};
use crate::Real;
use crate::cell::{Backward, Cell, Counts, Told};
use crate::matrix::{Buffer, Rows, RowsMut, zeros};
use crate::memory::{CHUNK, Keep, Memory, RowStates, StepChunk};
use crate::parts::{Outward, Parts};
use crate::product::Gradient;
use crate::size::Size;
use crate::task::Loss;

/// The backward pass of one thread.
pub(super) struct Return<'a, R, C> {
    pub(super) runner: &'a Runner<'a, R, C>,
    pub(super) prepared: &'a Prepared<R>,
    pub(super) work: Vec<(Range<usize>, &'a mut Kept<R>)>,
    pub(super) keep: Keep,
    pub(super) loss: Loss<'a, R>,
}

impl<R: Real, C: Cell<R>> WithSimd for Return<'_, R, C> {
    type Output = Parts<R, C::Sums>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let size = self.runner.size(1, R::lanes::<S>(), self.loss.wants_x);
        let mut parts = Parts {
            products: self.prepared.products.iter().map(|p| p.gradient::<S>(&size)).collect(),
            sums: self.runner.cell.sums::<S>(&size),
            outward: Vec::new(),
        };
        let steps = self.runner.task.sequence.sizes.steps;
        for (rows, kept) in self.work {
            let group = Group::new::<S>(self.runner, self.prepared, rows, self.loss.wants_x);
            let mut back = Back::new::<S>(&group, self.loss);
            match (kept, self.keep) {
                (Kept::Steps(memory), _) => {
                    back.segment(simd, 0..steps, memory, &mut parts);
                }
                (Kept::States(states), Keep::States(segment)) => {
                    back.states(simd, states, segment, &mut parts);
                }
                (Kept::States(_), _) => {}
            }
            parts.outward.push(back.outward);
        }
        parts
    }
}

/// [`Cell::backward`], compiled once for every instruction set.
struct Homeward<'a, C: Cell<R>, R: Real>(&'a C, Backward<'a, R>, &'a mut C::Sums);

impl<C: Cell<R>, R: Real> WithSimd for Homeward<'_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.backward(simd, self.1, self.2);
    }
}

/// [`Cell::by_state`], likewise.
struct Aside<'a, 'b, C, R>(&'a C, &'a Backward<'b, R>, &'a mut [R]);

impl<C: Cell<R>, R: Real> WithSimd for Aside<'_, '_, C, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.by_state(simd, self.1, self.2);
    }
}

/// A group of rows on its way back.
struct Back<'a, R, C> {
    group: &'a Group<'a, R, C>,
    loss: Loss<'a, R>,
    by_u: Gradient<R>,
    by_inner: Buffer<R>,
    /// By the inner state after a step, if wanted, as the cell has it.
    by_state: Buffer<R>,
    outward: Outward<R>,
}

impl<'a, R: Real, C: Cell<R>> Back<'a, R, C> {
    fn new<S: Simd>(group: &'a Group<'a, R, C>, loss: Loss<'a, R>) -> Self {
        let size = &group.size;
        let steps = group.runner.task.sequence.sizes.steps;
        let room = |is_wanted: bool, count: usize| {
            vec![R::ZERO; if is_wanted { steps * count } else { 0 }]
        };
        let inner = size.rows * group.extent.inner;
        Self {
            group,
            loss,
            by_u: Gradient::new::<S>(size),
            by_inner: zeros(inner),
            by_state: zeros(if loss.wants_states { inner } else { 0 }),
            outward: Outward {
                x: room(size.wants_x, size.rows * size.inputs),
                h: room(loss.wants_states, size.rows * size.hidden),
                inner: room(loss.wants_states, size.inner(group.runner.cell.carried())),
            },
        }
    }

    /// Goes back over segments of so many steps, which are done again from the states before them.
    fn states<S: Simd>(
        &mut self,
        simd: S,
        states: &[Before<R>],
        segment: usize,
        parts: &mut Parts<R, C::Sums>,
    ) {
        let group = self.group;
        let steps = group.runner.task.sequence.sizes.steps;
        let mut memory = Memory::new(group.extent, group.size.rows, segment.min(steps));
        for (index, before) in states.iter().enumerate().rev() {
            let RowStates { u, inner } = memory.state_mut(0);
            u.copy_from_slice(&before.u);
            inner.copy_from_slice(&before.inner);
            let first = index * segment;
            let range = first..steps.min(first + segment);
            for t in range.clone() {
                let place = memory.step(t - first);
                let told = Told { counts: &mut Counts::default(), shapes: None };
                group.advance(simd, t, place, told);
            }
            self.segment(simd, range, &mut memory, parts);
        }
    }

    /// Goes back over `steps`, which `memory` holds from its beginning on.
    fn segment<S: Simd>(
        &mut self,
        simd: S,
        steps: Range<usize>,
        memory: &mut Memory<R>,
        parts: &mut Parts<R, C::Sums>,
    ) {
        let group = self.group;
        let (runner, extent, rows) = (group.runner, group.extent, group.size.rows);
        let all_steps = runner.task.sequence.sizes.steps;
        for t in steps.clone().rev() {
            if self.loss.every || t + 1 == all_steps {
                self.receive(if self.loss.every { t } else { 0 });
            }
            let place = memory.step(t - steps.start);
            let step = Backward {
                size: &group.size,
                pre: &mut *place.pre,
                last: Rows { values: place.u, stride: extent.u },
                h: Rows { values: place.next_u, stride: extent.u },
                by_h: RowsMut { values: &mut self.by_u.values, stride: self.by_u.stride },
                inner: place.inner,
                next: place.next_inner,
                by_inner: &mut self.by_inner,
            };
            if self.loss.wants_states {
                simd.vectorize(Aside(runner.cell, &step, &mut self.by_state));
                self.outward.keep_states::<C, S>(group, t, &step.by_h, &self.by_state);
            }
            simd.vectorize(Homeward(runner.cell, step, &mut parts.sums));
            let by_pre = Rows { values: place.pre, stride: extent.pre };
            self.by_u.is_begun = runner.cell.is_leaky();
            for product in group.products {
                product.backward(simd, by_pre, &mut self.by_u, rows);
                self.by_u.is_begun = true;
            }
            self.keep_x(t);
            if t % CHUNK == 0 {
                let count = CHUNK.min(all_steps - t);
                let StepChunk { pre, u } = memory.chunk(t - steps.start, count);
                let pre = Rows { values: pre, stride: extent.pre };
                let u = Rows { values: u, stride: extent.u };
                for (product, gradient) in group.products.iter().zip(&mut parts.products) {
                    product.add(simd, pre, u, gradient);
                }
                runner.cell.settle(&mut parts.sums);
            }
        }
    }

    /// Adds the gradient by what the layer emits at step `t`.
    fn receive(&mut self, t: usize) {
        let hidden = self.group.size.hidden;
        let first = t * self.group.runner.task.sequence.sizes.batch + self.group.rows.start;
        let given = self.loss.by_h[first * hidden..].chunks_exact(hidden);
        for (by_h, given) in self.by_u.values.chunks_exact_mut(self.by_u.stride).zip(given) {
            by_h.iter_mut().zip(given).for_each(|(by_h, given)| *by_h += *given);
        }
    }

    fn keep_x(&mut self, t: usize) {
        let Size { rows, hidden, inputs, wants_x, .. } = self.group.size;
        if !wants_x {
            return;
        }
        let x = self.outward.x[t * rows * inputs..].chunks_exact_mut(inputs);
        for (by_u, x) in self.by_u.values.chunks_exact_mut(self.by_u.stride).zip(x) {
            let by_x = &mut by_u[hidden..hidden + inputs];
            x.copy_from_slice(by_x);
            // They lie where whole vectors of neurons may end.
            by_x.fill(R::ZERO);
        }
    }
}

impl<R: Real> Outward<R> {
    /// Takes down the gradients by the states after step `t`.
    fn keep_states<C: Cell<R>, S: Simd>(
        &mut self,
        group: &Group<'_, R, C>,
        t: usize,
        by_h: &RowsMut<'_, R>,
        by_state: &[R],
    ) {
        let Size { rows, hidden, .. } = group.size;
        let h = self.h[t * rows * hidden..].chunks_exact_mut(hidden);
        for (by_h, h) in by_h.values.chunks_exact(by_h.stride).zip(h) {
            h.copy_from_slice(&by_h[..hidden]);
        }
        let each = group.size.inner(group.runner.cell.carried());
        let inner = &mut self.inner[t * each..(t + 1) * each];
        group.runner.cell.unload::<S>(&group.size, by_state, inner);
    }
}
