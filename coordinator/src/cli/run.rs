//! `rheo run`: runs a coordinator, its workers and one sweep in one command; the same command
//! resumes the sweep.
//!
//! Other commands may submit sweeps to this coordinator. They run after the first one, which alone
//! decides the exit code.

mod gpus;
mod submitted;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rheo_core::id::SweepName;
use rheo_core::machine::{SweepPhase, SweepView};
use rheo_core::sweep::PlannedSweep;
use rheo_launch::worker_processes::{self, WorkerProcesses};
use rheo_model::networks;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::progress::ProgressDisplay;
use super::serve::{
    JournalArgs, ListenConfig, RunningCoordinator, StorageArgs, exit_on_second_interrupt,
    interrupt_signal,
};
use super::{
    GlobalArgs, dataset, env, format, status, submit, summary, variables, wait, worker_program,
};
use crate::app::Settings;
use crate::client::Client;
use crate::report::report;
use crate::shell;

/// The time that workers have to commit and leave after an interrupt.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sweep file.
    file: PathBuf,
    /// Worker processes.
    #[arg(long, short, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: u32,
    /// Threads of each worker that train trials side by side; by default the processors are shared
    /// among the workers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,
    /// Directory of data files such as MNIST, for tasks that do not name one.
    #[arg(long, env = env::DATA, value_name = "DIR", value_parser = super::path())]
    data: Option<PathBuf>,
    /// Give up after this long without a suitable worker.
    #[arg(long, value_name = "SECONDS", default_value_t = wait::UNFIT_TIMEOUT.as_secs_f64())]
    unfit_timeout: f64,
    /// Seconds that a lease lasts.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::LEASE.as_secs_f64(), hide = true)]
    lease: f64,
    /// Seconds between parts.
    #[arg(long, value_name = "SECONDS", hide = true)]
    flush_interval: Option<f64>,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

pub(super) async fn run(global: &GlobalArgs, args: Args) -> Result<(), Failure> {
    let as_json = global.json()?;
    if global.server.is_some() {
        return Err(Failure::usage(format!(
            "`rheo run` has a coordinator of its own: leave out --server and {}, or hand the sweep to that one: `{} submit {}`",
            env::SERVER,
            global.rheo(),
            shell::path(&args.file),
        )));
    }
    let (text, parsed) = submit::read(&args.file)?;
    let slots = slots(&args, parsed.definition.max_threads())?;
    wait::parse_unfit_timeout(args.unfit_timeout)?;
    let settings = settings(global, &args)?;
    let planned = PlannedSweep::new(parsed.definition, &networks::workloads());
    // An existing state may hold this sweep with no trial left that needs data.
    if !settings.journal().exists() {
        dataset::require(&planned, args.data.as_deref())?;
    }
    let interrupted = interrupt_signal()?;
    // A worker that cannot start is an error before anything is journaled.
    let inventory = worker_program::check(&arguments(&settings.state, &args, slots)).await?;
    let gpus = gpus::assign(&inventory.gpus, args.workers);
    let running = start(global, &args.file, settings).await?;
    let mut client = Client::in_process(running.coordinator.clone()).await?;
    let mut local_workers = LocalWorkers::default();
    let (global, args) = (global, &args);
    let mut session =
        RunSession { global, running: &running, args, gpus, local_workers: &mut local_workers };
    let whole = async {
        let sweep = session.run(&mut client, slots, &text, &planned).await?;
        session.local_workers.stop().await;
        let verdict = print_result(&mut client, &running, global, &sweep, as_json).await;
        submitted::run(&mut session, &mut client).await?;
        verdict
    };
    let outcome = tokio::select! {
        outcome = whole => outcome,
        () = running.stopped() => Err(running.stop_cause()),
        _ = interrupted => {
            format::note("stopping: workers save their work (once more to stop at once)");
            exit_on_second_interrupt()?;
            Err(Failure::Interrupted)
        }
        () = running.shutdown_requested() => {
            format::note("`rheo stop`: workers save their work");
            Err(Failure::Interrupted)
        }
    };
    local_workers.stop().await;
    let outcome = running.fatal_error().map_or(outcome, Err);
    drop(client);
    running.stop().await?;
    if matches!(outcome, Err(Failure::Interrupted)) {
        format::note("stopped: run the same command to go on");
    }
    outcome
}

fn settings(global: &GlobalArgs, args: &Args) -> Result<Settings, Failure> {
    let seconds = |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(Failure::usage(format!("not a number of seconds above 0: `{seconds}`"))),
    };
    let (lease, flush) = (seconds(args.lease)?, args.flush_interval.map(seconds).transpose()?);
    let storage = (&args.storage).into();
    let (queries, journal_cache) = (variables::query_limits()?, args.journal.cache());
    let settings = Settings::new(global.state.clone());
    Ok(Settings { lease, flush, storage, queries, journal_cache, ..settings })
}

async fn start(
    global: &GlobalArgs,
    file: &Path,
    settings: Settings,
) -> Result<RunningCoordinator, Failure> {
    let state = settings.state.clone();
    let listen = ListenConfig::loopback(global);
    RunningCoordinator::start(settings, listen).await.map_err(|failure| match failure {
        Failure::Unreachable(_) => Failure::usage(format!(
            "a coordinator runs already on `{}`: `{} submit {}` hands the sweep to it, `--state` chooses another place",
            state.display(),
            global.rheo(),
            shell::path(file),
        )),
        other => other,
    })
}

/// The worker processes of this command.
#[derive(Default)]
struct LocalWorkers {
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), worker_processes::Error>>>,
}

impl LocalWorkers {
    fn start(&mut self, workers: WorkerProcesses) {
        let stop = self.stop.clone();
        self.running = Some(tokio::spawn(async move { workers.run(stop).await }));
    }

    /// Waits until all workers have left because no work is left; for ever if none was started.
    async fn wait(&mut self) -> Result<(), Failure> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let result = running.await;
        self.running = None;
        let result = result.map_err(|error| Failure::Other(error.into()))?;
        result.map_err(|error| match error {
            worker_processes::Error::Misconfigured { .. } => Failure::Usage(error.into()),
            error => Failure::Other(error.into()),
        })
    }

    /// Asks the workers to leave and waits until they have; others can be started afterwards.
    async fn stop(&mut self) {
        std::mem::take(&mut self.stop).cancel();
        if let Some(running) = self.running.take() {
            // Errors of workers no longer matter.
            let _ = running.await;
        }
    }
}

/// The coordinator and the resources that this command uses for its sweeps.
struct RunSession<'a> {
    global: &'a GlobalArgs,
    running: &'a RunningCoordinator,
    args: &'a Args,
    /// The environment of each worker that selects its GPUs.
    gpus: Vec<BTreeMap<String, String>>,
    local_workers: &'a mut LocalWorkers,
}

impl RunSession<'_> {
    /// Submits the sweep of the command and runs it to its end.
    async fn run(
        &mut self,
        client: &mut Client,
        slots: u32,
        text: &str,
        planned: &PlannedSweep,
    ) -> Result<SweepView, Failure> {
        let known = client.sweep(&planned.definition.name).await;
        if known.is_err() || known.is_ok_and(|(known, _)| known.phase != SweepPhase::Ended) {
            dataset::require(planned, self.args.data.as_deref())?;
        }
        let file = self.args.file.display().to_string();
        let (sweep, created) = client.submit(&file, text).await?;
        print_start(self.global, &sweep, created);
        if sweep.phase == SweepPhase::Ended {
            return Ok(sweep);
        }
        self.follow(client, slots, sweep).await
    }

    /// Runs workers for a sweep and shows its progress until it ends.
    async fn follow(
        &mut self,
        client: &mut Client,
        slots: u32,
        sweep: SweepView,
    ) -> Result<SweepView, Failure> {
        let (running, args, gpus) = (self.running, self.args, self.gpus.clone());
        let workers = || workers((running, args, slots), &gpus, &sweep.name);
        self.local_workers.start(workers()?);
        let mut watch = client.watch(&sweep.name).await?;
        let mut display = ProgressDisplay::new();
        let mut last = sweep.clone();
        let patience = wait::parse_unfit_timeout(self.args.unfit_timeout)?;
        let mut looking = client.clone();
        let unfit = wait::until_nothing_fits(&mut looking, &sweep.name, patience);
        tokio::pin!(unfit);
        let result = loop {
            let update = tokio::select! {
                update = watch.next() => update?,
                cause = &mut unfit => break Err(no_fit_failure(&cause?, patience)),
                left = self.local_workers.wait() => {
                    if let Err(failure) = left {
                        break Err(failure);
                    }
                    let (now, _) = client.sweep(&sweep.name).await?;
                    if now.phase != SweepPhase::Ended {
                        format::note("the workers were stopped: others are started");
                        self.local_workers.start(workers()?);
                    }
                    continue;
                }
                () = display.due() => {
                    display.report();
                    continue;
                }
            };
            let Some(update) = update else { break Ok(last) };
            display.show(&update);
            last = update.sweep;
        };
        display.end();
        result
    }
}

/// Returns the failure that no worker here can run the trials that wait.
fn no_fit_failure(cause: &str, patience: Duration) -> Failure {
    Failure::Other(anyhow::anyhow!(
        "for {} s no worker could run the waiting trials: {cause}\nhelp: no trial is lost and no attempt is counted: fix the cause, then run the same command again",
        patience.as_secs_f64()
    ))
}

fn print_start(global: &GlobalArgs, sweep: &SweepView, created: bool) {
    let (name, trials, ended) = (&sweep.name, sweep.counts.trials, sweep.counts.ended());
    let resume = format!("`{} resume {name}`", global.rheo());
    if sweep.phase == SweepPhase::Ended {
        let resumes = sweep.counts.cancelled > 0 || sweep.counts.queued > 0;
        let hint = format!(" ({resume} and then the same command go on)");
        let hint = if resumes { hint } else { String::new() };
        format::note(format!("{name} has ended already{hint}"));
    } else if created {
        format::note(format!("{name}: {trials} trials"));
    } else {
        format::note(format!("{name} goes on: {ended} of {trials} trials have ended"));
    }
    if sweep.phase == SweepPhase::Paused {
        format::note(format!("{name} is paused: {resume} goes on"));
    }
}

/// Returns the slots of each worker: at least as many as the largest trial needs threads, because
/// that trial would otherwise wait for ever.
fn slots(args: &Args, threads: u32) -> Result<u32, Failure> {
    if let Some(slots) = args.slots {
        return if slots < threads {
            Err(Failure::usage(format!(
                "a trial of this sweep needs {threads} threads (`resources.threads`): give each worker `--slots {threads}`"
            )))
        } else {
            Ok(slots)
        };
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    Ok((processors / args.workers).max(threads).max(1))
}

fn workers(
    (running, args, slots): (&RunningCoordinator, &Args, u32),
    gpus: &[BTreeMap<String, String>],
    sweep: &SweepName,
) -> Result<WorkerProcesses, Failure> {
    let state = &running.coordinator.settings().state;
    let mut arguments = arguments(state, args, slots);
    arguments.extend(["--sweep".into(), sweep.as_str().into(), "--exit-with-parent".into()]);
    Ok(WorkerProcesses {
        program: worker_program::path()?,
        args: arguments,
        count: args.workers,
        variables: gpus.to_vec(),
        logs: state.join("logs"),
        grace: STOP_TIMEOUT,
    })
}

/// Returns the worker arguments that do not depend on the sweep.
fn arguments(state: &Path, args: &Args, slots: u32) -> Vec<OsString> {
    // The state directory, so that a worker that outlives its coordinator finds the next one.
    let mut arguments: Vec<OsString> = vec!["--state".into(), state.into()];
    arguments.extend(["--slots".into(), slots.to_string().into()]);
    arguments.extend(["--spool".into(), state.join("spool").into_os_string()]);
    if let Some(data) = &args.data {
        arguments.extend(["--data".into(), data.clone().into_os_string()]);
    }
    arguments
}

/// Prints the result of the sweep.
async fn print_result(
    client: &mut Client,
    running: &RunningCoordinator,
    global: &GlobalArgs,
    sweep: &SweepView,
    as_json: bool,
) -> Result<(), Failure> {
    // Other programs that read the Parquet files find all rows.
    if let Err(error) = running.coordinator.flush().await {
        format::note(format!("rows are safe in the journal, but {}", report(&error)));
    }
    if as_json {
        let results = running.coordinator.dataset.location();
        format::print_json(&json!({ "sweep": status::json(sweep), "results": results }))?;
    } else {
        let results = running.coordinator.dataset.location();
        let location = summary::RunLocation { rheo: &global.rheo(), results: &results };
        summary::print(client, sweep, location).await?;
    }
    wait::verdict(sweep)
}
