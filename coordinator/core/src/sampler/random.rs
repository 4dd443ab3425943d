//! Independent draws: each parameter by its distribution, conditions decided on the way, points
//! that a constraint rejects drawn again (rejection sampling).
//!
//! No two points of a sweep are equal. In a finite space whose points are all equally likely that
//! needs no memory: a random order of the grid (`ShuffledGrid`). Otherwise a point that was drawn
//! before is drawn again (`Random` with `distinct`), and after many misses the unused points of a
//! finite space are taken in order from a random place. Without history, both draw as if for the
//! first time. One draw is O(axes).

use std::sync::Arc;

use super::permutation::Permutation;
use super::{FIRST_STREAM, MAX_REDRAWS, Sampler, Suggestion, first_unused};
use crate::history::History;
use crate::rng::TrialRng;
use crate::space::grid_index::GridIndex;
use crate::space::resolved_space::ResolvedSpace;

/// How often a point of an infinite space is drawn before there is held to be none left. A sweep is
/// refused if fewer than one draw in a thousand is admitted: then the chance to end here wrongly
/// is about e^-100.
const MAX_DRAWS: u64 = 100_000;

/// A finite space in random order.
#[derive(Debug)]
pub(crate) struct ShuffledGrid {
    grid: Arc<GridIndex>,
    order: Permutation,
}

impl ShuffledGrid {
    pub(crate) fn new(grid: Arc<GridIndex>, seed: u64) -> Self {
        let order = Permutation::new(grid.total(), seed);
        Self { grid, order }
    }
}

impl Sampler for ShuffledGrid {
    fn suggest(&self, _: &History, index: u64) -> Option<Suggestion> {
        if index >= self.grid.total() {
            return None;
        }
        self.grid.point(self.order.at(index)).map(Suggestion::new)
    }

    fn cardinality(&self) -> Option<u64> {
        Some(self.grid.total())
    }

    fn is_stateless(&self) -> bool {
        true
    }
}

/// Independent draws.
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) axes: Arc<ResolvedSpace>,
    pub(crate) seed: u64,
    /// Whether a point could come up twice, so that the history must be asked.
    pub(crate) distinct: bool,
    /// The points, where they can be numbered.
    pub(crate) grid: Option<Arc<GridIndex>>,
}

impl Sampler for Random {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        let tries = if self.grid.is_some() { MAX_REDRAWS } else { MAX_DRAWS };
        for _ in 0..tries {
            // Never 0, whose quantile in a normal distribution is infinite.
            match self.axes.draw(|_| rng.unit().max(2f64.powi(-54))) {
                Some(point) if !self.distinct || !history.contains(&point) => {
                    return Some(Suggestion::new(point));
                }
                _ => {}
            }
        }
        let grid = self.grid.as_ref()?;
        let start = rng.below(grid.total().max(1));
        first_unused(grid, history, start).map(Suggestion::new)
    }

    fn cardinality(&self) -> Option<u64> {
        self.grid.as_ref().map(|grid| grid.total())
    }

    fn is_stateless(&self) -> bool {
        !self.distinct
    }
}
