//! Every point of a finite space once, the last declared parameter varying fastest.
//!
//! Point k is decoded from k: O(axes), no list, no history.

use std::sync::Arc;

use super::{Sampler, Suggestion};
use crate::history::History;
use crate::space::grid_index::GridIndex;

/// The points of a space in order. Without numbers, as no checked file has it, there are none.
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
