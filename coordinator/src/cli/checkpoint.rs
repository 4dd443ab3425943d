//! `rheo checkpoint export`: the weights of a trial as a safetensors file.

use std::path::PathBuf;

use super::failure::Failure;
use super::select::{self, TrialsWord};
use super::{Global, format, offline};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write the weights of a trial as a safetensors file; docs/checkpoint.md describes it.
    Export(Export),
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// A trial, as in `demo/17` or `last/0`.
    #[arg(value_name = "SWEEP/TRIAL")]
    trial: TrialsWord,
    /// Where to put them; by default SWEEP-TRIAL.safetensors here.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, command: &Command) -> Result<(), Failure> {
    let Command::Export(args) = command;
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let checkpoint = offline::checkpoint(&mut client, &id).await?;
    let weights = offline::ask(vec!["export".into()], checkpoint).await?;
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.safetensors", id.sweep, id.index)));
    // Only a whole file gets the name.
    let aside = path.with_extension("part");
    std::fs::write(&aside, weights)?;
    std::fs::rename(&aside, &path)?;
    Ok(format::print(path.display())?)
}
