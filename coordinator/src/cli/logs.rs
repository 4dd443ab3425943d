//! `rheo logs`: prints the log and the outcome of each attempt of a trial.

use std::collections::BTreeMap;

use rheo_core::id::TrialId;
use rheo_core::log::LogLine;
use rheo_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, TrialSelector};
use super::{GlobalArgs, format};
use crate::client::{Client, RunningAttempt};
use crate::query_reply;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A trial, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialSelector,
    /// Only this attempt, from 1; all if none is given.
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

/// An attempt with its log.
#[derive(Debug, Default)]
struct AttemptLog {
    /// The worker and the start; none if the attempt runs or its row was lost.
    start: Option<AttemptStart>,
    end: Option<AttemptEnd>,
    lines: Vec<LogRow>,
}

#[derive(Debug)]
struct AttemptStart {
    worker: String,
    host: String,
    pid: Option<u32>,
    started: u64,
}

#[derive(Debug)]
struct AttemptEnd {
    outcome: String,
    at: u64,
    error: Option<String>,
}

/// A row of `attempts`.
#[derive(Deserialize)]
struct AttemptRow {
    attempt: u32,
    outcome: String,
    worker: String,
    host: String,
    pid: Option<u32>,
    started_ms: u64,
    ended_ms: u64,
    error: Option<String>,
}

/// A row of `logs`.
#[derive(Debug, Deserialize)]
struct LogRow {
    attempt: u32,
    #[serde(rename = "line")]
    number: u32,
    time_ms: u64,
    level: String,
    message: String,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    // Before the durable lines, so that lines which become durable in between are not missed.
    let (seen, running) = client.trial_with_attempt(&id).await?;
    let mut attempts = read_durable(&mut client, &id).await?;
    if let Some(running) = running {
        add_running(&mut attempts, running);
    }
    if let Some(wanted) = args.attempt {
        attempts.retain(|number, _| *number == wanted);
        if attempts.is_empty() {
            return Err(Failure::usage(format!("{id} has no attempt {wanted}")));
        }
    }
    if as_json {
        let attempts: Vec<Value> =
            attempts.iter().map(|(number, attempt)| json(*number, attempt)).collect();
        return Ok(format::print_json(&json!({
            "trial": id.to_string(),
            "status": seen.trial.status.name(),
            "error": seen.trial.error,
            "attempts": attempts,
        }))?);
    }
    if attempts.is_empty() {
        format::note(format!("{id} is {}: it has no attempt yet", seen.trial.status.name()));
    }
    for (number, attempt) in &attempts {
        print(&id, *number, attempt)?;
    }
    Ok(())
}

async fn read_durable(
    client: &mut Client,
    id: &TrialId,
) -> Result<BTreeMap<u32, AttemptLog>, Failure> {
    let of = format!("sweep = '{}' AND trial = {}", id.sweep, id.index);
    let mut attempts: BTreeMap<u32, AttemptLog> = BTreeMap::new();
    let sql = format!(
        "SELECT attempt, outcome, worker, host, pid, cast(started AS bigint) AS started_ms, \
         cast(ended AS bigint) AS ended_ms, error FROM attempts WHERE {of} ORDER BY attempt"
    );
    for row in query_reply::rows::<AttemptRow>(client, &sql).await? {
        let attempt = attempts.entry(row.attempt).or_default();
        let AttemptRow { worker, host, pid, started_ms, .. } = row;
        attempt.start = Some(AttemptStart { worker, host, pid, started: started_ms });
        let (outcome, at, error) = (row.outcome, row.ended_ms, row.error);
        attempt.end = Some(AttemptEnd { outcome, at, error });
    }
    let sql = format!(
        "SELECT attempt, line, cast(time AS bigint) AS time_ms, level, message FROM logs \
         WHERE {of} ORDER BY attempt, line"
    );
    for line in query_reply::rows::<LogRow>(client, &sql).await? {
        attempts.entry(line.attempt).or_default().lines.push(line);
    }
    Ok(attempts)
}

/// Adds the running attempt, with log lines that are not durable yet.
fn add_running(attempts: &mut BTreeMap<u32, AttemptLog>, running: RunningAttempt) {
    let RunningAttempt { attempt: number, worker, host, pid, since, log } = running;
    let attempt = attempts.entry(number).or_default();
    if attempt.end.is_some() {
        // The attempt ended in between.
        return;
    }
    let (worker, started) = (worker.to_string(), since.0);
    attempt.start = Some(AttemptStart { worker, host, pid: Some(pid), started });
    let last = attempt.lines.last().map_or(0, |line| line.number);
    attempt.lines.extend(log.into_iter().filter(|line| line.number > last).map(|line| {
        let LogLine { number: own, at, level, text } = line;
        LogRow {
            attempt: number,
            number: own,
            time_ms: at.0,
            level: level.name().to_owned(),
            message: text,
        }
    }));
}

fn print(id: &TrialId, number: u32, attempt: &AttemptLog) -> Result<(), Failure> {
    let head = match &attempt.start {
        Some(AttemptStart { worker, host, pid, started }) => format!(
            "{id} attempt {number}: worker {worker} on {host}{}, began {}",
            pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
            format::local_time(Timestamp(*started))
        ),
        None => format!("{id} attempt {number}"),
    };
    format::print(head)?;
    for line in &attempt.lines {
        let time = format::local_time(Timestamp(line.time_ms));
        let level = line.level.to_uppercase();
        format::print(format!("  {time} {level:5} {}", line.message))?;
    }
    let end = match &attempt.end {
        Some(AttemptEnd { outcome, at, error }) => format!(
            "  {} ended: {outcome}{}",
            format::local_time(Timestamp(*at)),
            error.as_deref().map(|error| format!(": {error}")).unwrap_or_default()
        ),
        None => "  running".to_owned(),
    };
    Ok(format::print(end)?)
}

fn json(number: u32, attempt: &AttemptLog) -> Value {
    let line = |line: &LogRow| {
        json!({
            "line": line.number,
            "time": format::utc(Some(Timestamp(line.time_ms))),
            "level": line.level,
            "message": line.message,
        })
    };
    let (start, end) = (attempt.start.as_ref(), attempt.end.as_ref());
    json!({
        "attempt": number,
        "worker": start.map(|start| &start.worker),
        "host": start.map(|start| &start.host),
        "pid": start.and_then(|start| start.pid),
        "started": format::utc(start.map(|start| Timestamp(start.started))),
        "ended": format::utc(end.map(|end| Timestamp(end.at))),
        "outcome": end.map(|end| &end.outcome),
        "error": end.and_then(|end| end.error.as_ref()),
        "lines": attempt.lines.iter().map(line).collect::<Vec<_>>(),
    })
}
