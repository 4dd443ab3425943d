//! Cache of checkpoints known to exist, so that a commit need not look for a file just written.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rheo_core::id::Digest;

/// The most cached digests (2 MiB). A full cache is cleared.
const MAX_DIGESTS: usize = 1 << 16;

/// A set of digests of existing checkpoints. Valid because one process owns a store, and removes a
/// digest here before it removes the checkpoint.
#[derive(Debug, Default)]
pub(super) struct KnownDigests(Mutex<HashSet<Digest>>);

impl KnownDigests {
    /// Whether the checkpoint is known to exist. An unknown one may exist, too.
    pub(super) fn contains(&self, digest: Digest) -> bool {
        self.digests().contains(&digest)
    }

    /// Records that the checkpoint exists.
    pub(super) fn insert(&self, digest: Digest) {
        let mut digests = self.digests();
        if digests.len() >= MAX_DIGESTS {
            digests.clear();
        }
        digests.insert(digest);
    }

    /// Records that the checkpoint is about to be removed.
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
    fn the_number_of_known_digests_is_bounded() {
        let present = KnownDigests::default();
        for number in 0..=MAX_DIGESTS {
            present.insert(digest(number));
        }
        assert!(!present.contains(digest(0)) && present.contains(digest(MAX_DIGESTS)));
        present.remove(digest(MAX_DIGESTS));
        assert!(!present.contains(digest(MAX_DIGESTS)));
    }
}
