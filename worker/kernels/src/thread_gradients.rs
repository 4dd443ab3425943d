//! Gradients as each thread gives them, before those of all threads are put together.

use crate::matrix::OuterSum;

/// The gradients of the parts of a layer that a thread has summed up.
pub(crate) struct ThreadGradients<R, S> {
    /// One for each product of the cell.
    pub(crate) products: Vec<OuterSum<R>>,
    /// Of the cell itself.
    pub(crate) sums: S,
    /// What leaves the layer, group after group.
    pub(crate) outward: Vec<GroupGradients<R>>,
}

/// The gradients of a group by what it read and by its states, at every step, as far as wanted.
pub(crate) struct GroupGradients<R> {
    /// By x [T, rows, I].
    pub(crate) x: Vec<R>,
    /// By h [T, rows, H].
    pub(crate) h: Vec<R>,
    /// By the inner state [T, rows, ..].
    pub(crate) inner: Vec<R>,
}
