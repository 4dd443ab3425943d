//! Prints the summary of a sweep: outcome, leaderboard, robustness, and location of the results.

use std::time::Duration;

use rheo_core::machine::SweepView;
use rheo_core::ranking::AggregateRule;
use rheo_query::output::{Format, TableSize};

use super::failure::Failure;
use super::{describe, format, point};
use crate::client::Client;
use crate::leaderboard::{Leader, Leaderboard};
use crate::query_reply;
use crate::summary::SweepSummary;

/// The state and results of a sweep, for the commands that a summary prints.
pub(super) struct RunLocation<'a> {
    /// The shell words that start this program on the state directory.
    pub(super) rheo: &'a str,
    /// The directory or bucket of the results, for people.
    pub(super) results: &'a str,
}

/// Prints the summary of a sweep that has ended.
pub(super) async fn print(
    client: &mut Client,
    sweep: &SweepView,
    location: RunLocation<'_>,
) -> Result<(), Failure> {
    let summary = SweepSummary::of(client, sweep).await?;
    let counts = sweep.counts;
    let took = summary.took.map(|took| format!(" in {}", format::duration(took)));
    format::print(format!(
        "{} {}: {} of {} trials completed{}{}",
        sweep.name,
        describe::phase(sweep),
        counts.completed,
        counts.trials,
        other_counts(sweep),
        took.unwrap_or_default(),
    ))?;
    print_failures(&summary, location.rheo)?;
    if let Some(board) = &summary.leaderboard {
        format::print("\n")?;
        print_leaderboard(board)?;
    }
    if let Some(sql) = summary.robustness_sql() {
        format::print(
            "\nTest accuracy by perturbation, mean over seeds; the best point of each kind of network",
        )?;
        query_reply::write(client, &sql, Format::Table, std::io::stdout(), TableSize::default())
            .await?;
    }
    print_results(&summary, &location)
}

fn other_counts(sweep: &SweepView) -> String {
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

fn print_failures(summary: &SweepSummary, rheo: &str) -> Result<(), Failure> {
    if summary.failures.is_empty() {
        return Ok(());
    }
    for failed in &summary.failures {
        format::print(format!("  {} failed: {}", failed.trial, failed.error))?;
    }
    let name = &summary.sweep.name;
    Ok(format::print(format!(
        "`{rheo} retry {name} --failed` queues failed trials again, and running the sweep again tries them; `{rheo} trials {name} --status failed` lists them"
    ))?)
}

/// Prints the leaderboard of a sweep.
pub(super) fn print_leaderboard(board: &Leaderboard) -> Result<(), Failure> {
    let has_replicates = board.has_replicates();
    format::print(format!(
        "Leaderboard, by {} ({}{})",
        board.metric,
        if board.maximize { "larger is better" } else { "smaller is better" },
        if has_replicates { rule(board.aggregate) } else { "" },
    ))?;
    format::print(if has_replicates { by_point(board) } else { by_trial(&board.leaders) })?;
    match board.further {
        0 => Ok(()),
        more => Ok(format::print(format!("... and {more} more"))?),
    }
}

/// Describes the rule by which points are ranked.
fn rule(aggregate: AggregateRule) -> &'static str {
    match aggregate {
        AggregateRule::Mean => ", mean over the completed seeds of a point",
        AggregateRule::Median => ", median of the completed seeds of a point",
        AggregateRule::LowerBound => {
            ", 95 % confidence bound of the mean over the completed seeds of a point"
        }
    }
}

/// Returns a table with one point per line: the number, spread and trials of its seeds. The column
/// that ranks the points comes first, unless it is the mean.
fn by_point(board: &Leaderboard) -> comfy_table::Table {
    let value = match board.aggregate {
        AggregateRule::Mean => None,
        AggregateRule::Median => Some("MEDIAN"),
        AggregateRule::LowerBound => Some("BOUND"),
    };
    let header = ["RANK", "POINT"]
        .into_iter()
        .chain(value)
        .chain(["MEAN", "SD", "SEEDS", "LOWEST", "HIGHEST", "TRIALS", "VALUES", "OUTCOME"]);
    let header: Vec<&str> = header.collect();
    let mut table = format::table(&header);
    format::align_right(&mut table, &(0..header.len() - 3).collect::<Vec<_>>());
    for leader in &board.leaders {
        let first = leader.point * leader.seeds;
        let mut row = vec![leader.rank.to_string(), leader.point.to_string()];
        row.extend(value.map(|_| or_dash(leader.value)));
        row.extend([
            or_dash(leader.mean),
            or_dash(leader.sd),
            format!("{}/{}", leader.completed, leader.seeds),
            or_dash(leader.lowest),
            or_dash(leader.highest),
            format!("{first}-{}", first + leader.seeds - 1),
            point::short(&leader.swept),
            leader.outcome.clone(),
        ]);
        table.add_row(row);
    }
    table
}

/// Returns a table with one trial per line, for a sweep with one seed.
fn by_trial(leaders: &[Leader]) -> comfy_table::Table {
    let mut table = format::table(&["RANK", "TRIAL", "METRIC", "VALUES", "OUTCOME", "TIME"]);
    format::align_right(&mut table, &[0, 1, 2, 5]);
    for leader in leaders {
        let time = leader.wall_s.and_then(|wall| Duration::try_from_secs_f64(wall).ok());
        table.add_row([
            leader.rank.to_string(),
            leader.first_trial.to_string(),
            or_dash(leader.mean),
            point::short(&leader.swept),
            leader.outcome.clone(),
            time.map_or_else(|| "-".to_owned(), format::duration),
        ]);
    }
    table
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), format::number)
}

/// Prints the location of the results and two example queries.
fn print_results(summary: &SweepSummary, location: &RunLocation<'_>) -> Result<(), Failure> {
    let rheo = location.rheo;
    format::print(format!("\nThe results are Parquet files in {}", location.results))?;
    format::print("Query them, for example:\n")?;
    for sql in summary.examples() {
        format::print(format!("  {rheo} query \"{sql}\""))?;
    }
    Ok(())
}
