//! The command line: one file per verb, each with a `run` that takes the verb's arguments.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 a
//! failed sweep or another error, 2 usage error, invalid file, or access denied, 3 coordinator
//! unreachable, 130 interrupted.

mod analyze;
mod best;
mod checkpoint;
mod completions;
mod config;
mod control;
mod data;
mod dataset;
mod delete;
mod describe;
mod destination;
mod du;
mod env;
mod failure;
mod format;
mod help;
mod hint;
mod importance;
mod launch;
mod logs;
mod man;
mod names;
mod point;
mod preview;
mod progress;
mod query;
mod run;
mod schema;
mod screen;
mod select;
mod serve;
mod show;
mod status;
mod stderr;
mod stop;
mod submit;
mod summary;
mod trials;
mod variables;
mod verify;
mod version;
mod wait;
mod watch;
mod worker_program;
mod workers;
mod zone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use rheo_proto::access::{AccessConfig, Role};

use crate::client::Client;
use crate::sql::child;
use crate::{paths, shell, threads};
use failure::Failure;

/// The state directory, unless another is named.
const DEFAULT_STATE: &str = ".rheo";

/// Sweeps of recurrent networks whose single neurons have rich input-output curves.
#[derive(Debug, Parser)]
#[command(name = "rheo", version = version::VERSION.as_str(), max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
struct GlobalArgs {
    /// Address of a coordinator, such as http://127.0.0.1:7070.
    #[arg(long, global = true, env = env::SERVER, value_name = "URL")]
    server: Option<String>,
    /// State directory; also where the address of its coordinator is found.
    #[arg(long, global = true, env = env::STATE, value_name = "DIR", default_value = DEFAULT_STATE,
          value_parser = path())]
    state: PathBuf,
    /// Format of the output: `table`, `json`; for queries also `jsonl`, `csv`, `parquet`, `arrow`.
    ///
    /// `table` is for people and the default, `json` for programs. Queries also print `jsonl` (one JSON object a
    /// line), `csv`, `parquet` and `arrow` (an IPC stream); with `--file` the ending of the file decides.
    #[arg(long, short, global = true, value_name = "FORMAT", hide_possible_values = true)]
    output: Option<OutputFormat>,
}

/// Output format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// One JSON object a line (queries only).
    Jsonl,
    /// Comma-separated values (queries only).
    Csv,
    /// A Parquet file (queries only).
    Parquet,
    /// An Arrow IPC stream (queries only).
    Arrow,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a sweep here, with workers of its own; run again to go on.
    Run(run::Args),
    /// Check a sweep file and show what it would run.
    Preview(preview::Args),
    /// Coordinate sweeps for workers that join.
    Serve(serve::Args),
    /// Submit a sweep file to the coordinator and return.
    Submit(submit::Args),
    /// List sweeps, or show one.
    Status(status::Args),
    /// List the trials of a sweep.
    Trials(trials::Args),
    /// Show the best points of a sweep, or write a sweep file that runs them again.
    Best(best::Args),
    /// Show everything about a trial.
    Show(show::Args),
    /// Print what the attempts of a trial logged, and how they ended.
    Logs(logs::Args),
    /// List the workers that are known, and what they hold.
    Workers,
    /// Follow a sweep until it ends.
    Watch(watch::Args),
    /// Wait until a sweep has ended; exit with 1 if a trial failed or was cancelled.
    Wait(wait::Args),
    /// Start no further trial of a sweep; running ones go on.
    Pause(control::Args),
    /// Go on with a sweep that was paused, cancelled or stopped at a limit.
    Resume(control::Args),
    /// Start no further trial of a sweep and stop the running ones.
    Cancel(control::Args),
    /// Try failed trials again, as new attempts.
    Retry(control::RetryArgs),
    /// Delete sweeps with their results and checkpoints; their names are free again.
    Delete(delete::Args),
    /// Show what the state takes on disk, by sweep.
    Du,
    /// End the coordinator that runs here, such as the one that `launch` started.
    Stop,
    /// Start workers here, on Slurm or on Kubernetes, as many as there is work for.
    #[command(subcommand)]
    Launch(launch::LaunchCommand),
    /// Run SQL over everything that is committed.
    Query(query::Args),
    /// Show on which parameters of a sweep its best points depend.
    Importance(importance::Args),
    /// Check that the journal, the results and the checkpoints are whole, and repair them.
    Verify(verify::Args),
    /// Analyse the network of a trial, beside what its sweep analyses.
    Analyze(analyze::Args),
    /// Take weights out of checkpoints.
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Print the JSON Schema of sweep files.
    Schema,
    /// Print the settings that are in effect, and where they come from.
    Config,
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Write manual pages of all commands.
    Man(man::Args),
    /// Download data sets and verify them.
    #[command(subcommand)]
    Data(data::DataCommand),
}

impl GlobalArgs {
    fn access(&self) -> AccessConfig {
        AccessConfig {
            server: self.server.clone(),
            state: self.state.clone(),
            ca_file: env::path(env::CA_FILE),
            token_file: env::path(env::TOKEN_FILE),
            role: Role::Admin,
        }
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let client = Client::connect(&self.access(), variables::query_limits()?).await?;
        if let Some(left) = &client.stale_server {
            format::note(left);
        }
        Ok(client)
    }

    /// Shell words that start this program on the same state.
    fn rheo(&self) -> String {
        let program = env::program();
        match &self.server {
            Some(url) => format!("{program} --server {}", shell::quote(url)),
            None if self.state == Path::new(DEFAULT_STATE) => program,
            None => format!("{program} --state {}", shell::path(&self.state)),
        }
    }

    /// Whether to print JSON. Formats of queries are a usage error.
    fn json(&self) -> Result<bool, Failure> {
        match self.output {
            None | Some(OutputFormat::Table) => Ok(false),
            Some(OutputFormat::Json) => Ok(true),
            _ => Err(Failure::usage(
                "this command prints `table` or `json`; other formats are for `rheo query`",
            )),
        }
    }
}

/// Parser of paths on the command line.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(paths::parse)
}

/// Runs `rheo` with the arguments of this process.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == child::ARGUMENT => {
            return child::main(Path::new(&arguments.next().unwrap_or_default()));
        }
        Some(first) if first == names::ARGUMENT => return names::main(arguments),
        _ => {}
    }
    let matches = help::command().color(screen::clap_colours()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return failure::report_usage(&error),
    };
    quiet_store_panics();
    let filter = match variables::log_filter("warn") {
        Ok(filter) => filter,
        Err(failure) => return failure.report(),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let log = log.without_time().with_ansi(screen::has_colours(&std::io::stderr()));
    // Errors of standard error cannot be reported on standard error.
    log.with_writer(stderr::stderr).log_internal_errors(false).init();
    // The runtime panics if it cannot start a thread.
    if let Err(error) = threads::check() {
        return Failure::Other(error.into()).report();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(cli.run());
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::system("cannot start the threads of this program", error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Cli {
    async fn run(self) -> Result<(), Failure> {
        let global = self.global;
        hint::set_invocation(&global);
        match self.command {
            Command::Run(args) => run::run(&global, args).await,
            Command::Preview(args) => preview::run(&global, &args),
            Command::Serve(args) => serve::run(&global, &args).await,
            Command::Submit(args) => submit::run(&global, &args).await,
            Command::Status(args) => status::run(&global, &args).await,
            Command::Trials(args) => trials::run(&global, &args).await,
            Command::Best(args) => best::run(&global, &args).await,
            Command::Show(args) => show::run(&global, &args).await,
            Command::Logs(args) => logs::run(&global, &args).await,
            Command::Workers => workers::run(&global).await,
            Command::Watch(args) => watch::run(&global, &args).await,
            Command::Wait(args) => wait::run(&global, &args).await,
            Command::Pause(args) => control::pause(&global, &args).await,
            Command::Resume(args) => control::resume(&global, &args).await,
            Command::Cancel(args) => control::cancel(&global, &args).await,
            Command::Retry(args) => control::retry(&global, &args).await,
            Command::Delete(args) => delete::run(&global, &args).await,
            Command::Du => du::run(&global).await,
            Command::Stop => stop::run(&global).await,
            Command::Launch(command) => launch::run(&global, command).await,
            Command::Query(args) => query::run(&global, &args).await,
            Command::Importance(args) => importance::run(&global, &args).await,
            Command::Verify(args) => verify::run(&global, &args).await,
            Command::Analyze(args) => analyze::run(&global, &args).await,
            Command::Checkpoint(command) => checkpoint::run(&global, &command).await,
            Command::Schema => schema::run(),
            Command::Config => config::run(&global),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Data(command) => data::run(&command),
        }
    }
}

/// Hides the panic messages of redb on damaged files: the store turns those panics into errors.
fn quiet_store_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let in_store = |file: &str| file.contains("/redb-");
        if !panic.location().is_some_and(|place| in_store(place.file())) {
            default(panic);
        }
    }));
}
