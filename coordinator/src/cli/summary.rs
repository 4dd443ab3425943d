//! What a sweep has come to: a leaderboard, robustness, and where the results are.

use std::path::Path;
use std::time::Duration;

use rheo_core::id::SweepName;
use rheo_core::metric::Goal;
use rheo_core::sweep::{Status, SweepView};
use rheo_query::output::{Format, Size};
use rheo_query::report;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::{env, format, point, query, status};
use crate::client::Client;
use crate::shell;

/// Trials on the leaderboard.
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
        status::phase(sweep),
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
    let goal = if sweep.maximize { Goal::Maximize } else { Goal::Minimize };
    format::print(format!(
        "\nLeaderboard, by {} ({})",
        sweep.metric,
        if sweep.maximize { "larger is better" } else { "smaller is better" }
    ))?;
    let sql = report::leaderboard_sql(&sweep.name, goal, LEADERS);
    let mut answer = Vec::new();
    query::print(client, &sql, Format::Json, &mut answer, Size::default()).await?;
    let leaders: Vec<Leader> = serde_json::from_slice(&answer).map_err(anyhow::Error::from)?;
    let mut table = format::table(&["TRIAL", "METRIC", "SEED", "POINT", "STATUS", "TIME"]);
    format::numbers(&mut table, &[0, 1, 2, 5]);
    for leader in leaders {
        let swept: Map<String, Value> =
            serde_json::from_str(&leader.swept).map_err(anyhow::Error::from)?;
        let time = leader.wall_s.and_then(|wall| Duration::try_from_secs_f64(wall).ok());
        table.add_row([
            leader.trial.to_string(),
            leader.objective.map_or_else(|| "-".to_owned(), format::number),
            leader.seed.to_string(),
            point::short(&swept.into_iter().collect()),
            leader.status,
            time.map_or_else(|| "-".to_owned(), format::duration),
        ]);
    }
    format::print(table)?;
    match sweep.counts.trials.saturating_sub(LEADERS as u64) {
        0 => Ok(()),
        more => Ok(format::print(format!("... and {more} more"))?),
    }
}

/// What the leaderboard shows of a trial.
#[derive(serde::Deserialize)]
struct Leader {
    trial: u64,
    seed: u64,
    objective: Option<f64>,
    swept: String,
    status: String,
    wall_s: Option<f64>,
}

async fn robustness(client: &mut Client, sweep: &SweepName) -> Result<(), Failure> {
    format::print("\nTest accuracy by network and perturbation, mean over trials")?;
    let sql = report::robustness_sql(sweep);
    query::print(client, &sql, Format::Table, std::io::stdout(), Size::default()).await
}

/// Where the results are, and two ways to look further.
fn results(sweep: &SweepName, state: &Path, place: &str) -> Result<(), Failure> {
    let rheo = command(state);
    format::print(format!("\nThe results are Parquet files in {place}"))?;
    format::print("Ask them anything, for example:\n")?;
    format::print(format!(
        "  {rheo} query \"select net, avg(test_accuracy) as accuracy, count(*) as trials from trials where sweep = '{sweep}' group by net order by accuracy desc\""
    ))?;
    Ok(format::print(format!(
        "  {rheo} query \"select net, epoch, avg(val_loss) as val_loss from epochs where sweep = '{sweep}' group by net, epoch order by net, epoch\""
    ))?)
}

/// How this program is called on this state directory.
fn command(state: &Path) -> String {
    if state == Path::new(super::DEFAULT_STATE) {
        return env::program();
    }
    format!("{} --state {}", env::program(), shell::path(state))
}
