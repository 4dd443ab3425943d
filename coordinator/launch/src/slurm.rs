//! Slurm launcher: a pilot is a batch job that runs one worker per node or per GPU.
//!
//! It uses only `sbatch`, `squeue`, `scancel` and, where available, `sacct`, and no job arrays. One
//! `squeue` shows all pilots. The name of a job is derived from the tag of its pilot, so that the job
//! can be found when the reply of `sbatch` was lost.

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

/// The timeout of a command. `sbatch` itself gives up after 9 s by default, but busy controllers of
/// large sites take longer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(45);

/// The timeout of a query, which is repeated soon.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The time that a running pilot may take to leave before its job is cancelled.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(90);

/// Runs pilots as Slurm jobs.
pub struct SlurmLauncher {
    settings: SlurmSettings,
    /// The times of the first removal requests of running pilots, by tag.
    removal_requested: Mutex<BTreeMap<String, Instant>>,
}

impl SlurmLauncher {
    /// Creates a launcher.
    pub fn new(settings: SlurmSettings) -> Self {
        Self { settings, removal_requested: Mutex::default() }
    }

    /// The `sbatch` command line of a pilot, and its script.
    pub fn dry_run(settings: &SlurmSettings, submission: &PilotSubmission) -> (String, String) {
        let words =
            std::iter::once("sbatch".to_owned()).chain(script::options(settings, submission));
        let quote: Vec<String> = words.map(|word| script::quote(&word)).collect();
        (quote.join(" "), script::render(settings, submission))
    }

    /// Checks with `sbatch --test-only` whether Slurm accepts such a job.
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

    /// The time since the first removal request of a running pilot; records one now if it is the
    /// first.
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
            tracing::warn!(jobs = ?duplicates, "cancelling jobs submitted twice after a lost reply");
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
        // `1234` or `1234;cluster`, possibly after messages of a site's plugins.
        let last =
            output.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let id = last.trim().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            let out = output.stdout.trim();
            return Err(Error::Unavailable(format!("`sbatch` printed no job id: `{out}`")));
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
        // The batch process is the worker, or `srun`, which forwards signals. The caller repeats the
        // request, because a job that has just started may have no worker yet.
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

/// The ends of pilots that are no longer in the queue, from accounting.
async fn query_accounting(gone: &[&PilotRef]) -> Vec<(u64, PilotStatus)> {
    if gone.is_empty() {
        return Vec::new();
    }
    let ids: Vec<&str> = gone.iter().filter_map(|pilot| pilot.handle.as_deref()).collect();
    let args = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State,ExitCode"];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.push(format!("--jobs={}", ids.join(",")));
    // Many sites have no accounting; then only the fact of the end is known.
    let Ok(output) = run("sacct", &args, None, QUERY_TIMEOUT).await else { return Vec::new() };
    let ends = if output.is_success { queue::parse_ends(&output.stdout) } else { BTreeMap::new() };
    let end = |pilot: &&PilotRef| {
        let (cause, detail): &(PilotEndCause, String) = ends.get(pilot.handle.as_deref()?)?;
        Some((pilot.number, PilotStatus::Ended { cause: *cause, detail: detail.clone() }))
    };
    gone.iter().filter_map(end).collect()
}
