//! Sizes of what a layer works on: a group of rows, and the gradients by its weights.

/// Sizes of one group of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupDims {
    /// Rows of the group.
    pub(crate) rows: usize,
    /// H.
    pub(crate) hidden: usize,
    /// H, padded to whole vectors.
    pub(crate) padded: usize,
    /// I.
    pub(crate) inputs: usize,
    /// Whether the gradient by x is wanted.
    pub(crate) wants_x: bool,
}

impl GroupDims {
    /// Numbers of the inner state of the group as callers see it, of a cell that carries so many
    /// for each neuron.
    pub(crate) fn inner(&self, carried: usize) -> usize {
        self.rows * self.hidden * carried
    }
}

/// Sizes of what [`WeightGradients::collect`](crate::WeightGradients) collects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerDims {
    /// Neurons.
    pub(crate) hidden: usize,
    /// Neurons with padding.
    pub(crate) padded: usize,
    /// How many of the neurons are listened to: all or none.
    pub(crate) recurrent: usize,
    /// Inputs.
    pub(crate) inputs: usize,
}
