//! The order of the points of a sweep, as a value.

use std::collections::BTreeSet;

use crate::ranking::Rank;

/// The points that have a trial that ended, in order; none if it was not made yet. Two orders are
/// always equal: what they follow from is compared elsewhere.
#[derive(Debug, Clone, Default)]
pub struct RankedPoints(pub(crate) Option<BTreeSet<Rank>>);

impl RankedPoints {
    /// The order of a sweep of which nothing has ended.
    pub(crate) fn empty() -> Self {
        Self(Some(BTreeSet::new()))
    }
}

impl PartialEq for RankedPoints {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
