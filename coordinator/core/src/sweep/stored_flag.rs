//! Whether a journal stores something as it is now: no part of what is known, so any two are equal.

/// Whether something is stored as it is now; false at first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoredFlag(bool);

impl StoredFlag {
    /// Whether it is.
    pub(crate) fn is_set(self) -> bool {
        self.0
    }

    /// Notes that it is stored.
    pub(crate) fn set(&mut self) {
        self.0 = true;
    }

    /// Notes that it has changed.
    pub(crate) fn unset(&mut self) {
        self.0 = false;
    }
}

impl PartialEq for StoredFlag {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
