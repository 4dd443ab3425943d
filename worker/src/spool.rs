//! Spool: commits on local disk until they are delivered.
//!
//! ```text
//! <spool>/<worker id>/.lock      held while that worker lives
//! <spool>/<worker id>/.state     the id of the state that it works for
//! <spool>/<worker id>/<sweep>/<trial>.<attempt>.<origin>/<sequence>   one parcel
//! ```
//!
//! A starting worker takes over the directories of dead workers of its state: it delivers their
//! commits and reports the workers as dead, so that their trials resume at once from the last
//! commit. Directories of another state stay. A commit is removed only when it is delivered, or
//! when a newer attempt of its own state has the trial.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rheo_core::id::{Digest, StateId, WorkerId};
use rheo_core::machine::AttemptClaim;
use rustix::fs::{FlockOperation, flock};

use crate::spooled_commit::SpooledCommit;

/// Name of the lock file; no sweep can have this name.
const LOCK: &str = ".lock";

/// Name of the file with the id of the state.
const STATE: &str = ".state";

/// Suffix of files that are being written.
const PARTIAL: &str = "new";
/// Name of the file that a write probe uses.
const PROBE: &str = ".probe";

/// Bytes of a write probe.
const PROBE_BYTES: usize = 64 << 10;

/// Directory of one worker.
#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) worker: WorkerId,
    directory: PathBuf,
    /// Unlocked when the worker dies, whatever the cause.
    _lock: File,
}

/// Reason why commits cannot be stored on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system reported an error.
    #[error("`{}` cannot be used", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// Error of the file system.
        #[source]
        source: io::Error,
    },
    /// A commit cannot be encoded: a bug.
    #[error("a commit cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

impl Spool {
    /// Creates the directory of `worker` under `root`.
    pub(crate) fn open(root: &Path, worker: WorkerId) -> Result<Self, Error> {
        let directory = root.join(worker.to_string());
        // Locked before it is renamed, so that no other worker takes it for that of a dead one.
        let unnamed = root.join(format!(".{worker}"));
        fs::create_dir_all(&unnamed).map_err(at(&unnamed))?;
        let path = unnamed.join(LOCK);
        let lock = File::create(&path).map_err(at(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| at(&path)(error.into()))?;
        fs::rename(&unnamed, &directory).map_err(at(&directory))?;
        Ok(Self { worker, directory, _lock: lock })
    }

    /// Records that commits from now on belong to `state`.
    pub(crate) fn dedicate(&self, state: StateId) -> Result<(), Error> {
        let path = self.directory.join(STATE);
        let aside = path.with_extension(PARTIAL);
        fs::write(&aside, format!("{state}\n")).map_err(at(&aside))?;
        fs::rename(&aside, &path).map_err(at(&path))
    }

    /// Returns the recorded state; none if its worker had not joined, or was of an older version.
    pub(crate) fn owner(&self) -> Option<StateId> {
        fs::read_to_string(self.directory.join(STATE)).ok()?.trim().parse().ok()
    }

    /// Returns the directory, for messages.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes over the directories of dead workers under `root`. Only one worker can take over each.
    pub(crate) fn orphans(root: &Path) -> Vec<Self> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let takeover = |directory: PathBuf| {
            let worker = directory.file_name()?.to_str()?.parse().ok()?;
            let lock = File::open(directory.join(LOCK)).ok()?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
            // Another worker may have finished with it between the listing and the lock.
            directory.join(LOCK).exists().then_some(Self { worker, directory, _lock: lock })
        };
        entries.filter_map(|entry| takeover(entry.path())).collect()
    }

    /// Returns the undelivered commits, in order of delivery. Unreadable ones were not written
    /// completely and are left out.
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

    /// Whether everything is delivered.
    pub(crate) fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// Returns the files of all commits.
    fn files(&self) -> Vec<PathBuf> {
        let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let attempts = list(self.directory.clone()).flat_map(|sweep| list(sweep.path()));
        let files = attempts.flat_map(|attempt| list(attempt.path())).map(|file| file.path());
        files.filter(|path| path.extension().is_none_or(|extension| extension != PARTIAL)).collect()
    }

    /// Writes a commit; replaces one with the same number.
    pub(crate) fn write(&self, commit: &SpooledCommit) -> Result<(), Error> {
        let path = self.path(&commit.claim);
        let directory = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(directory).map_err(at(directory))?;
        let aside = path.with_extension(PARTIAL);
        fs::write(&aside, rmp_serde::to_vec_named(commit)?).map_err(at(&aside))?;
        fs::rename(&aside, &path).map_err(at(&path))
    }

    /// Checks that there is room for a commit, by writing as much as a small one needs.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        let path = self.directory.join(PROBE);
        let written = fs::write(&path, vec![0; PROBE_BYTES]).map_err(at(&path));
        // The file may not exist.
        let _ = fs::remove_file(&path);
        written
    }

    /// Removes the delivered commit of `claim`.
    pub(crate) fn remove(&self, claim: &AttemptClaim) {
        let path = self.path(claim);
        if let Err(error) = fs::remove_file(&path) {
            // A second delivery would change nothing.
            tracing::debug!(%error, path = %path.display(), "cannot remove a delivered commit");
        }
    }

    /// Removes all commits of the attempt of `claim`.
    pub(crate) fn forget(&self, claim: &AttemptClaim) {
        let path = self.path(claim);
        if let Some(directory) = path.parent() {
            // The directory may not exist.
            let _ = fs::remove_dir_all(directory);
        }
    }

    /// Removes the directory, unless something is undelivered.
    pub(crate) fn close(self) {
        if !self.is_empty() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::debug!(%error, path = %self.directory.display(), "cannot remove an empty spool");
        }
    }

    /// Returns the file of a commit. Attempts of the same name from two states, or from two
    /// histories of one state, have separate directories.
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
