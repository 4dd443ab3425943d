//! The check, before anything is begun, that a directory can be made and written.
//!
//! What is missing is made and tried, because permissions alone do not say what a file system allows.

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

/// Makes a directory and tries to write there; gives the directories that were made for it. Those are
/// removed again if it cannot be used.
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
        // Others may read there if the umask lets them, and never change anything.
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

/// Removes directories that were made, the innermost first.
pub(crate) fn remove(made: &[PathBuf]) {
    for directory in made.iter().rev() {
        // Somebody may use it by now.
        let _ = std::fs::remove_dir(directory);
    }
}

/// The error of the system without what a library has added to it.
fn system_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// The last part of a path that is there; a link counts, wherever it leads.
fn nearest_existing(path: &Path) -> &Path {
    let is_there = |path: &&Path| std::fs::symlink_metadata(path).is_ok();
    path.ancestors().find(is_there).unwrap_or_else(|| Path::new("/"))
}
