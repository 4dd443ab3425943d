//! `rheo status`: shows the phase, counts and best point of sweeps.

use std::collections::BTreeMap;

use rheo_core::machine::{BestPoint, SweepView, TrialCounts, TrialStatus, UnfitWorker, WorkerView};
use rheo_core::ranking::Aggregate;
use rheo_core::sweep::{SweepEndReason, TrialOutcome};
use rheo_proto::v1;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, describe, format};
use crate::client::{Client, Overview};

/// The largest number of seeds listed for a point.
const MAX_SEEDS: u32 = 32;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`; all if none is given.
    sweep: Option<SweepSelector>,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let Overview { mut sweeps, last_error, unfit, state } = client.overview().await?;
    if let Some(word) = args.sweep.as_ref().filter(|word| **word != SweepSelector::All) {
        let name = select::one(&mut client, word).await?;
        // A request by name makes an unknown sweep an error.
        sweeps = vec![client.sweep(&name).await?.0];
    }
    let mut damaged = client.damaged_sweeps().await?;
    let workers = client.worker_views().await?;
    damaged.retain(|damaged| sweeps.iter().any(|sweep| sweep.name.as_str() == damaged.sweep));
    if as_json {
        let sweeps: Vec<Value> = sweeps.iter().map(json).collect();
        let damaged = damaged.iter().map(|damaged| {
            let v1::DamagedSweep { sweep, parts, example } = damaged;
            json!({ "sweep": sweep, "parts": parts, "example": example })
        });
        let value = json!({
            "state_id": state,
            "running": client.is_live,
            "trouble": last_error,
            "damaged": damaged.collect::<Vec<Value>>(),
            "sweeps": sweeps,
            "unfit": unfit,
            "shortfalls": shortfalls(&workers).map(|(view, shortfall)| json!({
                "worker": view.id,
                "host": view.worker.info.host,
                "pid": view.worker.info.pid,
                "text": shortfall,
            })).collect::<Vec<Value>>(),
        });
        return Ok(format::print_json(&value)?);
    }
    if sweeps.is_empty() {
        format::note("no sweep was submitted yet");
    } else {
        format::print(table(&sweeps))?;
        if let (Some(_), [sweep]) = (&args.sweep, sweeps.as_slice()) {
            seeds(&mut client, sweep).await?;
        }
    }
    if let (None, Some(state)) = (&args.sweep, state) {
        format::print(format!("\nState: {state}"))?;
    }
    if let Some(last_error) = last_error {
        format::note(format!(
            "rows are safe in the journal, but cannot be written to Parquet files: {last_error}"
        ));
    }
    for v1::DamagedSweep { sweep, parts, example } in damaged {
        format::note(format!(
            "WARNING: {sweep}: {parts} files of its results are missing or damaged, such as {example}; queries over it are refused; `rheo verify` lists them, `rheo verify --repair` has the trials in them start over"
        ));
    }
    print_unfit(&sweeps, &unfit);
    print_shortfalls(&workers);
    super::launch::print_idle_causes(&client.fleets().await?);
    let unfinished = sweeps.iter().any(|sweep| sweep.ended.is_none());
    if !client.is_live && unfinished {
        format::note(no_coordinator_hint(global));
    }
    Ok(())
}

/// Returns the message that no coordinator runs, with the commands that continue the sweep.
pub(super) fn no_coordinator_hint(global: &GlobalArgs) -> String {
    let rheo = global.rheo();
    format!(
        "no coordinator runs here: `{rheo} run FILE` continues on this machine, `{rheo} launch` on others"
    )
}

/// The largest number of causes printed.
const MAX_CAUSES: usize = 8;

/// Returns the present workers that offer less than requested, each with its shortfall.
fn shortfalls(workers: &[WorkerView]) -> impl Iterator<Item = (&WorkerView, &String)> {
    let present = workers.iter().filter(|view| view.worker.departed.is_none());
    present.flat_map(|view| view.worker.info.shortfalls.iter().map(move |text| (view, text)))
}

/// Prints the workers that offer less than requested.
fn print_shortfalls(workers: &[WorkerView]) {
    let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (view, text) in shortfalls(workers) {
        let info = &view.worker.info;
        texts.entry(text).or_default().push(format!("{} on {}", info.pid, info.host));
    }
    for (text, workers) in texts.iter().take(MAX_CAUSES) {
        let more = workers.len() - 1;
        let more = if more > 0 { format!(" (and {more} more workers)") } else { String::new() };
        format::note(format!("worker {} {text}{more}", workers[0]));
    }
}

/// Prints the workers that get no trials, with the reason.
fn print_unfit(sweeps: &[SweepView], unfit: &[UnfitWorker]) {
    for sweep in sweeps {
        if let Some(no_fit) = &sweep.no_fit {
            let (name, cause) = (&sweep.name, &no_fit.cause);
            format::note(format!("{name}: no worker can run the waiting trials: {cause}"));
        }
    }
    let mut causes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for worker in unfit {
        let left = if worker.left { ", left" } else { "" };
        let name = format!("{} on {}{left}", worker.pid, worker.host);
        causes.entry(&worker.cause).or_default().push(name);
    }
    for (cause, workers) in causes.iter().take(MAX_CAUSES) {
        let (first, more) = (&workers[0], workers.len() - 1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format::note(format!("unfit: worker {first}{more}: {cause}"));
    }
}

/// Returns a table with one sweep per line.
pub(super) fn table(sweeps: &[SweepView]) -> comfy_table::Table {
    let mut table = format::table(&[
        "SWEEP",
        "PHASE",
        "TRIALS",
        "DONE",
        "RUNNING",
        "WAITING",
        "DIVERGED",
        "FAILED",
        "LEFT",
        "BEST",
        "SUBMITTED",
    ]);
    format::align_right(&mut table, &[2, 3, 4, 5, 6, 7]);
    for sweep in sweeps {
        let TrialCounts { trials, running, waiting, queued, diverged, failed, parked, .. } =
            sweep.counts;
        let done = sweep.counts.ended() - diverged - failed;
        table.add_row([
            sweep.name.to_string(),
            describe::phase(sweep),
            trials.to_string(),
            done.to_string(),
            running.to_string(),
            (waiting + queued + parked).to_string(),
            diverged.to_string(),
            failed.to_string(),
            sweep.estimate.as_ref().map_or_else(|| "-".to_owned(), format::remaining),
            best(sweep),
            format::local_time(sweep.submitted),
        ]);
    }
    table
}

fn best(sweep: &SweepView) -> String {
    let best_point =
        |best| format!("{} {}", sweep.metric, describe::best_point(best, sweep.aggregate));
    sweep.best.as_ref().map_or_else(|| "-".to_owned(), best_point)
}

/// Prints the seeds of the best point with their values.
async fn seeds(client: &mut Client, sweep: &SweepView) -> Result<(), Failure> {
    let Some(best) = sweep.best.as_ref().filter(|best| best.seeds > 1) else { return Ok(()) };
    let page = u32::try_from(best.seeds).unwrap_or(u32::MAX).min(MAX_SEEDS);
    let (trials, _) = client.trials(&sweep.name, &[], best.trial, page).await?;
    let trials = trials.iter().map(|seen| &seen.trial).filter(|trial| trial.point == best.point);
    let seeds = trials.map(|trial| {
        let value =
            trial.objective.filter(|_| trial.status == TrialStatus::Ended(TrialOutcome::Completed));
        let value = value.map_or_else(|| trial.status.name().to_owned(), format::number);
        format!("{value} (trial {}, seed {})", trial.id.index, trial.seed)
    });
    let seeds: Vec<String> = seeds.collect();
    Ok(format::print(format!("\nSeeds of point {}: {}", best.point, seeds.join(", ")))?)
}

/// Returns a sweep as JSON for programs.
pub(super) fn json(sweep: &SweepView) -> Value {
    json!({
        "name": sweep.name,
        "description": sweep.description,
        "phase": sweep.phase.name(),
        "idle": sweep.idle,
        "reason": sweep.reason.map(SweepEndReason::name),
        "submitted": format::utc(Some(sweep.submitted)),
        "ended": format::utc(sweep.ended),
        "counts": sweep.counts,
        "metric": sweep.metric,
        "maximize": sweep.maximize,
        "aggregate": sweep.aggregate.name(),
        "no_fit": sweep.no_fit.as_ref().map(|no_fit| &no_fit.cause),
        "best": sweep.best.as_ref().map(best_json),
        "left": sweep.estimate.as_ref().map(|estimate| json!({
            "low_s": estimate.low.as_secs_f64(),
            "likely_s": estimate.likely.as_secs_f64(),
            "high_s": estimate.high.as_secs_f64(),
        })),
    })
}

fn best_json(best: &BestPoint) -> Value {
    let Aggregate { value, mean, sd, lowest, highest } = best.aggregate;
    json!({
        "point": best.point,
        "trial": best.trial,
        "swept": best.swept,
        "completed": best.completed,
        "seeds": best.seeds,
        "value": value,
        "mean": mean,
        "sd": sd,
        "lowest": lowest,
        "highest": highest,
    })
}
