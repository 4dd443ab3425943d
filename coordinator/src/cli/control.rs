//! `rheo pause`, `resume`, `cancel` and `retry`: all idempotent.

use rheo_core::machine::{SweepPhase, SweepView, TrialSelection};
use serde_json::Value;

use super::failure::Failure;
use super::select::{self, SweepSelector, TrialSelector};
use super::{GlobalArgs, format, status};
use crate::client::Client;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names of sweeps, `last` or `all`.
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<SweepSelector>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// A sweep, or trials of one, as in `demo/3` or `demo/1-3,7`.
    #[arg(value_name = "SWEEP[/TRIALS]")]
    trials: TrialSelector,
    /// All that failed; the default for a sweep.
    #[arg(long, conflicts_with = "cancelled")]
    failed: bool,
    /// All that were cancelled.
    #[arg(long)]
    cancelled: bool,
}

pub(super) async fn pause(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let mut changed = Vec::new();
    for sweep in select::some(&mut client, &args.sweeps).await? {
        changed.push(client.pause(&sweep).await?);
    }
    print_sweeps(global, &client, &changed)
}

pub(super) async fn resume(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let mut changed = Vec::new();
    for sweep in select::some(&mut client, &args.sweeps).await? {
        changed.push(client.resume(&sweep).await?);
    }
    print_sweeps(global, &client, &changed)
}

pub(super) async fn cancel(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let mut changed = Vec::new();
    for sweep in select::some(&mut client, &args.sweeps).await? {
        changed.push(client.cancel(&sweep).await?);
    }
    print_sweeps(global, &client, &changed)
}

pub(super) async fn retry(global: &GlobalArgs, args: &RetryArgs) -> Result<(), Failure> {
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.trials.sweep).await?;
    let selection = match (&args.trials.trials, args.cancelled, args.failed) {
        (Some(_), true, _) | (Some(_), _, true) => {
            return Err(Failure::usage("name trials or give --failed or --cancelled, not both"));
        }
        (Some(trials), ..) => TrialSelection::Trials(trials.clone()),
        (None, true, _) => TrialSelection::Cancelled,
        (None, false, _) => TrialSelection::Failed,
    };
    let (sweep, retried) = client.retry(&sweep, selection).await?;
    format::note(match retried {
        0 => format!("no trial of {} is to be tried again", sweep.name),
        1 => "1 trial is queued again".to_owned(),
        many => format!("{many} trials are queued again"),
    });
    print_sweeps(global, &client, &[sweep])
}

fn print_sweeps(global: &GlobalArgs, client: &Client, sweeps: &[SweepView]) -> Result<(), Failure> {
    if !client.is_live && sweeps.iter().any(|sweep| sweep.phase == SweepPhase::Running) {
        format::note(status::no_coordinator_hint(global));
    }
    if global.json()? {
        let sweeps = sweeps.iter().map(status::json).collect();
        return Ok(format::print_json(&Value::Array(sweeps))?);
    }
    Ok(format::print(status::table(sweeps))?)
}
