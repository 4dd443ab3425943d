//! What a trial hands over to the coordinator, as one value that can wait on disk.

use bytes::Bytes;
use rheo_core::log::{LogLine, MAX_LINES};
use rheo_core::machine::{AttemptClaim, AttemptEnd, CommitManifest};
use rheo_core::rows::RowBatch;
use serde::{Deserialize, Serialize};

/// One message about a trial: a commit, or the end of the attempt with or without a last commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parcel {
    /// Who says it, and which message of the attempt it is.
    pub(crate) claim: AttemptClaim,
    /// Rows and the checkpoint that follows them.
    pub(crate) goods: Option<Goods>,
    /// How the attempt ended, if it has.
    pub(crate) ending: Option<AttemptEnd>,
    /// Lines of its log since the message before.
    #[serde(default)]
    pub(crate) log: Vec<LogLine>,
}

/// Rows and the checkpoint that follows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goods {
    /// What the coordinator must know of them.
    pub(crate) work: CommitManifest,
    /// The rows.
    pub(crate) batches: Vec<RowBatch>,
    /// The checkpoint.
    pub(crate) checkpoint: Bytes,
}

impl Parcel {
    /// How large its rows are.
    pub(crate) fn rows_bytes(&self) -> usize {
        let batches = self.goods.iter().flat_map(|goods| &goods.batches);
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
        let Some(later) = later.goods else { return };
        match &mut self.goods {
            None => self.goods = Some(later),
            Some(goods) => {
                goods.work.rows = goods.work.rows.plus(&later.work.rows);
                goods.work.reports.extend(later.work.reports);
                goods.work.produced = later.work.produced;
                goods.work.checkpoint = later.work.checkpoint;
                goods.work.fraction = later.work.fraction;
                goods.batches.extend(later.batches);
                goods.checkpoint = later.checkpoint;
            }
        }
    }
}
