//! Grid search: every point of a finite space once, the last declared parameter varying fastest.
//!
//! Point k is decoded from k in O(axes), without a list or a history.

use std::sync::Arc;

use super::{Sampler, Suggestion};
use crate::history::History;
use crate::space::grid_index::GridIndex;

/// The points of a finite space in order; none if the space is not finite, which a checked file
/// never has.
#[derive(Debug)]
pub(crate) struct Grid(pub(crate) Option<Arc<GridIndex>>);

impl Sampler for Grid {
    fn suggest(&self, _: &History, index: u64) -> Option<Suggestion> {
        self.0.as_ref()?.point(index).map(Suggestion::new)
    }

    fn cardinality(&self) -> Option<u64> {
        Some(self.0.as_ref().map_or(0, |grid| grid.total()))
    }

    fn is_stateless(&self) -> bool {
        true
    }
}
