//! The uploads that are not committed, as they are counted.

use std::collections::BTreeMap;

use rheo_core::id::Digest;
use rheo_core::machine::AttemptClaim;
use tokio::sync::Mutex;

/// The uploads of one coordinator.
#[derive(Debug)]
pub(crate) struct UncommittedUploads {
    /// The most bytes of all of them.
    pub(super) most: u64,
    /// Held while files are removed, so that nobody counts on one of them meanwhile.
    pub(super) uncommitted: Mutex<BTreeMap<Digest, Upload>>,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bytes: u64,
    /// The messages that may commit it, one for each attempt.
    pub(super) claims: Vec<AttemptClaim>,
}

impl UncommittedUploads {
    /// No uploads; later they may have `most` bytes together.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, uncommitted: Mutex::default() }
    }
}
