//! The journal's contract: the coordinator journals every event before it replies.
//!
//! Besides events, the journal holds the state of the sink for exactly-once parts: pending rows
//! (committed, but in no part yet), the list of valid parts, and retractions of rows whose trial is
//! retried or starts over. [`Journal::append`] and [`Journal::install`] are each atomic, so a row is
//! always either pending or in exactly one valid part.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use rheo_core::id::{SweepName, TrialId};
use rheo_core::machine::{Event, State, snapshot};
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use rheo_core::rows::RowBatch;
use rheo_core::schema::WorkloadRegistry;
use serde::{Deserialize, Serialize};

/// An append-only record of events, durable when its calls return. One process at a time opens it.
pub trait Journal: Send + Sync {
    /// Appends entries, all or none, and returns the position of the first. Positions are dense.
    ///
    /// The entries of one call share one fsync.
    fn append(&self, entries: &[JournalEntry]) -> Result<u64, Error>;

    /// Rebuilds the state from the newest snapshot and the events after it. `workloads` are those
    /// that this program knows.
    fn load(&self, workloads: &WorkloadRegistry) -> Result<LoadedJournal, Error>;

    /// Takes one step of a snapshot: tidies, or stores at most `limit` chunks of `state` that
    /// changed since the last snapshot. The step that stores the last of them drops every event
    /// before `position`, all of which the state must include. Until then the previous snapshot
    /// counts, and the state may change between the steps.
    ///
    /// The state must come from this journal or be new. What a step stored is marked in the state;
    /// after an error nothing is.
    fn snapshot_step(
        &self,
        position: u64,
        state: &mut State,
        limit: usize,
    ) -> Result<SnapshotStep, Error>;

    /// Takes one step of the work that a snapshot leaves: moves at most `limit` chunks to their
    /// place, or deletes as many of deleted sweeps. Returns whether nothing is left.
    fn tidy_step(&self, state: &mut State, limit: usize) -> Result<bool, Error>;

    /// Takes a snapshot in as many steps as it needs, and tidies.
    fn snapshot(&self, position: u64, state: &mut State) -> Result<(), Error> {
        while self.snapshot_step(position, state, usize::MAX)? == SnapshotStep::Unfinished {}
        while !self.tidy_step(state, usize::MAX)? {}
        Ok(())
    }

    /// A view of the rows at this moment, unaffected by later changes. The journal keeps its data
    /// until the view is dropped.
    fn view(&self) -> Result<Box<dyn JournalView>, Error>;

    /// [`JournalView::index`] at this moment.
    fn index(&self) -> Result<PartIndex, Error> {
        self.view()?.index()
    }

    /// The valid parts at this moment, sorted.
    fn parts(&self) -> Result<Vec<Part>, Error> {
        Ok(self.index()?.parts)
    }

    /// [`JournalView::pending`] at this moment.
    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error> {
        self.view()?.pending(filter, visit)
    }

    /// The pending rows from position `from` on, in order, and whether more remain. Stops after
    /// `most` bytes, but never within the rows of one event, and returns those of at least one
    /// event, if any remain.
    fn pending_batch(&self, from: u64, most: usize) -> Result<(Vec<PendingBlob>, bool), Error> {
        let (mut found, mut bytes, mut is_more): (Vec<PendingBlob>, usize, bool) =
            (Vec::new(), 0, false);
        self.pending(&PendingFilter { from, sweep: None }, &mut |rows| {
            bytes += rows.ipc.len();
            let is_of_last_event =
                found.last().is_none_or(|last| last.key.position == rows.key.position);
            if bytes > most && !is_of_last_event {
                is_more = true;
                return ControlFlow::Break(());
            }
            found.push(rows.to_pending());
            ControlFlow::Continue(())
        })?;
        Ok((found, is_more))
    }

    /// Fails with [`Error::Moved`] if the file is no longer at the path where it was opened. Then
    /// nothing may be acknowledged, because a restart would not find it.
    fn check_location(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Replaces parts and removes the pending rows that the new parts hold, atomically.
    fn install(&self, change: &PartChange) -> Result<(), Error>;
}

/// The result of a step of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotStep {
    /// More steps are needed.
    Unfinished,
    /// The snapshot is complete.
    Taken,
}

/// The rows of a journal at one moment; each is pending or in exactly one part.
pub trait JournalView: Send {
    /// The valid parts and the retractions of rows in them.
    fn index(&self) -> Result<PartIndex, Error>;

    /// Visits the pending rows that match `filter`, by position, until `visit` breaks. Only one blob
    /// at a time is in memory.
    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error>;
}

/// A callback that receives one blob after the other.
pub type PendingVisitor<'v> = &'v mut dyn FnMut(PendingRows<'_>) -> ControlFlow<()>;

/// A filter of pending rows; the default matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingFilter {
    /// The first position.
    pub from: u64,
    /// The only sweep; none matches all.
    pub sweep: Option<SweepName>,
}

/// A pending blob whose rows are borrowed from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRows<'j> {
    /// The key.
    pub key: PendingKey,
    /// The trial.
    pub trial: TrialId,
    /// The table.
    pub table: TableName,
    /// The number of rows.
    pub rows: u64,
    /// The rows, as an Arrow IPC stream.
    pub ipc: &'j [u8],
}

impl PendingRows<'_> {
    /// Copies the rows.
    pub fn to_batch(&self) -> RowBatch {
        RowBatch {
            table: self.table.clone(),
            rows: self.rows,
            ipc: Bytes::copy_from_slice(self.ipc),
        }
    }

    /// Copies the whole blob.
    pub fn to_pending(&self) -> PendingBlob {
        let blob = RowBlob { trial: self.trial.clone(), batch: self.to_batch() };
        PendingBlob { key: self.key, blob }
    }
}

/// One event and the changes that are journaled with it.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// The event.
    pub event: Event,
    /// New pending rows.
    pub blobs: Vec<RowBlob>,
    /// Trials whose row in `trials` is retracted.
    pub retracted: Vec<TrialId>,
    /// Trials whose rows are retracted in every table.
    pub erased: Vec<TrialId>,
    /// Damaged parts, no longer valid.
    pub damaged: Vec<Part>,
    /// A deleted sweep: its pending rows are removed, and its parts move to
    /// [`PartIndex::removed`].
    pub deleted: Option<SweepName>,
}

impl JournalEntry {
    /// The retractions of this entry at `position` in the journal.
    pub(crate) fn retractions(&self, position: u64) -> impl Iterator<Item = Retraction> {
        let retraction = move |trial: &TrialId, every_table| Retraction {
            trial: trial.clone(),
            before: position,
            every_table,
        };
        let outcomes = self.retracted.iter().map(move |trial| retraction(trial, false));
        outcomes.chain(self.erased.iter().map(move |trial| retraction(trial, true)))
    }
}

impl From<Event> for JournalEntry {
    fn from(event: Event) -> Self {
        Self {
            event,
            blobs: Vec::new(),
            retracted: Vec::new(),
            erased: Vec::new(),
            damaged: Vec::new(),
            deleted: None,
        }
    }
}

/// Rows of one table and one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowBlob {
    /// The trial.
    pub trial: TrialId,
    /// The rows.
    pub batch: RowBatch,
}

/// Whether a new retraction covers the pending rows of `trial` in `table`.
pub(crate) fn is_retracted(trial: &TrialId, table: &TableName, retraction: &Retraction) -> bool {
    *trial == retraction.trial && retraction.concerns(table, &trial.sweep)
}

/// The key of a pending blob: the position of its event, and its ordinal within the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PendingKey {
    /// The position of the event.
    pub position: u64,
    /// The ordinal of the blob within the event.
    pub ordinal: u32,
}

/// A blob that is in no part yet.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingBlob {
    /// The key.
    pub key: PendingKey,
    /// The rows.
    pub blob: RowBlob,
}

/// The parts of a journal and their retractions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartIndex {
    /// The valid parts, sorted.
    pub parts: Vec<Part>,
    /// Retractions of rows in parts, sorted.
    pub retractions: Vec<Retraction>,
    /// Parts of deleted sweeps whose files are to be removed, sorted.
    pub removed: Vec<Part>,
}

/// A change of the parts of one table of one sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartChange {
    /// Parts that become invalid.
    pub remove: Vec<Part>,
    /// Parts that become valid.
    pub add: Vec<Part>,
    /// Pending blobs whose rows are in `add`.
    pub flushed: Vec<PendingKey>,
    /// Retractions to drop, because no part holds their rows any more.
    pub retracted: Vec<Retraction>,
    /// Parts of deleted sweeps whose files are removed.
    pub cleared: Vec<Part>,
}

/// A state loaded from a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedJournal {
    /// The state after the last event.
    pub state: State,
    /// The position of the next event.
    pub position: u64,
    /// The number of events after the newest snapshot.
    pub replayed: u64,
}

impl From<snapshot::InconsistentSnapshot> for Error {
    fn from(error: snapshot::InconsistentSnapshot) -> Self {
        Self::Damaged { detail: error.to_string() }
    }
}

/// An error of the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the journal open.
    #[error("`{path}` is in use by another process")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The journal was written by an older version, whose events this program cannot read.
    #[error(
        "the journal has format {found} of an earlier version, but this program reads formats from {oldest} on: begin a new state directory (`--state`) and submit the sweeps again; Parquet files of the old one stay readable"
    )]
    TooOld {
        /// The format of the journal.
        found: u32,
        /// The oldest readable format.
        oldest: u32,
    },
    /// A newer version wrote the journal.
    #[error("the journal has format {found}, but this program reads up to format {newest}")]
    TooNew {
        /// The format of the journal.
        found: u32,
        /// The newest readable format.
        newest: u32,
    },
    /// The file is no longer at the path where it was opened.
    #[error(
        "the journal was moved, replaced or deleted while in use: `{path}` is not the file that was opened; move the directory back, or restart with its new path"
    )]
    Moved {
        /// The path where it was opened.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the journal is damaged: {detail}")]
    Damaged {
        /// The damage.
        detail: String,
    },
    /// The file system failed.
    #[error("the journal cannot be written or read")]
    Io(#[source] std::io::Error),
    /// An event cannot be encoded: a bug.
    #[error("an event cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}
