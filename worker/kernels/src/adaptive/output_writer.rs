//! Writer of the output of adaptive neurons, and the counter of their gains.

use pulp::Simd;

use crate::Real;
use crate::cell::GainCounts;
use crate::curve;
use crate::dims::GroupDims;
use crate::real::Comparison;
use crate::sequence::GainSaturation;

/// Position of the vectors of neurons in a buffer of rows with a stride.
#[derive(Clone, Copy)]
pub(super) struct RowLayout {
    /// Vectors per row.
    row: usize,
    /// Vectors from one row to the next.
    stride: usize,
}

impl RowLayout {
    pub(super) fn new<R: Real, S: Simd>(size: &GroupDims, stride: usize) -> Self {
        Self { row: size.padded / R::lanes::<S>(), stride: stride / R::lanes::<S>() }
    }

    #[inline(always)]
    pub(super) fn index(self, vector: usize) -> usize {
        vector / self.row * self.stride + vector % self.row
    }
}

/// Destination of a step's output, with the counters and shapes that the step records.
pub(super) struct OutputWriter<'a, R: Real, S: Simd> {
    pub(super) h: &'a mut [R::Vector<S>],
    pub(super) layout: RowLayout,
    pub(super) gains: GainCounter<R, S>,
    pub(super) shapes: Option<GainSaturation<&'a mut [R]>>,
}

impl<R: Real, S: Simd> OutputWriter<'_, R, S> {
    /// Writes N vectors of neurons, the first of which has index `first`.
    #[inline(always)]
    pub(super) fn write<const N: usize>(
        &mut self,
        simd: S,
        first: usize,
        a: &[R::Vector<S>],
        shape: &GainSaturation<[R::Vector<S>; N]>,
    ) {
        let GainSaturation { n, s } = shape;
        for v in 0..N {
            let vector = first + v;
            self.h[self.layout.index(vector)] = curve::gamma::<R, S>(simd, a[v], n[v], s[v]);
            self.gains.count(simd, vector % self.layout.row, n[v]);
            if let Some(all) = &mut self.shapes {
                R::vectors_mut::<S>(all.n).0[vector] = n[v];
                R::vectors_mut::<S>(all.s).0[vector] = s[v];
            }
        }
    }
}

/// Gain counts of a step, lane by lane.
pub(super) struct GainCounter<R: Real, S: Simd> {
    hits: R::Vector<S>,
    negatives: R::Vector<S>,
    /// One in each lane that holds a neuron, for the last vector of a row; zero elsewhere.
    occupied: R::Vector<S>,
    /// Index of the last vector of a row.
    last: usize,
}

impl<R: Real, S: Simd> GainCounter<R, S> {
    #[inline(always)]
    pub(super) fn new(simd: S, size: &GroupDims) -> Self {
        let lanes = R::lanes::<S>();
        let last = size.padded / lanes - 1;
        let mut occupied = [R::ZERO; 64];
        occupied[..size.hidden - last * lanes].fill(R::ONE);
        let zero = R::splat(simd, R::ZERO);
        Self { hits: zero, negatives: zero, occupied: R::vectors::<S>(&occupied).0[0], last }
    }

    #[inline(always)]
    fn count(&mut self, simd: S, vector: usize, n: R::Vector<S>) {
        let (zero, one) = (R::splat(simd, R::ZERO), R::splat(simd, R::ONE));
        let guard = R::splat(simd, R::of(curve::GAIN_GUARD));
        let one = if vector == self.last { self.occupied } else { one };
        let hit = R::where_less(simd, Comparison { less: R::abs(simd, n), than: guard }, one, zero);
        self.hits = R::add(simd, self.hits, hit);
        let negative = R::where_less(simd, Comparison { less: n, than: zero }, one, zero);
        self.negatives = R::add(simd, self.negatives, negative);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "these are small counts"
    )]
    pub(super) fn total(&self, simd: S) -> GainCounts {
        let total = |counts| -> f64 { R::sum(simd, counts).into() };
        GainCounts {
            guard_hits: total(self.hits) as u64,
            negative_gains: total(self.negatives) as u64,
        }
    }
}
