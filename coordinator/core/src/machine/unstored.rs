//! The differences between a state and what a journal stores of it. They are no part of what is known: any two are
//! equal.

use std::collections::BTreeSet;

/// The differences of a state as a whole; those of its sweeps are noted with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Unstored {
    /// Whether a journal stores an earlier version of this state.
    pub(super) is_known: bool,
    /// The serials of sweeps that are stored and were deleted.
    pub(super) deleted: BTreeSet<u64>,
}

impl Unstored {
    /// Notes that a sweep was deleted.
    pub(super) fn delete(&mut self, serial: u64) {
        self.deleted.insert(serial);
    }
}

impl PartialEq for Unstored {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
