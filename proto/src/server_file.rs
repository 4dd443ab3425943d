//! The server file of a state directory: a running coordinator writes its URL and its process
//! identity there, so that the file of a dead coordinator is recognised.
//!
//! ```text
//! https://login1:7070
//! pid 4711
//! started 9913321
//! machine 3f2a…/pid:[4026531836]
//! host login1
//! ```
//!
//! Files of older versions have only the first line; unknown lines are ignored.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::file;

/// The URL and the process of a coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFile {
    /// The URL of the coordinator.
    pub url: String,
    /// The process; none in files of older versions.
    pub process: Option<ProcessIdentity>,
}

/// The identity of a process. Differs from that of a later process with the same process id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// The start time, in clock ticks since the machine booted.
    pub started: u64,
    /// The boot id of the machine and the namespace of its process ids.
    pub machine: String,
    /// The host name, for messages.
    pub host: String,
}

/// The state of the process that a server file names, as far as this machine can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessStatus {
    /// The process runs on this machine.
    Running,
    /// The process ran on this machine and has ended.
    Ended,
    /// The process is not visible from here; only a connection to its URL can tell.
    Unknown,
}

impl ServerFile {
    /// Names this process as the coordinator at `url`.
    pub fn of_this_process(url: &str) -> Self {
        Self { url: url.to_owned(), process: ProcessIdentity::current() }
    }

    /// Reads the file at `path`; none if it holds no URL.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::parse(&file::read_text(path, file::SERVER)?))
    }

    /// Parses the text of a server file; none if it holds no URL.
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

    /// The state of the process. `path` is the path of this file, whose owner is compared with the
    /// current user.
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
    /// The identity of this process; none if `/proc` does not have it.
    pub fn current() -> Option<Self> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (started, _) = stat(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let pid = std::process::id();
        Some(Self { pid, started, machine: machine()?, host: host.trim().to_owned() })
    }

    /// Whether the process belongs to this machine and its current boot.
    pub fn is_here(&self) -> bool {
        machine().is_some_and(|here| here == self.machine)
    }

    fn status(&self, sees_it: bool) -> ProcessStatus {
        if !self.is_here() {
            return ProcessStatus::Unknown;
        }
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => match stat(&text) {
                // A killed process is listed until its parent waits for it.
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

/// The boot id of this machine and the namespace of its process ids.
fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// The start time and the state letter in a line of `/proc/PID/stat`. The program name, in
/// parentheses, may hold any character.
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
    fn server_files_round_trip_and_old_ones_are_read() {
        let file = ServerFile::of_this_process("https://h:1");
        assert_eq!(file.process.as_ref().unwrap().pid, std::process::id());
        assert_eq!(ServerFile::parse(&file.to_string()), Some(file));
        let old = ServerFile::parse("http://127.0.0.1:7\n").unwrap();
        assert_eq!((old.url.as_str(), &old.process), ("http://127.0.0.1:7", &None));
        assert_eq!(ServerFile::parse(""), None);
        assert_eq!(ServerFile::parse("\nhttp://h:1"), None);
    }

    #[test]
    fn a_process_is_running_if_its_id_and_start_time_match() {
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
    fn the_start_time_is_parsed_after_any_program_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(stat(line), Some((4242, 'S')));
        assert_eq!(stat("7 (a"), None);
    }
}
