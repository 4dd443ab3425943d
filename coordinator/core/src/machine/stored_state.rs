//! The part of a state that records what the journal stores of it.

use std::collections::BTreeSet;

/// A record of what the journal stores of a state, apart from its sweeps.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredState {
    /// Whether the journal stores an earlier version of the state.
    pub(super) is_known: bool,
    /// The serials of sweeps deleted since the newest snapshot, which needs their chunks.
    pub(super) deleted: BTreeSet<u64>,
    /// The serials of deleted sweeps whose chunks no snapshot needs.
    pub(super) orphans: BTreeSet<u64>,
}
