//! The file in a state directory in which a running coordinator says where it listens, and which
//! process it is: so that a file of one that died is not taken for one that runs.
//!
//! ```text
//! https://login1:7070
//! pid 4711
//! started 9913321
//! machine 3f2a…/pid:[4026531836]
//! host login1
//! ```
//!
//! Files of older versions have the first line alone; lines that are not known are ignored.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::file;

/// Where a coordinator listens, and which process it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFile {
    /// Its URL.
    pub url: String,
    /// The process, if the file names one.
    pub process: Option<ProcessIdentity>,
}

/// A process, told apart from later ones of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since its machine did.
    pub started: u64,
    /// Its machine since it was last booted, and the namespace of process numbers there.
    pub machine: String,
    /// The name of its machine, for people.
    pub host: String,
}

/// What is known of the process of a file from afar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessStatus {
    /// It runs on this machine.
    Running,
    /// It ran on this machine, and has ended.
    Ended,
    /// It cannot be seen from here: only its address can say.
    Unknown,
}

impl ServerFile {
    /// A file of this process.
    pub fn of_this_process(url: &str) -> Self {
        Self { url: url.to_owned(), process: ProcessIdentity::current() }
    }

    /// Reads the file at `path`; none if it names no address.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::parse(&file::read_text(path, file::SERVER)?))
    }

    /// Parses the text of a file.
    pub fn parse(text: &str) -> Option<Self> {
        let url = text.lines().next().map(str::trim).filter(|url| !url.is_empty())?;
        let value = |key: &str| {
            let lines = text.lines().skip(1).filter_map(|line| line.split_once(' '));
            lines.into_iter().find(|(found, _)| *found == key).map(|(_, value)| value.trim())
        };
        let process = || {
            Some(ProcessIdentity {
                pid: value("pid")?.parse().ok()?,
                started: value("started")?.parse().ok()?,
                machine: value("machine")?.to_owned(),
                host: value("host").unwrap_or_default().to_owned(),
            })
        };
        Some(Self { url: url.to_owned(), process: process() })
    }

    /// Whether the process still runs, as far as this machine can tell. `path` is the file.
    pub fn status(&self, path: &Path) -> ProcessStatus {
        let Some(process) = &self.process else { return ProcessStatus::Unknown };
        // Some systems hide the processes of other users.
        let me = fs::metadata("/proc/self").map(|metadata| metadata.uid()).ok();
        let sees_all = Path::new("/proc/1").exists();
        let is_mine = me.is_some() && fs::metadata(path).ok().map(|file| file.uid()) == me;
        process.status(sees_all || is_mine)
    }
}

impl fmt::Display for ServerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.url)?;
        let Some(ProcessIdentity { pid, started, machine, host }) = &self.process else {
            return Ok(());
        };
        write!(f, "pid {pid}\nstarted {started}\nmachine {machine}\nhost {host}\n")
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl ProcessIdentity {
    /// This process; none where the system does not say.
    pub fn current() -> Option<Self> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (started, _) = stat(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let pid = std::process::id();
        Some(Self { pid, started, machine: machine()?, host: host.trim().to_owned() })
    }

    /// Whether it is a process of this machine.
    pub fn is_here(&self) -> bool {
        machine().is_some_and(|here| here == self.machine)
    }

    fn status(&self, sees_it: bool) -> ProcessStatus {
        if !self.is_here() {
            return ProcessStatus::Unknown;
        }
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => match stat(&text) {
                // One that was killed and that nobody has waited for is still listed.
                Some((started, 'Z' | 'X')) if started == self.started => ProcessStatus::Ended,
                Some((started, _)) if started == self.started => ProcessStatus::Running,
                Some(_) => ProcessStatus::Ended,
                None => ProcessStatus::Unknown,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && sees_it => {
                ProcessStatus::Ended
            }
            Err(_) => ProcessStatus::Unknown,
        }
    }
}

/// This machine since it was last booted, and the namespace in which processes have numbers.
fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// When a process started and its state, from its line in `/proc`. The name of the program, in
/// parentheses, may hold anything.
fn stat(text: &str) -> Option<(u64, char)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The 22nd field; the state is the third.
    Some((fields.nth(18)?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_through_and_an_old_one_is_read() {
        let file = ServerFile::of_this_process("https://h:1");
        assert_eq!(file.process.as_ref().unwrap().pid, std::process::id());
        assert_eq!(ServerFile::parse(&file.to_string()), Some(file));
        let old = ServerFile::parse("http://127.0.0.1:7\n").unwrap();
        assert_eq!((old.url.as_str(), &old.process), ("http://127.0.0.1:7", &None));
        assert_eq!(ServerFile::parse(""), None);
        assert_eq!(ServerFile::parse("\nhttp://h:1"), None);
    }

    #[test]
    fn a_process_runs_if_its_number_and_its_start_are_those_of_the_file() {
        let this = ProcessIdentity::current().unwrap();
        assert_eq!(this.status(true), ProcessStatus::Running);
        let another = ProcessIdentity { started: this.started + 1, ..this.clone() };
        assert_eq!(another.status(true), ProcessStatus::Ended, "the number was used again");
        let nobody = ProcessIdentity { pid: u32::MAX, ..this.clone() };
        assert_eq!(nobody.status(true), ProcessStatus::Ended);
        assert_eq!(nobody.status(false), ProcessStatus::Unknown, "it may be hidden");
        let elsewhere = ProcessIdentity { machine: "another".to_owned(), ..this };
        assert_eq!(elsewhere.status(true), ProcessStatus::Unknown);
    }

    #[test]
    fn the_start_is_found_whatever_the_name_of_the_program() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(stat(line), Some((4242, 'S')));
        assert_eq!(stat("7 (a"), None);
    }
}
