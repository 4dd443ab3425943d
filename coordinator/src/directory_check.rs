//! Checks before the start that a directory can be created and written.
//!
//! Missing directories are created and written to, because permissions alone do not decide what a
//! file system allows.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the {what} cannot lie in `{}`: `{}` {fault}; choose another directory by `--{what}`", path.display(), found.display())]
pub struct Error {
    /// `state`, `results` or `checkpoints`.
    what: &'static str,
    path: PathBuf,
    /// The file or directory that is in the way.
    found: PathBuf,
    fault: DirectoryFault,
}

/// The fault of a file or directory.
#[derive(Debug, thiserror::Error)]
enum DirectoryFault {
    #[error("is not a directory")]
    NotADirectory,
    #[error("cannot be written: {0}")]
    Unwritable(io::Error),
}

/// Creates a directory and writes to it; returns the directories that were created. They are
/// removed if the directory cannot be used.
pub(crate) fn probe(what: &'static str, path: &Path) -> Result<Vec<PathBuf>, Box<Error>> {
    let error = |found: &Path, fault| {
        let (path, found) = (path.to_owned(), found.to_owned());
        Box::new(Error { what, path, found, fault })
    };
    let there = nearest_existing(path);
    if !there.is_dir() {
        return Err(error(there, DirectoryFault::NotADirectory));
    }
    let missing: Vec<&Path> = path.ancestors().take_while(|above| *above != there).collect();
    let mut made = Vec::new();
    let mut result = Ok(());
    for directory in missing.into_iter().rev() {
        // Other users may read if the umask allows it, and never write.
        match DirBuilder::new().mode(0o755).create(directory) {
            Ok(()) => made.push(directory.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                result = Err(error(
                    directory.parent().unwrap_or(there),
                    DirectoryFault::Unwritable(source),
                ));
                break;
            }
        }
    }
    let written = |()| match tempfile::tempfile_in(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(error(path, DirectoryFault::Unwritable(system_error(&source)))),
    };
    match result.and_then(written) {
        Ok(()) => Ok(made),
        Err(error) => {
            remove(&made);
            Err(error)
        }
    }
}

/// Removes created directories, the innermost first.
pub(crate) fn remove(made: &[PathBuf]) {
    for directory in made.iter().rev() {
        // The directory may be in use by now.
        let _ = std::fs::remove_dir(directory);
    }
}

/// Returns the error of the system without the context that a library added.
fn system_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Returns the longest existing prefix of a path; a broken link counts as existing.
fn nearest_existing(path: &Path) -> &Path {
    let is_there = |path: &&Path| std::fs::symlink_metadata(path).is_ok();
    path.ancestors().find(is_there).unwrap_or_else(|| Path::new("/"))
}
