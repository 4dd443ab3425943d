//! Memory of a group's steps, and the choice of how much of it the tape keeps for the backward
//! pass.

use std::ops::Range;

use crate::Real;
use crate::matrix::{Buffer, zeros};
use crate::sequence::SequenceDims;

/// Steps whose weight gradients are summed up together. Segments end where chunks end, so that the
/// order of sums does not depend on the tape policy.
pub(crate) const CHUNK: usize = 16;

/// Amount of data that the tape keeps of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TapePolicy {
    /// Only the last state.
    Nothing,
    /// Every step.
    Steps,
    /// The state before each segment of this many steps; the steps of a segment are recomputed.
    States(usize),
}

/// Numbers per row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowExtent {
    /// Length of [h | x | 1], with padding.
    pub(crate) u: usize,
    /// Length of the weighted sums.
    pub(crate) pre: usize,
    /// Length of the inner state.
    pub(crate) inner: usize,
}

impl TapePolicy {
    /// Chooses the largest policy that fits into `bytes`: all steps, else the shortest segments, so
    /// that recomputed steps stay in the cache.
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

/// Ring buffer of slots of equal size.
#[derive(Debug)]
struct Ring<R> {
    values: Buffer<R>,
    size: usize,
    slots: usize,
}

impl<R: Real> Ring<R> {
    fn new(size: usize, slots: usize) -> Self {
        Self { values: zeros(size * slots), size, slots }
    }

    fn range(&self, at: usize) -> Range<usize> {
        let first = at % self.slots * self.size;
        first..first + self.size
    }

    fn get(&self, at: usize) -> &[R] {
        &self.values[self.range(at)]
    }

    fn get_mut(&mut self, at: usize) -> &mut [R] {
        let range = self.range(at);
        &mut self.values[range]
    }

    /// Returns slots `at` and `at + 1`.
    #[expect(clippy::expect_used, reason = "two consecutive slots are disjoint")]
    fn pair(&mut self, at: usize) -> (&mut [R], &mut [R]) {
        let (first, second) = (self.range(at), self.range(at + 1));
        let [first, second] = self
            .values
            .get_disjoint_mut([first, second])
            .expect("invariant: a ring has at least two slots");
        (first, second)
    }
}

/// The state of all rows between two steps: slices of [`StepMemory`], or copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowStates<T> {
    /// Rows [h | x | 1]; h is the state.
    pub(crate) u: T,
    /// Inner states.
    pub(crate) inner: T,
}

/// Values of consecutive steps, contiguous in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepChunk<'a, R> {
    /// Weighted sums of all rows.
    pub(crate) pre: &'a [R],
    /// Rows [h_{t-1} | x_t | 1].
    pub(crate) u: &'a [R],
}

/// Memory that one step reads and writes; all of it is mutable because a backward step reuses it.
pub(crate) struct StepSlices<'a, R> {
    /// Rows [h_{t-1} | x_t | 1].
    pub(crate) u: &'a mut [R],
    /// Rows [h | x | 1] of the next step.
    pub(crate) next_u: &'a mut [R],
    pub(crate) pre: &'a mut [R],
    /// Inner state before the step.
    pub(crate) inner: &'a mut [R],
    /// Inner state after the step.
    pub(crate) next_inner: &'a mut [R],
}

impl<R: Real> StepMemory<R> {
    /// Allocates memory for the last `steps` steps of `rows` rows.
    pub(crate) fn new(extent: RowExtent, rows: usize, steps: usize) -> Self {
        let steps = steps.max(1);
        Self {
            u: Ring::new(rows * extent.u, steps + 1),
            pre: Ring::new(rows * extent.pre, steps),
            inner: Ring::new(rows * extent.inner, steps + 1),
        }
    }

    /// Whether the size equals that of [`StepMemory::new`] with the same arguments.
    pub(crate) fn fits(&self, extent: RowExtent, rows: usize, steps: usize) -> bool {
        let is = |ring: &Ring<R>, size, slots| ring.size == rows * size && ring.slots == slots;
        is(&self.u, extent.u, steps + 1)
            && is(&self.pre, extent.pre, steps)
            && is(&self.inner, extent.inner, steps + 1)
    }

    /// Returns the memory of step `t`, counted from the beginning of this memory.
    pub(crate) fn step(&mut self, t: usize) -> StepSlices<'_, R> {
        let (u, next_u) = self.u.pair(t);
        let (inner, next_inner) = self.inner.pair(t);
        StepSlices { u, next_u, pre: self.pre.get_mut(t), inner, next_inner }
    }

    /// Returns [h | x | 1] of all rows and the inner state before step `t`.
    pub(crate) fn state(&self, t: usize) -> RowStates<&[R]> {
        RowStates { u: self.u.get(t), inner: self.inner.get(t) }
    }

    /// Like [`StepMemory::state`], mutable.
    pub(crate) fn state_mut(&mut self, t: usize) -> RowStates<&mut [R]> {
        RowStates { u: self.u.get_mut(t), inner: self.inner.get_mut(t) }
    }

    /// Returns the weighted sums of step `t`.
    pub(crate) fn pre(&self, t: usize) -> &[R] {
        self.pre.get(t)
    }

    /// Returns `pre` and `u` of `steps` steps from `t` on, which must be contiguous.
    pub(crate) fn chunk(&self, t: usize, steps: usize) -> StepChunk<'_, R> {
        let of = |ring: &Ring<R>| {
            let first = ring.range(t).start;
            first..first + steps * ring.size
        };
        StepChunk { pre: &self.pre.values[of(&self.pre)], u: &self.u.values[of(&self.u)] }
    }
}
