//! The contract of the journal: what the coordinator writes down before it says anything.
//!
//! Besides events it keeps what the sink needs for exactly-once parts: rows that are committed but
//! in no part yet, the list of parts that count, and rows that no longer count because their trial is
//! tried again or starts over. [`Journal::append`] and [`Journal::install`] are each atomic, so a
//! row is at every moment either pending or in exactly one part that counts.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use rheo_core::id::{SweepName, TrialId};
use rheo_core::machine::{Event, State, snapshot};
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};
use rheo_core::rows::Batch;
use rheo_core::schema::Workloads;
use serde::{Deserialize, Serialize};

/// An append-only record of events, durable when its calls return. One process at a time owns it.
pub trait Journal: Send + Sync {
    /// Appends entries, all or none, and returns the position of the first. Positions are dense.
    ///
    /// Many entries in one call share one synchronisation with the disk.
    fn append(&self, entries: &[JournalEntry]) -> Result<u64, Error>;

    /// Rebuilds the state from the newest snapshot and the events after it, in a program that knows
    /// `workloads`.
    fn load(&self, workloads: &Workloads) -> Result<LoadedJournal, Error>;

    /// Stores what of `state` is not stored yet and forgets every event before `position`, all of which the
    /// state includes. The state was loaded from this journal or is a new one, and is told that it is stored; if
    /// this fails, the next snapshot stores the same again.
    fn snapshot(&self, position: u64, state: &mut State) -> Result<(), Error>;

    /// Where the rows are at this moment, however the journal changes meanwhile. The journal keeps
    /// what the view shows until it is dropped.
    fn view(&self) -> Result<Box<dyn JournalView>, Error>;

    /// [`JournalView::index`] at this moment.
    fn index(&self) -> Result<PartIndex, Error> {
        self.view()?.index()
    }

    /// The parts that count at this moment, sorted.
    fn parts(&self) -> Result<Vec<Part>, Error> {
        Ok(self.index()?.parts)
    }

    /// [`JournalView::pending`] at this moment.
    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error> {
        self.view()?.pending(filter, visit)
    }

    /// The pending rows of the events from position `from` on, in order: those of as many events as
    /// fit into `most` bytes, and at least of one, if any are left. True if there are more.
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

    /// Fails with [`Error::Moved`] if the journal no longer lies where it was opened: nothing may
    /// be acknowledged any more, because a restart would not find it.
    fn check_location(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Replaces parts and forgets the pending rows that the new parts hold, atomically.
    fn install(&self, change: &PartChange) -> Result<(), Error>;
}

/// The rows at one moment: each is pending or in exactly one part.
pub trait JournalView: Send {
    /// The parts that count and the rows in them that do not.
    fn index(&self) -> Result<PartIndex, Error>;

    /// Visits the pending rows that `filter` lets through, in order of their position, until `visit`
    /// breaks off. Only the rows that are visited are in memory.
    fn pending(&self, filter: &PendingFilter, visit: PendingVisitor<'_>) -> Result<(), Error>;
}

/// Called with the rows of one blob after the other.
pub type PendingVisitor<'v> = &'v mut dyn FnMut(PendingRows<'_>) -> ControlFlow<()>;

/// Chooses pending rows; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingFilter {
    /// The first position.
    pub from: u64,
    /// The only sweep.
    pub sweep: Option<SweepName>,
}

/// One blob that is in no part yet, where the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRows<'j> {
    /// Its name.
    pub key: PendingKey,
    /// The trial.
    pub trial: TrialId,
    /// The table.
    pub table: TableName,
    /// How many rows it has.
    pub rows: u64,
    /// The rows, as an Arrow IPC stream.
    pub ipc: &'j [u8],
}

impl PendingRows<'_> {
    /// A copy of the rows.
    pub fn to_batch(&self) -> Batch {
        Batch { table: self.table.clone(), rows: self.rows, ipc: Bytes::copy_from_slice(self.ipc) }
    }

    /// A copy of all of it.
    pub fn to_pending(&self) -> PendingBlob {
        let blob = RowBlob { trial: self.trial.clone(), batch: self.to_batch() };
        PendingBlob { key: self.key, blob }
    }
}

/// One event and what is stored together with it.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// What happened.
    pub event: Event,
    /// Rows that came with it.
    pub blobs: Vec<RowBlob>,
    /// Trials whose row in `trials` no longer counts.
    pub retracted: Vec<TrialId>,
    /// Trials of which no row counts any more, in any table.
    pub erased: Vec<TrialId>,
    /// Damaged parts that no longer count.
    pub damaged: Vec<Part>,
    /// A sweep all of whose earlier rows no longer count: pending ones are forgotten, and its parts
    /// become [`PartIndex::removed`].
    pub deleted: Option<SweepName>,
}

impl JournalEntry {
    /// The retractions that it makes at `position` in the journal.
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
    pub batch: Batch,
}

/// Whether a retraction that is made now concerns rows of `trial` in `table`.
pub(crate) fn is_retracted(trial: &TrialId, table: &TableName, retraction: &Retraction) -> bool {
    *trial == retraction.trial && retraction.concerns(table, &trial.sweep)
}

/// Names a pending blob: the position of its event, and which blob of that event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PendingKey {
    /// The position of the event.
    pub position: u64,
    /// Which blob of the event.
    pub ordinal: u32,
}

/// A blob that is in no part yet.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingBlob {
    /// Its name.
    pub key: PendingKey,
    /// The rows.
    pub blob: RowBlob,
}

/// Where the rows are that are in parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartIndex {
    /// The parts that count, sorted.
    pub parts: Vec<Part>,
    /// Rows in parts that no longer count, sorted.
    pub retractions: Vec<Retraction>,
    /// Parts of deleted sweeps, sorted: they do not count, and their files are to be removed.
    pub removed: Vec<Part>,
}

/// A change of the parts of one table of one sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartChange {
    /// Parts that no longer count.
    pub remove: Vec<Part>,
    /// Parts that count from now on.
    pub add: Vec<Part>,
    /// Pending blobs that are in `add`.
    pub flushed: Vec<PendingKey>,
    /// Retractions that are done: no part holds these rows any more.
    pub retracted: Vec<Retraction>,
    /// Parts of deleted sweeps whose files are gone.
    pub cleared: Vec<Part>,
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedJournal {
    /// The state after the last event.
    pub state: State,
    /// The position of the next event.
    pub position: u64,
    /// How many events came after the newest snapshot.
    pub replayed: u64,
}

impl From<snapshot::InconsistentSnapshot> for Error {
    fn from(error: snapshot::InconsistentSnapshot) -> Self {
        Self::Damaged { detail: error.to_string() }
    }
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it open.
    #[error("`{path}` is in use by another process")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The journal was written by an older version, whose events this program cannot read.
    #[error(
        "the journal has format {found}, of an earlier version, and this program reads format {oldest} on: begin a new state directory (`--state`) and submit the sweeps again; Parquet files of the old one stay readable"
    )]
    TooOld {
        /// The format it has.
        found: u32,
        /// The oldest one that can be read.
        oldest: u32,
    },
    /// It was written by a newer version of this program.
    #[error("the journal has format {found}, but this program reads up to format {newest}")]
    TooNew {
        /// The format it has.
        found: u32,
        /// The newest that is understood.
        newest: u32,
    },
    /// The file is no longer where it was opened.
    #[error(
        "the journal was moved, replaced or deleted while it was in use: `{path}` is not the file that was opened; put the directory back where it was, or start again where it is now"
    )]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// The file does not hold what was written to it.
    #[error("the journal is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The disk refused.
    #[error("the journal cannot be written or read")]
    Io(#[source] std::io::Error),
    /// An event cannot be encoded: a bug.
    #[error("an event cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}
