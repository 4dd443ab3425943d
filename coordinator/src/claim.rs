//! Claims of directories by a state, and the log of their recovery.

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

/// A directory that this state claims while its coordinator runs.
#[derive(Debug)]
pub(crate) struct StorageClaim {
    pub(crate) root: PathBuf,
    pub(crate) owner: StorageOwner,
    /// Whether the files in a directory without an owner belong to this state.
    pub(crate) is_known: bool,
    pub(crate) claimed: Mutex<Option<DirectoryClaim>>,
}

impl StorageClaim {
    /// Returns the previous start that claimed the directory, once this one has claimed it.
    pub(crate) fn last_incarnation(&self) -> Option<IncarnationId> {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.as_ref()?.before.as_ref()?.incarnation
    }

    /// Claims the directory, unless it is already claimed.
    pub(crate) fn take(&self) -> Result<(), owner::Error> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.is_none() {
            *claimed = Some(self.owner.claim(&self.root, || self.is_known)?);
        }
        Ok(())
    }
}

/// Takes a claim; false if the disk cannot be written now.
pub(crate) fn take_if_writable(claim: &StorageClaim) -> Result<bool, owner::Error> {
    match claim.take() {
        Err(error) if error.is_disk_failure() => {
            let error = report(&error);
            tracing::warn!(error, "a directory cannot be written: it is used as soon as it can");
            Ok(false)
        }
        taken => taken.map(|()| true),
    }
}

/// Reads the parts and pending rows that a journal has.
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

/// Returns the suffix of files that are set aside today.
pub(crate) fn orphan_suffix() -> String {
    let now = SystemClock::new(Timestamp::default()).now().0;
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now).unwrap_or(i64::MAX));
    let date = now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    format!("orphaned-{date}")
}

/// Logs the files that were removed, set aside, or found damaged.
pub(crate) fn log_recovery(recovered: &RecoveryReport) {
    for path in &recovered.removed {
        tracing::info!(path, "removed the file of an interrupted write");
    }
    log_damage(&recovered.damaged);
    if let Some(place) = &recovered.aside {
        let (parts, first) = (recovered.set_aside.len(), recovered.set_aside.first());
        tracing::warn!(
            place,
            parts,
            first = first.map(String::as_str).unwrap_or_default(),
            "the journal does not know these results: they were set aside, not removed. If the journal was restored from a backup, they are newer than it"
        );
    }
}
