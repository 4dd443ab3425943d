//! `rheo submit`: submits a sweep file to the coordinator and returns.

use std::path::{Path, PathBuf};

use rheo_core::spec::{self, ParsedSweep};
use rheo_core::sweep::PlannedSweep;
use rheo_model::networks;
use rheo_proto::file;
use serde_json::json;

use super::failure::Failure;
use super::{GlobalArgs, dataset, format};
use crate::{app, shell};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sweep file.
    file: PathBuf,
    #[command(flatten)]
    data: dataset::DataArgs,
}

/// Reads a sweep file and prints warnings about it.
pub(super) fn read(path: &Path) -> Result<(String, ParsedSweep), Failure> {
    let text = file::read_text(path, file::SWEEP)
        .map_err(|error| Failure::usage(format!("`{}` cannot be read: {error}", path.display())))?;
    let parsed = spec::parse(&networks::workloads(), &path.display().to_string(), &text)?;
    if !parsed.warnings.is_empty() {
        let file = path.display().to_string();
        format::note(spec::render(&file, &text, &parsed.warnings).trim_end());
    }
    Ok((text, parsed))
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let json = global.json()?;
    let (text, parsed) = read(&args.file)?;
    let missing = args.data.check(&PlannedSweep::new(parsed.definition, &networks::workloads()))?;
    if global.server.is_none() {
        // A submission may be the first command on a state.
        app::make_state(&global.state)?;
    }
    let mut client = global.connect().await?;
    let (sweep, created) = client.submit(&args.file.display().to_string(), &text).await?;
    if json {
        let value = json!({ "sweep": sweep.name, "created": created, "running": client.is_live });
        return Ok(format::print_json(&value)?);
    }
    format::print(&sweep.name)?;
    let what = if created { "submitted" } else { "was submitted before" };
    format::note(format!("{} {what}: {} trials", sweep.name, sweep.counts.trials));
    // Data on other machines cannot be checked from here.
    for missing in missing.iter().filter(|_| global.server.is_none()) {
        format::note(format!("warning: on this machine, {missing}"));
    }
    if !client.is_live {
        let (rheo, file) = (global.rheo(), shell::path(&args.file));
        format::note(format!(
            "no coordinator runs here: `{rheo} run {file}` runs it on this machine, `{rheo} launch` on others"
        ));
    }
    Ok(())
}
