//! Whose the results and checkpoints are: one state's, which nobody else writes or removes.
//!
//! [`Coordinator::check_storage`] only looks, also for commands on a state at rest;
//! [`Coordinator::claim_storage`] takes the places for the coordinator that starts. What lies there
//! is removed only if nothing is lost with it, and set aside if the journal does not know it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rheo_core::machine::State;
use rheo_core::time::Timestamp;
use rheo_proto::access::JOURNAL_FILE;
use rheo_query::dataset::{self, JournalContents};
use rheo_store::PartChange;
use rheo_store::owner::{self, StorageOwner};
use rheo_store::storage_url::{Bucket, StorageUrl};

use crate::app::{Coordinator, Error};
use crate::claim::{
    StorageClaim, log_recovery, orphan_suffix, read_journal_contents, take_if_writable,
};
use crate::engine;
use crate::paths;
use crate::report::report;
use crate::storage;

/// A checkpoint that no trial refers to and that was written so long after the latest moment of the
/// journal was put under another journal: workers renew their leases every second.
const SLACK: Duration = Duration::from_secs(5);

impl Coordinator {
    /// Refuses a state directory whose results or checkpoints belong to another journal. Changes
    /// nothing. A coordinator that starts does not have buckets asked: claiming them tells better.
    pub(crate) async fn check_storage(&self, has_buckets_asked: bool) -> Result<(), Error> {
        let checking = self.clone();
        let check = move || checking.check(has_buckets_asked);
        let checked = tokio::task::spawn_blocking(check).await;
        checked.unwrap_or(Err(engine::Failure::Stopping.into()))
    }

    fn check(&self, has_buckets_asked: bool) -> Result<(), Error> {
        for place in [&self.storage.results, &self.storage.checkpoints] {
            let StorageUrl::Directory(root) = place else { continue };
            let owner = StorageOwner::of(root)?.filter(|owner| owner.state != self.storage.id);
            let Some(owner) = owner else { continue };
            // Within the state directory there is nobody else's: it is the journal that is another.
            if self.is_inside(root) || owner.directory == self.state_directory() {
                return Err(self.journal_lost(place));
            }
            let (root, owner) = (root.clone(), Box::new(owner));
            return Err(owner::Error::Foreign { root, owner }.into());
        }
        if matches!(self.storage.results, StorageUrl::Bucket(_)) && !has_buckets_asked {
            return Ok(());
        }
        match self.check_results() {
            // A bucket that does not answer now may still be this state's.
            Err(Error::Results { source: dataset::Error::Object { .. }, .. }) => Ok(()),
            checked => checked,
        }
    }

    /// Refuses a journal that names no part although there are results: it is new, or another one.
    fn check_results(&self) -> Result<(), Error> {
        let read = || {
            let view = self.journal.view()?;
            let index = view.index()?;
            if !index.parts.is_empty() {
                return Ok(None);
            }
            // Those of a deleted sweep were named, and are to be removed.
            let mut known = read_journal_contents(&*view)?;
            known.parts = index.removed;
            Ok(Some(known))
        };
        let read: Result<Option<JournalContents>, rheo_store::Error> = read();
        let Some(known) = read.map_err(|source| self.journal_error(source))? else {
            return Ok(());
        };
        let strangers = self.dataset.unknown_files(&known);
        let strangers = strangers.map_err(|source| self.unusable(source))?;
        let (Some(first), place) = (strangers.first(), &self.storage.results) else {
            return Ok(());
        };
        if let StorageUrl::Directory(root) = place
            && !self.is_inside(root)
            && StorageOwner::of(root)?.is_none()
        {
            let (root, found) = (root.clone(), root.join(first));
            return Err(owner::Error::Unowned { root, found }.into());
        }
        Err(self.journal_lost(place))
    }

    /// Refuses to begin anew in a directory in which nothing lies although the journal names parts
    /// there.
    fn check_results_exist(&self) -> Result<(), Error> {
        let parts = self.journal.parts().map_err(|source| self.journal_error(source))?.len();
        if parts == 0 || !self.dataset.is_gone() {
            return Ok(());
        }
        Err(Error::ResultsGone { results: self.dataset.location(), parts })
    }

    /// [`Self::claim_storage`], unless this process has them: a command on a state at rest that
    /// removes files.
    pub(crate) async fn claim_storage_at_rest(&self) -> Result<(), Error> {
        let has_checkpoints =
            !self.claims.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if has_checkpoints || self.sink.has_claim() {
            return Ok(());
        }
        self.claim_storage().await
    }

    /// Makes sure that this state alone writes where its results and checkpoints lie.
    pub(crate) async fn claim_storage(&self) -> Result<(), Error> {
        self.check_results_exist()?;
        for place in [&self.storage.results, &self.storage.checkpoints] {
            let StorageUrl::Bucket(address) = place else { continue };
            let bucket = address.open().map_err(storage::Error::Place)?;
            self.claim_bucket(&bucket).await?;
        }
        if let StorageUrl::Directory(root) = &self.storage.results {
            let claim = self.claim(root, self.knows_results(root)?)?;
            if take_if_writable(&claim)? {
                self.sink.claimed(claim);
            } else {
                self.sink.claim_later(claim);
            }
        }
        if let StorageUrl::Directory(root) = &self.storage.checkpoints {
            let claim = self.claim(root, self.knows_checkpoints(root).await?)?;
            if take_if_writable(&claim)? {
                // Until the process ends.
                self.claims.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            }
        }
        // Last: a place that was refused is not remembered against who corrects it.
        Ok(self.storage.remember(&self.settings.state)?)
    }

    /// Takes a bucket for this start, and warns if a start has it of which this journal does not know.
    async fn claim_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        let owner = StorageOwner::new(self.storage.id, self.state_directory(), self.incarnation);
        let claimed = bucket.claim(&owner).await.map_err(storage::Error::Place)?;
        let Some(before) = claimed else { return Ok(()) };
        if self.is_copy_of(&before) {
            let (root, owner) = (PathBuf::from(&bucket.url), Box::new(before));
            return Err(owner::Error::Copied { root, owner }.into());
        }
        if let Some(last) = before.incarnation
            && !self.handle.read(move |state| state.incarnations.contains(last)).await?
        {
            tracing::warn!(
                place = bucket.url,
                "a coordinator of this state used this bucket after the last event of this journal: either the journal was restored from a backup, and trials run again, or it is a copy of a state that is used elsewhere in `{}`. Two coordinators on one bucket lose results: end one of them, or give the copy a bucket of its own",
                before.directory.display()
            );
        }
        Ok(bucket.record_start(&owner).await.map_err(storage::Error::Place)?)
    }

    /// Whether the original of this state lies where `before` had it.
    fn is_copy_of(&self, before: &StorageOwner) -> bool {
        before.directory != self.state_directory()
            && before.state == self.storage.id
            && self.is_original(&before.directory.join(JOURNAL_FILE))
    }

    fn claim(&self, root: &Path, is_known: bool) -> Result<StorageClaim, Error> {
        let owner = StorageOwner::new(self.storage.id, self.state_directory(), self.incarnation);
        let before = StorageOwner::of(root)?.filter(|before| self.is_copy_of(before));
        if let Some(before) = before
            && !self.is_inside(root)
        {
            let (root, owner) = (root.to_owned(), Box::new(before));
            return Err(owner::Error::Copied { root, owner }.into());
        }
        Ok(StorageClaim { root: root.to_owned(), owner, is_known, claimed: Mutex::default() })
    }

    /// Whether the files in a results directory without an owner are of this state, which an older
    /// version has written there.
    fn knows_results(&self, root: &Path) -> Result<bool, Error> {
        let results = self.journal.index().map_err(|source| self.journal_error(source))?;
        Ok(self.is_inside(root) || results.parts.iter().any(|part| root.join(part.path()).exists()))
    }

    /// The same for a directory of checkpoints.
    async fn knows_checkpoints(&self, root: &Path) -> Result<bool, Error> {
        let stored = self.checkpoints.list().await?;
        let view = |state: &State| {
            (state.checkpoints(), state.sweeps.values().any(|sweep| sweep.next > 0))
        };
        let (referenced, has_begun) = self.handle.read(view).await?;
        let refers = stored.iter().any(|stored| referenced.contains(&stored.digest));
        Ok(refers || (self.is_inside(root) && (has_begun || stored.is_empty())))
    }

    /// Brings the results in step with the journal.
    pub(crate) fn recover_results(&self) -> Result<(), Error> {
        self.check_results()?;
        if self.sink.is_claimed_later() {
            return Ok(());
        }
        let index = self.journal.index().map_err(|source| self.journal_error(source))?;
        let cleared = index.removed;
        if !cleared.is_empty() {
            // Their sweep was deleted, and then the process ended.
            self.dataset.remove_parts(&cleared).map_err(|source| self.unusable(source))?;
            let change = PartChange { cleared, ..PartChange::default() };
            self.journal.install(&change).map_err(|source| self.journal_error(source))?;
        }
        let known = self.journal.view().and_then(|view| read_journal_contents(&*view));
        let known = known.map_err(|source| self.journal_error(source))?;
        let recovered = self.dataset.recover(&known, &orphan_suffix());
        log_recovery(&recovered.map_err(|source| self.unusable(source))?);
        Ok(())
    }

    /// Removes checkpoints that were put and never committed, and those whose removal a crash
    /// prevented. Those that were put under another journal are set aside.
    pub(crate) async fn recover_checkpoints(&self) {
        let last = {
            let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
            let is_bucket = matches!(self.storage.checkpoints, StorageUrl::Bucket(_));
            if claims.is_empty() && !is_bucket {
                return;
            }
            claims.iter().find_map(StorageClaim::last_incarnation)
        };
        let view = move |state: &State| {
            let is_known = last.is_none_or(|last| state.incarnations.contains(last));
            (state.checkpoints(), is_known)
        };
        let Ok(stored) = self.checkpoints.list().await else { return };
        let Ok((referenced, is_known)) = self.handle.read(view).await else { return };
        // What was put under a start that the journal does not know is not of this history.
        let ours_until = if is_known { self.latest + SLACK } else { Timestamp::default() };
        let unreferenced = stored.iter().filter(|stored| !referenced.contains(&stored.digest));
        let (mut count, mut place) = (0, None);
        for stored in unreferenced {
            // A file of such a name that holds something else is nobody's checkpoint.
            if stored.written <= ours_until && self.checkpoints.get(stored.digest).await.is_ok() {
                self.remove_checkpoint(stored.digest).await;
                continue;
            }
            match self.checkpoints.set_aside(stored.digest, &orphan_suffix()).await {
                Ok(moved) => (count, place) = (count + 1, Some(moved)),
                Err(error) => {
                    let digest = stored.digest;
                    tracing::warn!(error = report(&error), %digest, "a checkpoint stays");
                }
            }
        }
        if let Some(place) = place {
            tracing::warn!(
                place,
                count,
                "the journal does not know these checkpoints, which are newer than it: they were not removed, but set aside"
            );
        }
    }

    /// The state directory, from wherever a process runs.
    fn state_directory(&self) -> PathBuf {
        let state = &self.settings.state;
        paths::resolve(state)
    }

    /// Whether a journal is there and not ours by another name, such as behind a link.
    fn is_original(&self, journal: &Path) -> bool {
        let file = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let found = file(journal);
        found.is_some() && found != file(&self.settings.journal())
    }

    fn is_inside(&self, root: &Path) -> bool {
        root.starts_with(self.state_directory())
    }

    fn journal_lost(&self, place: &StorageUrl) -> Error {
        Error::JournalLost { journal: self.settings.journal(), place: place.to_string() }
    }

    fn journal_error(&self, source: rheo_store::Error) -> Error {
        Error::Journal { path: self.settings.journal(), source }
    }

    fn unusable(&self, source: dataset::Error) -> Error {
        Error::Results { place: self.dataset.location(), source }
    }
}
