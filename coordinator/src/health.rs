//! What a running coordinator notices about its own files: parts of the results that are missing or
//! damaged, and a state directory that is no longer in its place.
//!
//! Damage concerns one sweep: it is said at the start and by `rheo status`, queries over the sweep
//! are refused, and everything else goes on. Without the state directory nothing can go on.

use std::sync::Arc;

use rheo_query::dataset::DamagedPart;
use tokio_util::sync::CancellationToken;

use crate::app::Coordinator;
use crate::damage::DamagedSweep;
use crate::report::report;

impl Coordinator {
    /// The sweeps of which parts are known to be missing or damaged. Files that can be looked at
    /// without a network are.
    pub(crate) async fn damaged_sweeps(&self) -> Vec<DamagedSweep> {
        let (journal, dataset) = (Arc::clone(&self.journal), Arc::clone(&self.dataset));
        let look = move || {
            let Ok(parts) = journal.parts() else { return Vec::new() };
            if dataset.is_local()
                && let Err(error) = dataset.find_absent(&parts)
            {
                tracing::warn!(error = report(&error), "the results cannot be listed");
            }
            let mut damaged = dataset.damaged();
            damaged.retain(|damaged| parts.contains(&damaged.part));
            damaged
        };
        let parts: Vec<DamagedPart> = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        DamagedSweep::of(&parts)
    }

    /// Whether the journal is no longer where it was opened; then the coordinator stops.
    pub(crate) async fn has_journal_moved(&self, stop: &CancellationToken) -> bool {
        let journal = Arc::clone(&self.journal);
        let checked = tokio::task::spawn_blocking(move || journal.check_location()).await;
        let Ok(Err(error @ rheo_store::Error::Moved { .. })) = checked else { return false };
        let text = format!(
            "the state directory `{}` is not where it was: {}; workers keep what they have not delivered",
            self.settings().state.display(),
            report(&error)
        );
        tracing::error!("{text}");
        // Whoever comes first says why.
        let _ = self.fatal.set(text);
        stop.cancel();
        true
    }
}
