//! Ownership of results and checkpoints: one state owns them, and no other writes or removes them.
//!
//! [`Coordinator::check_storage`] only reads, also for commands without a running coordinator;
//! [`Coordinator::claim_storage`] claims the storage for a coordinator that starts. A file is
//! removed only if its content is elsewhere, and set aside if the journal does not know it.

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

/// The age after the journal's latest time from which an unreferenced checkpoint belongs to another
/// journal: workers renew leases every second, so the latest time is recent.
const SLACK: Duration = Duration::from_secs(5);

impl Coordinator {
    /// Refuses a state directory whose results or checkpoints belong to another journal; changes
    /// nothing. A start does not check buckets here, because claiming them gives the better
    /// error.
    pub(crate) async fn check_storage(&self, has_buckets_asked: bool) -> Result<(), Error> {
        let checking = self.clone();
        let check = move || checking.check(has_buckets_asked);
        let checked = tokio::task::spawn_blocking(check).await;
        checked.unwrap_or(Err(engine::Error::Stopping.into()))
    }

    fn check(&self, has_buckets_asked: bool) -> Result<(), Error> {
        for place in [&self.storage.results, &self.storage.checkpoints] {
            let StorageUrl::Directory(root) = place else { continue };
            let owner = StorageOwner::of(root)?.filter(|owner| owner.state != self.storage.id);
            let Some(owner) = owner else { continue };
            // Files in the state directory are this state's, so the journal is the wrong one.
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
            // A bucket that does not answer may still be this state's.
            Err(Error::Results { source: dataset::Error::Object { .. }, .. }) => Ok(()),
            checked => checked,
        }
    }

    /// Refuses a journal that names no part although there are results.
    fn check_results(&self) -> Result<(), Error> {
        let read = || {
            let view = self.journal.view()?;
            let index = view.index()?;
            if !index.parts.is_empty() {
                return Ok(None);
            }
            // Parts of a deleted sweep are known, and will be removed.
            let mut known = read_journal_contents(&*view)?;
            known.parts = index.removed;
            Ok(Some(known))
        };
        let read: Result<Option<JournalContents>, rheo_store::Error> = read();
        let Some(known) = read.map_err(|source| self.journal_error(source))? else {
            return Ok(());
        };
        let unknown = self.dataset.unknown_files(&known);
        let unknown = unknown.map_err(|source| self.unusable(source))?;
        let (Some(first), place) = (unknown.first(), &self.storage.results) else {
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

    /// Refuses an empty results directory if the journal names parts in it.
    fn check_results_exist(&self) -> Result<(), Error> {
        let parts = self.journal.parts().map_err(|source| self.journal_error(source))?.len();
        if parts == 0 || !self.dataset.is_gone() {
            return Ok(());
        }
        Err(Error::ResultsGone { results: self.dataset.location(), parts })
    }

    /// Claims the storage, unless this process has: for commands that remove files without a
    /// running
    /// coordinator.
    pub(crate) async fn claim_storage_at_rest(&self) -> Result<(), Error> {
        let has_checkpoints =
            !self.claims.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if has_checkpoints || self.sink.has_claim() {
            return Ok(());
        }
        self.claim_storage().await
    }

    /// Claims the results and checkpoints, so that no other state writes there.
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
                self.sink.set_claim(claim);
            } else {
                self.sink.claim_before_write(claim);
            }
        }
        if let StorageUrl::Directory(root) = &self.storage.checkpoints {
            let claim = self.claim(root, self.knows_checkpoints(root).await?)?;
            if take_if_writable(&claim)? {
                // Held until the process ends.
                self.claims.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
            }
        }
        // Last, so that a refused location is not stored and can be corrected.
        Ok(self.storage.remember(&self.settings.state)?)
    }

    /// Claims a bucket, and warns if its last owner is a start that this journal does not know.
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

    /// Whether this state is a copy and its original still exists in the directory of `before`.
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

    /// Whether the files in a results directory without an owner belong to this state: older
    /// versions
    /// recorded no owner.
    fn knows_results(&self, root: &Path) -> Result<bool, Error> {
        let results = self.journal.index().map_err(|source| self.journal_error(source))?;
        Ok(self.is_inside(root) || results.parts.iter().any(|part| root.join(part.path()).exists()))
    }

    /// Whether the files in a checkpoint directory without an owner belong to this state.
    async fn knows_checkpoints(&self, root: &Path) -> Result<bool, Error> {
        let stored = self.checkpoints.list().await?;
        let view = |state: &State| {
            (state.checkpoints(), state.sweeps.values().any(|sweep| sweep.next > 0))
        };
        let (referenced, has_begun) = self.handle.read(view).await?;
        let refers = stored.iter().any(|stored| referenced.contains(&stored.digest));
        Ok(refers || (self.is_inside(root) && (has_begun || stored.is_empty())))
    }

    /// Recovers the results: removes or sets aside files that the journal does not name.
    pub(crate) fn recover_results(&self) -> Result<(), Error> {
        self.check_results()?;
        if self.sink.is_claim_pending() {
            return Ok(());
        }
        let index = self.journal.index().map_err(|source| self.journal_error(source))?;
        let cleared = index.removed;
        if !cleared.is_empty() {
            // The process ended after the deletion of their sweep.
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

    /// Removes uncommitted checkpoints and those whose removal a crash prevented. Checkpoints of
    /// another journal are set aside.
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
        // Uploads under a start that the journal does not know belong to another history.
        let ours_until = if is_known { self.latest + SLACK } else { Timestamp::default() };
        let unreferenced = stored.iter().filter(|stored| !referenced.contains(&stored.digest));
        let (mut count, mut place) = (0, None);
        for stored in unreferenced {
            // A damaged file is set aside, because its content is unknown.
            if stored.written <= ours_until && self.checkpoints.get(stored.digest).await.is_ok() {
                self.remove_checkpoint(stored.digest).await;
                continue;
            }
            match self.checkpoints.set_aside(stored.digest, &orphan_suffix()).await {
                Ok(moved) => (count, place) = (count + 1, Some(moved)),
                Err(error) => {
                    let digest = stored.digest;
                    tracing::warn!(error = report(&error), %digest, "cannot set a checkpoint aside");
                }
            }
        }
        if let Some(place) = place {
            tracing::warn!(
                place,
                count,
                "the journal does not know these checkpoints, which are newer than it: they were set aside, not removed"
            );
        }
    }

    /// Returns the absolute path of the state directory.
    fn state_directory(&self) -> PathBuf {
        let state = &self.settings.state;
        paths::resolve(state)
    }

    /// Whether a journal exists that is not this state's under another name, such as a link.
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
