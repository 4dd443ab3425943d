//! `rheo checkpoint export`: the weights of a trial as a safetensors file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::destination::Destination;
use super::failure::Failure;
use super::select::{self, TrialSelector};
use super::{GlobalArgs, format, worker_program};

#[derive(Debug, clap::Subcommand)]
pub(super) enum CheckpointCommand {
    /// Write the weights of a trial as a safetensors file; docs/checkpoint.md describes it.
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// A trial, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialSelector,
    /// File of the weights; by default SWEEP-TRIAL.safetensors here; `-` is standard output.
    #[arg(long, short, value_name = "FILE", value_parser = super::path())]
    file: Option<PathBuf>,
}

pub(super) async fn run(global: &GlobalArgs, command: &CheckpointCommand) -> Result<(), Failure> {
    let CheckpointCommand::Export(args) = command;
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let checkpoint = worker_program::checkpoint(&mut client, &id).await?;
    let weights = worker_program::run(vec!["export".into()], checkpoint).await?;
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.safetensors", id.sweep, id.index)));
    let mut out = Destination::open(&path)?;
    if out.is_terminal() {
        return Err(Failure::usage("weights are not for a terminal: add --file FILE"));
    }
    out.write_all(&weights).map_err(|error| Failure::Other(error.into()))?;
    out.finish()?;
    if path == Path::new("-") {
        return Ok(());
    }
    if as_json {
        return Ok(format::print_json(&json!({ "file": path }))?);
    }
    Ok(format::print(path.display())?)
}
