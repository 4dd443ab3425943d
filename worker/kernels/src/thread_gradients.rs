//! Gradients of one thread, before they are combined.

use crate::matrix::OuterSum;

/// Gradients that one thread summed up.
pub(crate) struct ThreadGradients<R, S> {
    /// Weight gradients, one per product of the cell.
    pub(crate) products: Vec<OuterSum<R>>,
    /// Sums of the cell itself.
    pub(crate) sums: S,
    /// Gradients with respect to inputs and states, group by group.
    pub(crate) outward: Vec<GroupGradients<R>>,
}

/// Gradients of a group with respect to its inputs and states at every step, if requested.
pub(crate) struct GroupGradients<R> {
    /// Gradient with respect to x [T, rows, I].
    pub(crate) x: Vec<R>,
    /// Gradient with respect to h [T, rows, H].
    pub(crate) h: Vec<R>,
    /// Gradient with respect to the inner state [T, rows, ..].
    pub(crate) inner: Vec<R>,
}
