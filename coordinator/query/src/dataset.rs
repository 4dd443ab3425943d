//! The dataset: the parts of the results where they lie, kept in step with the journal through any
//! crash.
//!
//! The journal says which parts count. A file that it does not name is removed if its rows are
//! elsewhere, as those of an interrupted write are, and set aside otherwise ([`JournalContents`]). Readers in place list
//! parts without asking it, so what they can see is never both an old and a new part with the same
//! rows. How that is done differs between the two kinds of place: a [`directory`] moves whole
//! directories in one step of the file system, a [`bucket`] replaces single objects.

mod bucket;
mod directory;
mod integrity;
mod journal_contents;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::ChunkReader;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStore;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction, TrialRanges};
use rheo_model::row::{Table, UnknownTable};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use bucket::BucketDataset;
use directory::DirectoryDataset;
pub use directory::DiskError;
use integrity::IntegrityRegister;
pub use integrity::{DamagedPart, Defect};
use journal_contents::SweepTable;
pub use journal_contents::{JournalContents, RecoveryReport};

use crate::conform::conform;
use crate::{batch, merge, packed_rows, stored_rows, tables};

/// Where everything is that does not count.
pub(crate) const STAGING: &str = ".staging";

/// The results. One process at a time may change them, any may read them.
///
/// Its functions wait for disks and networks: call them where a thread may wait. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dataset {
    kind: Storage,
    register: Arc<IntegrityRegister>,
}

#[derive(Debug, Clone)]
enum Storage {
    Directory(Arc<DirectoryDataset>),
    Bucket(Arc<BucketDataset>),
}

/// Keeps the files of replaced parts until it is dropped.
#[derive(Debug, Clone)]
pub struct Pin(#[expect(dead_code, reason = "held, not read")] Arc<()>);

/// A change of the parts of one sweep in one table, prepared but not yet visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// The table.
    pub table: TableName,
    /// The sweep.
    pub sweep: SweepName,
    /// The parts that counted before.
    pub old: Vec<Part>,
    /// The parts that count afterwards. All parts of the sweep, also those that stay.
    pub new: Vec<Part>,
}

/// Where the objects that hold the parts are, for queries.
#[derive(Debug)]
pub(crate) enum PartSource {
    /// In files below this directory.
    Directory(PathBuf),
    /// In this store.
    Bucket(Arc<dyn ObjectStore>),
}

impl Dataset {
    /// The dataset in the directory `root`, which is made when the first part is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::of(Storage::Directory(Arc::new(DirectoryDataset::new(root))))
    }

    /// The dataset in an object store that people know as `url`; it is reached on `runtime`.
    pub fn in_bucket(store: Arc<dyn ObjectStore>, url: String, runtime: Handle) -> Self {
        Self::of(Storage::Bucket(Arc::new(BucketDataset::new(store, url, runtime))))
    }

    fn of(kind: Storage) -> Self {
        Self { kind, register: Arc::default() }
    }

    /// Where it is, for people and for other readers.
    pub fn location(&self) -> String {
        match &self.kind {
            Storage::Directory(directory) => {
                // Without the slash that ends the path of a root.
                directory.root().components().collect::<PathBuf>().display().to_string()
            }
            Storage::Bucket(bucket) => bucket.url().to_owned(),
        }
    }

    pub(crate) fn source(&self) -> PartSource {
        match &self.kind {
            Storage::Directory(directory) => PartSource::Directory(directory.root()),
            Storage::Bucket(bucket) => PartSource::Bucket(bucket.store()),
        }
    }

    /// Whether there is anything where parts would be.
    pub fn has_parts(&self) -> Result<bool, Error> {
        match &self.kind {
            Storage::Directory(directory) => Ok(directory.has_parts()),
            Storage::Bucket(bucket) => bucket.has_parts(),
        }
    }

    /// Protects all parts that the journal names now from removal. Take it before reading the
    /// journal.
    pub fn pin(&self) -> Pin {
        match &self.kind {
            Storage::Directory(directory) => directory.pin(),
            Storage::Bucket(bucket) => bucket.pin(),
        }
    }

    /// Writes the rows of `batches`, which lie at these positions of the journal, into a new part. It is durable on return, and counts once the journal names it.
    ///
    /// Rows that were retracted must be left out by the caller. Holds all rows in memory.
    pub fn write_part(
        &self,
        table: &TableName,
        sweep: &SweepName,
        positions: RangeInclusive<u64>,
        batches: impl IntoIterator<Item = Bytes>,
    ) -> Result<Part, Error> {
        let rows = sorted(table, batches)?;
        let part = Part {
            table: table.clone(),
            sweep: sweep.clone(),
            first: *positions.start(),
            last: *positions.end(),
            generation: 0,
            rows: 0,
            bytes: 0,
            digest: None,
            trials: TrialRanges::default(),
        };
        match &self.kind {
            Storage::Directory(directory) => directory.write_part(part, rows),
            Storage::Bucket(bucket) => bucket.write_part(part, rows),
        }
    }

    /// The files in the place of parts whose rows the journal does not know.
    pub fn unknown_files(&self, known: &JournalContents) -> Result<Vec<String>, Error> {
        match &self.kind {
            Storage::Directory(directory) => directory.unknown_files(known),
            Storage::Bucket(bucket) => bucket.unknown_files(known),
        }
    }

    /// Brings the parts in step with what the journal knows: finishes or undoes whatever was
    /// interrupted, removes parts whose rows are elsewhere, and moves those whose rows are not to a
    /// place of their own, whose name ends in `aside`. Files that are no parts are left alone, and
    /// so is all of a sweep and table of which a part is not whole. To be called once, before
    /// anything is written.
    pub fn recover(&self, known: &JournalContents, aside: &str) -> Result<RecoveryReport, Error> {
        let recovered = match &self.kind {
            Storage::Directory(directory) => directory.recover(known, aside),
            Storage::Bucket(bucket) => bucket.recover(known, aside),
        }?;
        for damaged in &recovered.damaged {
            self.register.add(damaged);
        }
        Ok(recovered)
    }

    /// [`Self::recover`] while queries may be running, after a change failed. Refused while one might
    /// still read what would be removed.
    pub fn reconcile(&self, known: &JournalContents, aside: &str) -> Result<RecoveryReport, Error> {
        match &self.kind {
            Storage::Directory(directory) => directory.reconcile(known, aside),
            Storage::Bucket(bucket) => bucket.reconcile(known, aside),
        }
    }

    /// Prepares the merging of `parts`, all that the journal names for `sweep` in `table`, and the
    /// removal of rows that `retractions` concern. None if there is nothing to gain. A bucket only
    /// removes rows.
    ///
    /// Until the result is published or the preparation repeated, no part of this sweep and table
    /// may be written. Once it is published, those of `retractions` can be forgotten that no row
    /// still pending is older than.
    pub fn compact(
        &self,
        table: &TableName,
        sweep: &SweepName,
        parts: &[Part],
        retractions: &[Retraction],
    ) -> Result<Option<Compaction>, Error> {
        let compacted = match &self.kind {
            Storage::Directory(directory) => directory.compact(table, sweep, parts, retractions),
            Storage::Bucket(bucket) => bucket.compact(table, sweep, parts, retractions),
        };
        if let Err(Error::Damaged(damaged)) = &compacted {
            self.register.add(damaged);
        }
        compacted
    }

    /// Lets readers in place see a compaction that the journal knows.
    pub fn publish(&self, compaction: &Compaction) -> Result<(), Error> {
        match &self.kind {
            Storage::Directory(directory) => directory.publish(compaction),
            Storage::Bucket(bucket) => bucket.publish(compaction),
        }
    }

    /// Removes the files of `parts`, which belong to deleted sweeps and which the journal no longer
    /// counts. Refused while a query might still read them.
    pub fn remove_parts(&self, parts: &[Part]) -> Result<(), Error> {
        match &self.kind {
            Storage::Directory(directory) => directory.remove_parts(parts),
            Storage::Bucket(bucket) => bucket.remove_parts(parts),
        }?;
        // A new sweep of the same name is not to be taken for damaged.
        for part in parts {
            self.register.forget(part);
        }
        Ok(())
    }

    /// Ends what compactions have begun, unless a query is pinned; then it stays until a later call.
    pub fn clear_retired(&self) -> Result<(), Error> {
        match &self.kind {
            Storage::Directory(directory) => directory.clear_retired(),
            Storage::Bucket(bucket) => bucket.clear_retired(),
        }
    }
}

impl Dataset {
    /// Reads the file of `part` and checks that it holds what was written. A part without a digest
    /// has to be readable and to have its rows.
    pub fn inspect(&self, part: &Part) -> Result<(), Error> {
        let inspected = match &self.kind {
            Storage::Directory(directory) => directory.inspect(part),
            Storage::Bucket(bucket) => bucket.inspect(part),
        };
        self.register.note(part, inspected)
    }

    /// [`Self::inspect`] before the first use of a part with a digest; after that the part is
    /// believed until the process ends.
    pub fn check(&self, part: &Part) -> Result<(), Error> {
        if part.digest.is_none() {
            return Ok(());
        }
        self.register.once(part, || match &self.kind {
            Storage::Directory(directory) => directory.inspect(part),
            Storage::Bucket(bucket) => bucket.inspect(part),
        })
    }

    /// Whether the part was found whole since the process started.
    pub fn is_checked(&self, part: &Part) -> bool {
        self.register.is_whole(part)
    }

    /// The paths of the parts that were found whole since the process started.
    pub fn checked(&self) -> Vec<String> {
        self.register.whole()
    }

    /// Whether a part is being read to check it.
    pub fn is_checking(&self) -> bool {
        self.register.is_busy()
    }

    /// Learns what another process has found out about these files.
    pub fn learn(&self, whole: Vec<String>, damaged: Option<&DamagedPart>) {
        self.register.add_whole(whole);
        if let Some(damaged) = damaged {
            self.register.add(damaged);
        }
    }

    /// Those of `parts` whose files are not there or have another size.
    pub fn find_absent(&self, parts: &[Part]) -> Result<Vec<DamagedPart>, Error> {
        let absent = match &self.kind {
            Storage::Directory(directory) => directory.find_absent(parts),
            Storage::Bucket(bucket) => bucket.find_absent(parts),
        }?;
        self.register.note_absent(parts, &absent);
        Ok(absent)
    }

    /// Whether the files of parts can be listed without a network.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Storage::Directory(_))
    }

    /// Whether nothing at all lies where the results were, as where a disk is not mounted.
    pub fn is_gone(&self) -> bool {
        match &self.kind {
            Storage::Directory(directory) => directory.is_gone(),
            Storage::Bucket(_) => false,
        }
    }

    /// The parts that were found missing or damaged since the process started, and are still.
    pub fn damaged(&self) -> Vec<DamagedPart> {
        self.register.damaged()
    }

    /// Moves the file of a damaged part, which no longer counts, to where no reader finds it; its
    /// new name ends with `suffix`. Returns where it is, if there was one.
    pub fn set_aside(&self, part: &Part, suffix: &str) -> Result<Option<String>, Error> {
        let moved = match &self.kind {
            Storage::Directory(directory) => directory.set_aside(part, suffix),
            Storage::Bucket(bucket) => bucket.set_damaged_aside(part, suffix),
        }?;
        self.register.forget(part);
        Ok(moved)
    }
}

/// Where the files of damaged parts are kept.
const ASIDE: &str = ".damaged";

/// Where a damaged part is set aside, relative to the root of the dataset.
fn aside(path: &str, suffix: &str) -> String {
    format!("{ASIDE}/{path}.{suffix}")
}

/// The defect of a file that cannot be read, or has not as many rows as its part.
fn defect_of_rows(part: &Part, file: impl ChunkReader + 'static) -> Option<Defect> {
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|file| {
        let batches = file.build()?;
        let mut rows = 0;
        for batch in batches {
            rows += batch?.num_rows() as u64;
        }
        Ok(rows)
    });
    match rows {
        Ok(rows) if rows == part.rows => None,
        Ok(rows) => Some(Defect::Unreadable(format!("it has {rows} rows, not {}", part.rows))),
        Err(error) => Some(Defect::Unreadable(error.to_string())),
    }
}

/// The rows of `batches` in the order of parts.
fn sorted(
    table: &TableName,
    batches: impl IntoIterator<Item = Bytes>,
) -> Result<RecordBatch, Error> {
    let table = table.try_into()?;
    let schema = tables::schema(table);
    let (mut rows, mut waiting) = (Vec::new(), Vec::new());
    for batch in batches {
        let most = if packed_rows::is_packed(&batch) { PACKED_BATCHES } else { STREAM_BATCHES };
        waiting.push(batch);
        if waiting.len() >= most {
            rows.push(decode(table, &schema, &waiting)?);
            waiting.clear();
        }
    }
    rows.push(decode(table, &schema, &waiting)?);
    Ok(merge::sort(&concat_batches(&schema, &rows)?)?)
}

/// Batches that are decoded at the same time. Each has hundreds of columns with their buffers, so
/// that one row takes a hundred times the memory that it takes among others.
const STREAM_BATCHES: usize = 64;

/// Batches of the coordinator that become Arrow at the same time.
const PACKED_BATCHES: usize = 1024;

/// The rows of some batches as one batch of the present schema.
fn decode(table: Table, schema: &SchemaRef, batches: &[Bytes]) -> Result<RecordBatch, Error> {
    let decoded = stored_rows::decode(table, batches)?;
    let conformed = decoded.iter().map(|rows| conform(rows, schema));
    Ok(concat_batches(schema, &conformed.collect::<Result<Vec<_>, _>>()?)?)
}

/// Why the dataset could not be changed or brought in step with the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused something.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A part of a table that this version does not know.
    #[error(transparent)]
    Table(#[from] UnknownTable),
    /// The object store refused something, or did not answer.
    #[error("cannot {action}: `{path}`")]
    Object {
        /// What was being done.
        action: &'static str,
        /// To which object.
        path: String,
        /// Why it failed.
        source: Box<object_store::Error>,
    },
    /// A file or an object is in the place of a new part and holds something else.
    #[error(
        "`{path}` exists with other content: if this stays so, something else writes there; give each state directory a place of its own for its results"
    )]
    Conflict {
        /// The file or object.
        path: String,
    },
    /// A part that the journal names is gone, or its file does not hold what was written.
    #[error(transparent)]
    Damaged(Box<DamagedPart>),
    /// The file system cannot exchange directories, so parts stay as they are.
    #[error("this file system cannot exchange two directories, so parts are not compacted")]
    NoExchange(#[source] DiskError),
    /// A query still reads the parts that the last compaction replaced.
    #[error("a query still reads replaced parts: `{}`", path.display())]
    Busy {
        /// Their directory.
        path: PathBuf,
    },
    /// The directory holds other parts than those that were compacted.
    #[error("the parts changed during compaction: `{}`", path.display())]
    Changed {
        /// The directory.
        path: PathBuf,
    },
    /// A batch cannot be read.
    #[error(transparent)]
    Batch(#[from] batch::Error),
    /// Rows do not fit together.
    #[error("rows that do not fit the table")]
    Arrow(#[from] ArrowError),
    /// A part cannot be written or read.
    #[error("cannot write or read a part")]
    Parquet(#[from] ParquetError),
}

impl From<DamagedPart> for Error {
    fn from(damaged: DamagedPart) -> Self {
        Self::Damaged(Box::new(damaged))
    }
}

#[cfg(test)]
mod tests;
