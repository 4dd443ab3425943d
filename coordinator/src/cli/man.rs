//! `rheo man`: manual pages of all commands, from the same definition as `--help`.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use super::failure::Failure;
use super::{format, help};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the pages; created if missing.
    #[arg(value_parser = super::path())]
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory).map_err(|error| Failure::unusable(directory, error))?;
    let pages = write(&help::command(), "", directory)?;
    format::note(format!("{pages} pages in `{}`", directory.display()));
    Ok(())
}

/// Writes the page of a command and those of its subcommands; the number of pages.
fn write(command: &Command, within: &str, directory: &Path) -> Result<usize, Failure> {
    let name = format!("{within}{}", command.get_name());
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    let unusable = |error| Failure::unusable(&path, error);
    Man::new(command.clone().display_name(&name)).render(&mut page).map_err(unusable)?;
    std::fs::write(&path, page).map_err(unusable)?;
    let mut pages = 1;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        pages += write(sub, &format!("{name}-"), directory)?;
    }
    Ok(pages)
}
