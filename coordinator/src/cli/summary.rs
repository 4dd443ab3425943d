//! What a sweep has come to: a leaderboard, robustness, and where the results are.

use std::path::Path;
use std::time::Duration;

use rheo_core::id::SweepName;
use rheo_core::machine::{Status, SweepView};
use rheo_query::output::{Format, Size};
use rheo_query::report;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::{env, format, point, query, standing};
use crate::client::Client;
use crate::shell;

/// Points on the leaderboard.
const LEADERS: usize = 24;

/// Failed trials that are named.
const FAILED: u32 = 5;

/// Prints everything about a sweep that has ended.
pub(super) async fn print(
    client: &mut Client,
    sweep: &SweepView,
    (state, place): (&Path, &str),
) -> Result<(), Failure> {
    let counts = sweep.counts;
    let ended = sweep.ended.map(|ended| ended.since(sweep.submitted));
    let took = ended.map(|took| format!(" in {}", format::duration(took))).unwrap_or_default();
    format::print(format!(
        "{} {}: {} of {} trials completed{}{took}",
        sweep.name,
        standing::phase(sweep),
        counts.completed,
        counts.trials,
        others(sweep),
    ))?;
    failures(client, sweep, state).await?;
    if counts.completed + counts.diverged > 0 {
        leaderboard(client, sweep).await?;
        robustness(client, &sweep.name).await?;
    }
    results(&sweep.name, state, place)
}

fn others(sweep: &SweepView) -> String {
    let counts = sweep.counts;
    let some = [
        (counts.diverged, "diverged"),
        (counts.pruned, "pruned"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
    ];
    let some = some.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!(", {count} {what}")).collect()
}

async fn failures(client: &mut Client, sweep: &SweepView, state: &Path) -> Result<(), Failure> {
    if sweep.counts.failed == 0 {
        return Ok(());
    }
    let failed = [Status::Ended(rheo_core::sweep::Outcome::Failed)];
    let (trials, _) = client.trials(&sweep.name, &failed, 0, FAILED).await?;
    for seen in trials {
        let error = seen.trial.error.unwrap_or_default();
        format::print(format!("  {} failed: {error}", seen.trial.id))?;
    }
    let (name, rheo) = (&sweep.name, command(state));
    Ok(format::print(format!(
        "`{rheo} retry {name} --failed` queues failed trials again, and running the sweep again tries them; `{rheo} trials {name} --status failed` lists them"
    ))?)
}

async fn leaderboard(client: &mut Client, sweep: &SweepView) -> Result<(), Failure> {
    let sql = report::leaderboard_sql(&sweep.name, LEADERS);
    let mut answer = Vec::new();
    query::print(client, &sql, Format::Json, &mut answer, Size::default()).await?;
    let leaders: Vec<Leader> = serde_json::from_slice(&answer).map_err(anyhow::Error::from)?;
    let has_replicates = leaders.iter().any(|leader| leader.seeds > 1);
    format::print(format!(
        "\nLeaderboard, by {} ({}{})",
        sweep.metric,
        if sweep.maximize { "larger is better" } else { "smaller is better" },
        if has_replicates { ", mean over the completed seeds of a point" } else { "" },
    ))?;
    let points = leaders.first().map_or(0, |leader| leader.points);
    let shown = leaders.len() as u64;
    format::print(if has_replicates { by_point(leaders)? } else { by_trial(leaders)? })?;
    match points.saturating_sub(shown) {
        0 => Ok(()),
        more => Ok(format::print(format!("... and {more} more"))?),
    }
}

/// A line for each point, beside its seeds: how many there are, their spread and their trials.
fn by_point(leaders: Vec<Leader>) -> Result<comfy_table::Table, Failure> {
    let mut table = format::table(&[
        "RANK", "POINT", "MEAN", "SD", "SEEDS", "LOWEST", "HIGHEST", "TRIALS", "VALUES", "OUTCOME",
    ]);
    format::numbers(&mut table, &[0, 1, 2, 3, 4, 5, 6]);
    for leader in leaders {
        let first = leader.point * leader.seeds;
        table.add_row([
            leader.rank.to_string(),
            leader.point.to_string(),
            or_dash(leader.mean),
            or_dash(leader.sd),
            format!("{}/{}", leader.completed, leader.seeds),
            or_dash(leader.lowest),
            or_dash(leader.highest),
            format!("{first}-{}", first + leader.seeds - 1),
            leader.values()?,
            leader.outcome,
        ]);
    }
    Ok(table)
}

/// A line for each point of a sweep with one seed: its only trial.
fn by_trial(leaders: Vec<Leader>) -> Result<comfy_table::Table, Failure> {
    let mut table = format::table(&["RANK", "TRIAL", "METRIC", "VALUES", "OUTCOME", "TIME"]);
    format::numbers(&mut table, &[0, 1, 2, 5]);
    for leader in leaders {
        let time = leader.wall_s.and_then(|wall| Duration::try_from_secs_f64(wall).ok());
        table.add_row([
            leader.rank.to_string(),
            leader.first_trial.to_string(),
            or_dash(leader.mean),
            leader.values()?,
            leader.outcome,
            time.map_or_else(|| "-".to_owned(), format::duration),
        ]);
    }
    Ok(table)
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), format::number)
}

/// What the leaderboard shows of a point.
#[derive(serde::Deserialize)]
struct Leader {
    rank: u64,
    point: u64,
    first_trial: u64,
    outcome: String,
    seeds: u64,
    completed: u64,
    mean: Option<f64>,
    sd: Option<f64>,
    lowest: Option<f64>,
    highest: Option<f64>,
    wall_s: Option<f64>,
    swept: String,
    /// All points of the sweep of which a trial has ended.
    points: u64,
}

impl Leader {
    fn values(&self) -> Result<String, Failure> {
        let swept: Map<String, Value> =
            serde_json::from_str(&self.swept).map_err(anyhow::Error::from)?;
        Ok(point::short(&swept.into_iter().collect()))
    }
}

async fn robustness(client: &mut Client, sweep: &SweepName) -> Result<(), Failure> {
    format::print(
        "\nTest accuracy by perturbation, mean over seeds; the best point of each kind of network",
    )?;
    let sql = report::robustness_sql(sweep);
    query::print(client, &sql, Format::Table, std::io::stdout(), Size::default()).await
}

/// Where the results are, and two ways to look further.
fn results(sweep: &SweepName, state: &Path, place: &str) -> Result<(), Failure> {
    let rheo = command(state);
    format::print(format!("\nThe results are Parquet files in {place}"))?;
    format::print("Ask them anything, for example:\n")?;
    format::print(format!("  {rheo} query \"{}\"", report::points_sql(sweep)))?;
    Ok(format::print(format!("  {rheo} query \"{}\"", report::curves_sql(sweep)))?)
}

/// How this program is called on this state directory.
fn command(state: &Path) -> String {
    if state == Path::new(super::DEFAULT_STATE) {
        return env::program();
    }
    format!("{} --state {}", env::program(), shell::path(state))
}
