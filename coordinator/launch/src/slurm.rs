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

pub use settings::Settings;

use crate::command::run;
use crate::{Error, Known, Order};

/// How long a command may take: `sbatch` itself gives up after 9 s of silence by default, busy
/// controllers of large sites take longer.
const DEADLINE: Duration = Duration::from_secs(45);

/// How long a look at the queue may take; it is asked again soon.
const LOOK: Duration = Duration::from_secs(20);

/// How long a running pilot may take to leave by itself before its job is cancelled.
const PATIENCE: Duration = Duration::from_secs(90);

/// Pilots as jobs of Slurm.
pub struct Launcher {
    settings: Settings,
    /// When running pilots were first asked to go.
    asked: Mutex<BTreeMap<String, Instant>>,
}

impl Launcher {
    /// A launcher with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, asked: Mutex::default() }
    }

    /// What would be run to submit a pilot, and what it would be given.
    pub fn dry_run(settings: &Settings, order: &Order) -> (String, String) {
        let words = std::iter::once("sbatch".to_owned()).chain(script::options(settings, order));
        let quoted: Vec<String> = words.map(|word| script::quoted(&word)).collect();
        (quoted.join(" "), script::render(settings, order))
    }

    /// Has Slurm check whether it would take such a job, without submitting one.
    pub async fn check(settings: &Settings, order: &Order) -> Result<(), Error> {
        let mut options = script::options(settings, order);
        options.push("--test-only".to_owned());
        let script = script::render(settings, order);
        let said = run("sbatch", &options, Some(&script), DEADLINE).await?;
        if said.ok { Ok(()) } else { Err(queue::refusal(&said.err)) }
    }

    /// How long ago a running pilot was asked to go; notes that it is asked now if it was not.
    fn asked_ago(&self, tag: &str) -> Duration {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.entry(tag.to_owned()).or_insert_with(Instant::now).elapsed()
    }
}

#[async_trait]
impl crate::Launcher for Launcher {
    async fn observe(&self, pilots: &[Known]) -> Result<BTreeMap<u64, PilotStatus>, Error> {
        if pilots.is_empty() {
            return Ok(BTreeMap::new());
        }
        let user = format!("--user={}", rustix::process::getuid().as_raw());
        let format = format!("--format={}", queue::FORMAT);
        let args = ["--noheader", "--states=all", &user, &format].map(str::to_owned);
        let said = run("squeue", &args, None, LOOK).await?;
        if !said.ok {
            return Err(Error::Unavailable(format!("`squeue` failed: {}", said.err)));
        }
        let jobs = queue::parse(&said.out, pilots)?;
        let mut sights = BTreeMap::new();
        let mut doubled = Vec::new();
        let mut gone = Vec::new();
        for pilot in pilots {
            let (mut sight, extra) = queue::find(&jobs, pilot);
            if let PilotStatus::Ended { cause: PilotEndCause::Failed, detail } = &mut sight {
                let log = script::log(&self.settings, &pilot.tag);
                *detail = format!("{detail}, see `{log}`");
            }
            doubled.extend(extra);
            if sight == PilotStatus::Unknown && pilot.handle.is_some() {
                gone.push(pilot);
            }
            sights.insert(pilot.number, sight);
        }
        if !doubled.is_empty() {
            tracing::warn!(jobs = ?doubled, "submitted twice because an answer was lost: removed");
            run("scancel", &doubled, None, DEADLINE).await?;
        }
        for (pilot, sight) in recorded(&gone).await {
            sights.insert(pilot, sight);
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|tag, _| pilots.iter().any(|pilot| pilot.tag == *tag));
        Ok(sights)
    }

    async fn submit(&self, order: &Order) -> Result<String, Error> {
        let script = script::render(&self.settings, order);
        let mut options = script::options(&self.settings, order);
        options.insert(0, "--parsable".to_owned());
        let said = run("sbatch", &options, Some(&script), DEADLINE).await?;
        if !said.ok {
            return Err(queue::refusal(&said.err));
        }
        // `1234` or `1234;cluster`, perhaps below what a site's plugin has to say.
        let last = said.out.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let id = last.trim().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            let out = said.out.trim();
            return Err(Error::Unavailable(format!("`sbatch` gave no job id: `{out}`")));
        }
        Ok(id.to_owned())
    }

    async fn remove(&self, pilots: &[Known]) -> Result<(), Error> {
        let (mut leave, mut cancel) = (Vec::new(), Vec::new());
        for pilot in pilots {
            let Some(handle) = &pilot.handle else {
                let user = rustix::process::getuid().as_raw();
                let by_name =
                    [format!("--name={}", name::of_job(&pilot.tag)), format!("--user={user}")];
                run("scancel", &by_name, None, DEADLINE).await?;
                continue;
            };
            if !pilot.runs || self.asked_ago(&pilot.tag) > PATIENCE {
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
            let said = run("scancel", &ids, None, DEADLINE).await?;
            if !said.ok && queue::is_away(&said.err) {
                return Err(Error::Unavailable(format!("`scancel` failed: {}", said.err)));
            }
        }
        Ok(())
    }
}

/// How pilots ended that the queue has forgotten, where accounting remembers.
async fn recorded(gone: &[&Known]) -> Vec<(u64, PilotStatus)> {
    if gone.is_empty() {
        return Vec::new();
    }
    let ids: Vec<&str> = gone.iter().filter_map(|pilot| pilot.handle.as_deref()).collect();
    let args = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State,ExitCode"];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.push(format!("--jobs={}", ids.join(",")));
    // Many sites have no accounting: then it is known that they ended, and no more.
    let Ok(said) = run("sacct", &args, None, LOOK).await else { return Vec::new() };
    let ends = if said.ok { queue::parse_ends(&said.out) } else { BTreeMap::new() };
    let end = |pilot: &&Known| {
        let (cause, detail): &(PilotEndCause, String) = ends.get(pilot.handle.as_deref()?)?;
        Some((pilot.number, PilotStatus::Ended { cause: *cause, detail: detail.clone() }))
    };
    gone.iter().filter_map(end).collect()
}
