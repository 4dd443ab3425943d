//! Dimensions of a group of rows, and of the weight gradients.

/// Dimensions of one group of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupDims {
    /// Rows in the group.
    pub(crate) rows: usize,
    /// Neurons, H.
    pub(crate) hidden: usize,
    /// Neurons, padded to whole vectors.
    pub(crate) padded: usize,
    /// Inputs, I.
    pub(crate) inputs: usize,
    /// Whether the gradient with respect to x is requested.
    pub(crate) wants_x: bool,
}

impl GroupDims {
    /// Returns the length of the group's inner state in the caller's layout: rows x hidden x
    /// carried.
    pub(crate) fn inner(&self, carried: usize) -> usize {
        self.rows * self.hidden * carried
    }
}

/// Dimensions of the gradients that [`WeightGradients::collect`](crate::WeightGradients) collects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerDims {
    /// Neurons.
    pub(crate) hidden: usize,
    /// Neurons, padded to whole vectors.
    pub(crate) padded: usize,
    /// Recurrent inputs: H or zero.
    pub(crate) recurrent: usize,
    /// Inputs.
    pub(crate) inputs: usize,
}
