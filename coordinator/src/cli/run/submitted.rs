//! Sweeps that others handed to the coordinator of `rheo run` while it worked: submitted, resumed or
//! retried. Those that an earlier command left unfinished are not among them.

use std::collections::BTreeSet;

use rheo_core::id::SweepName;
use rheo_core::machine::{SweepPhase, SweepView};
use rheo_core::spec;
use rheo_model::networks;

use super::{RunSession, slots};
use crate::cli::failure::Failure;
use crate::cli::format;
use crate::client::Client;

/// Runs what was handed over, one sweep after the other, until nothing is left of it.
pub(super) async fn run(session: &mut RunSession<'_>, client: &mut Client) -> Result<(), Failure> {
    let mut refused = BTreeSet::new();
    while let Some(sweep) = next(session, client, &refused).await? {
        let name = sweep.name.clone();
        let left = sweep.counts.trials - sweep.counts.ended();
        let (_, source) = client.sweep(&name).await?;
        // Rules may have become stricter since it was submitted.
        let parsed = spec::parse(&networks::workloads(), name.as_str(), &source);
        let threads = parsed.map_or(1, |parsed| parsed.definition.most_threads());
        let slots = match slots(session.args, threads) {
            Ok(slots) => slots,
            Err(failure) => {
                format::note(format!("{name} was handed over: {:#}", failure.into_error()));
                refused.insert(name);
                continue;
            }
        };
        format::note(format!(
            "{name} was handed over and is run now: {left} trials (an interrupt stops it)"
        ));
        let followed = session.follow(client, slots, sweep).await;
        session.local_workers.stop().await;
        match followed {
            Ok(sweep) => {
                let (ended, trials) = (sweep.counts.ended(), sweep.counts.trials);
                format::note(format!("{name}: {ended} of {trials} trials have ended"));
            }
            // The outcome of the command is that of its own sweep.
            Err(failure) => {
                format::note(format!("{name} is given up here: {:#}", failure.into_error()));
                refused.insert(name);
            }
        }
    }
    Ok(())
}

/// The next sweep that somebody wants and that has trials to start.
async fn next(
    session: &RunSession<'_>,
    client: &mut Client,
    refused: &BTreeSet<SweepName>,
) -> Result<Option<SweepView>, Failure> {
    let wanted = session.running.coordinator.live.wanted();
    let (sweeps, _) = client.sweeps().await?;
    Ok(sweeps.into_iter().find(|sweep| {
        sweep.phase == SweepPhase::Running
            && wanted.contains(&sweep.name)
            && !refused.contains(&sweep.name)
    }))
}
