//! `rheo delete`: deletes sweeps with their results and checkpoints, and frees their names.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use rheo_core::machine::SweepView;
use rheo_proto::admin::DiskUsage;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, format};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names of sweeps, `last` or `all`.
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<SweepSelector>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    if !args.yes && !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nothing was deleted: there is no terminal to ask on; `--yes` deletes without asking",
        ));
    }
    let mut client = global.connect().await?;
    let mut names = select::some(&mut client, &args.sweeps).await?;
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let usage = client.disk_usage().await?;
    let mut deleted = Vec::new();
    for name in names {
        // A request by name makes an unknown sweep an error.
        let (sweep, _) = client.sweep(&name).await?;
        if !args.yes && !confirm(&question(&sweep, &usage))? {
            format::note(format!("{name} was not deleted"));
            continue;
        }
        if !client.delete(&name).await? {
            format::note(format!(
                "{name}: some files are removed later, when the queries that read them have ended"
            ));
        }
        deleted.push(name);
    }
    if as_json {
        let deleted = deleted.iter().map(|name| json!({ "sweep": name, "deleted": true }));
        return Ok(format::print_json(&Value::Array(deleted.collect()))?);
    }
    for name in deleted {
        format::print(format!("{name} deleted"))?;
    }
    Ok(())
}

/// Formats the question that names what is deleted.
fn question(sweep: &SweepView, usage: &DiskUsage) -> String {
    let usage = usage.sweeps.iter().find(|usage| usage.sweep == sweep.name);
    let (results, checkpoints) =
        usage.map_or((0, 0), |usage| (usage.results + usage.pending, usage.checkpoints));
    format!(
        "delete sweep {}: {} of {} trials have ended, {} of results, {} of checkpoints? [y/N] ",
        sweep.name,
        sweep.counts.ended(),
        sweep.counts.trials,
        format::bytes(results),
        format::bytes(checkpoints)
    )
}

#[expect(clippy::print_stderr, reason = "a question to the person at the terminal")]
fn confirm(question: &str) -> Result<bool, Failure> {
    eprint!("{question}");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.context("the answer cannot be read from standard input")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
