//! Slurm: a pilot is a batch job that runs one worker on each of its nodes, or one for each GPU.
//!
//! Nothing but `sbatch`, `squeue`, `scancel` and, where it works, `sacct` is used, and no job arrays.
//! All pilots are looked at with one `squeue`. A job carries a name that follows from the tag of its
//! pilot, and is found by it again when the answer of `sbatch` was lost.

mod name;
mod queue;
mod script;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rheo_core::fleet::{PilotEndCause, PilotStatus};
use tokio::time::Instant;

pub use settings::SlurmSettings;

use crate::command::run;
use crate::{Error, PilotRef, PilotSubmission};

/// How long a command may take: `sbatch` itself gives up after 9 s of silence by default, busy
/// controllers of large sites take longer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a look at the queue may take; it is asked again soon.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a running pilot may take to leave by itself before its job is cancelled.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Pilots as jobs of Slurm.
pub struct SlurmLauncher {
    settings: SlurmSettings,
    /// When running pilots were first asked to go.
    removal_requested: Mutex<BTreeMap<String, Instant>>,
}

impl SlurmLauncher {
    /// A launcher with these settings.
    pub fn new(settings: SlurmSettings) -> Self {
        Self { settings, removal_requested: Mutex::default() }
    }

    /// What would be run to submit a pilot, and what it would be given.
    pub fn dry_run(settings: &SlurmSettings, submission: &PilotSubmission) -> (String, String) {
        let words =
            std::iter::once("sbatch".to_owned()).chain(script::options(settings, submission));
        let quote: Vec<String> = words.map(|word| script::quote(&word)).collect();
        (quote.join(" "), script::render(settings, submission))
    }

    /// Has Slurm check whether it would take such a job, without submitting one.
    pub async fn check(
        settings: &SlurmSettings,
        submission: &PilotSubmission,
    ) -> Result<(), Error> {
        let mut options = script::options(settings, submission);
        options.push("--test-only".to_owned());
        let script = script::render(settings, submission);
        let output = run("sbatch", &options, Some(&script), COMMAND_TIMEOUT).await?;
        if output.is_success { Ok(()) } else { Err(queue::parse_refusal(&output.stderr)) }
    }

    /// How long ago a running pilot was asked to go; notes that it is asked now if it was not.
    fn removal_requested_ago(&self, tag: &str) -> Duration {
        let mut requested = self.removal_requested.lock().unwrap_or_else(PoisonError::into_inner);
        requested.entry(tag.to_owned()).or_insert_with(Instant::now).elapsed()
    }
}

#[async_trait]
impl crate::Launcher for SlurmLauncher {
    async fn observe(&self, pilots: &[PilotRef]) -> Result<BTreeMap<u64, PilotStatus>, Error> {
        if pilots.is_empty() {
            return Ok(BTreeMap::new());
        }
        let user = format!("--user={}", rustix::process::getuid().as_raw());
        let format = format!("--format={}", queue::FORMAT);
        let args = ["--noheader", "--states=all", &user, &format].map(str::to_owned);
        let output = run("squeue", &args, None, QUERY_TIMEOUT).await?;
        if !output.is_success {
            return Err(Error::Unavailable(format!("`squeue` failed: {}", output.stderr)));
        }
        let jobs = queue::parse(&output.stdout, pilots)?;
        let mut statuses = BTreeMap::new();
        let mut duplicates = Vec::new();
        let mut gone = Vec::new();
        for pilot in pilots {
            let (mut status, extra) = queue::find_status(&jobs, pilot);
            if let PilotStatus::Ended { cause: PilotEndCause::Failed, detail } = &mut status {
                let log = script::log(&self.settings, &pilot.tag);
                *detail = format!("{detail}, see `{log}`");
            }
            duplicates.extend(extra);
            if status == PilotStatus::Unknown && pilot.handle.is_some() {
                gone.push(pilot);
            }
            statuses.insert(pilot.number, status);
        }
        if !duplicates.is_empty() {
            tracing::warn!(jobs = ?duplicates, "submitted twice because an answer was lost: removed");
            run("scancel", &duplicates, None, COMMAND_TIMEOUT).await?;
        }
        for (pilot, status) in query_accounting(&gone).await {
            statuses.insert(pilot, status);
        }
        let mut requested = self.removal_requested.lock().unwrap_or_else(PoisonError::into_inner);
        requested.retain(|tag, _| pilots.iter().any(|pilot| pilot.tag == *tag));
        Ok(statuses)
    }

    async fn submit(&self, submission: &PilotSubmission) -> Result<String, Error> {
        let script = script::render(&self.settings, submission);
        let mut options = script::options(&self.settings, submission);
        options.insert(0, "--parsable".to_owned());
        let output = run("sbatch", &options, Some(&script), COMMAND_TIMEOUT).await?;
        if !output.is_success {
            return Err(queue::parse_refusal(&output.stderr));
        }
        // `1234` or `1234;cluster`, perhaps below what a site's plugin has to say.
        let last =
            output.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let id = last.trim().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            let out = output.stdout.trim();
            return Err(Error::Unavailable(format!("`sbatch` gave no job id: `{out}`")));
        }
        Ok(id.to_owned())
    }

    async fn remove(&self, pilots: &[PilotRef]) -> Result<(), Error> {
        let (mut leave, mut cancel) = (Vec::new(), Vec::new());
        for pilot in pilots {
            let Some(handle) = &pilot.handle else {
                let user = rustix::process::getuid().as_raw();
                let by_name =
                    [format!("--name={}", name::job_name(&pilot.tag)), format!("--user={user}")];
                run("scancel", &by_name, None, COMMAND_TIMEOUT).await?;
                continue;
            };
            if !pilot.runs || self.removal_requested_ago(&pilot.tag) > LEAVE_TIMEOUT {
                cancel.push(handle.clone());
            } else {
                leave.push(handle.clone());
            }
        }
        // The worker is the batch process, or `srun`, which hands signals on. Asked again and again: a
        // job that has just started may not have a worker yet that hears it.
        for (mut ids, flags) in [(cancel, &[][..]), (leave, &["--batch", "--signal=USR1"][..])] {
            if ids.is_empty() {
                continue;
            }
            ids.splice(0..0, flags.iter().map(|flag| (*flag).to_owned()));
            let output = run("scancel", &ids, None, COMMAND_TIMEOUT).await?;
            if !output.is_success && queue::is_unreachable(&output.stderr) {
                return Err(Error::Unavailable(format!("`scancel` failed: {}", output.stderr)));
            }
        }
        Ok(())
    }
}

/// How pilots ended that the queue has forgotten, where accounting remembers.
async fn query_accounting(gone: &[&PilotRef]) -> Vec<(u64, PilotStatus)> {
    if gone.is_empty() {
        return Vec::new();
    }
    let ids: Vec<&str> = gone.iter().filter_map(|pilot| pilot.handle.as_deref()).collect();
    let args =
        ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State,ExitCode"];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.push(format!("--jobs={}", ids.join(",")));
    // Many sites have no accounting: then it is known that they ended, and no more.
    let Ok(output) = run("sacct", &args, None, QUERY_TIMEOUT).await else { return Vec::new() };
    let ends = if output.is_success { queue::parse_ends(&output.stdout) } else { BTreeMap::new() };
    let end = |pilot: &&PilotRef| {
        let (cause, detail): &(PilotEndCause, String) = ends.get(pilot.handle.as_deref()?)?;
        Some((pilot.number, PilotStatus::Ended { cause: *cause, detail: detail.clone() }))
    };
    gone.iter().filter_map(end).collect()
}
