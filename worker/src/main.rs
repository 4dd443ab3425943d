//! `rheo-worker`: joins a coordinator and trains until no work is left.
//!
//! Exit codes: 0 no work left, or left in good order; 1 undelivered commits, or unmet needs of
//! trials; 2 usage error, access denied, or another state; 3 coordinator unreachable; 130
//! interrupted.

mod env;
mod location;
mod offline;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use rheo_core::excerpt::{MESSAGE, message};
use rheo_core::id::SweepName;
use rheo_train::{DataDirs, TorchTrainer};
use rheo_worker::{
    AccessConfig, AttemptLogLayer, Error, ExitReason, GpuInventory, OfferedResources, Role,
    Settings,
};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Trains the trials of a Rheobase coordinator.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    offline: Option<offline::OfflineCommand>,
    /// Address of the coordinator, such as http://127.0.0.1:7070.
    #[arg(long, env = env::SERVER, value_name = "URL")]
    server: Option<String>,
    /// State directory of a coordinator on the same file system, or a copy of the files in it that
    /// a worker needs: `server`, `tls/ca.pem`, `tls/worker.token`.
    #[arg(long, env = env::STATE, value_name = "DIR", default_value = ".rheo")]
    state: PathBuf,
    /// Number of threads that train trials; by default one per processor.
    #[arg(long, env = env::SLOTS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    slots: Option<u32>,
    /// Number of slots that the worker's job requested, if the node grants fewer.
    #[arg(long, env = env::SLOTS_ASKED, hide = true)]
    slots_asked: Option<u32>,
    /// Number of GPUs to offer to trials; by default all that are visible.
    #[arg(long, env = env::GPU_COUNT, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus: Option<u32>,
    /// Megabytes of memory for all trials together (`resources.memory_mb`); by default memory is
    /// not counted.
    #[arg(long, env = env::MEMORY_MB, value_name = "MB")]
    memory_mb: Option<u64>,
    /// Work for this sweep only.
    #[arg(long, env = env::SWEEP, value_name = "NAME", value_parser = SweepName::parse)]
    sweep: Option<SweepName>,
    /// Directory of data files such as MNIST, for tasks that do not name one.
    #[arg(long, env = env::DATA, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Directory on a local disk for commits that are not delivered yet.
    #[arg(long, env = env::SPOOL, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Directory for decoded samples, which all workers of a machine map into memory.
    #[arg(long, env = env::SAMPLES, value_name = "DIR")]
    samples: Option<PathBuf>,
    /// Leave after this many seconds without work, even if a sweep has not ended.
    #[arg(long, env = env::IDLE_TIMEOUT, value_name = "SECONDS")]
    idle_timeout: Option<f64>,
    /// Maximum seconds for leaving after SIGTERM, SIGINT, SIGHUP or SIGUSR1.
    #[arg(long, env = env::GRACE, value_name = "SECONDS", default_value_t = Settings::GRACE.as_secs_f64())]
    grace: f64,
    /// Time at which this process is killed, in seconds since 1970. The worker leaves before then,
    /// and accepts no trial that could not commit.
    #[arg(long, env = env::DEADLINE, value_name = "SECONDS")]
    deadline: Option<u64>,
    #[command(flatten)]
    location: location::LocationArgs,
    /// Check the settings and exit.
    #[arg(long, hide = true)]
    check: bool,
    /// Leave when standard input is closed, that is, when the parent process has died.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

impl Args {
    /// Returns the resources that the worker offers, with its shortfalls against the requested
    /// ones.
    fn offered(&self, mut inventory: GpuInventory) -> OfferedResources {
        let usable = processors();
        let slots = self.slots.unwrap_or(usable);
        let few = (slots > usable).then(|| {
            let s = if usable == 1 { "" } else { "s" };
            format!(
                "was asked to offer {slots} slots (`--slots`), and may use {usable} processor{s}"
            )
        });
        let asked = self.slots_asked.filter(|asked| *asked > slots);
        let fewer = asked.map(|asked| {
            format!(
                "has {slots} slots instead of {asked}: its node lets the job use fewer processors"
            )
        });
        let shortfalls = few.into_iter().chain(fewer).chain(inventory.keep(self.gpus)).collect();
        OfferedResources { slots, gpus: inventory.gpus, memory_mb: self.memory_mb, shortfalls }
    }

    fn settings(&self, gpus: GpuInventory) -> anyhow::Result<Settings> {
        let seconds = |seconds: f64, flag: &str| {
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("--{flag} is not a number of seconds: `{seconds}`"))
        };
        let access = AccessConfig {
            server: self.server.clone(),
            state: self.state.clone(),
            ca_file: env::path(env::CA_FILE),
            token_file: env::path(env::TOKEN_FILE),
            role: Role::Worker,
        };
        let spool = self.spool.clone().unwrap_or_else(|| temporary("spool"));
        let idle = self.idle_timeout.map(|idle| seconds(idle, "idle-timeout")).transpose()?;
        Ok(Settings {
            access,
            offered: self.offered(gpus),
            sweep: self.sweep.clone(),
            spool,
            idle,
            unreachable_timeout: Settings::UNREACHABLE_TIMEOUT,
            grace: seconds(self.grace, "grace")?,
            orphaned: CancellationToken::new(),
            location: self.location.location(),
            deadline: self.deadline.map(until),
        })
    }
}

/// Returns the user's default directory for `what`.
fn temporary(what: &str) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("rheo-{what}-{user}"))
}

/// Returns the data directories of a trainer.
fn data_dirs(data: Option<&PathBuf>, samples: Option<&PathBuf>) -> DataDirs {
    let samples = samples.cloned().unwrap_or_else(|| temporary("samples"));
    DataDirs { data: data.cloned(), samples: Some(samples) }
}

/// Returns the time until a moment in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a deadline of the scheduler is a wall-clock time")]
fn until(deadline: u64) -> Duration {
    let deadline = std::time::UNIX_EPOCH + Duration::from_secs(deadline);
    deadline.duration_since(std::time::SystemTime::now()).unwrap_or_default()
}

fn processors() -> u32 {
    let found = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(found).unwrap_or(u32::MAX)
}

fn main() -> ExitCode {
    let matches = env::without_empty(Args::command()).color(env::clap_colours()).try_get_matches();
    let args = match matches.and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => return usage_error(&error),
    };
    let filter = match env::log_filter() {
        Ok(filter) => filter,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(2);
        }
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Logs of local workers go to files, where errors of logging itself cannot be reported.
    let log = log.with_ansi(env::has_colours(&std::io::stderr())).log_internal_errors(false);
    let attempts = AttemptLogLayer.with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(log.with_filter(filter)).with(attempts).init();
    match start(&args) {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::from(2)
        }
    }
}

/// Prints a usage error, or the text of `--help`, and returns the exit code.
fn usage_error(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() && text.len() > MESSAGE {
        print_line(&message(&text, MESSAGE));
    } else {
        // The reader may close the pipe early.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn print_error(error: &anyhow::Error) {
    print_line(&message(&format!("error: {error:#}"), MESSAGE));
}

/// Prints a message once; errors of a closed terminal are ignored.
fn print_line(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn start(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(command) = &args.offline {
        return Ok(match command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print_error(&error);
                ExitCode::FAILURE
            }
        });
    }
    let gpus = GpuInventory::find(&env::gpus(), rheo_train::visible_gpus);
    let selectors = gpus.selectors.clone();
    let settings = args.settings(gpus)?;
    if args.check {
        // `rheo` assigns these to its workers.
        let _ = writeln!(std::io::stdout(), "{}", serde_json::json!({ "gpus": selectors }));
        return Ok(ExitCode::SUCCESS);
    }
    for shortfall in &settings.offered.shortfalls {
        tracing::warn!("this worker {shortfall}");
    }
    let data_dirs = data_dirs(args.data.as_ref(), args.samples.as_ref());
    let trainer = Arc::new(TorchTrainer::new(data_dirs).offering(settings.offered.gpus.len()));
    // Training has its own threads; these serve heartbeats and deliveries. A delivery may block on
    // a slow disk; one thread always remains.
    let threads = usize::try_from(settings.offered.slots.min(62)).unwrap_or(62) + 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let result = runtime.block_on(async {
        let drain = CancellationToken::new();
        watch_signals(&drain, &interrupted)?;
        survive_limits()?;
        if args.exit_with_parent {
            watch_parent(settings.orphaned.clone(), drain.clone());
        }
        anyhow::Ok(Box::pin(rheo_worker::run(settings, trainer, drain)).await)
    })?;
    // Abandoned trial threads must not keep the process alive.
    runtime.shutdown_background();
    Ok(match result {
        Ok(ExitReason::Drained) if interrupted.load(Ordering::Relaxed) => ExitCode::from(130),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let code = match &error {
                Error::Unreachable(_) => 3,
                Error::Spool(_)
                | Error::Refused(_)
                | Error::Access(_)
                | Error::Foreign { .. }
                | Error::NoTime { .. } => 2,
                Error::Undelivered { .. } | Error::Unfit { .. } => 1,
            };
            print_error(&error.into());
            ExitCode::from(code)
        }
    })
}

/// Makes signals ask the worker to leave; a second interrupt ends it at once.
fn watch_signals(drain: &CancellationToken, interrupted: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::user_defined1(),
    ];
    // Under `nohup`, SIGHUP is ignored.
    let is_unwanted = |kind| kind == SignalKind::hangup() && is_ignored(kind);
    for kind in kinds.into_iter().filter(|kind| !is_unwanted(*kind)) {
        let mut signals = signal(kind).context("cannot handle signals")?;
        let (drain, interrupted) = (drain.clone(), Arc::clone(interrupted));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                // Schedulers send several signals in a row; only a person interrupts twice on
                // purpose.
                if kind == SignalKind::interrupt() && interrupted.swap(true, Ordering::Relaxed) {
                    #[expect(clippy::exit, reason = "interrupted twice; commits on disk are safe")]
                    std::process::exit(130);
                }
                drain.cancel();
            }
        });
    }
    Ok(())
}

/// Whether this process was started with a signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// Turns SIGXFSZ into a write error, so that a file size limit does not kill the process.
fn survive_limits() -> anyhow::Result<()> {
    let mut exceeded = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    tokio::spawn(async move { while exceeded.recv().await.is_some() {} });
    Ok(())
}

/// Leaves when standard input ends.
fn watch_parent(orphaned: CancellationToken, drain: CancellationToken) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        // Nothing is ever written to standard input; the copy returns when the other end closes it.
        let _ = std::io::copy(&mut input, &mut std::io::sink());
        orphaned.cancel();
        drain.cancel();
    });
}
