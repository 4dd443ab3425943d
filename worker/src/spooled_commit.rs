//! A commit in the form in which it waits on disk.

use bytes::Bytes;
use rheo_core::log::{LogLine, MAX_LINES};
use rheo_core::machine::{AttemptClaim, AttemptEnd, CommitManifest};
use rheo_core::rows::RowBatch;
use serde::{Deserialize, Serialize};

/// One message about a trial: a commit, or the end of the attempt with or without a last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpooledCommit {
    /// Identity of the attempt and number of the message.
    pub(crate) claim: AttemptClaim,
    /// Rows and the checkpoint after them.
    #[serde(rename = "goods")]
    pub(crate) payload: Option<CommitPayload>,
    /// End of the attempt, if it has ended.
    pub(crate) ending: Option<AttemptEnd>,
    /// Log lines since the previous message.
    #[serde(default)]
    pub(crate) log: Vec<LogLine>,
}

/// Rows and the checkpoint after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommitPayload {
    /// Description of the rows for the coordinator.
    pub(crate) work: CommitManifest,
    /// Rows.
    pub(crate) batches: Vec<RowBatch>,
    /// Checkpoint.
    pub(crate) checkpoint: Bytes,
}

impl SpooledCommit {
    /// Returns the size of the rows in bytes.
    pub(crate) fn rows_bytes(&self) -> usize {
        let batches = self.payload.iter().flat_map(|payload| &payload.batches);
        batches.map(|batch| batch.ipc.len()).sum()
    }

    /// Adds log lines; the oldest are dropped beyond the limit.
    pub(crate) fn add_log(&mut self, lines: Vec<LogLine>) {
        self.log.extend(lines);
        let excess = self.log.len().saturating_sub(MAX_LINES);
        self.log.drain(..excess);
    }

    /// Merges `later`, the next message of the same attempt, into this one: the rows of both, and
    /// the later checkpoint. Older checkpoints are not needed.
    pub(crate) fn merge(&mut self, later: Self) {
        self.ending = later.ending;
        self.add_log(later.log);
        let Some(later) = later.payload else { return };
        match &mut self.payload {
            None => self.payload = Some(later),
            Some(payload) => {
                payload.work.rows = payload.work.rows.plus(&later.work.rows);
                payload.work.reports.extend(later.work.reports);
                payload.work.produced = later.work.produced;
                payload.work.checkpoint = later.work.checkpoint;
                payload.work.fraction = later.work.fraction;
                payload.batches.extend(later.batches);
                payload.checkpoint = later.checkpoint;
            }
        }
    }
}
