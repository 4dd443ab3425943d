//! Running sums over all steps of a sequence.

use crate::Real;
use crate::matrix::{Buffer, zeros};

/// A running sum in two stages: in kernel precision within a chunk of steps, in double precision
/// over chunks.
#[derive(Debug, Clone)]
pub(crate) struct RunningSum<R> {
    pub(crate) recent: Buffer<R>,
    flushed: Vec<f64>,
    /// Lanes that make up one sum.
    lanes: usize,
}

impl<R: Real> RunningSum<R> {
    /// Returns `count` zero sums, one number each.
    pub(crate) fn new(count: usize) -> Self {
        Self::of_lanes(count, 1)
    }

    /// Returns `count` zero sums, one vector each, whose lanes are added up by
    /// [`RunningSum::total`].
    pub(crate) fn of_lanes(count: usize, lanes: usize) -> Self {
        let length = count * lanes;
        Self { recent: zeros(length), flushed: vec![0.0; length], lanes }
    }

    pub(crate) fn flush(&mut self) {
        for (flushed, recent) in self.flushed.iter_mut().zip(self.recent.iter_mut()) {
            *flushed += (*recent).into();
            *recent = R::ZERO;
        }
    }

    /// Returns the sums over all threads.
    pub(crate) fn total<'a>(parts: impl Iterator<Item = &'a Self>) -> Vec<R> {
        let mut total: Vec<f64> = Vec::new();
        for part in parts {
            let sums = part.flushed.chunks_exact(part.lanes);
            total.resize(sums.len(), 0.0);
            sums.zip(&mut total).for_each(|(lanes, sum)| *sum += lanes.iter().sum::<f64>());
        }
        total.into_iter().map(R::of).collect()
    }
}
