//! The dataset: the files of all parts, kept consistent with the journal through any crash.
//!
//! The journal names the valid parts. Any other file is removed if its rows are elsewhere, like those
//! of an interrupted write, and set aside otherwise ([`JournalContents`]). Readers in place (programs
//! that list the files without the journal) never see an old and a new part with the same rows. To
//! this end a [`directory`] exchanges whole directories in one step of the file system, and a
//! [`bucket`] replaces single objects.

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

/// The folder for files that are not valid parts.
pub(crate) const STAGING: &str = ".staging";

/// The results. One process at a time may change them; any process may read them.
///
/// The functions block on disk and network. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dataset {
    kind: DatasetStorage,
    register: Arc<IntegrityRegister>,
}

#[derive(Debug, Clone)]
enum DatasetStorage {
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
    /// The parts before the change.
    pub old: Vec<Part>,
    /// The parts after the change, including unchanged ones.
    pub new: Vec<Part>,
}

/// The location of the parts, for queries.
#[derive(Debug)]
pub(crate) enum PartSource {
    /// A directory of files.
    Directory(PathBuf),
    /// An object store.
    Bucket(Arc<dyn ObjectStore>),
}

impl Dataset {
    /// Creates a dataset in the directory `root`. Writing the first part creates the directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::of(DatasetStorage::Directory(Arc::new(DirectoryDataset::new(root))))
    }

    /// Creates a dataset in an object store, whose requests run on `runtime`. `url` is for messages.
    pub fn in_bucket(store: Arc<dyn ObjectStore>, url: String, runtime: Handle) -> Self {
        Self::of(DatasetStorage::Bucket(Arc::new(BucketDataset::new(store, url, runtime))))
    }

    fn of(kind: DatasetStorage) -> Self {
        Self { kind, register: Arc::default() }
    }

    /// The path or URL, for messages and other readers.
    pub fn location(&self) -> String {
        match &self.kind {
            DatasetStorage::Directory(directory) => {
                // Without the slash that ends the path of a root.
                directory.root().components().collect::<PathBuf>().display().to_string()
            }
            DatasetStorage::Bucket(bucket) => bucket.url().to_owned(),
        }
    }

    pub(crate) fn source(&self) -> PartSource {
        match &self.kind {
            DatasetStorage::Directory(directory) => PartSource::Directory(directory.root()),
            DatasetStorage::Bucket(bucket) => PartSource::Bucket(bucket.store()),
        }
    }

    /// Whether any file exists in the folders of the tables.
    pub fn has_parts(&self) -> Result<bool, Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => Ok(directory.has_parts()),
            DatasetStorage::Bucket(bucket) => bucket.has_parts(),
        }
    }

    /// Protects all parts that the journal names now from removal. Must be taken before reading the
    /// journal.
    pub fn pin(&self) -> Pin {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.pin(),
            DatasetStorage::Bucket(bucket) => bucket.pin(),
        }
    }

    /// Writes the rows of `batches`, from these positions of the journal, into a new part. The file
    /// is durable on return; the part becomes valid once the journal names it.
    ///
    /// The caller must leave out retracted rows. Holds all rows in memory.
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
            DatasetStorage::Directory(directory) => directory.write_part(part, rows),
            DatasetStorage::Bucket(bucket) => bucket.write_part(part, rows),
        }
    }

    /// The files that look like parts, but whose rows the journal does not know.
    pub fn unknown_files(&self, known: &JournalContents) -> Result<Vec<String>, Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.unknown_files(known),
            DatasetStorage::Bucket(bucket) => bucket.unknown_files(known),
        }
    }

    /// Reconciles the files with the journal after a start: finishes or undoes interrupted changes,
    /// removes files whose rows are elsewhere, and moves files with unknown rows to a folder whose
    /// name ends in `aside`. Leaves other files alone, and a sweep and table with a damaged part. To
    /// be called once, before the first write.
    pub fn recover(&self, known: &JournalContents, aside: &str) -> Result<RecoveryReport, Error> {
        let recovered = match &self.kind {
            DatasetStorage::Directory(directory) => directory.recover(known, aside),
            DatasetStorage::Bucket(bucket) => bucket.recover(known, aside),
        }?;
        for damaged in &recovered.damaged {
            self.register.add(damaged);
        }
        Ok(recovered)
    }

    /// [`Self::recover`] after a failed change, while queries may be running. Refused with
    /// [`Error::Busy`] while a query is pinned.
    pub fn reconcile(&self, known: &JournalContents, aside: &str) -> Result<RecoveryReport, Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.reconcile(known, aside),
            DatasetStorage::Bucket(bucket) => bucket.reconcile(known, aside),
        }
    }

    /// Prepares a compaction of `parts`, which must be all parts of `sweep` in `table`: merges them
    /// and removes retracted rows. None if there is nothing to do. A bucket only removes rows.
    ///
    /// Until the compaction is published or prepared again, no part of this sweep and table may be
    /// written. Once it is published, the caller may drop those of `retractions` that cover no
    /// pending row.
    pub fn compact(
        &self,
        table: &TableName,
        sweep: &SweepName,
        parts: &[Part],
        retractions: &[Retraction],
    ) -> Result<Option<Compaction>, Error> {
        let compacted = match &self.kind {
            DatasetStorage::Directory(directory) => {
                directory.compact(table, sweep, parts, retractions)
            }
            DatasetStorage::Bucket(bucket) => bucket.compact(table, sweep, parts, retractions),
        };
        if let Err(Error::Damaged(damaged)) = &compacted {
            self.register.add(damaged);
        }
        compacted
    }

    /// Makes a journaled compaction visible to readers in place.
    pub fn publish(&self, compaction: &Compaction) -> Result<(), Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.publish(compaction),
            DatasetStorage::Bucket(bucket) => bucket.publish(compaction),
        }
    }

    /// Removes the files of `parts` of deleted sweeps. Refused while a query is pinned.
    pub fn remove_parts(&self, parts: &[Part]) -> Result<(), Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.remove_parts(parts),
            DatasetStorage::Bucket(bucket) => bucket.remove_parts(parts),
        }?;
        // A new sweep of the same name must not inherit the damage.
        for part in parts {
            self.register.forget(part);
        }
        Ok(())
    }

    /// Finishes published compactions, unless a query is pinned; then a later call does.
    pub fn clear_retired(&self) -> Result<(), Error> {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.clear_retired(),
            DatasetStorage::Bucket(bucket) => bucket.clear_retired(),
        }
    }
}

impl Dataset {
    /// Reads the file of `part` and checks its digest. A part without a digest must be readable and
    /// have its number of rows.
    pub fn inspect(&self, part: &Part) -> Result<(), Error> {
        let inspected = match &self.kind {
            DatasetStorage::Directory(directory) => directory.inspect(part),
            DatasetStorage::Bucket(bucket) => bucket.inspect(part),
        };
        self.register.note(part, inspected)
    }

    /// [`Self::inspect`] at the first use of a part with a digest; later calls trust the result.
    pub fn check(&self, part: &Part) -> Result<(), Error> {
        if part.digest.is_none() {
            return Ok(());
        }
        self.register.once(part, || match &self.kind {
            DatasetStorage::Directory(directory) => directory.inspect(part),
            DatasetStorage::Bucket(bucket) => bucket.inspect(part),
        })
    }

    /// Whether the part was found undamaged since the process started.
    pub fn is_checked(&self, part: &Part) -> bool {
        self.register.is_whole(part)
    }

    /// The paths of the parts that were found undamaged since the process started.
    pub fn checked(&self) -> Vec<String> {
        self.register.whole()
    }

    /// Whether a check of a part is running.
    pub fn is_checking(&self) -> bool {
        self.register.is_busy()
    }

    /// Adds the results of checks by another process.
    pub fn learn(&self, whole: Vec<String>, damaged: Option<&DamagedPart>) {
        self.register.add_whole(whole);
        if let Some(damaged) = damaged {
            self.register.add(damaged);
        }
    }

    /// The `parts` whose files are missing or have another size.
    pub fn find_absent(&self, parts: &[Part]) -> Result<Vec<DamagedPart>, Error> {
        let absent = match &self.kind {
            DatasetStorage::Directory(directory) => directory.find_absent(parts),
            DatasetStorage::Bucket(bucket) => bucket.find_absent(parts),
        }?;
        self.register.note_absent(parts, &absent);
        Ok(absent)
    }

    /// Whether the files are in a directory, so that listing them needs no object store.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, DatasetStorage::Directory(_))
    }

    /// Whether the directory is missing or empty, as when a disk is not mounted.
    pub fn is_gone(&self) -> bool {
        match &self.kind {
            DatasetStorage::Directory(directory) => directory.is_gone(),
            DatasetStorage::Bucket(_) => false,
        }
    }

    /// The parts that are known to be missing or damaged.
    pub fn damaged(&self) -> Vec<DamagedPart> {
        self.register.damaged()
    }

    /// Moves the file of an invalid, damaged part to a hidden folder, with `suffix` added to its
    /// name. Returns the new path, if there was a file.
    pub fn set_aside(&self, part: &Part, suffix: &str) -> Result<Option<String>, Error> {
        let moved = match &self.kind {
            DatasetStorage::Directory(directory) => directory.set_aside(part, suffix),
            DatasetStorage::Bucket(bucket) => bucket.set_damaged_aside(part, suffix),
        }?;
        self.register.forget(part);
        Ok(moved)
    }
}

/// The folder for files of damaged parts.
const ASIDE: &str = ".damaged";

/// The new path of a damaged part, relative to the root of the dataset.
fn aside(path: &str, suffix: &str) -> String {
    format!("{ASIDE}/{path}.{suffix}")
}

/// The defect of a file that is unreadable or has another number of rows than its part.
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

/// Decodes `batches` and sorts their rows.
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

/// The number of streams decoded at a time. Each has hundreds of columns with their own buffers, so a
/// row alone takes a hundred times its memory within a large batch.
const STREAM_BATCHES: usize = 64;

/// The number of packed batches converted to Arrow at a time.
const PACKED_BATCHES: usize = 1024;

/// Decodes batches into one of the current schema.
fn decode(table: Table, schema: &SchemaRef, batches: &[Bytes]) -> Result<RecordBatch, Error> {
    let decoded = stored_rows::decode(table, batches)?;
    let conformed = decoded.iter().map(|rows| conform(rows, schema));
    Ok(concat_batches(schema, &conformed.collect::<Result<Vec<_>, _>>()?)?)
}

/// An error of the dataset.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// This version does not know the table of a part.
    #[error(transparent)]
    Table(#[from] UnknownTable),
    /// The object store refused a request or did not answer.
    #[error("cannot {action}: `{path}`")]
    Object {
        /// The failed action.
        action: &'static str,
        /// The object.
        path: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// A file with other content exists at the path of a new part.
    #[error(
        "`{path}` exists with other content: if this error persists, another program writes there; give each state directory its own results directory or bucket prefix"
    )]
    Conflict {
        /// The file or object.
        path: String,
    },
    /// A part is missing or damaged.
    #[error(transparent)]
    Damaged(Box<DamagedPart>),
    /// The file system cannot exchange two directories, which compaction needs.
    #[error("this file system cannot exchange two directories, so parts are not compacted")]
    NoExchange(#[source] DiskError),
    /// A query may still read replaced parts.
    #[error("a query still reads replaced parts: `{}`", path.display())]
    Busy {
        /// The directory of the parts.
        path: PathBuf,
    },
    /// The directory does not hold the parts that were compacted.
    #[error("the parts changed during compaction: `{}`", path.display())]
    Changed {
        /// The directory.
        path: PathBuf,
    },
    /// A batch cannot be decoded.
    #[error(transparent)]
    Batch(#[from] batch::Error),
    /// Rows do not match the schema of their table.
    #[error("rows do not match the schema of their table")]
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
