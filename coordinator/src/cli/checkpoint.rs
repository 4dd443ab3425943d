//! `rheo checkpoint export`: the weights of a trial as a safetensors file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

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
    let as_json = global.json()?;
    let mut client = global.connect().await?;
    let id = select::trial(&mut client, &args.trial).await?;
    let checkpoint = offline::checkpoint(&mut client, &id).await?;
    let weights = offline::ask(vec!["export".into()], checkpoint).await?;
    let path = args
        .file
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.safetensors", id.sweep, id.index)));
    save(&path, &weights)
        .with_context(|| format!("`{}` cannot be written", path.display()))
        .map_err(Failure::Usage)?;
    if as_json {
        return Ok(format::print_json(&json!({ "file": path }))?);
    }
    Ok(format::print(path.display())?)
}

/// Only a whole file gets the name.
fn save(path: &Path, weights: &[u8]) -> std::io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let saved = std::fs::write(&aside, weights).and_then(|()| std::fs::rename(&aside, path));
    if saved.is_err() {
        // Whatever kept it from being written may keep it from being removed.
        let _ = std::fs::remove_file(&aside);
    }
    saved
}
