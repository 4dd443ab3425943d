//! The products of a layer's weights with [h_{t-1} | x_t | 1], ready for both directions.

use std::ops::Range;

use pulp::Simd;

use crate::Real;
use crate::matrix::{Outer, Packed, Rows, RowsMut};
use crate::size::Size;

/// Some blocks of `pre` as a product with all of [h_{t-1} | x_t | 1], or without its first part.
#[derive(Debug)]
pub(crate) struct Product<R> {
    /// Where in `pre` the blocks begin, in numbers.
    to: usize,
    /// Where in [h | x | 1] the factor begins.
    from: usize,
    /// Columns of `pre`.
    width: usize,
    forward: Packed<R>,
    backward: Option<Packed<R>>,
}

impl<R: Real> Product<R> {
    /// The product that fills `blocks`. `weight(block, neuron, k)` is the weight of the k-th number
    /// of [h | x | 1], or of [x | 1] if `feeds_back` is false; it counts the blocks from zero.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(
        size: &Size,
        blocks: Range<usize>,
        feeds_back: bool,
        weight: impl Fn(usize, usize, usize) -> R,
    ) -> Self {
        let Size { hidden, padded, inputs, wants_x, .. } = *size;
        let (from, width) = (if feeds_back { 0 } else { hidden }, blocks.len() * padded);
        let rows = hidden + inputs + 1 - from;
        let at = |column: usize, k: usize| {
            let (block, neuron) = (column / padded, column % padded);
            if neuron < hidden { weight(block, neuron, k) } else { R::ZERO }
        };
        // Gradients by the constant 1 are not wanted, those by x only by who learned to show it.
        let wanted = if wants_x { rows - 1 } else { hidden - from };
        let backward = (wanted > 0).then(|| Packed::new::<S>(width, wanted, &at));
        let forward = Packed::new::<S>(rows, width, |k, column| at(column, k));
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

    /// Turns gradients by `pre` into those by [h | x], or by x, and adds them to what `by_u` has
    /// begun.
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(
        &self,
        simd: S,
        by_pre: Rows<'_, R>,
        by_u: &mut Gradient<R>,
        rows: usize,
    ) {
        let Some(backward) = &self.backward else { return };
        let a = Rows { values: &by_pre.values[self.to..], ..by_pre };
        if self.from == 0 {
            let stride = by_u.stride;
            let c = RowsMut { values: &mut by_u.values, stride };
            if by_u.is_begun {
                backward.multiply_add(simd, a, c, rows);
            } else {
                backward.multiply(simd, a, c, rows);
            }
            return;
        }
        // Gradients by x do not begin at a whole vector.
        let stride = backward.stride();
        by_u.aside.resize(rows * stride, R::ZERO);
        let c = RowsMut { values: &mut by_u.aside, stride };
        backward.multiply(simd, a, c, rows);
        let inputs = by_u.columns - self.from;
        for (row, aside) in by_u.aside.chunks_exact(stride).enumerate() {
            let values = &mut by_u.values[row * by_u.stride + self.from..][..inputs];
            for (value, more) in values.iter_mut().zip(aside) {
                *value += *more;
            }
        }
    }

    /// A sum of gradients by the weights.
    #[inline(always)]
    pub(crate) fn gradient<S: Simd>(&self, size: &Size) -> Outer<R> {
        Outer::new::<S>(self.width, size.hidden + size.inputs + 1 - self.from)
    }

    /// Adds the gradients by the weights of all rows of `by_pre`.
    #[inline(always)]
    pub(crate) fn add<S: Simd>(
        &self,
        simd: S,
        by_pre: Rows<'_, R>,
        u: Rows<'_, R>,
        gradient: &mut Outer<R>,
    ) {
        let count = by_pre.values.len() / by_pre.stride;
        let a = Rows { values: &by_pre.values[self.to..], ..by_pre };
        let b = Rows { values: &u.values[self.from..], ..u };
        gradient.add(simd, a, b, count);
    }
}

/// The gradient by [h | x] of the rows of a group.
#[derive(Debug)]
pub(crate) struct Gradient<R> {
    pub(crate) values: crate::matrix::Buffer<R>,
    /// Numbers from one row to the next.
    pub(crate) stride: usize,
    /// How many of them are wanted: H, or H + I.
    columns: usize,
    /// Whether there is something to add to.
    pub(crate) is_begun: bool,
    aside: Vec<R>,
}

impl<R: Real> Gradient<R> {
    /// Zeros.
    pub(crate) fn new<S: Simd>(size: &Size) -> Self {
        let columns = if size.wants_x { size.hidden + size.inputs } else { size.hidden };
        let stride = crate::matrix::padded::<R, S>(columns);
        let values = crate::matrix::zeros(size.rows * stride);
        Self { values, stride, columns, is_begun: false, aside: Vec::new() }
    }
}
