//! Sums over all steps of a sequence.

use crate::Real;
use crate::matrix::{Buffer, zeros};

/// A running sum in two stages: over the steps of a chunk in the precision of the kernel, over
/// chunks in double precision.
#[derive(Debug, Clone)]
pub(crate) struct RunningSum<R> {
    pub(crate) recent: Buffer<R>,
    flushed: Vec<f64>,
    /// Numbers that one sum is made of.
    lanes: usize,
}

impl<R: Real> RunningSum<R> {
    /// `count` sums, each a number.
    pub(crate) fn new(count: usize) -> Self {
        Self::of_lanes(count, 1)
    }

    /// `count` sums, each a vector whose lanes are to be added up.
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

    /// The sums over all threads.
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
