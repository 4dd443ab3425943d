//! Disk usage of a state, by sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rheo_core::id::{Digest, SweepName};
use rheo_core::machine::State;
use rheo_core::sweep::Sweep;
use rheo_proto::admin::{DiskUsage, SweepUsage};
use rheo_proto::refusal::{self, Reason};
use rheo_store::{Journal, PartIndex, PendingFilter};
use tonic::Status;

use crate::app::Coordinator;
use crate::report::report;

/// Measures the disk usage.
pub(crate) async fn measure(coordinator: &Coordinator) -> Result<DiskUsage, Status> {
    let refused =
        |error: &dyn std::error::Error| refusal::status(&Reason::Storage, report(error), None);
    let sizes = coordinator.checkpoints.sizes().await.map_err(|error| refused(&error))?;
    let kept = coordinator.handle.read(checkpoints).await?;
    let journal = Arc::clone(&coordinator.journal);
    let read = tokio::task::spawn_blocking(move || read_row_sizes(&*journal)).await;
    let read = read.map_err(|error| Status::internal(error.to_string()))?;
    let (index, pending) = read.map_err(|error| refused(&error))?;
    let state = &coordinator.settings.state;
    let file = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut usage = DiskUsage {
        journal: file(&coordinator.settings.journal()),
        spool: directory_size(&state.join("spool")),
        logs: directory_size(&state.join("logs")),
        unused: index.removed.iter().map(|part| part.bytes).sum(),
        sweeps: Vec::with_capacity(kept.len()),
    };
    let mut parts: BTreeMap<&SweepName, u64> = BTreeMap::new();
    for part in &index.parts {
        *parts.entry(&part.sweep).or_default() += part.bytes;
    }
    // Equal checkpoints of two sweeps are one file and count once.
    let mut counted = BTreeSet::new();
    for (sweep, digests) in &kept {
        let own = digests.iter().filter(|digest| counted.insert(**digest));
        let own: Vec<u64> = own.filter_map(|digest| sizes.get(digest).copied()).collect();
        usage.sweeps.push(SweepUsage {
            results: parts.get(sweep).copied().unwrap_or(0),
            pending: pending.get(sweep).copied().unwrap_or(0),
            checkpoints: own.iter().sum(),
            count: own.len() as u64,
            sweep: sweep.clone(),
        });
    }
    let unused = sizes.iter().filter(|(digest, _)| !counted.contains(digest));
    usage.unused += unused.map(|(_, bytes)| bytes).sum::<u64>();
    Ok(usage)
}

/// Returns the parts, and the pending bytes of each sweep.
fn read_row_sizes(
    journal: &dyn Journal,
) -> Result<(PartIndex, BTreeMap<SweepName, u64>), rheo_store::Error> {
    let view = journal.view()?;
    let mut pending: BTreeMap<SweepName, u64> = BTreeMap::new();
    view.pending(&PendingFilter::default(), &mut |rows| {
        *pending.entry(rows.trial.sweep).or_default() += rows.ipc.len() as u64;
        ControlFlow::Continue(())
    })?;
    Ok((view.index()?, pending))
}

/// Returns the checkpoints of each sweep, in the order of submission.
fn checkpoints(state: &State) -> Vec<(SweepName, BTreeSet<Digest>)> {
    let sweeps = state.order.iter().filter_map(|name| state.sweeps.get(name));
    sweeps.map(|sweep: &Sweep| (sweep.name().clone(), sweep.checkpoints())).collect()
}

/// Returns the size of all files below a directory; 0 if it does not exist.
fn directory_size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => directory_size(&entry.path()),
            Ok(found) => found.len(),
            // The file was removed in between.
            Err(_) => 0,
        })
        .sum()
}
