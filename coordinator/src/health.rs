//! Checks a running coordinator's own files: missing or damaged parts, and a moved state directory.
//!
//! Damage concerns one sweep: it is logged at the start and shown by `rheo status`, and queries of
//! the sweep are refused, while everything else continues. A moved state directory ends the
//! process.

use std::sync::Arc;

use rheo_query::dataset::DamagedPart;
use tokio_util::sync::CancellationToken;

use crate::app::Coordinator;
use crate::damage::DamagedSweep;
use crate::report::report;

impl Coordinator {
    /// Returns the sweeps with parts known to be missing or damaged. Local files are checked for
    /// existence.
    pub(crate) async fn damaged_sweeps(&self) -> Vec<DamagedSweep> {
        let (journal, dataset) = (Arc::clone(&self.journal), Arc::clone(&self.dataset));
        let look = move || {
            let Ok(parts) = journal.parts() else { return Vec::new() };
            if dataset.is_local()
                && let Err(error) = dataset.find_absent(&parts)
            {
                tracing::warn!(error = report(&error), "cannot list the results");
            }
            let mut damaged = dataset.damaged();
            damaged.retain(|damaged| parts.contains(&damaged.part));
            damaged
        };
        let parts: Vec<DamagedPart> = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        DamagedSweep::of(&parts)
    }

    /// Whether the journal was moved or removed; if so, the coordinator stops.
    pub(crate) async fn has_journal_moved(&self, stop: &CancellationToken) -> bool {
        let journal = Arc::clone(&self.journal);
        let checked = tokio::task::spawn_blocking(move || journal.check_location()).await;
        let Ok(Err(error @ rheo_store::Error::Moved { .. })) = checked else { return false };
        let text = format!(
            "the state directory `{}` was moved or removed: {}; workers keep undelivered commits",
            self.settings().state.display(),
            report(&error)
        );
        tracing::error!("{text}");
        // The first error is kept.
        let _ = self.fatal.set(text);
        stop.cancel();
        true
    }
}
