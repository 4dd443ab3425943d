//! File operations of a dataset. All changes go through this file, so that tests can simulate a power
//! cut before each of them.
//!
//! Every function syncs the directories that it changes: its effect survives a power cut.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The files of a dataset. Paths are relative to its root.
#[derive(Debug)]
pub(crate) struct DatasetDisk {
    root: PathBuf,
    #[cfg(test)]
    pub(crate) fuse: fuse::Fuse,
}

/// A failed file operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: `{}`", path.display())]
pub struct Error {
    /// The failed action.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl DatasetDisk {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            #[cfg(test)]
            fuse: fuse::Fuse::default(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The names and sizes of the entries of a directory; none if it does not exist.
    pub(crate) fn list(&self, directory: &str) -> Result<Vec<(String, u64)>, Error> {
        let path = self.path(directory);
        let read = || -> io::Result<Vec<(String, u64)>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // A name that is not UTF-8 is not ours.
                if let Ok(name) = entry.file_name().into_string() {
                    entries.push((name, entry.metadata()?.len()));
                }
            }
            entries.sort();
            Ok(entries)
        };
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|source| Error { action: "list", path, source }),
        }
    }

    /// The size of a file; none if it does not exist.
    pub(crate) fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        let path = self.path(path);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(Error { action: "look at", path, source }),
        }
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Creates a directory and its parents, up to the root of the dataset. The parent of the root
    /// must exist, so that a moved state directory is not created again at its old path.
    pub(crate) fn create_directory(&self, directory: &str) -> Result<(), Error> {
        if !self.root.is_dir() {
            self.change("make the directory", Path::new(""), |root| fs::create_dir(root))?;
            self.sync(Path::new(".."))?;
        }
        let mut made = PathBuf::new();
        for component in Path::new(directory) {
            let parent = made.clone();
            made.push(component);
            if self.root.join(&made).is_dir() {
                continue;
            }
            self.change("make the directory", &made, |path| fs::create_dir(path))?;
            self.sync(&parent)?;
        }
        Ok(())
    }

    /// Creates an empty file, not yet durable.
    pub(crate) fn create(&self, path: &str) -> Result<File, Error> {
        self.change("create", Path::new(path), |path| File::create(path))
    }

    /// Syncs the content of a file and returns its size.
    pub(crate) fn finish(&self, path: &str, file: &File) -> Result<u64, Error> {
        self.change("sync", Path::new(path), |_| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        })
    }

    /// Moves a file or directory; replaces an existing file.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let target = self.path(to);
        self.change("rename", Path::new(from), |path| fs::rename(path, target))?;
        self.sync_parents(from, to)
    }

    /// Moves a file to a free name; false if the name is taken.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> Result<bool, Error> {
        let target = self.path(to);
        let moved = self.change("rename", Path::new(from), |path| {
            match renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                // The file system has no atomic rename without replacement.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    let is_free = !target.try_exists()?;
                    if is_free {
                        fs::rename(path, &target)?;
                    }
                    Ok(is_free)
                }
                Err(error) => Err(error.into()),
            }
        })?;
        self.sync_parents(from, to)?;
        Ok(moved)
    }

    /// Creates a hard link to a file.
    pub(crate) fn link(&self, from: &str, to: &str) -> Result<(), Error> {
        let target = self.path(to);
        self.change("link", Path::new(from), |path| fs::hard_link(path, target))?;
        self.sync_parents(to, to)
    }

    /// Exchanges two directories atomically.
    pub(crate) fn exchange(&self, one: &str, other: &str) -> Result<(), Error> {
        let target = self.path(other);
        self.change("exchange", Path::new(one), |path| {
            Ok(renameat_with(CWD, path, CWD, target, RenameFlags::EXCHANGE)?)
        })?;
        self.sync_parents(one, other)
    }

    /// Removes a file, if it exists.
    pub(crate) fn remove(&self, path: &str) -> Result<(), Error> {
        self.change("remove", Path::new(path), |path| match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        })
    }

    /// Removes a directory, if it exists and is empty.
    pub(crate) fn remove_empty(&self, directory: &str) -> Result<(), Error> {
        self.change("remove", Path::new(directory), |path| match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => result,
        })
    }

    /// Moves a file out of the dataset, to `target` on the same file system. Creates its parent
    /// directories; does not replace an existing file.
    pub(crate) fn move_out(&self, from: &str, target: &Path) -> Result<(), Error> {
        self.change("move", Path::new(from), |path| {
            let parent = target.parent().unwrap_or(target);
            fs::create_dir_all(parent)?;
            if target.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(path, target)?;
            File::open(parent)?.sync_all()
        })?;
        self.sync(Path::new(from).parent().unwrap_or(Path::new("")))
    }

    fn sync_parents(&self, one: &str, other: &str) -> Result<(), Error> {
        let parent = |path| Path::new(path).parent().unwrap_or(Path::new(""));
        self.sync(parent(one))?;
        if parent(one) == parent(other) { Ok(()) } else { self.sync(parent(other)) }
    }

    /// Syncs the names in a directory.
    pub(crate) fn sync(&self, directory: &Path) -> Result<(), Error> {
        self.change("sync", directory, |path| File::open(path)?.sync_all())
    }

    fn change<T>(
        &self,
        action: &'static str,
        path: &Path,
        operation: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, Error> {
        let path = self.root.join(path);
        #[cfg(test)]
        if self.fuse.is_blown() {
            return Err(Error { action, path, source: io::Error::other("no power") });
        }
        operation(&path).map_err(|source| Error { action, path, source })
    }
}

/// A simulated power cut before the n-th change, for tests.
#[cfg(test)]
pub(crate) mod fuse {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The number of changes before the power cut.
    #[derive(Debug)]
    pub(crate) struct Fuse(AtomicUsize);

    impl Default for Fuse {
        fn default() -> Self {
            Self(AtomicUsize::new(usize::MAX))
        }
    }

    impl Fuse {
        pub(crate) fn set(&self, changes: usize) {
            self.0.store(changes, Ordering::Relaxed);
        }

        /// Counts a change. After the power cut, every change fails.
        pub(super) fn is_blown(&self) -> bool {
            let left = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.is_err()
        }
    }
}
