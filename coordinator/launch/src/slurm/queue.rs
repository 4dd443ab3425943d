//! Parser of the output of Slurm commands. An unknown value invalidates the whole output, because a
//! misread job would be replaced, which breaks the bound on pilots.

use std::collections::BTreeMap;

use rheo_core::fleet::{PilotEndCause, PilotStatus};

use super::name;
use crate::{Error, PilotRef};

/// The output format of `squeue`: id, state, reason, name. The name comes last, because foreign names
/// may contain the separator.
pub(super) const FORMAT: &str = "%i|%T|%r|%j";

/// A job in the output of `squeue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    id: String,
    state: JobState,
    reason: String,
    name: String,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Waiting,
    Running,
    Ended(PilotEndCause),
}

/// Parses a job state (`squeue`, section JOB STATE CODES); none for an unknown one.
fn parse_state(name: &str) -> Option<JobState> {
    Some(match name {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED"
        | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => JobState::Waiting,
        "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT"
        | "RESIZING" => JobState::Running,
        "COMPLETED" => JobState::Ended(PilotEndCause::Completed),
        "CANCELLED" | "REVOKED" => JobState::Ended(PilotEndCause::Cancelled),
        // A time limit counts as preemption: the cluster gives the node to others.
        "PREEMPTED" | "TIMEOUT" | "DEADLINE" => JobState::Ended(PilotEndCause::Preempted),
        "NODE_FAIL" | "BOOT_FAIL" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => {
            JobState::Ended(PilotEndCause::NodeLost)
        }
        "OUT_OF_MEMORY" => JobState::Ended(PilotEndCause::OutOfMemory),
        "FAILED" => JobState::Ended(PilotEndCause::Failed),
        _ => return None,
    })
}

/// Parses the output of `squeue`.
pub(super) fn parse(text: &str, pilots: &[PilotRef]) -> Result<Vec<Job>, Error> {
    let is_ours = |name: &str| pilots.iter().any(|pilot| is_of(name, pilot));
    let malformed = |line: &str| {
        Error::Unavailable(format!("`squeue` printed a line that cannot be parsed: `{line}`"))
    };
    let job = |line: &str| {
        let mut fields = line.splitn(4, '|').map(str::trim);
        let (Some(id), Some(named), Some(reason), Some(name)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed(line));
        };
        // Only our own jobs must have a known state; foreign jobs may be arrays, for example.
        let Some(state) = parse_state(named) else {
            return if is_ours(name) { Err(malformed(line)) } else { Ok(None) };
        };
        let (id, reason, name) = (id.to_owned(), reason.to_owned(), name.to_owned());
        Ok(Some(Job { id, state, reason, name }))
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.filter_map(|line| job(line).transpose()).collect()
}

/// Whether a job name belongs to a pilot. In older versions, it was the tag.
fn is_of(job: &str, pilot: &PilotRef) -> bool {
    job == name::job_name(&pilot.tag) || job == pilot.tag
}

/// The status of a pilot, and the ids of further live jobs with its name.
pub(super) fn find_status(jobs: &[Job], pilot: &PilotRef) -> (PilotStatus, Vec<String>) {
    let ours = || jobs.iter().filter(|job| is_of(&job.name, pilot));
    let living = || ours().filter(|job| !matches!(job.state, JobState::Ended(_)));
    let known = living().find(|job| pilot.handle.as_ref() == Some(&job.id));
    let chosen = known.or_else(|| living().next());
    let extra = living().filter(|job| chosen.is_none_or(|chosen| chosen.id != job.id));
    let extra = extra.map(|job| job.id.clone()).collect();
    let chosen = chosen.or_else(|| ours().next_back());
    let Some(job) = chosen else { return (PilotStatus::Unknown, extra) };
    let handle = job.id.clone();
    let status = match job.state {
        JobState::Waiting => PilotStatus::Waiting { handle, reason: explain_reason(&job.reason) },
        JobState::Running => PilotStatus::Running { handle },
        JobState::Ended(cause) => {
            let reason = if job.reason == "None" { String::new() } else { job.reason.clone() };
            PilotStatus::Ended { cause, detail: reason }
        }
    };
    (status, extra)
}

/// A reason of Slurm, with advice where it needs some.
fn explain_reason(reason: &str) -> String {
    let hint = match reason {
        "JobHeldUser" => "a user held it: `scontrol release` releases it",
        "JobHeldAdmin" => "an administrator held it",
        "ReqNodeNotAvail" | "Reserved for maintenance" => {
            "nodes are reserved or down; a shorter `--time` may fit before the reservation"
        }
        "PartitionTimeLimit" => "`--time` is more than the partition allows",
        "PartitionNodeLimit" | "PartitionConfig" | "BadConstraints" => {
            "no node of the partition has these resources: see `sinfo`"
        }
        "PartitionDown" | "PartitionInactive" => "the partition takes no jobs now: see `sinfo`",
        "launch failed requeued held" | "JobLaunchFailure" => {
            "its nodes could not start it: `scontrol release` retries"
        }
        _ => "",
    };
    match (reason, hint) {
        ("None" | "", _) => String::new(),
        (reason, "") => reason.to_owned(),
        (reason, hint) => format!("{reason} ({hint})"),
    }
}

/// Parses the output of `sacct`: the ends of jobs, by id. Skips live jobs, whose rows are outdated.
pub(super) fn parse_ends(text: &str) -> BTreeMap<String, (PilotEndCause, String)> {
    let end = |line: &str| {
        let mut fields = line.split('|');
        let (id, named, code) = (fields.next()?, fields.next()?, fields.next()?);
        // "CANCELLED by 1000"
        let JobState::Ended(cause) = parse_state(named.split_whitespace().next()?)? else {
            return None;
        };
        Some((id.to_owned(), (cause, format!("{named}, exit code {code}"))))
    };
    text.lines().filter_map(end).collect()
}

/// Whether an error message means that the controller cannot be reached.
pub(super) fn is_unreachable(text: &str) -> bool {
    let signs = [
        "Unable to contact slurm controller",
        "Socket timed out",
        "Connection refused",
        "Connection timed out",
        "Transport endpoint is not connected",
        "Zero Bytes were transmitted",
        "temporarily unable to accept job",
        "Resource temporarily unavailable",
    ];
    signs.iter().any(|sign| text.contains(sign))
}

/// Parses an error of `sbatch` into unavailable, limit reached, or refused.
pub(super) fn parse_refusal(text: &str) -> Error {
    // The last line is the error; warnings of plugins precede it, general advice follows it.
    let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("Try \"sbatch");
    let said = text.lines().rev().find(says).unwrap_or("no reason given");
    let message = format!("`sbatch` said: {}", said.trim());
    if is_unreachable(text) {
        return Error::Unavailable(message);
    }
    let limits = [
        "SubmitJob",
        "SubmitLimit",
        "job submit limit",
        "Job violates accounting/QOS policy",
        "MaxSubmit",
        "MaxJobs",
        "MaxArraySize",
    ];
    if limits.iter().any(|sign| text.contains(sign)) {
        return Error::Limit(format!(
            "{message}: no more jobs are accepted at present; `rheo launch scale FLEET --max N` lowers the limit of the fleet"
        ));
    }
    Error::Refused(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pilot(handle: Option<&str>) -> PilotRef {
        let tag = "rheo-slurm-0123456789-3".to_owned();
        PilotRef { number: 3, tag, handle: handle.map(str::to_owned), runs: false }
    }

    #[test]
    fn every_job_state_has_a_status() {
        let name = "slurm-3-0123456789";
        let status = |state: &str, reason: &str| {
            let text = format!("17|{state}|{reason}|{name}\n");
            let jobs = parse(&text, &[pilot(None)]).unwrap();
            find_status(&jobs, &pilot(None)).0
        };
        let handle = || "17".to_owned();
        let ended = |cause| PilotStatus::Ended { cause, detail: String::new() };
        let waits =
            |reason: &str| PilotStatus::Waiting { handle: handle(), reason: reason.to_owned() };
        assert_eq!(status("PENDING", "Resources"), waits("Resources"));
        assert_eq!(status("PENDING", "None"), waits(""));
        assert_eq!(
            status("PENDING", "JobHeldUser"),
            waits("JobHeldUser (a user held it: `scontrol release` releases it)")
        );
        assert_eq!(status("RUNNING", "None"), PilotStatus::Running { handle: handle() });
        assert_eq!(status("COMPLETING", "None"), PilotStatus::Running { handle: handle() });
        for (state, cause) in [
            ("COMPLETED", PilotEndCause::Completed),
            ("CANCELLED", PilotEndCause::Cancelled),
            ("PREEMPTED", PilotEndCause::Preempted),
            ("TIMEOUT", PilotEndCause::Preempted),
            ("NODE_FAIL", PilotEndCause::NodeLost),
            ("OUT_OF_MEMORY", PilotEndCause::OutOfMemory),
            ("FAILED", PilotEndCause::Failed),
        ] {
            assert_eq!(status(state, "None"), ended(cause), "{state}");
        }
    }

    #[test]
    fn malformed_output_is_an_error() {
        for text in [
            "slurm_load_jobs error: Socket timed out",
            "17|RUNNING",
            "17|MELTING|None|slurm-3-0123456789",
        ] {
            assert!(matches!(parse(text, &[pilot(None)]), Err(Error::Unavailable(_))), "{text}");
        }
        assert_eq!(parse("3_[1-4]|FANCY|x|somebody's", &[pilot(None)]).unwrap(), []);
    }

    #[test]
    fn a_job_submitted_twice_is_detected() {
        let name = "rheo-slurm-0123456789-3";
        let text =
            format!("17|FAILED|None|{name}\n18|PENDING|Priority|{name}\n19|RUNNING|None|{name}\n");
        let jobs = parse(&text, &[pilot(None)]).unwrap();
        let (status, extra) = find_status(&jobs, &pilot(Some("19")));
        assert_eq!(
            (status, extra),
            (PilotStatus::Running { handle: "19".to_owned() }, vec!["18".to_owned()])
        );
        assert_eq!(find_status(&jobs[..1], &pilot(Some("17"))).1, Vec::<String>::new());
        assert_eq!(find_status(&[], &pilot(Some("17"))).0, PilotStatus::Unknown);
    }

    #[test]
    fn errors_of_sbatch_are_distinguished() {
        let limit = "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(matches!(parse_refusal(limit), Error::Limit(_)));
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)";
        assert!(matches!(parse_refusal(away), Error::Unavailable(_)));
        let wrong = "sbatch: error: invalid partition specified: nowhere\nsbatch: error: Batch job submission failed: Invalid partition name specified";
        let Error::Refused(text) = parse_refusal(wrong) else { panic!("{wrong}") };
        assert!(text.ends_with("Invalid partition name specified"), "{text}");
    }

    #[test]
    fn accounting_gives_the_ends_of_jobs() {
        let ends = parse_ends("17|CANCELLED by 1000|0:15\n18|RUNNING|0:0\n19|TIMEOUT|0:0\n");
        assert_eq!(ends["17"].0, PilotEndCause::Cancelled);
        assert_eq!(ends["19"].0, PilotEndCause::Preempted);
        assert!(!ends.contains_key("18"));
    }
}
