//! A dataset in a bucket of object storage, kept in step with the journal through any crash and any
//! loss of requests and answers.
//!
//! ```text
//! <prefix>/<table>/sweep=<name>/part-<first>.parquet     read by anybody, at any time
//! <prefix>/.staging/...                                  everything that does not count
//! ```
//!
//! What there is to build on: one object appears, is replaced and disappears in one step, and a
//! write can be conditional on that no object of that name exists. There is no rename, and no step
//! that concerns two objects.
//!
//! **A new part** is one conditional write, then the caller journals it. An object is named for the
//! first journal position of its rows alone. So two writes of the same rows can never both succeed,
//! not even where a request that was given up reaches the bucket much later, when more rows have
//! come and the part is longer: whichever comes second is refused. If it was the same write, it has
//! succeeded; if the object is a leftover, [`BucketDataset::recover`] removes it, since all its rows are
//! pending in the journal, and the next try succeeds.
//!
//! **Parts are never merged**: readers in place would see rows twice, or not at all, in between.
//!
//! **Rows that no longer count** are removed from a part by replacing its object:
//!
//! 1. [`BucketDataset::compact`] writes the new object to `.staging`, under a name with a generation more;
//! 2. the caller journals the new list of parts: from here on they count, and queries find
//!    the new ones in `.staging`;
//! 3. [`BucketDataset::publish`] copies it over the old one, when no query reads that, and removes it from
//!    `.staging`.
//!
//! A crash after 2 leaves an object in `.staging` that the journal names: [`BucketDataset::recover`]
//! publishes it. Any other is removed. An object in the place of a part whose rows the journal does
//! not know is moved to `<prefix>/.orphaned-<date>/`.

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

/// Up to so many bytes a part goes to the bucket in one request. A larger one is uploaded aside, in
/// pieces of this size, and then copied on the condition that its name is free: the completion of
/// an upload in pieces is not conditional everywhere.
const SINGLE: usize = 8 << 20;

/// Pieces on their way at the same time.
const IN_FLIGHT: usize = 4;

/// The results under a prefix of a bucket.
pub(super) struct BucketDataset {
    store: Arc<dyn ObjectStore>,
    url: String,
    runtime: Handle,
    /// As many references as there are pins, and one.
    pins: Arc<()>,
    /// What the journal knows and readers in place do not see yet.
    waiting: Mutex<Vec<Compaction>>,
    /// Objects of writes that were given up and whose requests may still reach the bucket.
    given_up: Mutex<BTreeSet<String>>,
    /// Objects that the journal named and that nothing is left of.
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

    /// Writes the object of a new part, unless there is one.
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
                // This very write has reached the bucket before, and its answer was lost.
                Ok(found) if found == *bytes => return Ok(()),
                Ok(_) => return Err(Error::Conflict { path: self.path(&key) }),
                // Another conditional write was under way, and did not succeed either.
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
        // What cannot be removed now is at the next start.
        let _ = self.store.delete(&aside).await;
        copied
    }

    /// Writes an object, over another if there is one; in pieces if it is large.
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
                // Nothing but a copy without some rows: the part that it was to replace is in place.
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

    /// Whether an object holds pending rows and nothing else.
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

    /// Moves an object to where nobody takes it for a part.
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
            // A second one of that name on one day; the first is not written over.
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

    /// Removes what writes of this process left that were given up and reached the bucket all the
    /// same.
    fn remove_given_up(&self, parts: &[Part]) -> Result<(), Error> {
        let given_up = lock(&self.given_up).clone();
        for key in given_up {
            if !parts.iter().any(|part| object_name(&part.path()) == key) {
                self.remove(key, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    /// Stages a part without its rows that do not count; the part itself if it has none, none if
    /// no row is left.
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
        // A query that starts from here on reads a journal that names the new parts.
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

    /// Lets the staged object of `part` take the place of the present one, in one step.
    fn put_in_place(&self, part: &Part) -> Result<(), Error> {
        let (staged, key) = (staged(part), object_name(&part.path()));
        let (from, to) = (Path::from(staged.as_str()), Path::from(key.as_str()));
        let copied = self.wait(self.store.copy(&from, &to));
        copied.map_err(|error| self.failed("replace", &key, error))?;
        self.remove(staged, &mut Vec::new())
    }

    /// The objects under `directory` with their sizes.
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

    /// An object as people and other readers write it.
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

/// The file of a part; fills in its rows, trials, bytes and digest.
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

/// Where a part is that is not in its place yet.
fn staged(part: &Part) -> String {
    format!("{STAGING}/{}", part.path())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether an object in the tree of a table is one that only we write.
fn is_ours(key: &str) -> bool {
    let mut steps = key.split('/').skip(1);
    let sweep = steps.next().and_then(|step| step.strip_prefix("sweep="));
    let is_ours = sweep.is_some_and(|sweep| SweepName::parse(sweep).is_ok());
    is_ours && steps.next().is_some_and(is_object) && steps.next().is_none()
}
