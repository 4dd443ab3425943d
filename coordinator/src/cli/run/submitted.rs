//! Runs the sweeps that other commands submitted, resumed or retried while `rheo run` worked.
//! Sweeps that an earlier command left unfinished are not among them.

use std::collections::BTreeSet;

use rheo_core::id::SweepName;
use rheo_core::machine::{SweepPhase, SweepView};
use rheo_core::spec;
use rheo_model::networks;

use super::{RunSession, slots};
use crate::cli::failure::Failure;
use crate::cli::format;
use crate::client::Client;

/// Runs the submitted sweeps one after the other until none is left.
pub(super) async fn run(session: &mut RunSession<'_>, client: &mut Client) -> Result<(), Failure> {
    let mut refused = BTreeSet::new();
    while let Some(sweep) = next(session, client, &refused).await? {
        let name = sweep.name.clone();
        let left = sweep.counts.trials - sweep.counts.ended();
        let (_, source) = client.sweep(&name).await?;
        // The rules may have become stricter since the sweep was submitted.
        let parsed = spec::parse(&networks::workloads(), name.as_str(), &source);
        let threads = parsed.map_or(1, |parsed| parsed.definition.max_threads());
        let slots = match slots(session.args, threads) {
            Ok(slots) => slots,
            Err(failure) => {
                format::note(format!(
                    "{name} was submitted, but cannot run here: {:#}",
                    failure.into_error()
                ));
                refused.insert(name);
                continue;
            }
        };
        format::note(format!(
            "{name} was submitted meanwhile and runs now: {left} trials (an interrupt stops it)"
        ));
        let followed = session.follow(client, slots, sweep).await;
        session.local_workers.stop().await;
        match followed {
            Ok(sweep) => {
                let (ended, trials) = (sweep.counts.ended(), sweep.counts.trials);
                format::note(format!("{name}: {ended} of {trials} trials have ended"));
            }
            // Only the command's own sweep decides its exit code.
            Err(failure) => {
                format::note(format!(
                    "{name} does not run here any longer: {:#}",
                    failure.into_error()
                ));
                refused.insert(name);
            }
        }
    }
    Ok(())
}

/// Returns the next requested sweep that has trials to start.
async fn next(
    session: &RunSession<'_>,
    client: &mut Client,
    refused: &BTreeSet<SweepName>,
) -> Result<Option<SweepView>, Failure> {
    let wanted = session.running.coordinator.live.requested_sweeps();
    let (sweeps, _) = client.sweeps().await?;
    Ok(sweeps.into_iter().find(|sweep| {
        sweep.phase == SweepPhase::Running
            && wanted.contains(&sweep.name)
            && !refused.contains(&sweep.name)
    }))
}
