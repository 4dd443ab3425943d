//! A directory that a state claims, and what is told of the files in it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rheo_core::id::IncarnationId;
use rheo_core::time::{Clock as _, Timestamp};
use rheo_query::dataset::{JournalContents, RecoveryReport};
use rheo_store::owner::{self, DirectoryClaim, StorageOwner};
use rheo_store::{JournalView, PendingFilter};

use crate::clock::SystemClock;
use crate::damage::log_damage;
use crate::report::report;

/// A directory that this state is to own while its coordinator runs.
#[derive(Debug)]
pub(crate) struct StorageClaim {
    pub(crate) root: PathBuf,
    pub(crate) owner: StorageOwner,
    /// Whether files in a directory that nobody owns are this state's.
    pub(crate) is_known: bool,
    pub(crate) claimed: Mutex<Option<DirectoryClaim>>,
}

impl StorageClaim {
    /// The start of the coordinator that claimed the directory before this one, if it is claimed.
    pub(crate) fn last_incarnation(&self) -> Option<IncarnationId> {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.as_ref()?.before.as_ref()?.incarnation
    }

    /// Claims the directory, if that was not done.
    pub(crate) fn take(&self) -> Result<(), owner::Error> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.is_none() {
            *claimed = Some(self.owner.claim(&self.root, || self.is_known)?);
        }
        Ok(())
    }
}

/// Takes a claim; false if the disk does not let it be taken now.
pub(crate) fn take_if_writable(claim: &StorageClaim) -> Result<bool, owner::Error> {
    match claim.take() {
        Err(error) if error.is_disk_failure() => {
            let error = report(&error);
            tracing::warn!(error, "the directory is used when it can be written");
            Ok(false)
        }
        taken => taken.map(|()| true),
    }
}

/// What a journal knows of the rows of its dataset.
pub(crate) fn read_journal_contents(
    view: &dyn JournalView,
) -> Result<JournalContents, rheo_store::Error> {
    let mut known = JournalContents::new(view.index()?.parts);
    view.pending(&PendingFilter::default(), &mut |pending| {
        let (table, sweep, rows) = (pending.table, pending.trial.sweep, pending.rows);
        known.add_pending(table, sweep, pending.key.position, rows);
        ControlFlow::Continue(())
    })?;
    Ok(known)
}

/// The ending of the names of what is set aside today.
pub(crate) fn orphan_suffix() -> String {
    let now = SystemClock::new(Timestamp::default()).now().0;
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now).unwrap_or(i64::MAX));
    let date = now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    format!("orphaned-{date}")
}

/// Says what was removed, what was set aside, and what is damaged.
pub(crate) fn log_recovery(recovered: &RecoveryReport) {
    for path in &recovered.removed {
        tracing::info!(path, "removed what an interrupted write left");
    }
    log_damage(&recovered.damaged);
    if let Some(place) = &recovered.aside {
        let (parts, first) = (recovered.set_aside.len(), recovered.set_aside.first());
        tracing::warn!(
            place,
            parts,
            first = first.map(String::as_str).unwrap_or_default(),
            "the journal does not know these results: they were not removed, but set aside. If the journal was restored from a backup, they are newer than it"
        );
    }
}
