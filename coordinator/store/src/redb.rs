//! The journal in a redb file.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `format`, `next`, `staged` | u64: version of this layout, position of the next event, 1 if `staged` belongs to the snapshot |
//! | `events` | position | the event |
//! | `snapshot` | piece number | a piece of the encoded root of the snapshot |
//! | `chunks` | (serial of a sweep, kind, chunk number) | a chunk of the snapshot |
//! | `staged` | as in `chunks` | a chunk for `chunks`, or nothing for one to be deleted from there |
//! | `pending` | (position, ordinal) | a pending blob |
//! | `parts` | the encoded part | nothing |
//! | `retractions` | the encoded retraction | nothing |
//! | `removed` | the encoded part of a deleted sweep, whose file is to be removed | nothing |
//!
//! Events, parts and retractions are MessagePack. Every call is one transaction, which redb makes
//! durable by fsync before it returns. An I/O error poisons an open redb file, so the file is then
//! closed, and the next call opens it again: a disk that was full needs no restart. Only the file
//! that was opened first is ever used; one that was moved, replaced or deleted gives
//! [`Error::Moved`].
//!
//! redb panics on some damaged files; such a panic becomes [`Error::Damaged`].

mod deletion;
mod snapshot;
mod view;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::{
    CommitError, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable,
    StorageBackend, StorageError, TableDefinition, TableError, TransactionError, WriteTransaction,
};
use rheo_core::id::TrialId;
use rheo_core::machine::{Event, State};
use rheo_core::part::{Part, Retraction};
use rheo_core::schema::WorkloadRegistry;
use serde::de::DeserializeOwned;

use crate::encoding::{decode, encode};
use crate::journal::{
    Error, Journal, JournalEntry, JournalView, LoadedJournal, PartChange, SnapshotStep,
    is_retracted,
};

/// The version of the layout above.
const FORMAT: u32 = 4;

/// The default size of the cache, in bytes.
pub const DEFAULT_CACHE_BYTES: usize = 64 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");
const CHUNKS: TableDefinition<'_, (u64, u8, u64), &[u8]> = TableDefinition::new("chunks");
const STAGED: TableDefinition<'_, (u64, u8, u64), &[u8]> = TableDefinition::new("staged");
const PENDING: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("pending");
const PARTS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("parts");
const RETRACTIONS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("retractions");
const REMOVED: TableDefinition<'_, &[u8], ()> = TableDefinition::new("removed");

/// A journal in a redb file.
pub struct RedbJournal {
    /// The file, for messages.
    path: PathBuf,
    open: Box<dyn Fn() -> Result<Database, Error> + Send + Sync>,
    /// The open file; none after an I/O error, until the next call.
    database: Mutex<Option<Arc<Database>>>,
    /// The identity of the file that was opened first; none on storage without a path.
    file: Option<FileIdentity>,
}

/// The identity of a file, independent of its name.
struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    fn check(&self) -> Result<(), Error> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == (self.device, self.inode) => Ok(()),
            // The file system does not answer, which does not mean that the file moved.
            Err(error) if !is_gone(&error) => Err(Error::Io(error)),
            _ => Err(Error::Moved { path: self.path.clone() }),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl std::fmt::Debug for RedbJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbJournal").finish_non_exhaustive()
    }
}

impl RedbJournal {
    /// Opens or creates the journal at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_cache(path, DEFAULT_CACHE_BYTES)
    }

    /// Opens or creates the journal at `path`, with a cache of `cache` bytes.
    pub fn open_with_cache(path: &Path, cache: usize) -> Result<Self, Error> {
        let file = path.to_owned();
        let open = Box::new(move || {
            let database = Database::builder().set_cache_size(cache).create(&file);
            database.map_err(|error| open_error(error, &file))
        });
        let mut journal = Self::with_opener(path, open)?;
        let identity = FileIdentity::of(path).map_err(Error::Io);
        journal.file = Some(identity.map_err(|error| with_path(path, error))?);
        Ok(journal)
    }

    /// Opens a journal on the storage that `backend` returns, for crash tests.
    pub fn with_backend<B: StorageBackend>(
        backend: impl Fn() -> B + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let name = Path::new("the test's storage");
        let open = Box::new(move || {
            let database = Database::builder().create_with_backend(backend());
            database.map_err(|error| open_error(error, name))
        });
        Self::with_opener(name, open)
    }

    fn with_opener(
        path: &Path,
        open: Box<dyn Fn() -> Result<Database, Error> + Send + Sync>,
    ) -> Result<Self, Error> {
        let journal = Self { path: path.to_owned(), open, database: Mutex::new(None), file: None };
        journal.write(prepare)?;
        Ok(journal)
    }

    fn database(&self) -> Result<Arc<Database>, Error> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*slot {
            return Ok(Arc::clone(database));
        }
        // Opening a missing file would create an empty journal.
        self.check_file()?;
        Ok(Arc::clone(slot.insert(Arc::new((self.open)()?))))
    }

    fn check_file(&self) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), FileIdentity::check)
    }

    /// Runs `action` in a read transaction.
    fn read<T>(
        &self,
        action: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = catch_panic(|| action(&self.database()?.begin_read()?));
        result.map_err(|error| with_path(&self.path, error))
    }

    /// Runs `action` in a write transaction and commits it durably.
    fn write<T>(
        &self,
        action: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = catch_panic(|| {
            self.check_file()?;
            let transaction = self.database()?.begin_write()?;
            let value = action(&transaction)?;
            transaction.commit()?;
            // A restart would not find a write to a file that has moved.
            self.check_file()?;
            Ok(value)
        });
        if matches!(result, Err(Error::Io(_))) {
            self.close();
        }
        result.map_err(|error| with_path(&self.path, error))
    }

    /// Closes the file. Ignores a panic of redb on a damaged file, already reported by the call.
    fn close(&self) {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

impl Drop for RedbJournal {
    fn drop(&mut self) {
        self.close();
    }
}

/// An I/O error with the path of its file.
#[derive(Debug, thiserror::Error)]
#[error("`{}`", path.display())]
struct FileError {
    path: PathBuf,
    source: io::Error,
}

/// Adds the path to an I/O error.
fn with_path(path: &Path, error: Error) -> Error {
    match error {
        Error::Io(source) => {
            let (path, kind) = (path.to_owned(), source.kind());
            Error::Io(io::Error::new(kind, FileError { path, source }))
        }
        other => other,
    }
}

/// Runs `action` and turns a panic into [`Error::Damaged`].
fn catch_panic<T>(action: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    std::panic::catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Error::Damaged { detail: text.unwrap_or_else(|| "its pages contradict".to_owned()) })
    })
}

fn read_keys<T: DeserializeOwned>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, &'static [u8], ()>,
    what: &str,
) -> Result<Vec<T>, Error> {
    let table = transaction.open_table(table)?;
    table.iter()?.map(|entry| decode(entry?.0.value(), what)).collect()
}

/// Creates the tables of a new file; checks the format of an existing one.
fn prepare(transaction: &WriteTransaction) -> Result<(), Error> {
    let mut meta = transaction.open_table(META)?;
    let found = meta.get("format")?.map(|format| format.value());
    match found {
        None => {
            meta.insert("format", u64::from(FORMAT))?;
            meta.insert("next", 0)?;
        }
        Some(format) if format > u64::from(FORMAT) => {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(Error::TooNew { found, newest: FORMAT });
        }
        Some(format) if format < u64::from(FORMAT) => {
            let found = u32::try_from(format).unwrap_or_default();
            return Err(Error::TooOld { found, oldest: FORMAT });
        }
        Some(_) => {}
    }
    transaction.open_table(EVENTS)?;
    transaction.open_table(SNAPSHOT)?;
    transaction.open_table(CHUNKS)?;
    transaction.open_table(PENDING)?;
    transaction.open_table(PARTS)?;
    transaction.open_table(RETRACTIONS)?;
    transaction.open_table(REMOVED)?;
    drop(meta);
    snapshot::drop_unfinished(transaction)
}

impl Journal for RedbJournal {
    fn append(&self, entries: &[JournalEntry]) -> Result<u64, Error> {
        self.write(|transaction| {
            let mut meta = transaction.open_table(META)?;
            let first = next_position(&meta)?;
            let mut events = transaction.open_table(EVENTS)?;
            let mut pending = transaction.open_table(PENDING)?;
            for (position, entry) in (first..).zip(entries) {
                events.insert(position, encode(&entry.event)?.as_slice())?;
                apply_retractions(transaction, &mut pending, entry, position)?;
                if let Some(sweep) = &entry.deleted {
                    deletion::delete_sweep_rows(transaction, &mut pending, sweep)?;
                }
                for (ordinal, blob) in (0..).zip(&entry.blobs) {
                    pending.insert((position, ordinal), encode(blob)?.as_slice())?;
                }
            }
            meta.insert("next", first + entries.len() as u64)?;
            Ok(first)
        })
    }

    fn load(&self, workloads: &WorkloadRegistry) -> Result<LoadedJournal, Error> {
        if self.read(snapshot::is_promotion_due)? {
            self.write(|transaction| snapshot::promote(transaction, usize::MAX))?;
        }
        self.read(|transaction| {
            let mut state = snapshot::restore(transaction, workloads)?;
            let mut replayed = 0;
            for entry in transaction.open_table(EVENTS)?.iter()? {
                let (position, event) = entry?;
                let what = format!("event {}", position.value());
                state.apply(&decode::<Event>(event.value(), &what)?);
                replayed += 1;
            }
            let position = next_position(&transaction.open_table(META)?)?;
            Ok(LoadedJournal { state, position, replayed })
        })
    }

    fn snapshot_step(
        &self,
        position: u64,
        state: &mut State,
        limit: usize,
    ) -> Result<SnapshotStep, Error> {
        if !self.tidy_step(state, limit)? {
            return Ok(SnapshotStep::Unfinished);
        }
        let (keys, step) = self.write(|transaction| {
            let (keys, step) = snapshot::store(transaction, state, limit)?;
            if step == SnapshotStep::Taken {
                transaction.open_table(EVENTS)?.retain_in(..position, |_, _| false)?;
            }
            Ok((keys, step))
        })?;
        state.mark_stored(&keys);
        if step == SnapshotStep::Taken {
            state.mark_taken();
        }
        Ok(step)
    }

    fn tidy_step(&self, state: &mut State, limit: usize) -> Result<bool, Error> {
        let orphan = state.orphans().next();
        let is_promoted = !self.read(snapshot::is_promotion_due)?;
        if is_promoted && orphan.is_none() {
            return Ok(true);
        }
        let is_done = self.write(|transaction| match orphan.filter(|_| is_promoted) {
            Some(orphan) => snapshot::delete_orphan(transaction, orphan, limit),
            None => snapshot::promote(transaction, limit),
        })?;
        if let Some(orphan) = orphan.filter(|_| is_promoted && is_done) {
            state.forget_orphan(orphan);
        }
        Ok(is_done && state.orphans().next().is_none())
    }

    fn view(&self) -> Result<Box<dyn JournalView>, Error> {
        let transaction = catch_panic(|| Ok(self.database()?.begin_read()?));
        let transaction = transaction.map_err(|error| with_path(&self.path, error))?;
        Ok(Box::new(view::RedbView { transaction, path: self.path.clone() }))
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        self.read(|transaction| {
            let mut parts: Vec<Part> = read_keys(transaction, PARTS, "the list of parts")?;
            parts.sort();
            Ok(parts)
        })
    }

    fn check_location(&self) -> Result<(), Error> {
        self.check_file()
    }

    fn install(&self, change: &PartChange) -> Result<(), Error> {
        self.write(|transaction| {
            let mut parts = transaction.open_table(PARTS)?;
            for part in &change.remove {
                parts.remove(encode(part)?.as_slice())?;
            }
            for part in &change.add {
                parts.insert(encode(part)?.as_slice(), ())?;
            }
            let mut pending = transaction.open_table(PENDING)?;
            for key in &change.flushed {
                pending.remove((key.position, key.ordinal))?;
            }
            let mut retractions = transaction.open_table(RETRACTIONS)?;
            for retraction in &change.retracted {
                retractions.remove(encode(retraction)?.as_slice())?;
            }
            let mut removed = transaction.open_table(REMOVED)?;
            for part in &change.cleared {
                removed.remove(encode(part)?.as_slice())?;
            }
            Ok(())
        })
    }
}

fn next_position(meta: &impl ReadableTable<&'static str, u64>) -> Result<u64, Error> {
    let next = meta.get("next")?.map(|next| next.value());
    next.ok_or_else(|| Error::Damaged { detail: "it has no position of the next event".to_owned() })
}

/// Applies the retractions of `entry` at `position`: removes pending rows, and stores each
/// retraction for the rows in parts, including a part that is being written now.
fn apply_retractions(
    transaction: &WriteTransaction,
    pending: &mut ::redb::Table<'_, (u64, u32), &'static [u8]>,
    entry: &JournalEntry,
    position: u64,
) -> Result<(), Error> {
    if !entry.damaged.is_empty() {
        let mut parts = transaction.open_table(PARTS)?;
        for part in &entry.damaged {
            parts.remove(encode(part)?.as_slice())?;
        }
    }
    let mut wanted: BTreeMap<TrialId, Retraction> = BTreeMap::new();
    for retraction in entry.retractions(position) {
        wanted.insert(retraction.trial.clone(), retraction);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for entry in pending.iter()? {
        let (key, bytes) = entry?;
        let rows = view::rows(view::stored_key(key.value()), bytes.value())?;
        let retraction = wanted.get(&rows.trial);
        if retraction.is_some_and(|retraction| is_retracted(&rows.trial, &rows.table, retraction)) {
            found.push(key.value());
        }
    }
    for key in found {
        pending.remove(key)?;
    }
    let mut table = transaction.open_table(RETRACTIONS)?;
    for retraction in wanted.values() {
        table.insert(encode(retraction)?.as_slice(), ())?;
    }
    Ok(())
}

pub(crate) fn open_error(error: DatabaseError, path: &Path) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::Locked { path: path.to_owned() },
        DatabaseError::Storage(error) => error.into(),
        other => Error::Damaged { detail: other.to_string() },
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) => Self::Io(error),
            // The call that met the error has reported it.
            StorageError::PreviousIo => Self::Io(io::Error::other("an earlier write failed")),
            other => Self::Damaged { detail: other.to_string() },
        }
    }
}

impl From<TransactionError> for Error {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Damaged { detail: other.to_string() },
        }
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            other => Self::Damaged { detail: other.to_string() },
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Damaged { detail: other.to_string() },
        }
    }
}
