//! Commits on local disk until they are delivered.
//!
//! ```text
//! <spool>/<worker id>/.lock      held while that worker lives
//! <spool>/<worker id>/.state     the id of the state that it works for
//! <spool>/<worker id>/<sweep>/<trial>.<attempt>.<origin>/<sequence>   one parcel
//! ```
//!
//! A worker that starts takes over the directories of workers of its state that died: it delivers
//! their parcels and says that they are gone, so that their trials go on at once from the last commit.
//! Directories of another state stay as they are. A parcel is removed only when it was delivered, or
//! when a newer attempt of its own state has taken its trial.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rheo_core::id::{Digest, StateId, WorkerId};
use rheo_core::machine::AttemptClaim;
use rustix::fs::{FlockOperation, flock};

use crate::spooled_commit::SpooledCommit;

/// The name of the lock; no sweep has one like it.
const LOCK: &str = ".lock";

/// The name of the file that says whose commits these are.
const STATE: &str = ".state";

/// The ending of what is being written.
const PARTIAL: &str = "new";
/// The name of a file that is written to see whether one can be.
const PROBE: &str = ".probe";

/// Bytes of it.
const PROBE_BYTES: usize = 64 << 10;

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

    /// Says that what is kept here from now on is for `state`.
    pub(crate) fn dedicate(&self, state: StateId) -> Result<(), Error> {
        let path = self.directory.join(STATE);
        let aside = path.with_extension(PARTIAL);
        fs::write(&aside, format!("{state}\n")).map_err(at(&aside))?;
        fs::rename(&aside, &path).map_err(at(&path))
    }

    /// The state for which this is kept, if its worker has joined one and was of no older version.
    pub(crate) fn owner(&self) -> Option<StateId> {
        fs::read_to_string(self.directory.join(STATE)).ok()?.trim().parse().ok()
    }

    /// The directory, for people.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
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
    pub(crate) fn commits(&self) -> Vec<SpooledCommit> {
        let read = |path: &PathBuf| {
            let commit = rmp_serde::from_slice::<SpooledCommit>(&fs::read(path).ok()?).ok();
            if commit.is_none() {
                tracing::warn!(path = %path.display(), "a commit cannot be read, and stays on disk");
            }
            commit
        };
        let mut commits: Vec<SpooledCommit> = self.files().iter().filter_map(read).collect();
        commits.sort_by(|a, b| {
            let key =
                |commit: &SpooledCommit| (commit.claim.attempt.clone(), commit.claim.sequence);
            key(a).cmp(&key(b))
        });
        commits
    }

    /// Whether nothing is left to deliver.
    pub(crate) fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// The files of all parcels.
    fn files(&self) -> Vec<PathBuf> {
        let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let attempts = list(self.directory.clone()).flat_map(|sweep| list(sweep.path()));
        let files = attempts.flat_map(|attempt| list(attempt.path())).map(|file| file.path());
        files.filter(|path| path.extension().is_none_or(|extension| extension != PARTIAL)).collect()
    }

    /// Writes a parcel, in place of one with the same number if there is one.
    pub(crate) fn write(&self, commit: &SpooledCommit) -> Result<(), Error> {
        let path = self.path(&commit.claim);
        let directory = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(directory).map_err(at(directory))?;
        let aside = path.with_extension(PARTIAL);
        fs::write(&aside, rmp_serde::to_vec_named(commit)?).map_err(at(&aside))?;
        fs::rename(&aside, &path).map_err(at(&path))
    }

    /// Makes sure that there is room for a commit: writes as much as a small one takes.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        let path = self.directory.join(PROBE);
        let written = fs::write(&path, vec![0; PROBE_BYTES]).map_err(at(&path));
        // It may not have been made.
        let _ = fs::remove_file(&path);
        written
    }

    /// Forgets the parcel of `claim`, which was delivered.
    pub(crate) fn remove(&self, claim: &AttemptClaim) {
        let path = self.path(claim);
        if let Err(error) = fs::remove_file(&path) {
            // Delivered again, it changes nothing.
            tracing::debug!(%error, path = %path.display(), "a delivered commit stays on disk");
        }
    }

    /// Forgets everything about the attempt of `claim`.
    pub(crate) fn forget(&self, claim: &AttemptClaim) {
        let path = self.path(claim);
        if let Some(directory) = path.parent() {
            // It may never have been made.
            let _ = fs::remove_dir_all(directory);
        }
    }

    /// Removes the directory, unless something is left to deliver.
    pub(crate) fn close(self) {
        if !self.is_empty() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(%error, path = %self.directory.display(), "an empty spool stays");
        }
    }

    /// The file of a parcel. Two attempts of the same name lie side by side, if they come from two
    /// states or two histories of one.
    fn path(&self, claim: &AttemptClaim) -> PathBuf {
        let trial = &claim.attempt.trial;
        let mut name = format!("{}.{}", trial.index, claim.attempt.number);
        if let Some(origin) = claim.origin {
            let (state, incarnation) = (origin.state, origin.incarnation);
            let text = format!("{state} {incarnation} {}", origin.configuration);
            let digest = Digest::of(text.as_bytes()).to_string();
            name = format!("{name}.{}", digest.get(..16).unwrap_or_default());
        }
        self.directory.join(trial.sweep.as_str()).join(name).join(claim.sequence.to_string())
    }
}
