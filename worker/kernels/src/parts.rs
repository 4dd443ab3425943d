//! Gradients as each thread gives them, before those of all threads are put together.

use crate::matrix::Outer;

/// The gradients of the parts of a layer that a thread has summed up.
pub(crate) struct Parts<R, S> {
    /// One for each product of the cell.
    pub(crate) products: Vec<Outer<R>>,
    /// Of the cell itself.
    pub(crate) sums: S,
    /// What leaves the layer, group after group.
    pub(crate) outward: Vec<Outward<R>>,
}

/// The gradients of a group by what it read and by its states, at every step, as far as wanted.
pub(crate) struct Outward<R> {
    /// By x [T, rows, I].
    pub(crate) x: Vec<R>,
    /// By h [T, rows, H].
    pub(crate) h: Vec<R>,
    /// By the inner state [T, rows, ..].
    pub(crate) inner: Vec<R>,
}
