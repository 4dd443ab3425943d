//! Products of a layer's weights with [h_{t-1} | x_t | 1], packed for both directions.

use std::ops::Range;

use pulp::Simd;

use crate::Real;
use crate::dims::GroupDims;
use crate::matrix::{OuterSum, PackedMatrix, Rows, RowsMut};

/// A product that fills some blocks of `pre`, with all of [h_{t-1} | x_t | 1] or with [x_t | 1]
/// only.
#[derive(Debug)]
pub(crate) struct WeightProduct<R> {
    /// Offset of the blocks in a row of `pre`.
    to: usize,
    /// Offset of the factor in [h | x | 1].
    from: usize,
    /// Columns of the blocks in `pre`.
    width: usize,
    forward: PackedMatrix<R>,
    backward: Option<PackedMatrix<R>>,
}

impl<R: Real> WeightProduct<R> {
    /// Packs the product that fills `blocks`. `weight(block, neuron, k)` is the weight of element k
    /// of [h | x | 1], or of [x | 1] if `feeds_back` is false; blocks count from zero.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(
        size: &GroupDims,
        blocks: Range<usize>,
        feeds_back: bool,
        weight: impl Fn(usize, usize, usize) -> R,
    ) -> Self {
        let GroupDims { hidden, padded, inputs, wants_x, .. } = *size;
        let (from, width) = (if feeds_back { 0 } else { hidden }, blocks.len() * padded);
        let rows = hidden + inputs + 1 - from;
        let at = |column: usize, k: usize| {
            let (block, neuron) = (column / padded, column % padded);
            if neuron < hidden { weight(block, neuron, k) } else { R::ZERO }
        };
        // The gradient with respect to the constant 1 is never needed, that with respect to x only
        // for learned inputs.
        let wanted = if wants_x { rows - 1 } else { hidden - from };
        let backward = (wanted > 0).then(|| PackedMatrix::new::<S>(width, wanted, &at));
        let forward = PackedMatrix::new::<S>(rows, width, |k, column| at(column, k));
        Self { to: blocks.start * padded, from, width, forward, backward }
    }

    /// Fills the blocks of `pre` for all rows.
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(
        &self,
        simd: S,
        u: Rows<'_, R>,
        pre: &mut RowsMut<'_, R>,
        rows: usize,
    ) {
        let a = Rows { values: &u.values[self.from..], ..u };
        let c = RowsMut { values: &mut pre.values[self.to..], stride: pre.stride };
        self.forward.multiply(simd, a, c, rows);
    }

    /// Turns gradients with respect to `pre` into those with respect to [h | x], or to x, and
    /// writes or adds them to `grad_u`.
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(
        &self,
        simd: S,
        grad_pre: Rows<'_, R>,
        grad_u: &mut InputGradient<R>,
        rows: usize,
    ) {
        let Some(backward) = &self.backward else { return };
        let a = Rows { values: &grad_pre.values[self.to..], ..grad_pre };
        if self.from == 0 {
            let stride = grad_u.stride;
            let c = RowsMut { values: &mut grad_u.values, stride };
            if grad_u.accumulates {
                backward.multiply_add(simd, a, c, rows);
            } else {
                backward.multiply(simd, a, c, rows);
            }
            return;
        }
        // The gradient with respect to x does not begin at a whole vector.
        let stride = backward.stride();
        grad_u.scratch.resize(rows * stride, R::ZERO);
        let c = RowsMut { values: &mut grad_u.scratch, stride };
        backward.multiply(simd, a, c, rows);
        let inputs = grad_u.columns - self.from;
        for (row, scratch) in grad_u.scratch.chunks_exact(stride).enumerate() {
            let values = &mut grad_u.values[row * grad_u.stride + self.from..][..inputs];
            for (value, more) in values.iter_mut().zip(scratch) {
                *value += *more;
            }
        }
    }

    /// Returns zero sums for the weight gradient.
    #[inline(always)]
    pub(crate) fn gradient<S: Simd>(&self, size: &GroupDims) -> OuterSum<R> {
        OuterSum::new::<S>(self.width, size.hidden + size.inputs + 1 - self.from)
    }

    /// Adds the weight gradients of all rows of `grad_pre`.
    #[inline(always)]
    pub(crate) fn add<S: Simd>(
        &self,
        simd: S,
        grad_pre: Rows<'_, R>,
        u: Rows<'_, R>,
        gradient: &mut OuterSum<R>,
    ) {
        let count = grad_pre.values.len() / grad_pre.stride;
        let a = Rows { values: &grad_pre.values[self.to..], ..grad_pre };
        let b = Rows { values: &u.values[self.from..], ..u };
        gradient.add(simd, a, b, count);
    }
}

/// The gradient with respect to [h | x] of the rows of a group.
#[derive(Debug)]
pub(crate) struct InputGradient<R> {
    pub(crate) values: crate::matrix::Buffer<R>,
    /// Numbers from one row to the next.
    pub(crate) stride: usize,
    /// Columns in use: H, or H + I.
    columns: usize,
    /// Whether the next product adds to the values; otherwise it overwrites them.
    pub(crate) accumulates: bool,
    scratch: Vec<R>,
}

impl<R: Real> InputGradient<R> {
    /// Returns zeros.
    pub(crate) fn new<S: Simd>(size: &GroupDims) -> Self {
        let columns = if size.wants_x { size.hidden + size.inputs } else { size.hidden };
        let stride = crate::matrix::padded::<R, S>(columns);
        let values = crate::matrix::zeros(size.rows * stride);
        Self { values, stride, columns, accumulates: false, scratch: Vec::new() }
    }
}
