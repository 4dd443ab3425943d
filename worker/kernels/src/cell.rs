//! What distinguishes one kind of layer from another: what a step does with the weighted sums that
//! its neurons receive, and how gradients go back through that.
//!
//! A row is one sample. Each row of a step is `u` = [h_{t-1} | x_t | 1], whose products with the
//! weights fill the blocks of `pre`, each padded to whole vectors; the cell turns `pre` into h_t.
//! What a cell leaves in `pre` is all that its backward pass sees of the forward pass, besides the
//! states.

use pulp::Simd;

use crate::Real;
use crate::dims::{GroupDims, LayerDims};
use crate::matrix::{Rows, RowsMut};
use crate::product::WeightProduct;
use crate::sequence::GainSaturation;
use crate::thread_gradients::ThreadGradients;
use crate::weights::WeightGradients;

/// A kind of layer with its weights.
pub(crate) trait Cell<R: Real>: Sync {
    /// What a thread sums up of gradients, besides those of the products.
    type Sums: Send;

    /// The products that fill the blocks of `pre`, from the first to the last.
    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>>;

    /// Blocks of `pre`.
    fn blocks(&self) -> usize;

    /// The blocks that a drive is added to.
    fn driven(&self) -> &[usize];

    /// Numbers of a row's inner state, in units of the padded number of neurons.
    fn carried(&self) -> usize {
        0
    }

    /// Rows that should go through a sequence together, so that what is used at every step stays in
    /// the cache.
    fn group(&self, size: &GroupDims) -> usize {
        let _ = size;
        MOST_ROWS
    }

    /// Whether neurons change their gain and saturation.
    fn adapts(&self) -> bool {
        false
    }

    /// Whether the gradient by h_{t-1} has a part that does not come through the products.
    fn is_leaky(&self) -> bool {
        false
    }

    /// Turns `pre` into h_t, and the inner state into the next.
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>);

    /// Turns `pre` into the gradients by it.
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, sums: &mut Self::Sums);

    /// The gradients that threads have summed up.
    fn gradients(
        &self,
        parts: &[ThreadGradients<R, Self::Sums>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>);

    /// Sums of nothing.
    fn sums<S: Simd>(&self, size: &GroupDims) -> Self::Sums;

    /// Moves what has been summed over some steps to where sums over all steps are kept.
    fn flush(&self, sums: &mut Self::Sums);

    /// Fills the inner state of `rows` rows from `given`, as callers see it.
    fn load<S: Simd>(&self, size: &GroupDims, given: &[R], inner: &mut [R]) {
        let _ = (size, given, inner);
    }

    /// Gives the inner state as callers see it.
    fn unload<S: Simd>(&self, size: &GroupDims, inner: &[R], given: &mut [R]) {
        let _ = (size, inner, given);
    }

    /// Before [`Cell::backward`]: fills `grad_state` with the gradient by the inner state after the
    /// step, through the next step, which `step` brings, and through h_t.
    fn grad_state<S: Simd>(&self, simd: S, step: &BackwardArgs<'_, R>, grad_state: &mut [R]) {
        let _ = (simd, step, grad_state);
    }
}

/// Rows of a group, at most.
const MOST_ROWS: usize = 128;

/// One step forward of a group.
pub(crate) struct ForwardArgs<'a, R> {
    pub(crate) size: &'a GroupDims,
    /// [rows, blocks, padded].
    pub(crate) pre: &'a mut [R],
    /// h_{t-1}.
    pub(crate) last: Rows<'a, R>,
    /// Where h_t goes; whole vectors may be written.
    pub(crate) h: RowsMut<'a, R>,
    /// The inner state before the step.
    pub(crate) inner: &'a [R],
    /// The inner state after it.
    pub(crate) next: &'a mut [R],
    /// What neurons that change their gain and saturation tell of them.
    pub(crate) recorder: ShapeRecorder<'a, R>,
}

/// What is told of gains and saturations.
pub(crate) struct ShapeRecorder<'a, R> {
    /// What the gain policy counts.
    pub(crate) counts: &'a mut GainCounts,
    /// Destination of gains and saturations [rows, padded], if wanted.
    pub(crate) shapes: Option<GainSaturation<&'a mut [R]>>,
}

/// What the gain policy counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GainCounts {
    /// Gains that were too close to zero and were replaced.
    pub(crate) guard_hits: u64,
    /// Gains below zero.
    pub(crate) negative_gains: u64,
}

/// One step backward of a group.
pub(crate) struct BackwardArgs<'a, R> {
    pub(crate) size: &'a GroupDims,
    /// [rows, blocks, padded]: what the forward pass left; becomes the gradients.
    pub(crate) pre: &'a mut [R],
    /// h_{t-1}.
    pub(crate) last: Rows<'a, R>,
    /// h_t.
    pub(crate) h: Rows<'a, R>,
    /// The gradient by h_t; of a leaky cell, becomes the part of that by h_{t-1} that does not come
    /// through the products.
    pub(crate) grad_h: RowsMut<'a, R>,
    /// The inner state before the step.
    pub(crate) inner: &'a [R],
    /// The inner state after it.
    pub(crate) next: &'a [R],
    /// The gradient by the inner state after the step; becomes that by the one before.
    pub(crate) grad_inner: &'a mut [R],
}
