//! `rheo data fetch`: downloads data sets and verifies their digests.

mod archive;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use flate2::read::GzDecoder;
use rheo_model::dataset::{Archive, CIFAR10, DataFile, MNIST};
use sha2::{Digest as _, Sha256};
use ureq::Agent;

use super::destination::Destination;
use super::failure::Failure;
use super::{env, format};
use crate::paths;

/// Mirrors of MNIST, in the order in which they are tried.
const MNIST_MIRRORS: [&str; 2] = [
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
];

/// Mirrors of CIFAR-10.
const CIFAR10_MIRRORS: [&str; 1] = ["https://www.cs.toronto.edu/~kriz"];

/// The timeout of one download.
const TIMEOUT: Duration = Duration::from_mins(30);

#[derive(Debug, clap::Subcommand)]
pub(super) enum DataCommand {
    /// Download a data set and verify it by digest.
    Fetch(FetchArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct FetchArgs {
    /// Which.
    #[arg(value_enum)]
    name: DataSetName,
    /// Directory of the data set; by default `data/` and its name.
    #[arg(long, env = env::DATA, value_name = "DIR", value_parser = super::path())]
    dir: Option<PathBuf>,
    /// Address of a directory to fetch from; may be given several times. By default public mirrors.
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
}

/// The data sets that can be fetched.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DataSetName {
    Mnist,
    Cifar10,
}

pub(super) fn run(command: &DataCommand) -> Result<(), Failure> {
    let DataCommand::Fetch(args) = command;
    let (name, public) = match args.name {
        DataSetName::Mnist => ("mnist", &MNIST_MIRRORS[..]),
        DataSetName::Cifar10 => ("cifar10", &CIFAR10_MIRRORS[..]),
    };
    let given: Vec<&str> = args.mirror.iter().map(String::as_str).collect();
    let mirrors = if given.is_empty() { public } else { &given };
    let directory = args.dir.clone().unwrap_or_else(|| Path::new("data").join(name));
    std::fs::create_dir_all(&directory).map_err(|error| Failure::unusable(&directory, error))?;
    match args.name {
        DataSetName::Mnist => {
            for file in MNIST.files() {
                ensure_file(&Download::from(file), &directory, mirrors)?;
            }
        }
        DataSetName::Cifar10 => {
            let archive = ensure_file(&Download::from(CIFAR10.archive), &directory, mirrors)?;
            let members = [&CIFAR10.train[..], &[CIFAR10.test]].concat();
            let packed =
                File::open(&archive).map_err(|error| Failure::unusable(&archive, error))?;
            archive::unpack(packed, &directory, &members)
                .with_context(|| format!("cannot unpack `{}`", archive.display()))?;
        }
    }
    format::note(format!("{name} is complete in {}", directory.display()));
    Ok(format::print(paths::resolve(&directory).display())?)
}

/// A file to download.
struct Download {
    /// The name on mirrors and in the directory.
    name: String,
    /// Size in bytes of the content that is hashed.
    bytes: u64,
    sha256: &'static str,
    /// Whether the digest is of the uncompressed content: mirrors compress differently.
    digest_is_of_content: bool,
}

impl From<DataFile> for Download {
    fn from(file: DataFile) -> Self {
        let name = format!("{}.gz", file.name);
        Self { name, bytes: file.bytes, sha256: file.sha256, digest_is_of_content: true }
    }
}

impl From<Archive> for Download {
    fn from(archive: Archive) -> Self {
        let Archive { name, bytes, sha256 } = archive;
        Self { name: name.to_owned(), bytes, sha256, digest_is_of_content: false }
    }
}

/// Downloads a file, unless it is present, from the first mirror with an intact copy; returns its
/// path.
fn ensure_file(file: &Download, directory: &Path, mirrors: &[&str]) -> anyhow::Result<PathBuf> {
    let path = directory.join(&file.name);
    if let Ok(present) = File::open(&path)
        && verify(file, present).is_ok()
    {
        format::note(format!("{} is present", file.name));
        return Ok(path);
    }
    let agent = Agent::config_builder().timeout_global(Some(TIMEOUT)).build().new_agent();
    let mut failures = String::new();
    for mirror in mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
        match fetch(&agent, &url, file, &path) {
            Ok(()) => {
                format::note(format!("{} fetched from {mirror}", file.name));
                return Ok(path);
            }
            Err(error) => failures += &format!("\n  {url}: {error:#}"),
        }
    }
    bail!("cannot fetch `{}`: no mirror has an intact copy:{failures}", file.name)
}

/// Downloads a file, verifies it, and then renames it to `path`.
fn fetch(agent: &Agent, url: &str, file: &Download, path: &Path) -> anyhow::Result<()> {
    let mut reply = agent.get(url).call()?;
    let mut out = Destination::open(path).map_err(Failure::into_error)?;
    // A compressed file is hardly larger than its content.
    let mut body = reply.body_mut().as_reader().take(file.bytes + 4096);
    io::copy(&mut body, &mut out)?;
    verify(file, out.reread()?)?;
    Ok(out.finish()?)
}

/// Checks the content of a file.
fn verify(file: &Download, content: File) -> anyhow::Result<()> {
    let content = io::BufReader::new(content);
    let content: Box<dyn Read> = if file.digest_is_of_content {
        Box::new(GzDecoder::new(content))
    } else {
        Box::new(content)
    };
    let mut content = content.take(file.bytes + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = content.read(&mut buffer).context("cannot read it")?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes != file.bytes || found != file.sha256 {
        bail!("its content differs: {bytes} bytes with SHA-256 {found}");
    }
    Ok(())
}
