//! What a trial hands over to the coordinator, as one value that can wait on disk.

use bytes::Bytes;
use rheo_core::log::{LogLine, MAX_LINES};
use rheo_core::machine::{AttemptClaim, AttemptEnd, CommitManifest};
use rheo_core::rows::RowBatch;
use serde::{Deserialize, Serialize};

/// One message about a trial: a commit, or the end of the attempt with or without a last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpooledCommit {
    /// Who says it, and which message of the attempt it is.
    pub(crate) claim: AttemptClaim,
    /// Rows and the checkpoint that follows them.
    #[serde(rename = "goods")]
    pub(crate) payload: Option<CommitPayload>,
    /// How the attempt ended, if it has.
    pub(crate) ending: Option<AttemptEnd>,
    /// Lines of its log since the message before.
    #[serde(default)]
    pub(crate) log: Vec<LogLine>,
}

/// Rows and the checkpoint that follows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommitPayload {
    /// What the coordinator must know of them.
    pub(crate) work: CommitManifest,
    /// The rows.
    pub(crate) batches: Vec<RowBatch>,
    /// The checkpoint.
    pub(crate) checkpoint: Bytes,
}

impl SpooledCommit {
    /// How large its rows are.
    pub(crate) fn rows_bytes(&self) -> usize {
        let batches = self.payload.iter().flat_map(|payload| &payload.batches);
        batches.map(|batch| batch.ipc.len()).sum()
    }

    /// Adds lines of the log; the last ones say most.
    pub(crate) fn add_log(&mut self, lines: Vec<LogLine>) {
        self.log.extend(lines);
        let excess = self.log.len().saturating_sub(MAX_LINES);
        self.log.drain(..excess);
    }

    /// Adds `later`, the next message of the same attempt, to this one, which then says both: the
    /// rows of both, and the later checkpoint. Older checkpoints are of no use to anybody.
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
