//! Every change to the files of a dataset goes through here, so that another kind of storage can
//! take its place, and so that tests can pull the plug before each of them.
//!
//! A directory is synced after each change to it: what a function here has done is still done after
//! a loss of power.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The files of a dataset. Paths are relative to its root.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    #[cfg(test)]
    pub(crate) fuse: fuse::Fuse,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: `{}`", path.display())]
pub struct Error {
    /// What was being done.
    pub action: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl Disk {
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

    /// The entries of a directory and the sizes of those that are files; none if it does not exist.
    pub(crate) fn list(&self, directory: &str) -> Result<Vec<(String, u64)>, Error> {
        let path = self.path(directory);
        let read = || -> io::Result<Vec<(String, u64)>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // A name that is no text is nobody we know.
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

    /// The size of a file; none if there is none.
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

    /// Makes a directory and its parents, the root of the dataset included. What holds the root must
    /// be there: a state directory that was moved away is not begun anew in its old place.
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

    /// Makes an empty file that is not yet durable.
    pub(crate) fn create(&self, path: &str) -> Result<File, Error> {
        self.change("create", Path::new(path), |path| File::create(path))
    }

    /// Makes the contents of a file durable and returns its size.
    pub(crate) fn finish(&self, path: &str, file: &File) -> Result<u64, Error> {
        self.change("sync", Path::new(path), |_| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        })
    }

    /// Moves a file or directory, over a file of the new name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let target = self.path(to);
        self.change("rename", Path::new(from), |path| fs::rename(path, target))?;
        self.sync_parents(from, to)
    }

    /// Moves a file to a name that is free; false if it is not.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> Result<bool, Error> {
        let target = self.path(to);
        let moved = self.change("rename", Path::new(from), |path| {
            match renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                // A file system that cannot do both in one step.
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

    /// Gives a file a second name.
    pub(crate) fn link(&self, from: &str, to: &str) -> Result<(), Error> {
        let target = self.path(to);
        self.change("link", Path::new(from), |path| fs::hard_link(path, target))?;
        self.sync_parents(to, to)
    }

    /// Exchanges two directories: whoever looks sees either both before or both after.
    pub(crate) fn exchange(&self, one: &str, other: &str) -> Result<(), Error> {
        let target = self.path(other);
        self.change("exchange", Path::new(one), |path| {
            Ok(renameat_with(CWD, path, CWD, target, RenameFlags::EXCHANGE)?)
        })?;
        self.sync_parents(one, other)
    }

    /// Removes a file; that it is gone already is no error.
    pub(crate) fn remove(&self, path: &str) -> Result<(), Error> {
        self.change("remove", Path::new(path), |path| match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        })
    }

    /// Removes a directory unless something is still in it.
    pub(crate) fn remove_empty(&self, directory: &str) -> Result<(), Error> {
        self.change("remove", Path::new(directory), |path| match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            result => result,
        })
    }

    /// Moves a file out of the dataset, to `target` on the same file system, whose directories are
    /// made; an existing file there is not replaced.
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

    /// Makes the names in a directory durable.
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

/// A loss of power that tests put before the n-th change.
#[cfg(test)]
pub(crate) mod fuse {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How many changes are still possible.
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

        /// Once it is, it stays so: nothing works without power.
        pub(super) fn is_blown(&self) -> bool {
            let left = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.is_err()
        }
    }
}
