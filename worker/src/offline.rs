//! What `rheo` has a worker do with the checkpoint of one trial, beside any sweep. The checkpoint
//! comes from standard input, and what is made of it goes to standard output.

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

/// Work without a coordinator.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum OfflineCommand {
    /// Take the weights out of a checkpoint, as safetensors.
    #[command(hide = true)]
    Export,
    /// Analyse the network of a checkpoint. The answer is, for every table, a line of JSON that says
    /// its name and how many bytes follow, and these bytes: an Arrow IPC stream.
    #[command(hide = true)]
    Analyze(AnalyzeArgs),
}

/// What is analysed, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeArgs {
    /// The number of the trial in its sweep.
    #[arg(long)]
    trial: u64,
    /// An analysis, as JSON; without any, those of the configuration.
    #[arg(long)]
    only: Vec<String>,
    /// Directory of data files.
    #[arg(long, env = env::DATA, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Directory in which samples are kept once they are decoded.
    #[arg(long, env = env::SAMPLES, value_name = "DIR")]
    samples: Option<PathBuf>,
}

impl OfflineCommand {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let checkpoint = file::read_stdin(file::CHECKPOINT)
            .context("no checkpoint comes from standard input")?;
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
