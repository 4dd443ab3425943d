//! A dataset in a directory: the tree of parts, kept in step with the journal through any crash.
//!
//! ```text
//! results/<table>/sweep=<name>/part-<first>-<last>.parquet     read by anybody, at any time
//! results/.staging/...                                         everything that does not count
//! ```
//!
//! The journal says which parts count; a file that it does not name is a leftover. Nothing under
//! `.staging` is seen by readers of a table, and it is on the same file system, so a finished file
//! or directory enters the tree by one rename.
//!
//! **A new part** is written in `.staging`, synced, renamed into the tree; then the caller journals
//! it. A crash before the rename leaves a staged file, a crash after it a part that the journal
//! does not name: [`Directory::recover`] removes both, and the rows are still pending in the journal.
//! Readers in place may see such a part for the moment until the journal names it; it holds
//! committed rows that are in no other part, so they still see no row twice.
//!
//! **Compaction** is in `compact`: it prepares a whole new directory of a sweep, the caller
//! journals the new list of parts, and only then are the two directories exchanged.
//!
//! **After a crash** every directory of a sweep is in one of these states, and
//! [`Directory::recover`] tells them apart by comparing names with the journal:
//!
//! | the journal names | in the tree | in `.staging` | so |
//! |---|---|---|---|
//! | the old parts | the old parts | incomplete or complete new ones | remove the new ones |
//! | the new parts | the old parts | the new parts | exchange, remove the old ones |
//! | the new parts | the new parts | some or all old ones | remove the old ones |
//!
//! No row is lost, because files are removed only after everything that the journal names is in
//! the tree, and none is doubled, because then nothing else is. New names never equal old ones
//! (see `rheo_core::part`), except for files that compaction leaves as they are, which are in both.

mod compact;

mod disk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use rheo_core::id::SweepName;
use rheo_core::part::Part;
use rheo_core::row::Table;

use disk::Disk;
pub use disk::Error as DiskError;

use super::{Error, Pin, STAGING};
use crate::names::is_part;
use crate::parquet as file;

/// The results on a local path. One process at a time may change them, any may read them.
#[derive(Debug)]
pub(super) struct Directory {
    disk: Disk,
    /// As many references as there are pins, and one.
    pins: Arc<()>,
    /// Staged directories of parts that no longer count but may still be read by pinned queries.
    retired: Mutex<Vec<String>>,
}

impl Directory {
    /// The dataset at `root`, which is made when the first part is written.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // What is opened later must not depend on where the process is then.
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { disk: Disk::new(root), pins: Arc::new(()), retired: Mutex::new(Vec::new()) }
    }

    /// Its directory.
    pub(super) fn root(&self) -> PathBuf {
        self.disk.path("")
    }

    /// Whether there is anything in the directories of the tables.
    pub(super) fn has_parts(&self) -> bool {
        let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        entries(self.root())
            .filter(|table| !table.file_name().to_string_lossy().starts_with('.'))
            .flat_map(|table| entries(table.path()))
            .any(|sweep| entries(sweep.path()).next().is_some())
    }

    /// Protects all parts that the journal names now from removal. Take it before reading the
    /// journal.
    pub(super) fn pin(&self) -> Pin {
        Pin(Arc::clone(&self.pins))
    }

    /// See [`super::Dataset::write_part`].
    pub(super) fn write_part(&self, mut part: Part, rows: RecordBatch) -> Result<Part, Error> {
        let directory = Part::directory(part.table, &part.sweep);
        let (table, sweep) = (part.table.name(), &part.sweep);
        let staged = format!("{STAGING}/{table}-{sweep}-{}.tmp", part.name());
        self.disk.create_directory(&directory)?;
        self.disk.create_directory(STAGING)?;
        self.write_file(&staged, &mut part, std::iter::once(Ok(rows)))?;
        self.disk.rename(&staged, &part.path())?;
        Ok(part)
    }

    /// Writes a file of `part` at `path` and fills in its rows and bytes; durable on return, except
    /// for its name.
    fn write_file(
        &self,
        path: &str,
        part: &mut Part,
        rows: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<(), Error> {
        let written = self.disk.create(path).map_err(Error::from).and_then(|out| {
            part.rows = file::write(&out, part.table, rows)?;
            part.bytes = self.disk.finish(path, &out)?;
            Ok(())
        });
        if written.is_err() {
            // A disk that is full stays less full. What cannot be removed now is at the next start.
            let _ = self.disk.remove(path);
        }
        written
    }

    /// Brings the tree in step with the journal, which names the parts `known`: finishes or undoes
    /// whatever was interrupted and removes parts that do not count. Files that are not ours are
    /// left alone. To be called once, before anything is written. Returns what was removed.
    pub(super) fn recover(&self, known: &[Part]) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        for table in Table::ALL {
            let mut sweeps: Vec<SweepName> = Vec::new();
            for place in [table.name().to_owned(), format!("{STAGING}/{}", table.name())] {
                let names = self.disk.list(&place)?;
                let names = names.iter().filter_map(|(name, _)| name.strip_prefix("sweep="));
                sweeps.extend(names.filter_map(|name| SweepName::parse(name).ok()));
            }
            let ours = known.iter().filter(|part| part.table == table);
            sweeps.extend(ours.map(|part| part.sweep.clone()));
            sweeps.sort();
            sweeps.dedup();
            for sweep in sweeps {
                let known: Vec<&Part> =
                    known.iter().filter(|p| p.table == table && p.sweep == sweep).collect();
                self.recover_sweep(&Part::directory(table, &sweep), &known, &mut removed)?;
            }
        }
        for (name, _) in self.disk.list(STAGING)? {
            if name.ends_with(".parquet.tmp") {
                self.remove(STAGING, &name, &mut removed)?;
            }
        }
        Ok(removed)
    }

    /// [`Self::recover`] while queries may be running, after a change failed. Refused while one might
    /// still read what would be removed.
    pub(super) fn reconcile(&self, known: &[Part]) -> Result<(), Error> {
        if Arc::strong_count(&self.pins) > 1 {
            return Err(Error::Busy { path: self.disk.path(STAGING) });
        }
        self.retired().clear();
        self.recover(known)?;
        Ok(())
    }

    fn recover_sweep(
        &self,
        directory: &str,
        known: &[&Part],
        removed: &mut Vec<String>,
    ) -> Result<(), Error> {
        let staged = format!("{STAGING}/{directory}");
        if let Some(missing) = self.find_missing(directory, known)? {
            // Perhaps the journal knows of a compaction that readers in place do not see yet.
            if self.find_missing(&staged, known)?.is_some() {
                return Err(Error::Missing { path: self.disk.path(&missing) });
            }
            self.disk.exchange(directory, &staged)?;
        }
        for (name, _) in self.disk.list(directory)? {
            if is_part(&name) && !known.iter().any(|part| part.name() == name) {
                self.remove(directory, &name, removed)?;
            }
        }
        self.clear(&staged, removed)
    }

    /// The first of `parts` that is not whole in `directory`.
    fn find_missing(&self, directory: &str, parts: &[&Part]) -> Result<Option<String>, Error> {
        let files = self.disk.list(directory)?;
        let is_missing = |part: &&&Part| !files.contains(&(part.name(), part.bytes));
        Ok(parts.iter().find(is_missing).map(|part| part.path()))
    }

    /// Empties a staged directory: our files are removed, those of others moved to where people
    /// look for them.
    fn clear(&self, staged: &str, removed: &mut Vec<String>) -> Result<(), Error> {
        let directory = staged.trim_start_matches(STAGING).trim_start_matches('/');
        for (name, _) in self.disk.list(staged)? {
            if is_part(&name) {
                self.remove(staged, &name, removed)?;
            } else if !self.disk.exists(&format!("{directory}/{name}")) {
                self.disk.create_directory(directory)?;
                self.disk.rename(&format!("{staged}/{name}"), &format!("{directory}/{name}"))?;
            }
        }
        Ok(self.disk.remove_empty(staged)?)
    }

    fn remove(&self, directory: &str, name: &str, removed: &mut Vec<String>) -> Result<(), Error> {
        let path = format!("{directory}/{name}");
        self.disk.remove(&path)?;
        removed.push(path);
        Ok(())
    }

    /// Removes the parts that compaction has replaced, unless a query is pinned; then they stay
    /// until a later call.
    pub(super) fn clear_retired(&self) -> Result<(), Error> {
        let mut retired = self.retired();
        while Arc::strong_count(&self.pins) == 1
            && let Some(staged) = retired.last()
        {
            self.clear(staged, &mut Vec::new())?;
            retired.pop();
        }
        Ok(())
    }

    fn retired(&self) -> MutexGuard<'_, Vec<String>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
