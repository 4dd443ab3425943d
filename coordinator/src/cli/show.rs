//! `rheo show`: shows one trial with its attempts and configuration.

use rheo_core::id::TrialId;
use rheo_core::machine::TrialStatus;
use rheo_query::output::{Format, TableSize};
use serde_json::Value;

use super::failure::Failure;
use super::select::{self, TrialSelector};
use super::{GlobalArgs, format, point, preview, trials};
use crate::client::{Client, TrialWithProgress};
use crate::query_reply;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trial, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialSelector,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let (seen, config) = client.trial(&id).await?;
    let config: Value = serde_json::from_str(&config).unwrap_or_default();
    if as_json {
        let mut value = trials::json(&seen);
        value["config"] = config;
        return Ok(format::print_json(&value)?);
    }
    print_facts(&seen)?;
    print_attempts(&mut client, &id).await?;
    format::print("\nConfiguration")?;
    Ok(format::print(preview::yaml_like(&config, 1))?)
}

fn print_facts(seen: &TrialWithProgress) -> Result<(), Failure> {
    let trial = &seen.trial;
    format::print(format!("{}: {}", trial.id, describe_status(seen)))?;
    format::print(format!(
        "  point {}: {} seed={}",
        trial.point,
        point::short(&trial.swept),
        trial.seed
    ))?;
    let lines = [
        ("metric", trial.objective.map(format::number)),
        ("started", trial.started.map(format::local_time)),
        ("ended", trial.ended.map(format::local_time)),
        ("worker", trial.worker.map(|worker| worker.to_string())),
        ("checkpoint", trial.checkpoint.map(|digest| digest.to_string())),
        ("error", trial.error.clone()),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            format::print(format!("  {name}: {value}"))?;
        }
    }
    Ok(())
}

/// Formats the status of a trial and the reason for it.
fn describe_status(TrialWithProgress { trial, progress }: &TrialWithProgress) -> String {
    match trial.status {
        TrialStatus::Queued => {
            "queued; it starts when a worker is free and the trials before it have started"
                .to_owned()
        }
        TrialStatus::Waiting => format!(
            "waiting for attempt {}, not before {}",
            trial.attempt + 1,
            trial.not_before.map(format::local_time).unwrap_or_default()
        ),
        TrialStatus::Running => format!(
            "running, attempt {}{}",
            trial.attempt,
            progress
                .as_ref()
                .map(|progress| format!(": {}", trials::describe_progress(progress)))
                .unwrap_or_default()
        ),
        TrialStatus::Parked => format!(
            "parked after attempt {}; it resumes from its checkpoint once it is among the best at \
             its rung",
            trial.attempt
        ),
        TrialStatus::Ended(outcome) => {
            format!(
                "{} after {} attempt{}",
                outcome.name(),
                trial.attempt,
                if trial.attempt == 1 { "" } else { "s" }
            )
        }
    }
}

async fn print_attempts(client: &mut Client, id: &TrialId) -> Result<(), Failure> {
    format::print("\nEnded attempts")?;
    let sql = format!(
        "SELECT attempt, outcome, host, started, wall_s, first_epoch, last_epoch, commits, error \
         FROM attempts WHERE sweep = '{}' AND trial = {} ORDER BY attempt",
        id.sweep, id.index
    );
    Ok(query_reply::write(client, &sql, Format::Table, std::io::stdout(), TableSize::default())
        .await?)
}
