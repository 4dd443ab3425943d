//! The checkpoints of which this process knows that they are there, so that a commit need not look
//! for a file that was written a moment ago.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rheo_core::id::Digest;

/// The most digests that are kept: 2 MiB. Beyond that all are forgotten, and looked for again.
const MOST: usize = 1 << 16;

/// A set of digests. One process owns a store, and whatever it removes is taken out before.
#[derive(Debug, Default)]
pub(super) struct Present(Mutex<HashSet<Digest>>);

impl Present {
    /// Whether the checkpoint is known to be there; if not, it may be there all the same.
    pub(super) fn knows(&self, digest: Digest) -> bool {
        self.digests().contains(&digest)
    }

    /// Notes that the checkpoint is there.
    pub(super) fn note(&self, digest: Digest) {
        let mut digests = self.digests();
        if digests.len() >= MOST {
            digests.clear();
        }
        digests.insert(digest);
    }

    /// Notes that the checkpoint is about to be removed.
    pub(super) fn forget(&self, digest: Digest) {
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
        let present = Present::default();
        for number in 0..=MOST {
            present.note(digest(number));
        }
        assert!(!present.knows(digest(0)) && present.knows(digest(MOST)));
        present.forget(digest(MOST));
        assert!(!present.knows(digest(MOST)));
    }
}
