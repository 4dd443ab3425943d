//! Commands that `rheo` runs in a worker on the checkpoint of one trial, without a coordinator. The
//! checkpoint comes from standard input; the result goes to standard output.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use rheo_core::excerpt::excerpt;
use rheo_model::config::{Analysis, TrialConfig};
use rheo_proto::file;
use rheo_query::TrialKeys;
use rheo_train::TorchTrainer;
use serde_json::json;

use crate::env;

/// A command that needs no coordinator.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum OfflineCommand {
    /// Export the weights of a checkpoint as safetensors.
    #[command(hide = true)]
    Export,
    /// Analyse the network of a checkpoint. The output has, per table, a line of JSON with its name
    /// and a number of bytes, followed by these bytes: an Arrow IPC stream.
    #[command(hide = true)]
    Analyze(AnalyzeArgs),
}

/// Arguments of an analysis.
#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeArgs {
    /// Number of the trial in its sweep.
    #[arg(long)]
    trial: u64,
    /// An analysis, as JSON; by default those of the configuration.
    #[arg(long)]
    only: Vec<String>,
    /// Directory of data files.
    #[arg(long, env = env::DATA, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Directory of decoded samples.
    #[arg(long, env = env::SAMPLES, value_name = "DIR")]
    samples: Option<PathBuf>,
}

impl OfflineCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let checkpoint = file::read_stdin(file::CHECKPOINT)
            .context("cannot read a checkpoint from standard input")?;
        match self {
            Self::Export => Ok(io::stdout().write_all(&rheo_train::export(&checkpoint)?)?),
            Self::Analyze(args) => args.run(&checkpoint),
        }
    }
}

impl AnalyzeArgs {
    fn run(&self, checkpoint: &[u8]) -> anyhow::Result<()> {
        let config = rheo_train::config_of(checkpoint)?;
        let analyses = self.analyses(&config)?;
        let data_dirs = crate::data_dirs(self.data.as_ref(), self.samples.as_ref());
        let rows = TorchTrainer::new(data_dirs).analyze(&config, checkpoint, &analyses)?;
        let mut out = io::stdout().lock();
        for batch in
            rheo_query::encode(&TrialKeys::new(self.trial, &serde_json::to_value(&config)?), &rows)?
        {
            let head = json!({"table": batch.table.as_str(), "bytes": batch.ipc.len()});
            writeln!(out, "{head}")?;
            out.write_all(&batch.ipc)?;
        }
        Ok(out.flush()?)
    }

    fn analyses(&self, config: &TrialConfig) -> anyhow::Result<Vec<Analysis>> {
        if self.only.is_empty() {
            return Ok(config.analyze.clone());
        }
        let parse = |text: &String| {
            serde_json::from_str(text)
                .with_context(|| format!("not an analysis: `{}`", excerpt(text)))
        };
        self.only.iter().map(parse).collect()
    }
}
