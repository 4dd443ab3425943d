//! `rheo data fetch`: downloads data sets and checks that they are what they should be.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use flate2::read::GzDecoder;
use rheo_core::dataset::{DataFile, MNIST};
use sha2::{Digest as _, Sha256};
use ureq::Agent;

use super::failure::Failure;
use super::{env, format};

/// Where MNIST lies, in the order in which places are tried.
const MIRRORS: [&str; 2] = [
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
];

/// How long one file may take.
const TIMEOUT: Duration = Duration::from_mins(10);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Download a data set and verify it by digest.
    Fetch(Fetch),
}

#[derive(Debug, clap::Args)]
pub(super) struct Fetch {
    /// Which.
    #[arg(value_parser = ["mnist"])]
    name: String,
    /// Where to put it.
    #[arg(long, env = env::DATA, value_name = "DIR", default_value = "data/mnist")]
    dir: PathBuf,
    /// Address of a directory to fetch from; may be given several times. By default public mirrors.
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Fetch(args) = command;
    let mirrors: Vec<&str> = if args.mirror.is_empty() {
        MIRRORS.to_vec()
    } else {
        args.mirror.iter().map(String::as_str).collect()
    };
    std::fs::create_dir_all(&args.dir)?;
    for file in MNIST.files() {
        obtain(&file, &args.dir, &mirrors)
            .with_context(|| format!("`{}` was not fetched", file.name))?;
    }
    format::note(format!("{} is complete in {}", args.name, args.dir.display()));
    Ok(format::print(std::path::absolute(&args.dir)?.display())?)
}

/// Makes sure that a file is there, from the first mirror that has it as it should be.
fn obtain(file: &DataFile, directory: &Path, mirrors: &[&str]) -> anyhow::Result<()> {
    let path = directory.join(format!("{}.gz", file.name));
    if let Ok(present) = File::open(&path)
        && verify(file, present).is_ok()
    {
        format::note(format!("{} is there", file.name));
        return Ok(());
    }
    let agent = Agent::config_builder().timeout_global(Some(TIMEOUT)).build().new_agent();
    let mut failures = String::new();
    for mirror in mirrors {
        let url = format!("{}/{}.gz", mirror.trim_end_matches('/'), file.name);
        match fetch(&agent, &url, file, &path) {
            Ok(()) => {
                format::note(format!("{} fetched from {mirror}", file.name));
                return Ok(());
            }
            Err(error) => failures += &format!("\n  {url}: {error:#}"),
        }
    }
    bail!("no mirror has it as it should be:{failures}")
}

/// Downloads beside `path`, and moves it there once it is known to be right.
fn fetch(agent: &Agent, url: &str, file: &DataFile, path: &Path) -> anyhow::Result<()> {
    let mut reply = agent.get(url).call()?;
    let aside = path.with_extension("part");
    let mut out = File::create(&aside)?;
    // Nothing compresses to more than it was.
    let mut body = reply.body_mut().as_reader().take(file.bytes + 4096);
    io::copy(&mut body, &mut out)?;
    out.flush()?;
    out.sync_all()?;
    if let Err(error) = verify(file, File::open(&aside)?) {
        std::fs::remove_file(&aside)?;
        return Err(error);
    }
    Ok(std::fs::rename(&aside, path)?)
}

/// Checks the uncompressed content: mirrors compress differently.
fn verify(file: &DataFile, compressed: File) -> anyhow::Result<()> {
    let mut content = GzDecoder::new(io::BufReader::new(compressed)).take(file.bytes + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = content.read(&mut buffer).context("it is not a gzip file")?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes != file.bytes || found != file.sha256 {
        bail!("its content is not what it should be: {bytes} bytes with SHA-256 {found}");
    }
    Ok(())
}
