//! Commits on local disk until they are delivered.
//!
//! ```text
//! <spool>/<worker id>/.lock                                held while that worker lives
//! <spool>/<worker id>/<sweep>/<trial>.<attempt>/<sequence>   one parcel
//! ```
//!
//! A worker that starts takes over the directories of workers that died: it delivers their parcels
//! and says that they are gone, so that their trials go on at once from the last commit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rheo_core::id::{AttemptId, WorkerId};
use rustix::fs::{FlockOperation, flock};

use crate::parcel::Parcel;

/// The name of the lock; no sweep has one like it.
const LOCK: &str = ".lock";

/// The directory of one worker.
#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) worker: WorkerId,
    directory: PathBuf,
    /// Unlocked when the worker dies, however it dies.
    _lock: File,
}

/// Why commits cannot be kept on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("`{}` cannot be used", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A parcel cannot be encoded: a bug.
    #[error("a commit cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

impl Spool {
    /// The directory of `worker` under `root`.
    pub(crate) fn open(root: &Path, worker: WorkerId) -> Result<Self, Error> {
        let directory = root.join(worker.to_string());
        // Locked before it has its name, so that nobody takes it for one of a dead worker.
        let unnamed = root.join(format!(".{worker}"));
        fs::create_dir_all(&unnamed).map_err(at(&unnamed))?;
        let path = unnamed.join(LOCK);
        let lock = File::create(&path).map_err(at(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| at(&path)(error.into()))?;
        fs::rename(&unnamed, &directory).map_err(at(&directory))?;
        Ok(Self { worker, directory, _lock: lock })
    }

    /// The directories under `root` of workers that no longer live. Each is taken over by one
    /// worker only.
    pub(crate) fn orphans(root: &Path) -> Vec<Self> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let takeover = |directory: PathBuf| {
            let worker = directory.file_name()?.to_str()?.parse().ok()?;
            let lock = File::open(directory.join(LOCK)).ok()?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
            // Somebody else may have finished with it between the listing and the lock.
            directory.join(LOCK).exists().then_some(Self { worker, directory, _lock: lock })
        };
        entries.filter_map(|entry| takeover(entry.path())).collect()
    }

    /// The parcels that were not delivered, in the order in which they must be. One that cannot be
    /// read was not written completely, and is left out.
    pub(crate) fn parcels(&self) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        for sweep in list(self.directory.clone()) {
            for attempt in list(sweep.path()) {
                for parcel in list(attempt.path()) {
                    let bytes = fs::read(parcel.path()).ok();
                    let parcel =
                        bytes.and_then(|bytes| rmp_serde::from_slice::<Parcel>(&bytes).ok());
                    parcels.extend(parcel);
                }
            }
        }
        parcels.sort_by(|a, b| {
            let key = |parcel: &Parcel| (parcel.claim.attempt.clone(), parcel.claim.sequence);
            key(a).cmp(&key(b))
        });
        parcels
    }

    /// Writes a parcel, in place of one with the same number if there is one.
    pub(crate) fn write(&self, parcel: &Parcel) -> Result<(), Error> {
        let path = self.path(&parcel.claim.attempt, parcel.claim.sequence);
        let directory = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(directory).map_err(at(directory))?;
        let aside = path.with_extension("new");
        fs::write(&aside, rmp_serde::to_vec_named(parcel)?).map_err(at(&aside))?;
        fs::rename(&aside, &path).map_err(at(&path))
    }

    /// Forgets a parcel that was delivered.
    pub(crate) fn remove(&self, attempt: &AttemptId, sequence: u64) {
        let path = self.path(attempt, sequence);
        if let Err(error) = fs::remove_file(&path) {
            // Delivered again, it changes nothing.
            tracing::debug!(%error, path = %path.display(), "a delivered commit stays on disk");
        }
    }

    /// Forgets everything about an attempt.
    pub(crate) fn forget(&self, attempt: &AttemptId) {
        let path = self.path(attempt, 0);
        if let Some(directory) = path.parent() {
            // It may never have been made.
            let _ = fs::remove_dir_all(directory);
        }
    }

    /// Removes the directory: nothing is left to deliver.
    pub(crate) fn close(self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(%error, path = %self.directory.display(), "an empty spool stays");
        }
    }

    fn path(&self, attempt: &AttemptId, sequence: u64) -> PathBuf {
        let trial = &attempt.trial;
        let name = format!("{}.{}", trial.index, attempt.number);
        self.directory.join(trial.sweep.as_str()).join(name).join(sequence.to_string())
    }
}
