//! Counts of uncommitted uploads.

use std::collections::BTreeMap;

use rheo_core::id::Digest;
use rheo_core::machine::AttemptClaim;
use tokio::sync::Mutex;

/// The uncommitted uploads of one coordinator.
#[derive(Debug)]
pub(crate) struct UncommittedUploads {
    /// The limit of all uploads together, in bytes.
    pub(super) most: u64,
    /// The uploads; locked while files are removed, so that no removed file is counted as present.
    pub(super) uncommitted: Mutex<BTreeMap<Digest, Upload>>,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bytes: u64,
    /// The messages that may commit the upload, one per attempt.
    pub(super) claims: Vec<AttemptClaim>,
}

impl UncommittedUploads {
    /// Creates an empty set with a limit of `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, uncommitted: Mutex::default() }
    }
}
