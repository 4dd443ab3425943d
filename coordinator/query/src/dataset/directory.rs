//! A dataset in a directory, kept consistent with the journal through any crash.
//!
//! ```text
//! results/<table>/sweep=<name>/part-<first>-<last>.parquet     valid parts, readable at any time
//! results/.staging/...                                         files that are not valid parts
//! results.orphaned-<date>/...                                  files with rows that the journal does not know
//! ```
//!
//! The journal names the valid parts. Readers of a table do not see `.staging`, which is on the same
//! file system, so that a finished file or directory enters the tree by one rename.
//!
//! **A new part** is written in `.staging`, synced and renamed into the tree; then the caller journals
//! it. A crash before the rename leaves a staged file, a crash after it a part that the journal does
//! not name: [`DirectoryDataset::recover`] removes both, and the rows are still pending in the journal.
//! Readers in place may see such a part before the journal names it; its committed rows are in no
//! other part, so they still see no row twice.
//!
//! **Compaction** (in `compact`) prepares a whole new directory of a sweep, the caller journals the
//! new list of parts, and then the two directories are exchanged.
//!
//! **After a crash** every directory of a sweep is in one of these states, which
//! [`DirectoryDataset::recover`] distinguishes by the names in the journal:
//!
//! | the journal names | in the tree | in `.staging` | recovery |
//! |---|---|---|---|
//! | the old parts | the old parts | incomplete or complete new ones | remove the new ones |
//! | the new parts | the old parts | the new parts | exchange, remove the old ones |
//! | the new parts | the new parts | some or all old ones | remove the old ones |
//!
//! No row is lost, because files are removed only after all parts that the journal names are in the
//! tree; no row is doubled, because then the tree has no other parts. New names never equal old ones
//! (see `rheo_core::part`), except of files that a compaction keeps, which are in both directories.

mod compact;
mod disk;
mod inspect;
mod stray;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, TrialRanges};
use rheo_model::row::Table;

use disk::DatasetDisk;
pub use disk::Error as DiskError;
use stray::StrayFiles;

use super::integrity::{self, HashingWriter};
use super::{
    DamagedPart, Defect, Error, JournalContents, Pin, RecoveryReport, STAGING, SweepTable,
};
use crate::names::{self, is_part};
use crate::parquet as file;

/// The results on a file system. One process at a time may change them; any process may read them.
#[derive(Debug)]
pub(super) struct DirectoryDataset {
    disk: DatasetDisk,
    /// Shared by all pins, so its reference count is the number of pins plus one.
    pins: Arc<()>,
    /// Staged directories of replaced parts that pinned queries may still read.
    retired: Mutex<Vec<String>>,
}

impl DirectoryDataset {
    /// Creates a dataset at `root`. Writing the first part creates the directory.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // Independent of later changes of the working directory.
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { disk: DatasetDisk::new(root), pins: Arc::new(()), retired: Mutex::new(Vec::new()) }
    }

    /// The directory.
    pub(super) fn root(&self) -> PathBuf {
        self.disk.path("")
    }

    /// Whether any file exists in the directories of the tables.
    pub(super) fn has_parts(&self) -> bool {
        let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        entries(self.root())
            .filter(|table| !table.file_name().to_string_lossy().starts_with('.'))
            .flat_map(|table| entries(table.path()))
            .any(|sweep| entries(sweep.path()).next().is_some())
    }

    /// See [`super::Dataset::pin`].
    pub(super) fn pin(&self) -> Pin {
        Pin(Arc::clone(&self.pins))
    }

    /// See [`super::Dataset::write_part`].
    pub(super) fn write_part(&self, mut part: Part, rows: RecordBatch) -> Result<Part, Error> {
        let directory = Part::directory(&part.table, &part.sweep);
        let (table, sweep) = (&part.table, &part.sweep);
        let staged = format!("{STAGING}/{table}-{sweep}-{}.tmp", part.name());
        self.disk.create_directory(&directory)?;
        self.disk.create_directory(STAGING)?;
        self.write_file(&staged, &mut part, std::iter::once(Ok(rows)))?;
        if !self.disk.rename_new(&staged, &part.path())? {
            self.disk.remove(&staged)?;
            let path = self.disk.path(&part.path()).display().to_string();
            return Err(Error::Conflict { path });
        }
        Ok(part)
    }

    /// Writes the file of `part` at `path`, and sets its rows, trials, bytes and digest. The content is
    /// durable on return, the name is not.
    fn write_file(
        &self,
        path: &str,
        part: &mut Part,
        rows: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<(), Error> {
        let mut trials = TrialRanges::default();
        let rows = rows.inspect(|rows| {
            if let Ok(rows) = rows {
                integrity::add_trials(&mut trials, rows);
            }
        });
        let table = Table::try_from(&part.table)?;
        let written = self.disk.create(path).map_err(Error::from).and_then(|out| {
            let mut hashing = HashingWriter::new(&out);
            part.rows = file::write(&mut hashing, table, rows)?;
            part.digest = Some(hashing.digest());
            part.bytes = self.disk.finish(path, &out)?;
            Ok(())
        });
        part.trials = trials;
        if written.is_err() {
            // Frees space on a full disk. A leftover is removed at the next start.
            let _ = self.disk.remove(path);
        }
        written
    }

    /// See [`super::Dataset::unknown_files`]. Skips staged files.
    pub(super) fn unknown_files(&self, known: &JournalContents) -> Result<Vec<String>, Error> {
        let mut unknown = Vec::new();
        for (table, sweep) in self.sweeps(known)? {
            let of = SweepTable { table: &table, sweep: &sweep };
            let directory = Part::directory(&table, &sweep);
            for name in self.unnamed(&directory, known)? {
                let path = format!("{directory}/{name}");
                if !self.is_pending(of, &path, known) {
                    unknown.push(path);
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
        let mut strays = StrayFiles::new(&self.disk, aside);
        for (table, sweep) in self.sweeps(known)? {
            let of = SweepTable { table: &table, sweep: &sweep };
            self.recover_sweep(of, known, &mut strays)?;
        }
        for (name, _) in self.disk.list(STAGING)? {
            if name.ends_with(".parquet.tmp") {
                strays.remove(format!("{STAGING}/{name}"))?;
            }
        }
        Ok(strays.recovered)
    }

    /// The sweeps with parts in the tree, in `.staging` or in the journal.
    fn sweeps(&self, known: &JournalContents) -> Result<BTreeSet<(TableName, SweepName)>, Error> {
        let named = known.parts.iter().map(|part| (part.table.clone(), part.sweep.clone()));
        let mut sweeps: BTreeSet<(TableName, SweepName)> = named.collect();
        for table in Table::ALL {
            for place in [table.name().to_owned(), format!("{STAGING}/{}", table.name())] {
                let names = self.disk.list(&place)?;
                let names = names.iter().filter_map(|(name, _)| name.strip_prefix("sweep="));
                let found = names.filter_map(|name| SweepName::parse(name).ok());
                sweeps.extend(found.map(|sweep| (table.to_name(), sweep)));
            }
        }
        Ok(sweeps)
    }

    /// See [`super::Dataset::reconcile`].
    pub(super) fn reconcile(
        &self,
        known: &JournalContents,
        aside: &str,
    ) -> Result<RecoveryReport, Error> {
        if Arc::strong_count(&self.pins) > 1 {
            return Err(Error::Busy { path: self.disk.path(STAGING) });
        }
        // Parts that this process has replaced were named by the journal before.
        for staged in std::mem::take(&mut *self.retired()) {
            self.clear(&staged)?;
        }
        self.recover(known, aside)
    }

    fn recover_sweep(
        &self,
        of: SweepTable<'_>,
        known: &JournalContents,
        strays: &mut StrayFiles<'_>,
    ) -> Result<(), Error> {
        let directory = Part::directory(of.table, of.sweep);
        let staged = format!("{STAGING}/{directory}");
        let named: Vec<&Part> = known.parts.iter().filter(|part| of.has(part)).collect();
        let mut is_gathered = true;
        if !self.find_damaged(&directory, &named)?.is_empty() {
            // The journal may name a compaction that was not published.
            if self.find_damaged(&staged, &named)?.is_empty() {
                self.disk.exchange(&directory, &staged)?;
            } else {
                let parts: Vec<Part> = named.iter().map(|part| (*part).clone()).collect();
                let mut damaged = self.find_absent(&parts)?;
                if !damaged.is_empty() {
                    strays.recovered.damaged.append(&mut damaged);
                    return Ok(());
                }
                is_gathered = false;
            }
        }
        for name in self.unnamed(&directory, known)? {
            let path = format!("{directory}/{name}");
            // The file is replaced by staged parts, which are moved into the tree below.
            let is_replaced = || {
                let name = names::parse_part(&name).filter(|_| !is_gathered);
                name.is_some_and(|name| known.is_covered(of, name))
            };
            if self.is_pending(of, &path, known) || is_replaced() {
                strays.remove(path)?;
            } else {
                strays.set_aside(&path, &path)?;
            }
        }
        if !is_gathered {
            self.gather(&directory, &named)?;
        }
        for (name, _) in self.disk.list(&staged)? {
            let path = format!("{staged}/{name}");
            match names::parse_part(&name) {
                None => self.put_back(&directory, &staged, &name)?,
                Some(name) if known.is_covered(of, name) => strays.remove(path)?,
                Some(_) => strays.set_aside(&path, &format!("{directory}/{name}"))?,
            }
        }
        Ok(self.disk.remove_empty(&staged)?)
    }

    /// The files in the directory of a sweep that look like parts but that the journal does not name.
    fn unnamed(&self, directory: &str, known: &JournalContents) -> Result<Vec<String>, Error> {
        let files = self.disk.list(directory)?.into_iter().map(|(name, _)| name);
        let is_named = |name: &str| {
            let path = format!("{directory}/{name}");
            known.parts.iter().any(|part| part.path() == path)
        };
        Ok(files.filter(|name| is_part(name) && !is_named(name)).collect())
    }

    /// Whether a file holds only pending rows.
    fn is_pending(&self, of: SweepTable<'_>, path: &str, known: &JournalContents) -> bool {
        let name = path.rsplit('/').next().and_then(names::parse_part);
        let rows = File::open(self.disk.path(path)).ok().and_then(|file| file::rows(file).ok());
        name.zip(rows).is_some_and(|(name, rows)| {
            name.generation == 0 && known.is_pending(of, name.first, Some(name.last), rows)
        })
    }

    /// Moves the staged files of `named` parts into the tree, where no other parts remain. Needed when
    /// a damaged part prevented the exchange of directories, and new parts were written since.
    fn gather(&self, directory: &str, named: &[&Part]) -> Result<(), Error> {
        self.disk.create_directory(directory)?;
        for part in named {
            let staged = format!("{STAGING}/{}", part.path());
            if !self.disk.exists(&part.path()) && self.disk.exists(&staged) {
                self.disk.rename(&staged, &part.path())?;
            }
        }
        Ok(())
    }

    /// The `parts` that are missing in `directory` or have another size.
    fn find_damaged(&self, directory: &str, parts: &[&Part]) -> Result<Vec<DamagedPart>, Error> {
        let files: BTreeMap<String, u64> = self.disk.list(directory)?.into_iter().collect();
        let damaged = parts.iter().filter_map(|part| {
            let defect = match files.get(&part.name()) {
                None => Defect::Missing,
                Some(size) if *size == part.bytes => return None,
                Some(size) => Defect::Size { found: *size },
            };
            Some(self.damage(part, defect))
        });
        Ok(damaged.collect())
    }

    /// Empties a staged directory: removes parts, which the journal does not name, and moves other
    /// files back into the tree.
    fn clear(&self, staged: &str) -> Result<(), Error> {
        let directory = staged.trim_start_matches(STAGING).trim_start_matches('/');
        for (name, _) in self.disk.list(staged)? {
            if is_part(&name) {
                self.disk.remove(&format!("{staged}/{name}"))?;
            } else {
                self.put_back(directory, staged, &name)?;
            }
        }
        Ok(self.disk.remove_empty(staged)?)
    }

    /// Moves a file that is not a part from a staged directory into the tree.
    fn put_back(&self, directory: &str, staged: &str, name: &str) -> Result<(), Error> {
        let path = format!("{directory}/{name}");
        if !self.disk.exists(&path) {
            self.disk.create_directory(directory)?;
            self.disk.rename(&format!("{staged}/{name}"), &path)?;
        }
        Ok(())
    }

    /// Removes the parts that compactions have replaced, unless a query is pinned; then a later call
    /// does.
    pub(super) fn clear_retired(&self) -> Result<(), Error> {
        let mut retired = self.retired();
        while Arc::strong_count(&self.pins) == 1
            && let Some(staged) = retired.last()
        {
            self.clear(staged)?;
            retired.pop();
        }
        Ok(())
    }

    /// See [`super::Dataset::remove_parts`].
    pub(super) fn remove_parts(&self, parts: &[Part]) -> Result<(), Error> {
        self.clear_retired()?;
        if Arc::strong_count(&self.pins) > 1 {
            return Err(Error::Busy { path: self.root() });
        }
        for part in parts {
            let directory = Part::directory(&part.table, &part.sweep);
            // A compaction may have staged files when the sweep was deleted.
            let staged = format!("{STAGING}/{directory}");
            for place in [&directory, &staged] {
                self.disk.remove(&format!("{place}/{}", part.name()))?;
                self.disk.remove_empty(place)?;
            }
        }
        Ok(())
    }

    fn retired(&self) -> MutexGuard<'_, Vec<String>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
