//! `rheo launch local`: worker processes on this machine.

use rheo_core::fleet::Spec;
use rheo_launch::process::{Launcher, Settings};

use super::coordinator::Reach;
use super::{Common, example, launch};
use crate::cli::failure::Failure;
use crate::cli::{Global, format, offline};
use crate::paths;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    common: Common,
    /// Slots of each worker.
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: u32,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let common = &args.common;
    let state = paths::resolve(&global.state);
    let settings = Settings {
        logs: state.join("logs"),
        state,
        worker: paths::resolve(&offline::worker_program()?),
        slots: args.slots,
        environment: common.environment(),
    };
    let name = common.name("local")?;
    if common.dry_run {
        return Ok(format::print(Launcher::dry_run(&settings, &example(&name)))?);
    }
    let spec = Spec {
        name,
        launcher: "local".to_owned(),
        settings: serde_json::to_string(&settings).map_err(anyhow::Error::from)?,
        min: common.min,
        max: common.max()?,
        slots: args.slots,
        largest: args.slots,
        sweep: common.sweep.clone(),
    };
    launch(global, common, spec, Reach::Here).await
}
