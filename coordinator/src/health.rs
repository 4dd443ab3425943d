//! What a running coordinator notices about its own files: parts of the results that are missing or
//! damaged, and a state directory that is no longer in its place.
//!
//! Damage concerns one sweep: it is said at the start and by `rheo status`, queries over the sweep
//! are refused, and everything else goes on. Without the state directory nothing can go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use rheo_core::id::SweepName;
use rheo_query::dataset::DamagedPart;
use tokio_util::sync::CancellationToken;

use crate::app::Coordinator;
use crate::report::report;

/// A sweep of which parts are missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DamagedSweep {
    /// The sweep.
    pub sweep: SweepName,
    /// How many of its parts are.
    pub parts: u64,
    /// One of them, and what is wrong with it.
    pub example: String,
}

impl DamagedSweep {
    /// `parts` by sweep.
    fn of(parts: &[DamagedPart]) -> Vec<Self> {
        let mut sweeps: BTreeMap<&SweepName, Vec<&DamagedPart>> = BTreeMap::new();
        for part in parts {
            sweeps.entry(&part.part.sweep).or_default().push(part);
        }
        let damaged = sweeps.into_iter().filter_map(|(sweep, parts)| {
            let first = parts.first()?;
            Some(Self {
                sweep: sweep.clone(),
                parts: parts.len() as u64,
                example: format!("`{}` {}", first.file, first.detail()),
            })
        });
        damaged.collect()
    }
}

/// Says which sweeps have lost parts, and what to do.
pub(crate) fn tell_damage(parts: &[DamagedPart]) {
    for DamagedSweep { sweep, parts, example } in DamagedSweep::of(parts) {
        tracing::error!(
            %sweep,
            "{parts} files of its results are missing or damaged, such as {example}; queries over this sweep are refused, other sweeps go on; `rheo verify` lists the damage, `rheo verify --repair` has the trials in it start over"
        );
    }
}

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
    pub(crate) async fn has_lost_its_place(&self, stop: &CancellationToken) -> bool {
        let journal = Arc::clone(&self.journal);
        let checked = tokio::task::spawn_blocking(move || journal.check_place()).await;
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
