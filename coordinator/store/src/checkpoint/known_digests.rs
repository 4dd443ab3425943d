//! The checkpoints of which this process knows that they are there, so that a commit need not look
//! for a file that was written a moment ago.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rheo_core::id::Digest;

/// The most digests that are kept: 2 MiB. Beyond that all are forgotten, and looked for again.
const MAX_DIGESTS: usize = 1 << 16;

/// A set of digests. One process owns a store, and whatever it removes is taken out before.
#[derive(Debug, Default)]
pub(super) struct KnownDigests(Mutex<HashSet<Digest>>);

impl KnownDigests {
    /// Whether the checkpoint is known to be there; if not, it may be there all the same.
    pub(super) fn contains(&self, digest: Digest) -> bool {
        self.digests().contains(&digest)
    }

    /// Notes that the checkpoint is there.
    pub(super) fn insert(&self, digest: Digest) {
        let mut digests = self.digests();
        if digests.len() >= MAX_DIGESTS {
            digests.clear();
        }
        digests.insert(digest);
    }

    /// Notes that the checkpoint is about to be removed.
    pub(super) fn remove(&self, digest: Digest) {
        self.digests().remove(&digest);
    }

    fn digests(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn what_is_known_is_bounded() {
        let present = KnownDigests::default();
        for number in 0..=MAX_DIGESTS {
            present.insert(digest(number));
        }
        assert!(!present.contains(digest(0)) && present.contains(digest(MAX_DIGESTS)));
        present.remove(digest(MAX_DIGESTS));
        assert!(!present.contains(digest(MAX_DIGESTS)));
    }
}
