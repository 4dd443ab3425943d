//! Pilots as processes on this machine that outlive the coordinator: `rheo launch local`.
//!
//! A process carries the tag of its pilot in its environment, by which a restarted coordinator finds it,
//! so that no pilot is lost or started twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rheo_core::fleet::{PilotEndCause, PilotStatus};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::{Error, PilotRef, PilotSubmission};

/// The environment variable with the tag.
const TAG_VARIABLE: &str = "RHEO_JOB";

/// The environment variable that restricts a process to its GPUs.
const GPUS_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// The settings of a fleet of local processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// The state directory.
    pub state: PathBuf,
    /// The directory of logs.
    pub logs: PathBuf,
    /// The `rheo-worker` program.
    pub worker: PathBuf,
    /// The slots of each worker.
    pub slots: u32,
    /// The number of GPUs of each worker.
    #[serde(default)]
    pub gpus: u32,
    /// The GPUs of this machine, as named in `CUDA_VISIBLE_DEVICES`.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Environment variables of the worker, such as `RHEO_DATA`.
    pub environment: BTreeMap<String, String>,
}

/// Pilots as processes on this machine.
pub struct ProcessLauncher {
    settings: ProcessSettings,
    /// The children of this process, by tag.
    children: Mutex<BTreeMap<String, Child>>,
}

impl ProcessLauncher {
    /// Creates a launcher.
    pub fn new(settings: ProcessSettings) -> Self {
        Self { settings, children: Mutex::default() }
    }

    /// The command line of a pilot, with its environment variables.
    pub fn dry_run(settings: &ProcessSettings, submission: &PilotSubmission) -> String {
        let variables = pilot_variables(settings, submission, &settings.first_devices());
        let words = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let program = settings.worker.display().to_string();
        words.chain([program]).collect::<Vec<_>>().join(" ")
    }

    /// The end of a pilot that is an ended child of this process.
    fn ended(&self, tag: &str) -> Option<PilotStatus> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let status = children.get_mut(tag)?.try_wait().ok()??;
        children.remove(tag);
        let cause = if status.success() { PilotEndCause::Completed } else { PilotEndCause::Failed };
        Some(PilotStatus::Ended {
            cause,
            detail: if status.success() { String::new() } else { status.to_string() },
        })
    }
}

impl ProcessSettings {
    /// The GPUs of the first pilot.
    fn first_devices(&self) -> Vec<String> {
        let count = usize::try_from(self.gpus).unwrap_or(usize::MAX);
        self.devices.iter().take(count).cloned().collect()
    }

    /// The GPUs of another pilot beside the running ones; an error if too few are free.
    fn free_devices(&self, running: &BTreeMap<String, PilotProcess>) -> Result<Vec<String>, Error> {
        let taken: BTreeSet<&String> = running.values().flat_map(|pilot| &pilot.gpus).collect();
        let count = usize::try_from(self.gpus).unwrap_or(usize::MAX);
        let free = self.devices.iter().filter(|device| !taken.contains(device));
        let free: Vec<String> = free.take(count).cloned().collect();
        if free.len() < count {
            let (all, free) = (self.devices.len(), free.len());
            let text = format!(
                "a pilot takes {count} GPUs (`--gpus`), but of the {all} on this machine {free} are free"
            );
            return Err(Error::Limit(text));
        }
        Ok(free)
    }
}

/// The process of a pilot.
#[derive(Debug, Default)]
struct PilotProcess {
    pid: i32,
    /// The GPUs of the process, as named in `CUDA_VISIBLE_DEVICES`.
    gpus: Vec<String>,
}

fn pilot_variables(
    settings: &ProcessSettings,
    submission: &PilotSubmission,
    gpus: &[String],
) -> BTreeMap<String, String> {
    let mut all = settings.environment.clone();
    let own = [
        (TAG_VARIABLE, submission.tag.clone()),
        ("RHEO_PILOT", submission.pilot.to_string()),
        ("RHEO_STATE", settings.state.display().to_string()),
        ("RHEO_SLOTS", settings.slots.max(1).to_string()),
        ("RHEO_GPU_COUNT", settings.gpus.to_string()),
        (GPUS_VARIABLE, gpus.join(",")),
    ];
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// The running pilots on this machine, by tag.
fn processes() -> BTreeMap<String, PilotProcess> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes of others are unreadable, and a zombie has no environment.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let value = |name: &str| {
            environment.split(|byte| *byte == 0).find_map(|variable| {
                let variable = std::str::from_utf8(variable).ok()?;
                variable.strip_prefix(name)?.strip_prefix('=')
            })
        };
        if let Some(tag) = value(TAG_VARIABLE).filter(|tag| tag.starts_with("rheo-")) {
            let gpus =
                value(GPUS_VARIABLE).unwrap_or_default().split(',').filter(|gpu| !gpu.is_empty());
            let gpus = gpus.map(str::to_owned).collect();
            // The worker is older than its own children.
            let known = found.entry(tag.to_owned()).or_insert(PilotProcess { pid, gpus });
            known.pid = pid.min(known.pid);
        }
    }
    found
}

#[async_trait]
impl crate::Launcher for ProcessLauncher {
    async fn observe(&self, pilots: &[PilotRef]) -> Result<BTreeMap<u64, PilotStatus>, Error> {
        let processes = processes();
        let status = |pilot: &PilotRef| {
            if let Some(ended) = self.ended(&pilot.tag) {
                return ended;
            }
            match processes.get(&pilot.tag) {
                Some(process) => PilotStatus::Running { handle: process.pid.to_string() },
                None => PilotStatus::Unknown,
            }
        };
        Ok(pilots.iter().map(|pilot| (pilot.number, status(pilot))).collect())
    }

    async fn submit(&self, submission: &PilotSubmission) -> Result<String, Error> {
        let ProcessSettings { logs, worker, .. } = &self.settings;
        let path = logs.join(format!("{}.log", submission.tag));
        let open = || {
            fs::create_dir_all(logs)?;
            fs::OpenOptions::new().create(true).append(true).open(&path)
        };
        let refused =
            |what: String| move |error: std::io::Error| Error::Refused(format!("{what}: {error}"));
        let log = open().map_err(refused(format!("cannot write the log `{}`", path.display())))?;
        let twice =
            log.try_clone().map_err(refused("the log cannot be opened twice".to_owned()))?;
        let gpus = self.settings.free_devices(&processes())?;
        let child = Command::new(worker)
            .envs(pilot_variables(&self.settings, submission, &gpus))
            .stdin(Stdio::null())
            .stdout(twice)
            .stderr(log)
            // Its own process group, so that Ctrl-C on the coordinator does not reach it.
            .process_group(0)
            .spawn()
            .map_err(refused(format!("cannot start `{}`", worker.display())))?;
        let handle = child.id().map(|pid| pid.to_string()).unwrap_or_default();
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.insert(submission.tag.clone(), child);
        Ok(handle)
    }

    async fn remove(&self, pilots: &[PilotRef]) -> Result<(), Error> {
        let processes = processes();
        for pilot in pilots {
            let process = processes.get(&pilot.tag);
            let pid = process.and_then(|process| Pid::from_raw(process.pid));
            if let Some(pid) = pid {
                // It may just have ended.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        Ok(())
    }
}
