//! Random search: independent draws of each parameter, with conditions decided on the way and
//! rejected points drawn again (rejection sampling).
//!
//! The points of a sweep are distinct. If all points of a finite space are equally likely, a random
//! permutation of the grid suffices (`ShuffledGrid`). Otherwise repeated points are drawn again
//! (`Random` with `distinct`); after many misses, the unused points of a finite space are taken in
//! order from a random start. Without history, both begin at their first draw. One draw costs
//! O(axes).

use std::sync::Arc;

use super::permutation::Permutation;
use super::{FIRST_STREAM, MAX_REDRAWS, Sampler, Suggestion, first_unused};
use crate::history::History;
use crate::rng::TrialRng;
use crate::space::grid_index::GridIndex;
use crate::space::resolved_space::ResolvedSpace;

/// The number of draws after which an infinite space counts as exhausted. A sweep is refused if
/// fewer than one draw in a thousand is admitted, so the chance to end wrongly is about e^-100.
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
    /// Whether a point could repeat, so that the history must be checked.
    pub(crate) distinct: bool,
    /// The index of the points, if the space is finite.
    pub(crate) grid: Option<Arc<GridIndex>>,
}

impl Sampler for Random {
    fn suggest(&self, history: &History, index: u64) -> Option<Suggestion> {
        let mut rng = TrialRng::stream(self.seed, FIRST_STREAM.wrapping_add(index));
        let tries = if self.grid.is_some() { MAX_REDRAWS } else { MAX_DRAWS };
        for _ in 0..tries {
            // Never 0, because the normal quantile of 0 is infinite.
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
