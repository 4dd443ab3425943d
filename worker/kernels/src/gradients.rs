//! A pass as it is asked for, and the gradients that it gives.

use crate::sequence::{ComputeResources, Sequence};
use crate::weights::WeightGradients;

/// What a pass goes over, and with what.
#[derive(Debug, Clone, Copy)]
pub struct PassInput<'a, R> {
    pub(crate) sequence: &'a Sequence<'a, R>,
    pub(crate) resources: ComputeResources,
}

/// What is known of a loss, and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub struct BackwardRequest<'a, R> {
    /// Its gradient by h after every step [T, B, H], or after the last [B, H].
    pub grad_h: &'a [R],
    /// Which of the two.
    pub every: bool,
    /// Whether the gradient by x is wanted too.
    pub wants_x: bool,
    /// Whether those by the states after every step are.
    pub wants_states: bool,
}

/// Gradients of a loss by what a layer has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<R> {
    /// By the connections.
    pub weights: WeightGradients<R>,
    /// By what the layer has besides, in the order of its fields: b of `Modrelu`; n and s of `Gamma`;
    /// those of [`Controller`](crate::Controller); the bias of the candidate of `Gru`.
    pub own: Vec<Vec<R>>,
    /// By x [T, B, I], if wanted.
    pub x: Vec<R>,
    /// By h after every step [T, B, H], if wanted, at a constant inner state of the same step.
    pub h: Vec<R>,
    /// By the inner state after every step, as in [`LayerState::inner`](crate::LayerState::inner), if wanted;
    /// it counts what reaches h of the same step.
    pub inner: Vec<R>,
}
