//! The input of a pass, and the gradients that a backward pass returns.

use crate::sequence::{ComputeResources, Sequence};
use crate::weights::WeightGradients;

/// Input of a pass: the sequence, and the resources for it.
#[derive(Debug, Clone, Copy)]
pub struct PassInput<'a, R> {
    pub(crate) sequence: &'a Sequence<'a, R>,
    pub(crate) resources: ComputeResources,
}

/// Request for a backward pass.
#[derive(Debug, Clone, Copy)]
pub struct BackwardRequest<'a, R> {
    /// Gradient of the loss with respect to h: after every step [T, B, H], or after the last [B,
    /// H].
    pub grad_h: &'a [R],
    /// Whether `grad_h` covers every step.
    pub every: bool,
    /// Whether the gradient with respect to x is requested.
    pub wants_x: bool,
    /// Whether the gradients with respect to the states after every step are requested.
    pub wants_states: bool,
}

/// Gradients of a loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<R> {
    /// Gradients of the connection weights.
    pub weights: WeightGradients<R>,
    /// Gradients of the other parameters, in the order of their fields: b of `Modrelu`; n and s of
    /// `Gamma`; the fields of [`Controller`](crate::Controller); the candidate's bias of `Gru`.
    pub own: Vec<Vec<R>>,
    /// Gradient with respect to x [T, B, I], if requested.
    pub x: Vec<R>,
    /// Gradient with respect to h after every step [T, B, H], if requested; the inner state of the
    /// same step is held constant.
    pub h: Vec<R>,
    /// Gradient with respect to the inner state after every step, in the layout of
    /// [`LayerState::inner`](crate::LayerState::inner), if requested; includes the part through h
    /// of the same step.
    pub inner: Vec<R>,
}
