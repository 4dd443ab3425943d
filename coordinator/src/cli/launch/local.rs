//! `rheo launch local`: runs worker processes on this machine.

use rheo_core::fleet::FleetSpec;
use rheo_core::resources::ResourceOffer;
use rheo_launch::process::{ProcessLauncher, ProcessSettings};

use super::coordinator::Reachability;
use super::{FleetArgs, example_pilot, start_fleet};
use crate::cli::failure::Failure;
use crate::cli::{GlobalArgs, env, format, worker_program};
use crate::paths;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    common: FleetArgs,
    /// Slots of each worker.
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: u32,
    /// GPUs of each worker, which no other pilot on this machine has.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    gpus: u32,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let common = &args.common;
    let state = paths::resolve(&global.state);
    let mut environment = common.environment();
    // The coordinator that starts pilots may not have the variable of a simulated machine.
    environment.extend(env::raw(env::GPUS).map(|gpus| (env::GPUS.to_owned(), gpus)));
    let settings = ProcessSettings {
        logs: state.join("logs"),
        state,
        worker: paths::resolve(&worker_program::path()?),
        slots: args.slots,
        gpus: args.gpus,
        devices: if args.gpus > 0 { worker_program::check(&[]).await?.gpus } else { Vec::new() },
        environment,
    };
    let name = common.name("local")?;
    if common.dry_run {
        return Ok(format::print(ProcessLauncher::dry_run(&settings, &example_pilot(&name)))?);
    }
    let spec = FleetSpec {
        name,
        launcher: "local".to_owned(),
        settings: serde_json::to_string(&settings).map_err(anyhow::Error::from)?,
        min: common.min,
        max: common.max()?,
        workers: 1,
        worker: ResourceOffer { cpus: args.slots, gpus: args.gpus, memory_mb: common.memory_mb },
        sweep: common.sweep.clone(),
    };
    start_fleet(global, common, spec, Reachability::Local).await
}
