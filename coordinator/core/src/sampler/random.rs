//! Independent draws: each parameter by its distribution, conditions decided on the way, points
//! that a constraint rejects drawn again (rejection sampling).
//!
//! No two points of a sweep are equal. In a finite space whose points are all equally likely that
//! needs no memory: a random order of the grid (`Shuffled`). Otherwise a point that was drawn
//! before is drawn again (`Random` with `distinct`), and after many misses the unused points of a
//! finite space are taken in order from a random place. Without history, both draw as if for the
//! first time. One draw is O(axes).

use std::sync::Arc;

use super::permutation::Permutation;
use super::{FIRST_STREAM, PATIENCE, Sampler, Suggestion, first_unused};
use crate::history::History;
use crate::rng::TrialRng;
use crate::space::axes::Axes;
use crate::space::lattice::Lattice;

/// How often a point of an infinite space is drawn before there is held to be none left. A sweep is
/// refused if fewer than one draw in a thousand is admitted: then the chance to end here wrongly
/// is about e^-100.
const TRIES: u64 = 100_000;

/// A finite space in random order.
#[derive(Debug)]
pub(crate) struct Shuffled {
    lattice: Arc<Lattice>,
    order: Permutation,
}

impl Shuffled {
    pub(crate) fn new(lattice: Arc<Lattice>, seed: u64) -> Self {
        let order = Permutation::new(lattice.total(), seed);
        Self { lattice, order }
    }
}

impl Sampler for Shuffled {
    fn suggest(&self, _: &History, index: u64) -> Option<Suggestion> {
        if index >= self.lattice.total() {
            return None;
        }
        self.lattice.point(self.order.at(index)).map(Suggestion::new)
    }

    fn cardinality(&self) -> Option<u64> {
        Some(self.lattice.total())
    }

    fn is_stateless(&self) -> bool {
        true
    }
}

/// Independent draws.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) axes: Arc<Axes>,
    pub(crate) seed: u64,
    /// Whether a point could come up twice, so that the history must be asked.
    pub(crate) distinct: bool,
    /// The points, where they can be numbered.
    pub(crate) lattice: Option<Arc<Lattice>>,
}

impl Sampler for Random {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        let tries = if self.lattice.is_some() { PATIENCE } else { TRIES };
        for _ in 0..tries {
            // Never 0, whose quantile in a normal distribution is infinite.
            match self.axes.draw(|_| rng.unit().max(2f64.powi(-54))) {
                Some(point) if !self.distinct || !history.contains(&point) => {
                    return Some(Suggestion::new(point));
                }
                _ => {}
            }
        }
        let lattice = self.lattice.as_ref()?;
        let start = rng.below(lattice.total().max(1));
        first_unused(lattice, history, start).map(Suggestion::new)
    }

    fn cardinality(&self) -> Option<u64> {
        self.lattice.as_ref().map(|lattice| lattice.total())
    }

    fn is_stateless(&self) -> bool {
        !self.distinct
    }
}
