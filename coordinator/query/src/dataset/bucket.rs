//! A dataset in a bucket of object storage, kept consistent with the journal through any crash and
//! any lost request or reply.
//!
//! ```text
//! <prefix>/<table>/sweep=<name>/part-<first>.parquet     valid parts, readable at any time
//! <prefix>/.staging/...                                  objects that are not valid parts
//! ```
//!
//! A bucket creates, replaces and removes one object atomically, and a write can require that no
//! object of that name exists. It has no rename and no atomic change of two objects.
//!
//! **A new part** is one conditional write; then the caller journals it. The name of an object
//! contains only the first journal position of its rows. So two writes of the same rows can never
//! both succeed, not even if an abandoned request reaches the bucket later, when the part has become
//! longer: the second one is refused. If both wrote the same bytes, the write counts as successful. If the
//! object is a leftover, [`BucketDataset::recover`] removes it, because all its rows are pending, and the
//! next write succeeds.
//!
//! **Parts are never merged**, because readers in place would see rows twice or not at all meanwhile.
//!
//! **Retracted rows** are removed from a part by replacing its object:
//!
//! 1. [`BucketDataset::compact`] writes the new object to `.staging`, under the next generation;
//! 2. the caller journals the new list of parts: now the new parts are valid, and queries find them
//!    in `.staging`;
//! 3. [`BucketDataset::publish`] copies the new object over the old one, once no query reads that, and
//!    removes it from `.staging`.
//!
//! After a crash, [`BucketDataset::recover`] publishes objects in `.staging` that the journal names and
//! removes all others. An object that looks like a part but has unknown rows is moved to
//! `<prefix>/.orphaned-<date>/`.

mod inspect;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, WriteMultipart,
};
use rheo_core::id::{Digest, SweepName};
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction, TrialRanges};
use rheo_model::row::Table;
use tokio::runtime::Handle;
use tokio_stream::StreamExt as _;

use super::{
    Compaction, Defect, Error, JournalContents, Pin, RecoveryReport, STAGING, SweepTable, integrity,
};
use crate::conform::conform;
use crate::names::{is_object, is_part, object_name, object_position};
use crate::parquet as file;
use crate::retraction::{self, retracted};
use crate::tables;

/// The largest part written in one request, in bytes. A larger part is uploaded to `.staging` in
/// chunks of this size and then copied if its name is free, because the completion of a multipart
/// upload cannot be conditional everywhere.
const SINGLE: usize = 8 << 20;

/// The number of concurrent chunks of an upload.
const IN_FLIGHT: usize = 4;

/// The results under a prefix of a bucket.
pub(super) struct BucketDataset {
    store: Arc<dyn ObjectStore>,
    url: String,
    runtime: Handle,
    /// Shared by all pins, so its reference count is the number of pins plus one.
    pins: Arc<()>,
    /// Published compactions that readers in place do not see yet.
    waiting: Mutex<Vec<Compaction>>,
    /// Objects of failed writes whose requests may still reach the bucket.
    given_up: Mutex<BTreeSet<String>>,
    /// Objects of former parts without remaining rows.
    emptied: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for BucketDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).finish_non_exhaustive()
    }
}

impl BucketDataset {
    pub(super) fn new(store: Arc<dyn ObjectStore>, url: String, runtime: Handle) -> Self {
        Self {
            store,
            url,
            runtime,
            pins: Arc::new(()),
            waiting: Mutex::default(),
            given_up: Mutex::default(),
            emptied: Mutex::default(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    pub(super) fn pin(&self) -> Pin {
        Pin(Arc::clone(&self.pins))
    }

    pub(super) fn has_parts(&self) -> Result<bool, Error> {
        for table in Table::ALL {
            if !self.list(table.name())?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// See [`super::Dataset::write_part`].
    pub(super) fn write_part(&self, mut part: Part, rows: RecordBatch) -> Result<Part, Error> {
        let bytes = encode(&mut part, rows)?;
        self.create(&part, &bytes)?;
        Ok(part)
    }

    /// Writes the object of a new part, if it does not exist.
    fn create(&self, part: &Part, bytes: &Bytes) -> Result<(), Error> {
        let key = object_name(&part.path());
        let created = if bytes.len() <= SINGLE {
            let path = Path::from(key.as_str());
            let put = self.store.put_opts(&path, bytes.clone().into(), PutMode::Create.into());
            self.wait(put).map(drop)
        } else {
            self.wait(self.create_large(part, &key, bytes.clone()))
        };
        let error = match created {
            Ok(()) => return Ok(()),
            Err(StoreError::AlreadyExists { source, .. }) => match self.get(&key) {
                // The same write succeeded before, and its reply was lost.
                Ok(found) if found == *bytes => return Ok(()),
                Ok(_) => return Err(Error::Conflict { path: self.path(&key) }),
                // A concurrent conditional write failed, too.
                Err(_) => StoreError::Generic { store: "bucket", source },
            },
            Err(error) => error,
        };
        lock(&self.given_up).insert(key.clone());
        Err(self.failed("write", &key, error))
    }

    async fn create_large(&self, part: &Part, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (table, sweep) = (&part.table, &part.sweep);
        let aside = Path::from(format!("{STAGING}/{table}-{sweep}-{}.tmp", part.name()));
        self.upload(&aside, bytes).await?;
        let copied = self.store.copy_if_not_exists(&aside, &Path::from(key)).await;
        // A leftover is removed at the next start.
        let _ = self.store.delete(&aside).await;
        copied
    }

    /// Writes or replaces an object; in chunks if it is large.
    async fn upload(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        if bytes.len() <= SINGLE {
            return self.store.put(path, bytes.into()).await.map(drop);
        }
        let upload = self.store.put_multipart(path).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, SINGLE);
        for start in (0..bytes.len()).step_by(SINGLE) {
            writer.wait_for_capacity(IN_FLIGHT).await?;
            writer.put(bytes.slice(start..bytes.len().min(start + SINGLE)));
        }
        writer.finish().await.map(drop)
    }

    /// See [`super::Dataset::unknown_files`].
    pub(super) fn unknown_files(&self, known: &JournalContents) -> Result<Vec<String>, Error> {
        let named: BTreeSet<String> =
            known.parts.iter().map(|part| object_name(&part.path())).collect();
        let mut unknown = Vec::new();
        for table in Table::ALL {
            for key in self.list(table.name())?.into_keys() {
                if is_ours(&key) && !named.contains(&key) && !self.is_pending(&key, known) {
                    unknown.push(key);
                }
            }
        }
        Ok(unknown)
    }

    /// See [`super::Dataset::recover`].
    pub(super) fn recover(
        &self,
        known: &JournalContents,
        aside: &str,
    ) -> Result<RecoveryReport, Error> {
        let mut recovered = RecoveryReport::default();
        for path in self.list(STAGING)?.into_keys() {
            let staged = path.strip_prefix(STAGING).unwrap_or(&path).trim_start_matches('/');
            if let Some(part) = known.parts.iter().find(|part| part.path() == staged) {
                self.put_in_place(part)?;
            } else if is_part(name(&path)) || path.ends_with(".parquet.tmp") {
                // A copy without retracted rows; the original is still in place.
                self.remove(path, &mut recovered.removed)?;
            }
        }
        let mut found = BTreeMap::new();
        for table in Table::ALL {
            found.append(&mut self.list(table.name())?);
        }
        for part in &known.parts {
            let defect = match found.remove(&object_name(&part.path())) {
                None => Defect::Missing,
                Some(size) if size == part.bytes => continue,
                Some(size) => Defect::Size { found: size },
            };
            recovered.damaged.push(self.damage(part, defect));
        }
        for key in found.into_keys().filter(|key| is_ours(key)) {
            if self.is_pending(&key, known) || lock(&self.emptied).contains(&key) {
                self.remove(key, &mut recovered.removed)?;
            } else {
                self.set_aside(key, aside, &mut recovered)?;
            }
        }
        Ok(recovered)
    }

    /// Whether an object holds only pending rows.
    fn is_pending(&self, key: &str, known: &JournalContents) -> bool {
        let mut steps = key.split('/');
        let table = steps.next().and_then(|table| TableName::parse(table).ok());
        let sweep = steps.next().and_then(|step| step.strip_prefix("sweep="));
        let sweep = sweep.and_then(|sweep| SweepName::parse(sweep).ok());
        let first = steps.next().and_then(object_position);
        let Some(((table, sweep), first)) = table.zip(sweep).zip(first) else { return false };
        let rows = self.get(key).ok().and_then(|bytes| file::rows(bytes).ok());
        rows.is_some_and(|rows| {
            known.is_pending(SweepTable { table: &table, sweep: &sweep }, first, None, rows)
        })
    }

    /// Moves an object to the hidden folder `aside`.
    fn set_aside(
        &self,
        key: String,
        aside: &str,
        recovered: &mut RecoveryReport,
    ) -> Result<(), Error> {
        let target = format!(".{aside}/{key}");
        let copied = self.wait(
            self.store.copy_if_not_exists(&Path::from(key.as_str()), &Path::from(target.as_str())),
        );
        match copied {
            // Another object of that name was set aside today; it must not be overwritten.
            Err(StoreError::AlreadyExists { .. })
                if self.get(&key).ok() != self.get(&target).ok() =>
            {
                return Err(Error::Conflict { path: self.path(&target) });
            }
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(self.failed("set aside", &key, error)),
        }
        self.remove(key, &mut recovered.set_aside)?;
        recovered.aside = Some(self.path(&format!(".{aside}")));
        Ok(())
    }

    /// See [`super::Dataset::reconcile`].
    pub(super) fn reconcile(
        &self,
        known: &JournalContents,
        aside: &str,
    ) -> Result<RecoveryReport, Error> {
        if Arc::strong_count(&self.pins) > 1 {
            return Err(self.busy(STAGING));
        }
        self.waiting().clear();
        self.recover(known, aside)
    }

    /// See [`super::Dataset::compact`].
    pub(super) fn compact(
        &self,
        table: &TableName,
        sweep: &SweepName,
        parts: &[Part],
        retractions: &[Retraction],
    ) -> Result<Option<Compaction>, Error> {
        self.clear_retired()?;
        let directory = Part::directory(table, sweep);
        if self.waiting().iter().any(|other| other.table == *table && other.sweep == *sweep) {
            return Err(self.busy(&directory));
        }
        self.remove_given_up(parts)?;
        let mut old = parts.to_vec();
        old.sort_by_key(|part| part.first);
        let mut new = Vec::new();
        for part in &old {
            new.extend(self.rewrite(part, retractions)?);
        }
        Ok((new != old).then(|| Compaction {
            table: table.clone(),
            sweep: sweep.clone(),
            old,
            new,
        }))
    }

    /// Removes objects of failed writes of this process that reached the bucket after all.
    fn remove_given_up(&self, parts: &[Part]) -> Result<(), Error> {
        let given_up = lock(&self.given_up).clone();
        for key in given_up {
            if !parts.iter().any(|part| object_name(&part.path()) == key) {
                self.remove(key, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    /// Stages a part without its retracted rows. Returns the same part if it has none, and none if
    /// no row remains.
    fn rewrite(&self, part: &Part, retractions: &[Retraction]) -> Result<Option<Part>, Error> {
        let retracted = retracted(part, retractions);
        if retracted.is_empty() {
            return Ok(Some(part.clone()));
        }
        let bytes = self.read(part)?;
        let schema = tables::schema((&part.table).try_into()?);
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
            rows.push(retraction::apply(&conform(&batch?, &schema)?, &retracted)?);
        }
        let rows = concat_batches(&schema, &rows)?;
        if rows.num_rows() as u64 == part.rows {
            return Ok(Some(part.clone()));
        }
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let mut rewritten = Part { generation: part.generation + 1, ..part.clone() };
        let bytes = encode(&mut rewritten, rows)?;
        let staged = staged(&rewritten);
        let written = self.wait(self.upload(&Path::from(staged.as_str()), bytes));
        written.map_err(|error| self.failed("write", &staged, error))?;
        Ok(Some(rewritten))
    }

    /// See [`super::Dataset::publish`].
    pub(super) fn publish(&self, compaction: &Compaction) -> Result<(), Error> {
        let Compaction { old, new, .. } = compaction;
        let is_left = |part: &&Part| new.iter().any(|new| new.first == part.first);
        let emptied =
            old.iter().filter(|part| !is_left(part)).map(|part| object_name(&part.path()));
        lock(&self.emptied).extend(emptied);
        self.waiting().push(compaction.clone());
        self.clear_retired()
    }

    /// See [`super::Dataset::clear_retired`].
    pub(super) fn clear_retired(&self) -> Result<(), Error> {
        let mut waiting = self.waiting();
        // A query that starts now reads a journal that names the new parts.
        while Arc::strong_count(&self.pins) == 1
            && let Some(Compaction { old, new, .. }) = waiting.last()
        {
            for part in new.iter().filter(|part| !old.contains(part)) {
                self.put_in_place(part)?;
            }
            for part in old.iter().filter(|part| new.iter().all(|new| new.first != part.first)) {
                self.remove(object_name(&part.path()), &mut Vec::new())?;
            }
            waiting.pop();
        }
        Ok(())
    }

    /// See [`super::Dataset::remove_parts`].
    pub(super) fn remove_parts(&self, parts: &[Part]) -> Result<(), Error> {
        self.clear_retired()?;
        if Arc::strong_count(&self.pins) > 1 {
            return Err(self.busy(""));
        }
        for part in parts {
            self.remove(object_name(&part.path()), &mut Vec::new())?;
            if part.generation > 0 {
                self.remove(staged(part), &mut Vec::new())?;
            }
        }
        Ok(())
    }

    /// Replaces the object of `part` by its staged one, atomically.
    fn put_in_place(&self, part: &Part) -> Result<(), Error> {
        let (staged, key) = (staged(part), object_name(&part.path()));
        let (from, to) = (Path::from(staged.as_str()), Path::from(key.as_str()));
        let copied = self.wait(self.store.copy(&from, &to));
        copied.map_err(|error| self.failed("replace", &key, error))?;
        self.remove(staged, &mut Vec::new())
    }

    /// The sizes of the objects under `directory`.
    fn list(&self, directory: &str) -> Result<BTreeMap<String, u64>, Error> {
        let prefix = Path::from(directory);
        let listed = self.wait(async {
            let mut objects = BTreeMap::new();
            let mut listing = self.store.list(Some(&prefix));
            while let Some(object) = listing.next().await {
                let object = object?;
                objects.insert(object.location.to_string(), object.size);
            }
            Ok(objects)
        });
        listed.map_err(|error| self.failed("list", directory, error))
    }

    fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let path = Path::from(key);
        self.wait(async { self.store.get(&path).await?.bytes().await })
    }

    fn remove(&self, key: String, removed: &mut Vec<String>) -> Result<(), Error> {
        match self.wait(self.store.delete(&Path::from(key.as_str()))) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {
                removed.push(key);
                Ok(())
            }
            Err(error) => Err(self.failed("remove", &key, error)),
        }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn failed(&self, action: &'static str, key: &str, source: StoreError) -> Error {
        Error::Object { action, path: self.path(key), source: Box::new(source) }
    }

    fn busy(&self, directory: &str) -> Error {
        Error::Busy { path: PathBuf::from(self.path(directory)) }
    }

    /// The URL of an object.
    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Compaction>> {
        lock(&self.waiting)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Encodes the file of a part, and sets its rows, trials, bytes and digest.
fn encode(part: &mut Part, rows: RecordBatch) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    part.trials = TrialRanges::default();
    integrity::add_trials(&mut part.trials, &rows);
    part.rows =
        file::write::<Error>(&mut bytes, (&part.table).try_into()?, std::iter::once(Ok(rows)))?;
    part.bytes = bytes.len() as u64;
    part.digest = Some(Digest::from_bytes(*blake3::hash(&bytes).as_bytes()));
    Ok(bytes.into())
}

/// The path of a staged part.
fn staged(part: &Part) -> String {
    format!("{STAGING}/{}", part.path())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether an object in the folder of a table has the name of a part.
fn is_ours(key: &str) -> bool {
    let mut steps = key.split('/').skip(1);
    let sweep = steps.next().and_then(|step| step.strip_prefix("sweep="));
    let is_ours = sweep.is_some_and(|sweep| SweepName::parse(sweep).is_ok());
    is_ours && steps.next().is_some_and(is_object) && steps.next().is_none()
}
