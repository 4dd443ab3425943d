//! `rheo preview`: checks a sweep file and shows its trials, without running any.

use std::path::PathBuf;
use std::sync::Arc;

use rheo_core::definition::{NoImprovement, StopRules, SweepDefinition};
use rheo_core::history::History;
use rheo_core::plan::{PlanEndReason, PlannedTrial};
use rheo_core::sampler::Suggestion;
use rheo_core::sweep::PlannedSweep;
use rheo_model::networks;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{GlobalArgs, dataset, format, point, submit};

/// The number of trials whose epochs are examined to describe early stopping.
const EXAMINED_TRIALS: u64 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sweep file.
    file: PathBuf,
    /// Number of trials to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    trials: u64,
    #[command(flatten)]
    data: dataset::DataArgs,
}

pub(super) fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let (_, parsed) = submit::read(&args.file)?;
    let reason = parsed.method_reason;
    let planned = PlannedSweep::new(parsed.definition, &networks::workloads());
    let shown = first_trials(&planned, args.trials);
    let missing = args.data.check(&planned)?;
    if as_json {
        return Ok(format::print_json(&json(&planned, &shown, &missing))?);
    }
    print_definition(&planned.definition, &planned)?;
    if let Some(reason) = reason {
        let method = planned.definition.method.name();
        format::print(format!("\nmethod: auto stands for {method}: {reason}"))?;
    }
    print_trials(&planned, &shown)?;
    if let Some(trial) = shown.first() {
        format::print(format!("\nThe whole configuration of trial {}:", trial.index))?;
        format::print(yaml_like(&trial.resolved, 1))?;
    }
    for missing in missing {
        format::note(format!("warning: {missing}"));
    }
    Ok(())
}

/// Returns the first `count` trials in the order in which they would be suggested, without those
/// whose points depend on results.
fn first_trials(planned: &PlannedSweep, count: u64) -> Vec<PlannedTrial> {
    let mut history: History = planned.plan.history();
    let mut trials = Vec::new();
    for index in 0..count.min(planned.plan.blind_trials()) {
        let new: Option<Suggestion> = planned.new_suggestion(&history, index);
        if let Some(suggestion) = &new {
            history.record_suggestion(suggestion);
        }
        trials.extend(planned.trial(&history, index).map(Arc::unwrap_or_clone));
    }
    trials
}

fn print_definition(definition: &SweepDefinition, planned: &PlannedSweep) -> Result<(), Failure> {
    let trials = planned.plan.trials();
    let seeds = definition.seeds.len();
    let points = planned
        .plan
        .points()
        .map_or("infinitely many points".to_owned(), |points| format!("{points} points"));
    let capped = match planned.plan.end_reason() {
        PlanEndReason::Exhausted => String::new(),
        PlanEndReason::RunCap => ", capped by run_cap".to_owned(),
    };
    format::print(format!(
        "{}: {trials} trials ({points} x {seeds} seeds{capped}) by {}, to {} {}",
        definition.name,
        definition.method.name(),
        definition.objective.goal.name(),
        definition.objective.name,
    ))?;
    if let Some(description) = &definition.description {
        format::print(description)?;
    }
    for line in early_termination(planned) {
        format::print(line)?;
    }
    if !definition.stop.is_empty() {
        format::print(stop_rules(&definition.stop))?;
    }
    let mut table = format::table(&["\nPARAMETER", "\nVALUES", "\nWHEN"]);
    for parameter in &definition.space.parameters {
        let when = parameter.when.iter().map(|condition| {
            let values = condition.values.iter().map(point::plain).collect::<Vec<_>>();
            format!("{} is {}", condition.path, values.join(" or "))
        });
        let when = when.collect::<Vec<_>>().join(" and ");
        table.add_row([parameter.path.clone(), parameter.domain.to_string(), when]);
    }
    Ok(format::print(table)?)
}

/// Returns the lines about the rule by which trials stop early.
fn early_termination(planned: &PlannedSweep) -> Vec<String> {
    let Some(rule) = &planned.definition.early_terminate else { return Vec::new() };
    let mut lines = rule.describe(epochs(planned));
    if let Some(first) = lines.first_mut() {
        *first = format!("Early stopping by {first}");
    }
    lines
}

/// Returns a sentence about the rules that end the sweep early.
fn stop_rules(rules: &StopRules) -> String {
    let rules = [
        rules.trials.map(|trials| format!("{trials} ended or paused trials")),
        rules.epochs.map(|epochs| format!("{epochs} committed epochs")),
        rules.wall_time.map(|seconds| format!("{seconds} s since the first trial started")),
        rules.worker_hours.map(|hours| format!("{hours} worker hours")),
        rules.no_improvement.map(|NoImprovement { points, min_delta }| {
            let delta = if min_delta > 0.0 { format!(" by {min_delta}") } else { String::new() };
            format!("{points} points without an improvement{delta}")
        }),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    format!("Ends after {}", rules.join(", or after "))
}

/// Returns the largest number of epochs among the first trials.
fn epochs(planned: &PlannedSweep) -> Option<u32> {
    let trials = first_trials(planned, EXAMINED_TRIALS);
    trials.iter().map(|trial| trial.terms.epochs).max().flatten()
}

fn print_trials(planned: &PlannedSweep, shown: &[PlannedTrial]) -> Result<(), Failure> {
    let mut table = format::table(&["\nTRIAL", "\nPOINT", "\nSEED"]);
    format::align_right(&mut table, &[0, 2]);
    for trial in shown {
        table.add_row([
            trial.index.to_string(),
            point::short(&trial.swept),
            trial.seed.to_string(),
        ]);
    }
    format::print(table)?;
    let more = planned.plan.trials() - shown.len() as u64;
    if more > 0 {
        let depends = planned.plan.blind_trials() < planned.plan.trials();
        let why = if depends { ", chosen by the results of those before them" } else { "" };
        format::print(format!("... and {more} more{why}"))?;
    }
    Ok(())
}

/// Formats a configuration similarly to YAML, without nulls and empty maps.
pub(super) fn yaml_like(value: &Value, depth: usize) -> String {
    let Value::Object(fields) = value else { return point::plain(value) };
    let indent = "  ".repeat(depth);
    let mut text = String::new();
    for (name, value) in fields {
        match value {
            Value::Object(_) => {
                // An empty map is left out.
                let inner = yaml_like(value, depth + 1);
                if !inner.is_empty() {
                    text += &format!("{indent}{name}:\n{inner}");
                }
            }
            Value::Null => {}
            value => text += &format!("{indent}{name}: {}\n", point::plain(value)),
        }
    }
    text
}

fn json(planned: &PlannedSweep, shown: &[PlannedTrial], missing: &[String]) -> Value {
    let trial = |trial: &PlannedTrial| {
        json!({
            "index": trial.index,
            "point": trial.point,
            "seed": trial.seed,
            "swept": trial.swept,
            "config": trial.resolved,
        })
    };
    json!({
        "name": planned.definition.name,
        "method": planned.definition.method,
        "objective": planned.definition.objective,
        "trials": planned.plan.trials(),
        "points": planned.plan.points(),
        "seeds": planned.definition.seeds,
        "parameters": planned.definition.space.parameters,
        "early_terminate": planned.definition.early_terminate,
        "stop": planned.definition.stop,
        "missing_data": missing,
        "first": shown.iter().map(trial).collect::<Vec<_>>(),
    })
}
