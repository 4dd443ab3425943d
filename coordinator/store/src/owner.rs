//! Owner of a directory of results or checkpoints. Each state has directories of its own: two states
//! in one directory would each remove the other's files as leftovers.
//!
//! The file [`FILE`] in the directory names the state. A running coordinator holds a lock on it.
//! Readers of tables skip file names that begin with a dot.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rheo_core::id::{IncarnationId, StateId};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The name of the owner file.
pub const FILE: &str = ".rheo-owner.json";

/// Names that a file system creates in an empty directory.
const SYSTEM_ENTRIES: [&str; 1] = ["lost+found"];

/// The longest owner file, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The owner of a directory or of a prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageOwner {
    /// The state.
    pub state: StateId,
    /// The state directory, for messages.
    pub directory: PathBuf,
    /// The start of the coordinator that claimed it last. A journal without this start is older
    /// than the files in the directory.
    #[serde(default)]
    pub incarnation: Option<IncarnationId>,
    /// An explanation for readers of the file.
    #[serde(default)]
    pub about: String,
}

/// The claim on a directory, released on drop.
#[derive(Debug)]
pub struct DirectoryClaim {
    /// The previous owner, if any.
    pub before: Option<StorageOwner>,
    /// The locked owner file. The lock ends with the process.
    _lock: File,
}

/// The reason for which a directory cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another state owns the directory.
    #[error(
        "`{}` belongs to state `{}` in `{}`: choose another directory; if that state is gone for good, move its files away",
        root.display(), owner.state, owner.directory.display()
    )]
    Foreign {
        /// The directory.
        root: PathBuf,
        /// The owner of the directory.
        owner: Box<StorageOwner>,
    },
    /// This state is a copy, and the original still exists.
    #[error(
        "`{}` belongs to the state in `{}`, of which this one is a copy: give the copy a directory of its own; if the original is no longer used, remove its journal",
        root.display(), owner.directory.display()
    )]
    Copied {
        /// The directory.
        root: PathBuf,
        /// The owner of the directory.
        owner: Box<StorageOwner>,
    },
    /// The directory has no owner and is not empty.
    #[error(
        "`{}` holds files that do not belong to this state, such as `{}`: choose an empty directory, or move the files away; if they belong to this state, its journal was lost: restore it",
        root.display(), found.display()
    )]
    Unowned {
        /// The directory.
        root: PathBuf,
        /// One of the files.
        found: PathBuf,
    },
    /// Another process uses the directory.
    #[error(
        "`{}` is in use by another coordinator: stop that one, or choose another directory",
        root.display()
    )]
    InUse {
        /// The directory.
        root: PathBuf,
    },
    /// The owner file cannot be parsed.
    #[error(
        "`{}` does not name the owner of the directory: if the directory belongs to this state alone, remove that file",
        path.display()
    )]
    Unreadable {
        /// The owner file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The file system failed.
    #[error("`{}` cannot be used", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the disk is at fault, so that a later claim may succeed.
    pub fn is_disk_failure(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(
            source.kind(),
            io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::PermissionDenied
        )
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path: path.clone(), source }
}

impl StorageOwner {
    /// The owner for `state` in `directory`, at the coordinator's start `incarnation`.
    pub fn new(state: StateId, directory: PathBuf, incarnation: IncarnationId) -> Self {
        let incarnation = Some(incarnation);
        let about = "The files in this directory belong to the state named here. Only its coordinator writes and removes files here.".to_owned();
        Self { state, directory, incarnation, about }
    }

    /// The owner of `root`, if any.
    pub fn of(root: &Path) -> Result<Option<Self>, Error> {
        let path = root.join(FILE);
        match File::open(&path) {
            Ok(mut file) => read(&mut file, &path),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Claims `root` for this state and creates it if it is missing. A directory without an owner
    /// must be empty, or `is_known` must confirm that its files belong to this state.
    pub fn claim(
        &self,
        root: &Path,
        is_known: impl FnOnce() -> bool,
    ) -> Result<DirectoryClaim, Error> {
        fs::create_dir_all(root).map_err(io_error(root))?;
        // Checked first, so that no owner file is left in a directory of others.
        if Self::of(root)?.is_none()
            && let Some(found) = first_file(root, &self.directory)?
            && !is_known()
        {
            return Err(Error::Unowned { root: root.to_owned(), found });
        }
        let path = root.join(FILE);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(io_error(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(Error::InUse { root: root.to_owned() }),
            // On a file system without locks, the id alone protects the directory.
            Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) | Ok(()) => {}
            Err(error) => return Err(io_error(&path)(error.into())),
        }
        let found = read(&mut file, &path)?;
        if found.as_ref().is_some_and(|owner| owner.state != self.state) {
            let owner = Box::new(found.unwrap_or_else(|| self.clone()));
            return Err(Error::Foreign { root: root.to_owned(), owner });
        }
        if found.as_ref() != Some(self) {
            self.write(&mut file).map_err(io_error(&path))?;
            File::open(root).and_then(|root| root.sync_all()).map_err(io_error(root))?;
        }
        Ok(DirectoryClaim { before: found, _lock: file })
    }

    /// Writes the file in place, to keep the lock on it.
    fn write(&self, file: &mut File) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.rewind()?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()
    }
}

/// Reads an owner; none from an empty or zeroed file, as a power cut leaves it.
fn read(file: &mut File, path: &Path) -> Result<Option<StorageOwner>, Error> {
    let mut text = Vec::new();
    file.rewind().map_err(io_error(path))?;
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(io_error(path))?;
    if text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()) {
        return Ok(None);
    }
    let owner = serde_json::from_slice(&text);
    owner.map(Some).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

/// The first file below `directory`; none if it has only directories. Skips the state directory.
fn first_file(directory: &Path, state: &Path) -> Result<Option<PathBuf>, Error> {
    for entry in fs::read_dir(directory).map_err(io_error(directory))? {
        let entry = entry.map_err(io_error(directory))?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == FILE || path == state || SYSTEM_ENTRIES.iter().any(|ignored| name == *ignored) {
            continue;
        }
        if !entry.file_type().map_err(io_error(&path))?.is_dir() {
            return Ok(Some(path));
        }
        if let Some(found) = first_file(&path, state)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    fn owner(n: u128) -> StorageOwner {
        let incarnation = IncarnationId(Uuid::from_u128(n + 100));
        StorageOwner::new(StateId(Uuid::from_u128(n)), format!("/states/{n}").into(), incarnation)
    }

    #[test]
    fn a_directory_has_one_owner_and_one_claim() {
        let root = TempDir::new().unwrap();
        let root = root.path().join("new/results");
        assert_eq!(StorageOwner::of(&root).unwrap(), None);
        let claimed = owner(1).claim(&root, || false).unwrap();
        assert_eq!(StorageOwner::of(&root).unwrap(), Some(owner(1)));
        assert!(matches!(owner(1).claim(&root, || true), Err(Error::InUse { .. })));
        drop(claimed);
        let moved = StorageOwner { directory: "/moved".into(), ..owner(1) };
        let claimed = moved.claim(&root, || false).unwrap();
        assert_eq!(claimed.before, Some(owner(1)));
        drop(claimed);
        assert_eq!(StorageOwner::of(&root).unwrap(), Some(moved.clone()));
        let refused = owner(2).claim(&root, || true).unwrap_err();
        assert!(matches!(&refused, Error::Foreign { owner, .. } if **owner == moved), "{refused}");
        assert!(refused.to_string().contains("belongs to state"), "{refused}");
    }

    #[test]
    fn a_directory_with_unknown_files_is_refused() {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("epochs/sweep=demo")).unwrap();
        fs::create_dir_all(root.path().join("lost+found")).unwrap();
        let note = root.path().join("epochs/sweep=demo/notes.txt");
        fs::write(&note, "of a person").unwrap();
        let refused = owner(1).claim(root.path(), || false).unwrap_err();
        assert!(matches!(&refused, Error::Unowned { found, .. } if *found == note), "{refused}");
        assert!(!root.path().join(FILE).exists(), "nothing is left in it");
        drop(owner(1).claim(root.path(), || true).unwrap());
        fs::remove_file(root.path().join(FILE)).unwrap();
        fs::remove_file(note).unwrap();
        owner(2).claim(root.path(), || false).unwrap();
    }

    #[test]
    fn a_state_directory_may_lie_in_its_own_results() {
        let root = TempDir::new().unwrap();
        let directory = root.path().join(".rheo");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("journal.redb"), "a journal").unwrap();
        let ours = StorageOwner { directory, ..owner(1) };
        assert!(matches!(owner(2).claim(root.path(), || false), Err(Error::Unowned { .. })));
        ours.claim(root.path(), || false).unwrap();
    }

    #[test]
    fn a_claim_is_repeated_after_a_power_cut() {
        let root = TempDir::new().unwrap();
        fs::write(root.path().join(FILE), [0; 20]).unwrap();
        drop(owner(1).claim(root.path(), || false).unwrap());
        assert_eq!(StorageOwner::of(root.path()).unwrap(), Some(owner(1)));
        fs::write(root.path().join(FILE), "{\"state\": 3").unwrap();
        assert!(matches!(StorageOwner::of(root.path()), Err(Error::Unreadable { .. })));
    }
}
