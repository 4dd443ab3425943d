//! What a group of rows remembers of the steps it has done, and how much of that is kept for the
//! backward pass.

use std::ops::Range;

use crate::Real;
use crate::matrix::{Buffer, zeros};
use crate::sequence::SequenceDims;

/// Steps whose gradients by the weights are summed up together. Segments end where chunks end, so
/// that the order of sums does not depend on what is kept.
pub(crate) const CHUNK: usize = 16;

/// What a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TapePolicy {
    /// Nothing but the last state.
    Nothing,
    /// All steps.
    Steps,
    /// The states before every so many steps; what lies between is computed again.
    States(usize),
}

/// Numbers that one row needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowExtent {
    /// Of [h | x | 1], with padding.
    pub(crate) u: usize,
    /// Of the weighted sums.
    pub(crate) pre: usize,
    /// Of the inner state.
    pub(crate) inner: usize,
}

impl TapePolicy {
    /// The most that fits into `bytes`: all steps, else segments of steps as short as can be, so
    /// that they stay in the cache while they are computed again.
    pub(crate) fn within<R: Real>(
        bytes: usize,
        sizes: &SequenceDims,
        extent: RowExtent,
        rows_at_once: usize,
    ) -> Self {
        let SequenceDims { steps, batch, .. } = *sizes;
        let fits = |numbers: usize| numbers.saturating_mul(size_of::<R>()) <= bytes;
        let (step, state) = (extent.u + extent.pre + extent.inner, extent.u + extent.inner);
        let all = batch * (steps * step + state);
        let divided = |segment: usize| {
            batch * steps.div_ceil(segment) * state + rows_at_once * (segment + 1) * step
        };
        if fits(all) {
            return Self::Steps;
        }
        let segments = || (1..=steps.div_ceil(CHUNK)).map(|chunks| chunks * CHUNK);
        let smallest = || segments().min_by_key(|&segment| divided(segment));
        let segment = segments().find(|&segment| fits(divided(segment))).or_else(smallest);
        segment.map_or(Self::Steps, Self::States)
    }
}

/// The steps of a group that are in memory.
#[derive(Debug)]
pub(crate) struct StepMemory<R> {
    u: Ring<R>,
    pre: Ring<R>,
    inner: Ring<R>,
}

/// Places of equal size, reused in turn.
#[derive(Debug)]
struct Ring<R> {
    values: Buffer<R>,
    size: usize,
    places: usize,
}

impl<R: Real> Ring<R> {
    fn new(size: usize, places: usize) -> Self {
        Self { values: zeros(size * places), size, places }
    }

    fn range(&self, at: usize) -> Range<usize> {
        let first = at % self.places * self.size;
        first..first + self.size
    }

    fn get(&self, at: usize) -> &[R] {
        &self.values[self.range(at)]
    }

    fn get_mut(&mut self, at: usize) -> &mut [R] {
        let range = self.range(at);
        &mut self.values[range]
    }

    /// Places `at` and `at + 1`.
    #[expect(clippy::expect_used, reason = "the two places differ because there are two")]
    fn pair(&mut self, at: usize) -> (&mut [R], &mut [R]) {
        let (first, second) = (self.range(at), self.range(at + 1));
        let [first, second] = self
            .values
            .get_disjoint_mut([first, second])
            .expect("invariant: a ring has two places or more");
        (first, second)
    }
}

/// The state of all rows between two steps: slices of [`StepMemory`], or copies of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowStates<T> {
    /// Rows [h | x | 1], of which h is the state.
    pub(crate) u: T,
    /// The inner states.
    pub(crate) inner: T,
}

/// Values of successive steps, one step behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepChunk<'a, R> {
    /// `pre` of all rows.
    pub(crate) pre: &'a [R],
    /// [h_{t-1} | x_t | 1] of all rows.
    pub(crate) u: &'a [R],
}

/// What one step reads and writes, mutable because a step back reuses it.
pub(crate) struct StepSlices<'a, R> {
    /// [h_{t-1} | x_t | 1] of all rows.
    pub(crate) u: &'a mut [R],
    /// The same of the next step.
    pub(crate) next_u: &'a mut [R],
    pub(crate) pre: &'a mut [R],
    /// The inner state before the step.
    pub(crate) inner: &'a mut [R],
    /// The inner state after it.
    pub(crate) next_inner: &'a mut [R],
}

impl<R: Real> StepMemory<R> {
    /// Room for the last `steps` steps of `rows` rows.
    pub(crate) fn new(extent: RowExtent, rows: usize, steps: usize) -> Self {
        let steps = steps.max(1);
        Self {
            u: Ring::new(rows * extent.u, steps + 1),
            pre: Ring::new(rows * extent.pre, steps),
            inner: Ring::new(rows * extent.inner, steps + 1),
        }
    }

    /// Whether it has just the room that [`StepMemory::new`] would make.
    pub(crate) fn fits(&self, extent: RowExtent, rows: usize, steps: usize) -> bool {
        let is = |ring: &Ring<R>, size, places| ring.size == rows * size && ring.places == places;
        is(&self.u, extent.u, steps + 1)
            && is(&self.pre, extent.pre, steps)
            && is(&self.inner, extent.inner, steps + 1)
    }

    /// What step `t` reads and writes, counted from where this memory begins.
    pub(crate) fn step(&mut self, t: usize) -> StepSlices<'_, R> {
        let (u, next_u) = self.u.pair(t);
        let (inner, next_inner) = self.inner.pair(t);
        StepSlices { u, next_u, pre: self.pre.get_mut(t), inner, next_inner }
    }

    /// [h | x | 1] of all rows and the inner state before step `t`.
    pub(crate) fn state(&self, t: usize) -> RowStates<&[R]> {
        RowStates { u: self.u.get(t), inner: self.inner.get(t) }
    }

    /// The same, to be filled.
    pub(crate) fn state_mut(&mut self, t: usize) -> RowStates<&mut [R]> {
        RowStates { u: self.u.get_mut(t), inner: self.inner.get_mut(t) }
    }

    /// What neurons received in step `t`.
    pub(crate) fn pre(&self, t: usize) -> &[R] {
        self.pre.get(t)
    }

    /// `pre` and `u` of `steps` steps from `t` on, which must lie one behind the other.
    pub(crate) fn chunk(&self, t: usize, steps: usize) -> StepChunk<'_, R> {
        let of = |ring: &Ring<R>| {
            let first = ring.range(t).start;
            first..first + steps * ring.size
        };
        StepChunk { pre: &self.pre.values[of(&self.pre)], u: &self.u.values[of(&self.u)] }
    }
}
