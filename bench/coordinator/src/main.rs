//! Loads a coordinator with workers that train nothing, and prints its throughput as a line of
//! JSON.
//!
//! ```text
//! rheo-load --rheo target/release/rheo --trials 10000 [--workers 100] [--slots 10] [--commits 0] [--hold 0]
//! ```
//!
//! A real `rheo serve` runs on a temporary state. The workers are in this process and speak
//! `rheobase.v1` like `rheo-worker`: one connection and one `Acquire` loop per worker, heartbeats,
//! and a task per trial that commits and finishes. Everything slow in a real worker is left out.

mod call_durations;
mod coordinator;
mod rows;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use call_durations::CallDurations;
use coordinator::Coordinator;
use worker::LoadWorker;

/// Command-line arguments.
#[derive(Debug, Parser)]
#[command(about = "Loads a coordinator with workers that train nothing")]
struct Args {
    /// Program to load.
    #[arg(long)]
    rheo: PathBuf,
    /// Number of trials of the sweep, at most 100000.
    #[arg(long, default_value_t = 10_000)]
    trials: u64,
    /// Number of workers, each with its own connection.
    #[arg(long, default_value_t = 100)]
    workers: u32,
    /// Number of trials that a worker runs at the same time.
    #[arg(long, default_value_t = 10)]
    slots: u32,
    /// Number of commits per trial, of one row each.
    #[arg(long, default_value_t = 0)]
    commits: u32,
    /// Mean seconds per trial; each takes between half and one and a half of them.
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is the output of the program")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    println!("{}", measure(&args).await?);
    Ok(())
}

/// Runs all trials and returns the measurements.
async fn measure(args: &Args) -> anyhow::Result<Value> {
    let server = Coordinator::start(&args.rheo).await?;
    server.submit(args.trials).await?;
    let durations = Arc::new(CallDurations::default());
    let hold = Duration::try_from_secs_f64(args.hold).context("--hold")?;
    let mut workers = Vec::new();
    for _ in 0..args.workers {
        let client = server.worker().await?;
        let durations = Arc::clone(&durations);
        workers.push(LoadWorker::join(client, args.slots, args.commits, hold, durations).await?);
    }
    let before = server.usage()?;
    let began = Instant::now();
    let mut working: JoinSet<_> = workers.into_iter().map(LoadWorker::work).collect();
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = server.usage()?;
    let completed = server.completed().await?;
    anyhow::ensure!(completed == args.trials, "{completed} of {} trials completed", args.trials);
    let commits = args.trials * u64::from(args.commits);
    let processor = after.processor.saturating_sub(before.processor);
    Ok(json!({
        "trials": args.trials,
        "slots": args.workers * args.slots,
        "commits": args.commits,
        "hold_s": args.hold,
        "seconds": seconds,
        "completions_per_s": args.trials as f64 / seconds,
        "commits_per_s": commits as f64 / seconds,
        "processor_ms_per_trial": processor.as_secs_f64() * 1e3 / args.trials as f64,
        "memory_mb": after.memory_mb,
        "peak_memory_mb": after.peak_memory_mb,
        "latency_ms": durations.latencies(),
    }))
}
