//! A real object-storage server that speaks the S3 protocol, with a bucket `bucket`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::send;

/// A running server, stopped when dropped.
#[derive(Debug)]
pub struct ObjectServer {
    process: Child,
    /// Address of the server.
    pub url: String,
    /// Access key.
    pub key: String,
    /// Secret of the access key.
    pub secret: String,
    /// Python packages of the server, which include a client.
    pub packages: PathBuf,
}

impl ObjectServer {
    /// Starts a server; with the argument `keys` it checks request signatures. Prints a message and
    /// returns none if the server is not installed.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let packages = packages()?;
        let mut python = Command::new("python3");
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/s3/server.py")).args(arguments);
        python.env("PYTHONPATH", &packages).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = python.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        let url = words.next().unwrap_or_else(|| panic!("the server did not start"));
        let mut key = || words.next().unwrap_or_else(|| "test".to_owned());
        let (key, secret) = (key(), key());
        Some(Self { process, url, key, secret, packages })
    }

    /// Returns the environment variables of programs that use the server.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT", self.url.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            // Gives up an unresponsive server soon.
            ("AWS_TIMEOUT", "2 seconds"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Returns the names of all objects that begin with `prefix`.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        const LIST: &str = r#"
import boto3, sys
endpoint, key, secret, prefix = sys.argv[1:]
s3 = boto3.Session(key, secret, region_name="us-east-1").client("s3", endpoint_url=endpoint)
for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix):
    for entry in page.get("Contents", []):
        print(entry["Key"])
"#;
        let mut python = Command::new("python3");
        python.args(["-c", LIST, &self.url, &self.key, &self.secret, prefix]);
        let output = python.env("PYTHONPATH", &self.packages).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) {
        send(self.process.id(), signal);
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the directory in which `make test` installs the packages.
fn packages() -> Option<PathBuf> {
    let cache = std::env::var_os("RHEO_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/rheobase"));
    let found = cache.or_else(home)?.join("tools/s3");
    if found.is_dir() {
        return Some(found);
    }
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: no server of object storage: run `deploy/tools.sh s3`");
    }
    None
}
