//! `rheo trials`: lists the trials of a sweep, page by page.

use rheo_core::machine::{TrialStatus, TrialView};
use rheo_core::progress::Progress;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, format, point};
use crate::client::TrialWithProgress;

/// Trials per page.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
    /// Only trials with this status: queued, waiting, running, parked, completed, diverged, pruned,
    /// cancelled or failed; may be given several times.
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    status: Vec<TrialStatus>,
    /// Most trials to list; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

fn parse_status(text: &str) -> Result<TrialStatus, String> {
    TrialStatus::parse(text).ok_or_else(|| format!("no trial has the status `{text}`"))
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let limit = if args.limit == 0 { u64::MAX } else { args.limit };
    let (mut from, mut left) = (Some(0), limit);
    let mut list = TrialList::begin(as_json)?;
    while let Some(at) = from.filter(|_| left > 0) {
        let page = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let (trials, next) = client.trials(&sweep, &args.status, at, page).await?;
        left -= trials.len() as u64;
        from = next;
        list.add(&trials)?;
    }
    list.end()?;
    if from.is_some() && !as_json {
        format::note(format!("only the first {limit} are listed: --limit 0 lists all"));
    }
    Ok(())
}

/// Prints pages as they arrive, so that a million trials need little memory.
struct TrialList {
    json: bool,
    count: u64,
}

impl TrialList {
    fn begin(json: bool) -> Result<Self, Failure> {
        if json {
            format::write("[")?;
        }
        Ok(Self { json, count: 0 })
    }

    fn add(&mut self, trials: &[TrialWithProgress]) -> Result<(), Failure> {
        if self.json {
            for seen in trials {
                let gap = if self.count == 0 { "\n  " } else { ",\n  " };
                format::write(format_args!("{gap}{}", json(seen)))?;
                self.count += 1;
            }
            return Ok(());
        }
        if trials.is_empty() {
            return Ok(());
        }
        self.count += trials.len() as u64;
        Ok(format::print(table(trials))?)
    }

    fn end(self) -> Result<(), Failure> {
        if self.json {
            format::print("\n]")?;
        } else if self.count == 0 {
            format::note("no such trial");
        }
        Ok(())
    }
}

fn table(trials: &[TrialWithProgress]) -> comfy_table::Table {
    let header = ["TRIAL", "STATUS", "POINT", "SEED", "ATTEMPT", "METRIC", "PROGRESS"];
    let mut table = format::table(&header);
    format::align_right(&mut table, &[3, 4, 5]);
    for TrialWithProgress { trial, progress } in trials {
        table.add_row([
            trial.id.to_string(),
            trial.status.name().to_owned(),
            point::short(&trial.swept),
            trial.seed.to_string(),
            if trial.attempt == 0 { "-".to_owned() } else { trial.attempt.to_string() },
            trial.objective.map_or_else(|| "-".to_owned(), format::number),
            remark(trial, progress.as_ref()),
        ]);
    }
    table
}

/// Formats the progress or the error of a trial.
fn remark(trial: &TrialView, progress: Option<&Progress>) -> String {
    match (trial.status, progress) {
        (TrialStatus::Running, Some(progress)) => describe_progress(progress),
        (TrialStatus::Running, None) => "starting".to_owned(),
        _ => trial.error.clone().unwrap_or_default(),
    }
}

/// Formats progress in words.
pub(super) fn describe_progress(progress: &Progress) -> String {
    let Progress { fraction, epoch, epochs, metrics, phase } = progress;
    let metrics =
        metrics.iter().map(|(metric, value)| format!("{} {}", metric, format::number(*value)));
    let parts = [format!("{:3.0} %", fraction * 100.0), format!("epoch {epoch}/{epochs}")];
    let phase = (phase != "training").then(|| phase.to_string());
    parts.into_iter().chain(phase).chain(metrics).collect::<Vec<_>>().join("  ")
}

/// Returns a trial as JSON for programs.
pub(super) fn json(TrialWithProgress { trial, progress }: &TrialWithProgress) -> Value {
    let progress = progress.as_ref().map(|progress| {
        json!({
            "fraction": progress.fraction,
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "phase": progress.phase,
            "metrics": progress.metrics,
        })
    });
    json!({
        "trial": trial.id.to_string(),
        "sweep": trial.id.sweep,
        "index": trial.id.index,
        "status": trial.status.name(),
        "swept": trial.swept,
        "seed": trial.seed,
        "point": trial.point,
        "attempt": trial.attempt,
        "worker": trial.worker,
        "not_before": format::utc(trial.not_before),
        "started": format::utc(trial.started),
        "ended": format::utc(trial.ended),
        "objective": trial.objective,
        "checkpoint": trial.checkpoint,
        "error": trial.error,
        "progress": progress,
    })
}
