//! The status of a pilot, derived from its Job and pods.
//!
//! A pilot is one Job, and at any time at most one of its pods represents the pilot: the name of that
//! pod is the handle. When the cluster deletes the pod (eviction, preemption by priority, node
//! failure, `kubectl delete`), the Job creates another one, which is a restart of the same pilot. A
//! terminating pod represents the pilot as long as it may still commit.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodStatus,
};
use rheo_core::fleet::{PilotEndCause, PilotStatus};

/// The number of log lines in a message.
const LAST_LINES: usize = 3;

/// The objects of one pilot.
pub(super) struct PilotObservation<'a> {
    /// The Job.
    pub(super) job: Option<&'a Job>,
    /// The pods of the Job.
    pub(super) pods: Vec<&'a Pod>,
    /// The cluster's reason for which the Job has no pod.
    pub(super) creation_error: Option<String>,
}

/// Deadlines of pods, which depend on earlier observations.
pub(super) trait PodDeadlines {
    /// Whether the pod is past its termination deadline, and so dead, whatever its status.
    fn is_overdue(&self, pod: &Pod) -> bool;
    /// Whether the pod has had a start error for too long.
    fn is_stuck(&self, pod: &Pod) -> bool;
}

/// The status of a pilot. `handle` is its previous handle.
pub(super) fn pilot_status(
    seen: &PilotObservation<'_>,
    handle: Option<&str>,
    deadlines: &dyn PodDeadlines,
) -> PilotStatus {
    let living = |pod: &&&Pod| !has_ended(pod) && !deadlines.is_overdue(pod);
    let mut pods: Vec<&Pod> = seen.pods.clone();
    // The newest first.
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.clone()));
    let alive: Vec<&Pod> = pods.iter().filter(living).copied().collect();
    let same = alive.iter().find(|pod| Some(name(pod)) == handle && has_started(pod));
    let stays = alive.iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    let Some(pod) = same.or(stays).or(alive.first()) else {
        return status_without_pod(seen, &pods);
    };
    let handle = name(pod).to_owned();
    if has_started(pod) {
        return PilotStatus::Running { handle };
    }
    let (reason, is_wrong) = why_pending(pod);
    if is_wrong && deadlines.is_stuck(pod) {
        // Another pod with the same settings would be stuck, too. The fleet reports the reason and
        // retries after a pause, perhaps with other settings.
        return PilotStatus::Ended { cause: PilotEndCause::Refused, detail: reason };
    }
    PilotStatus::Waiting { handle, reason }
}

/// The name of a pod.
pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn status_without_pod(seen: &PilotObservation<'_>, pods: &[&Pod]) -> PilotStatus {
    let ended = pods.iter().find(|pod| has_ended(pod));
    let finished = seen.job.and_then(finished);
    match (seen.job, finished, ended) {
        // A Job is complete once any of its pods has succeeded, even if a replacement was started. The
        // last pod determines the status.
        (_, _, Some(pod)) => {
            let (cause, detail) = end_of(pod);
            PilotStatus::Ended { cause, detail }
        }
        (_, Some((true, _)), None) => {
            PilotStatus::Ended { cause: PilotEndCause::Completed, detail: String::new() }
        }
        (_, Some((false, said)), None) => PilotStatus::Ended {
            cause: if said.starts_with("DeadlineExceeded") {
                PilotEndCause::Preempted
            } else {
                PilotEndCause::Unknown
            },
            detail: format!("{said}; its pod no longer exists"),
        },
        (Some(job), None, None) => PilotStatus::Waiting {
            handle: job.metadata.name.clone().unwrap_or_default(),
            reason: seen.creation_error.clone().unwrap_or_else(|| "it has no pod yet".to_owned()),
        },
        (None, _, None) => PilotStatus::Unknown,
    }
}

/// Whether an ended Job has succeeded, with its message; none for a running Job.
fn finished(job: &Job) -> Option<(bool, String)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let mut held = conditions.iter().filter(|condition| condition.status == "True");
    let last = held.find(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()))?;
    let said = [last.reason.as_deref(), last.message.as_deref()];
    Some((last.type_ == "Complete", join_reason(&said)))
}

/// Joins the present, non-empty parts.
fn join_reason(parts: &[Option<&str>]) -> String {
    let parts = parts.iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether a pod is running, or `Unknown`, because its node does not respond.
fn has_started(pod: &Pod) -> bool {
    !has_ended(pod) && phase(pod) != "Pending"
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.container_statuses.iter().flatten()
}

/// The reason for which a pod has not started, and whether it is permanent.
pub(super) fn why_pending(pod: &Pod) -> (String, bool) {
    let Some(status) = &pod.status else { return (String::new(), false) };
    let mut waiting = containers(status).filter_map(|one| one.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = waiting.next() {
        return why_waiting(pod, waiting);
    }
    let mut conditions = status.conditions.iter().flatten();
    let unplaced = conditions.find(|one| one.type_ == "PodScheduled" && one.status == "False");
    if let Some(condition) = unplaced {
        return (join_reason(&[condition.reason.as_deref(), condition.message.as_deref()]), false);
    }
    (join_reason(&[status.reason.as_deref(), status.message.as_deref()]), false)
}

fn why_waiting(pod: &Pod, waiting: &ContainerStateWaiting) -> (String, bool) {
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let said = join_reason(&[Some(reason), waiting.message.as_deref()]);
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull"
        | "ErrImageInspect" => {
            let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
            let image = image.unwrap_or_default();
            let hint = "is `--image` right, and does it take an `--image-pull-secret`?";
            (format!("its node cannot get the image `{image}`: {said} ({hint})"), true)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            (format!("its container cannot be created: {said}"), true)
        }
        "" | "ContainerCreating" | "PodInitializing" => ("its pod is starting".to_owned(), false),
        _ => (said, false),
    }
}

/// The cause and the detail of the end of a pod.
fn end_of(pod: &Pod) -> (PilotEndCause, String) {
    let Some(status) = &pod.status else { return (PilotEndCause::Unknown, String::new()) };
    if phase(pod) == "Succeeded" {
        return (PilotEndCause::Completed, String::new());
    }
    let said = join_reason(&[status.reason.as_deref(), status.message.as_deref()]);
    let ended = containers(status).filter_map(|one| one.state.as_ref()?.terminated.as_ref());
    let ended = ended.max_by_key(|one| one.exit_code);
    if ended.is_some_and(|one| one.reason.as_deref() == Some("OOMKilled")) {
        return (PilotEndCause::OutOfMemory, "OOMKilled: raise `--memory`".to_owned());
    }
    let disrupted = status.conditions.iter().flatten();
    let mut disrupted =
        disrupted.filter(|one| one.type_ == "DisruptionTarget" && one.status == "True");
    if let Some(condition) = disrupted.next() {
        let reason = condition.reason.as_deref();
        let lost = matches!(reason, Some("DeletionByPodGC" | "DeletionByTaintManager"));
        let cause = if lost { PilotEndCause::NodeLost } else { PilotEndCause::Preempted };
        return (cause, join_reason(&[reason, condition.message.as_deref()]));
    }
    let cause = match status.reason.as_deref().unwrap_or_default() {
        "Evicted" | "Preempting" | "Shutdown" | "Terminated" | "NodeShutdown"
        | "DeadlineExceeded" => PilotEndCause::Preempted,
        "NodeLost" | "NodeAffinity" | "UnexpectedAdmissionError" => PilotEndCause::NodeLost,
        reason if reason.starts_with("OutOf") || reason.starts_with("Outof") => {
            PilotEndCause::NodeLost
        }
        _ if pod.metadata.deletion_timestamp.is_some() => PilotEndCause::Preempted,
        _ => match ended {
            Some(one) => return end_of_container(one),
            None => PilotEndCause::Failed,
        },
    };
    (cause, said)
}

fn end_of_container(ended: &ContainerStateTerminated) -> (PilotEndCause, String) {
    let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
    let code = format!("exit code {}", ended.exit_code);
    let last = ended.message.as_deref().map(last_lines);
    let text = join_reason(&[Some(&code), reason, last.as_deref()]);
    let cause = match (ended.exit_code, ended.signal, reason) {
        (_, _, Some("ContainerStatusUnknown")) => PilotEndCause::NodeLost,
        // SIGTERM: a removal was requested.
        (143, _, _) | (_, Some(15), _) => PilotEndCause::Preempted,
        _ => PilotEndCause::Failed,
    };
    (cause, text)
}

/// The last lines of a message, which may be the end of a log.
fn last_lines(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests;
