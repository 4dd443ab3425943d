//! `rheo launch`: starts as many workers as the sweeps can use, here, on Slurm or on Kubernetes.

mod coordinator;
mod fleets;
mod kubernetes;
mod local;
mod slurm;

pub(super) use fleets::print_idle_causes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rheo_core::fleet::{FleetName, FleetSpec, PilotId};
use rheo_core::id::SweepName;
use rheo_core::sweep::PlannedSweep;
use rheo_launch::PilotSubmission;
use rheo_model::networks;
use serde_json::json;

use super::failure::Failure;
use super::{GlobalArgs, dataset, env, format, submit};
use crate::client::Client;
use crate::paths;

#[derive(Debug, clap::Subcommand)]
pub(super) enum LaunchCommand {
    /// Start workers on this machine that outlive this command.
    Local(local::Args),
    /// Submit jobs of workers to Slurm, as many as there is work for.
    Slurm(slurm::Args),
    /// Create Jobs of workers on Kubernetes, as many as there is work for.
    Kubernetes(Box<kubernetes::Args>),
    /// List fleets, or the pilots of one.
    List(fleets::ListArgs),
    /// Change how many pilots a fleet may have.
    Scale(fleets::ScaleArgs),
    /// Start no pilot any more; those that run end their trials and go.
    Drain(fleets::NameArgs),
    /// Have all pilots commit what they have and go.
    Stop(fleets::NameArgs),
}

/// Options of all launchers.
#[derive(Debug, clap::Args)]
struct FleetArgs {
    /// A sweep file to submit first.
    #[arg(value_name = "SWEEP.yaml")]
    file: Option<PathBuf>,
    /// The name of the fleet; launching it again changes it.
    #[arg(long, value_name = "NAME", value_parser = FleetName::parse)]
    name: Option<FleetName>,
    /// The most pilots at a time, queued ones included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max: Option<u32>,
    /// Pilots to keep while a sweep has not ended.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min: u32,
    /// Work for this sweep only.
    #[arg(long, value_name = "NAME", value_parser = SweepName::parse)]
    sweep: Option<SweepName>,
    /// Directory of data files, as workers see it.
    #[arg(long, env = env::DATA, value_name = "DIR", value_parser = super::path())]
    data: Option<PathBuf>,
    /// Seconds without work after which a worker leaves.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle_timeout: u32,
    /// Megabytes for all trials of a worker; by default memory is not counted.
    ///
    /// Trials run side by side on a worker while the sum of their `resources.memory_mb` is at most this number.
    #[arg(long, value_name = "MB")]
    memory_mb: Option<u64>,
    /// Print what would be submitted, and submit nothing.
    #[arg(long)]
    dry_run: bool,
}

impl FleetArgs {
    fn name(&self, launcher: &str) -> Result<FleetName, Failure> {
        let name = self.name.clone().map_or_else(|| FleetName::parse(launcher), Ok);
        name.map_err(|error| Failure::usage(error.to_string()))
    }

    fn max(&self) -> Result<u32, Failure> {
        match self.max {
            Some(max) if max < self.min => {
                Err(Failure::usage(format!("--max {max} is less than --min {}", self.min)))
            }
            Some(max) => Ok(max),
            None => {
                Err(Failure::usage("--max is missing: how many pilots may there be at a time?"))
            }
        }
    }

    /// Environment variables of the workers.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        all.insert(env::IDLE_TIMEOUT.to_owned(), self.idle_timeout.to_string());
        if let Some(data) = &self.data {
            let data = paths::resolve(data);
            all.insert(env::DATA.to_owned(), data.display().to_string());
        }
        if let Some(memory_mb) = self.memory_mb {
            all.insert(env::MEMORY_MB.to_owned(), memory_mb.to_string());
        }
        if let Some(sweep) = &self.sweep {
            all.insert(env::SWEEP.to_owned(), sweep.to_string());
        }
        all
    }
}

/// Returns the first pilot of a fleet, for dry runs and checks.
fn example_pilot(name: &FleetName) -> PilotSubmission {
    let pilot = PilotId { fleet: name.clone(), number: 1 };
    PilotSubmission { tag: format!("rheo-{name}-0000000000-1"), pilot, exclude: Vec::new() }
}

/// Ensures that a coordinator runs, submits the sweep if one was given, and launches the fleet.
async fn start_fleet(
    global: &GlobalArgs,
    common: &FleetArgs,
    spec: FleetSpec,
    reachability: coordinator::Reachability,
) -> Result<(), Failure> {
    let mut sweep = None;
    if let Some(file) = &common.file {
        let (text, parsed) = submit::read(file)?;
        if spec.launcher == "local" {
            dataset::require(
                &PlannedSweep::new(parsed.definition, &networks::workloads()),
                common.data.as_deref(),
            )?;
        }
        sweep = Some((file, text));
    }
    let as_json = global.json()?;
    let mut client: Client = coordinator::ensure(global, reachability).await?;
    if let Some((file, text)) = sweep {
        let (sweep, created) = client.submit(&file.display().to_string(), &text).await?;
        let what = if created { "submitted" } else { "was submitted before" };
        format::note(format!("{} {what}: {} trials", sweep.name, sweep.counts.trials));
    }
    let (name, max, slots) = (spec.name.clone(), spec.max, spec.slots());
    let gpus = if spec.gpus() > 0 { format!(" and {} GPUs", spec.gpus()) } else { String::new() };
    client.launch(spec).await?;
    if as_json {
        return Ok(format::print_json(&json!({ "fleet": name.as_str(), "max": max }))?);
    }
    format::print(&name)?;
    format::note(format!(
        "{name}: up to {max} pilots of {slots} slots{gpus}, as there is work for; `{} launch list {name}` shows them",
        global.rheo()
    ));
    Ok(())
}

pub(super) async fn run(global: &GlobalArgs, command: LaunchCommand) -> Result<(), Failure> {
    match command {
        LaunchCommand::Local(args) => local::run(global, &args).await,
        LaunchCommand::Slurm(args) => slurm::run(global, &args).await,
        LaunchCommand::Kubernetes(args) => kubernetes::run(global, &args).await,
        LaunchCommand::List(args) => fleets::list(global, &args).await,
        LaunchCommand::Scale(args) => fleets::scale(global, &args).await,
        LaunchCommand::Drain(args) => fleets::drain(global, &args).await,
        LaunchCommand::Stop(args) => fleets::stop(global, &args).await,
    }
}
