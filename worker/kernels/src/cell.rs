//! The trait that distinguishes kinds of layers: how a step turns weighted sums into states, and
//! how gradients go back through it.
//!
//! A row is one sample. A row of a step is `u` = [h_{t-1} | x_t | 1]. Its products with the weights
//! fill the blocks of `pre`, each padded to whole vectors; the cell turns `pre` into h_t. The
//! backward pass reads only the states and the values that the forward pass left in `pre`.

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
    /// Gradient sums of one thread, besides those of the products.
    type Sums: Send;

    /// Returns the products that fill the blocks of `pre`, first to last.
    fn products<S: Simd>(&self, size: &GroupDims) -> Vec<WeightProduct<R>>;

    /// Returns the number of blocks of `pre`.
    fn blocks(&self) -> usize;

    /// Returns the blocks that a drive is added to.
    fn driven(&self) -> &[usize];

    /// Returns the size of a row's inner state, in units of the padded number of neurons.
    fn carried(&self) -> usize {
        0
    }

    /// Returns the number of rows that should go through a sequence together, so that the data of
    /// every step stays in the cache.
    fn group(&self, size: &GroupDims) -> usize {
        let _ = size;
        MOST_ROWS
    }

    /// Whether neurons change their gain and saturation.
    fn adapts(&self) -> bool {
        false
    }

    /// Whether the gradient with respect to h_{t-1} has a part that does not come through the
    /// products.
    fn is_leaky(&self) -> bool {
        false
    }

    /// Turns `pre` into h_t and the inner state into the next one.
    fn forward<S: Simd>(&self, simd: S, step: ForwardArgs<'_, R>);

    /// Replaces `pre` by the gradients with respect to it.
    fn backward<S: Simd>(&self, simd: S, step: BackwardArgs<'_, R>, sums: &mut Self::Sums);

    /// Collects the gradients that the threads summed up.
    fn gradients(
        &self,
        parts: &[ThreadGradients<R, Self::Sums>],
        shape: LayerDims,
    ) -> (WeightGradients<R>, Vec<Vec<R>>);

    /// Returns zero sums.
    fn sums<S: Simd>(&self, size: &GroupDims) -> Self::Sums;

    /// Adds the sums of recent steps to the double-precision totals.
    fn flush(&self, sums: &mut Self::Sums);

    /// Fills the inner state from `given`, in the caller's layout.
    fn load<S: Simd>(&self, size: &GroupDims, given: &[R], inner: &mut [R]) {
        let _ = (size, given, inner);
    }

    /// Copies the inner state to `given`, in the caller's layout.
    fn unload<S: Simd>(&self, size: &GroupDims, inner: &[R], given: &mut [R]) {
        let _ = (size, inner, given);
    }

    /// Fills `grad_state` with the gradient with respect to the inner state after the step: through
    /// the next step, which `step` holds, and through h_t. Runs before [`Cell::backward`].
    fn grad_state<S: Simd>(&self, simd: S, step: &BackwardArgs<'_, R>, grad_state: &mut [R]) {
        let _ = (simd, step, grad_state);
    }
}

/// Maximum rows per group.
const MOST_ROWS: usize = 128;

/// Arguments of one forward step of a group.
pub(crate) struct ForwardArgs<'a, R> {
    pub(crate) size: &'a GroupDims,
    /// Weighted sums [rows, blocks, padded].
    pub(crate) pre: &'a mut [R],
    /// h_{t-1}.
    pub(crate) last: Rows<'a, R>,
    /// Destination of h_t; may be written in whole vectors.
    pub(crate) h: RowsMut<'a, R>,
    /// Inner state before the step.
    pub(crate) inner: &'a [R],
    /// Inner state after the step.
    pub(crate) next: &'a mut [R],
    /// Recorder of gains and saturations, for neurons that adapt.
    pub(crate) recorder: ShapeRecorder<'a, R>,
}

/// Destination of a step's gain counts, gains and saturations.
pub(crate) struct ShapeRecorder<'a, R> {
    /// Counts of the gain policy.
    pub(crate) counts: &'a mut GainCounts,
    /// Destination of gains and saturations [rows, padded], if requested.
    pub(crate) shapes: Option<GainSaturation<&'a mut [R]>>,
}

/// Counts of the gain policy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GainCounts {
    /// Gains that the guard replaced because they were too close to zero.
    pub(crate) guard_hits: u64,
    /// Gains below zero.
    pub(crate) negative_gains: u64,
}

/// Arguments of one backward step of a group.
pub(crate) struct BackwardArgs<'a, R> {
    pub(crate) size: &'a GroupDims,
    /// Values that the forward pass left [rows, blocks, padded]; replaced by the gradients.
    pub(crate) pre: &'a mut [R],
    /// h_{t-1}.
    pub(crate) last: Rows<'a, R>,
    /// h_t.
    pub(crate) h: Rows<'a, R>,
    /// Gradient with respect to h_t. A leaky cell replaces it by the part of the gradient with
    /// respect to h_{t-1} that does not come through the products.
    pub(crate) grad_h: RowsMut<'a, R>,
    /// Inner state before the step.
    pub(crate) inner: &'a [R],
    /// Inner state after the step.
    pub(crate) next: &'a [R],
    /// Gradient with respect to the inner state after the step; replaced by the one with respect to
    /// the inner state before it.
    pub(crate) grad_inner: &'a mut [R],
}
