//! `rheo launch slurm`: runs workers in jobs of Slurm.

use std::path::PathBuf;

use rheo_core::fleet::FleetSpec;
use rheo_core::resources::ResourceOffer;
use rheo_launch::Error;
use rheo_launch::slurm::{SlurmLauncher, SlurmSettings};
use rheo_proto::file;

use super::coordinator::Reachability;
use super::{FleetArgs, example_pilot, start_fleet};
use crate::cli::failure::Failure;
use crate::cli::{GlobalArgs, format, worker_program};
use crate::paths;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    common: FleetArgs,
    /// Walltime of a job, as `sbatch --time` takes it: 4:00:00, 1-12, 90.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Processors of a job, on each of its nodes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    cpus: u32,
    /// GPUs of a job, on each of its nodes; each gets a worker and its share of the processors.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus: u32,
    /// Nodes of a job.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    nodes: u32,
    /// Partition.
    #[arg(long, short, value_name = "NAME")]
    partition: Option<String>,
    /// Account.
    #[arg(long, short, value_name = "NAME")]
    account: Option<String>,
    /// File of shell lines that prepare the environment of a job: modules, conda, a container.
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Further arguments of `sbatch`; they win over all others.
    #[arg(last = true, value_name = "SBATCH ARGUMENTS")]
    options: Vec<String>,
}

impl Args {
    fn settings(&self, global: &GlobalArgs) -> Result<SlurmSettings, Failure> {
        let state = paths::resolve(&global.state);
        let setup = self.setup.as_ref().map(|path| {
            file::read_text(path, file::SETUP).map_err(|error| {
                Failure::usage(format!("`{}` cannot be read: {error}", path.display()))
            })
        });
        Ok(SlurmSettings {
            logs: state.join("logs"),
            state,
            worker: paths::resolve(&worker_program::path()?),
            time: self.time.clone(),
            cpus: self.cpus,
            gpus: self.gpus,
            nodes: self.nodes,
            partition: self.partition.clone(),
            account: self.account.clone(),
            options: self.options.clone(),
            setup: setup.transpose()?.unwrap_or_default(),
            environment: self.common.environment(),
        })
    }
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let common = &args.common;
    let settings = args.settings(global)?;
    let name = common.name("slurm")?;
    let max = common.max()?;
    if common.dry_run {
        let (command, script) = SlurmLauncher::dry_run(&settings, &example_pilot(&name));
        format::note(format!("for each of at most {max} pilots:"));
        let logs = settings.logs.display();
        let text = format!("mkdir -p '{logs}'\n{command} <<'SCRIPT'\n{script}SCRIPT");
        return Ok(format::print(text)?);
    }
    std::fs::create_dir_all(&settings.logs)
        .map_err(|error| Failure::unusable(&settings.logs, error))?;
    match SlurmLauncher::check(&settings, &example_pilot(&name)).await {
        Ok(()) => {}
        Err(Error::Refused(text)) => return Err(Failure::usage(text)),
        // The coordinator retries, and the problem may be temporary.
        Err(error) => format::note(format!("warning: {error}")),
    }
    let workers = settings.gpus.max(1);
    let spec = FleetSpec {
        name,
        launcher: "slurm".to_owned(),
        settings: serde_json::to_string(&settings).map_err(anyhow::Error::from)?,
        min: common.min,
        max,
        workers: workers.saturating_mul(settings.nodes),
        worker: ResourceOffer {
            cpus: (settings.cpus / workers).max(1),
            gpus: settings.gpus.min(1),
            memory_mb: common.memory_mb,
        },
        sweep: common.sweep.clone(),
    };
    start_fleet(global, common, spec, Reachability::Network).await
}
