//! Tests of the status of pilots, on objects in the form of API servers.

#![expect(clippy::needless_pass_by_value, reason = "statuses are written where they are used")]

use super::*;
use serde_json::{Value, json};

/// Deadlines that are over for pods of these names.
struct OverdueFor(&'static [&'static str]);

impl PodDeadlines for OverdueFor {
    fn is_overdue(&self, pod: &Pod) -> bool {
        self.0.contains(&name(pod))
    }

    fn is_stuck(&self, pod: &Pod) -> bool {
        self.0.contains(&name(pod))
    }
}

fn job(status: Value) -> Job {
    serde_json::from_value(json!({ "metadata": { "name": "rheo-k-0-1" }, "status": status }))
        .unwrap()
}

fn pod(name: &str, created: u32, status: Value) -> Pod {
    let created = format!("2026-11-27T12:00:{created:02}Z");
    let metadata = json!({ "name": name, "uid": name, "creationTimestamp": created });
    serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
}

fn going(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp.clone();
    pod
}

fn running() -> Value {
    json!({ "phase": "Running" })
}

fn pending() -> Value {
    json!({ "phase": "Pending" })
}

fn see(job: Option<&Job>, pods: &[Pod], handle: &str) -> PilotStatus {
    let seen = PilotObservation { job, pods: pods.iter().collect(), creation_error: None };
    pilot_status(&seen, Some(handle), &OverdueFor(&[]))
}

fn runs(handle: &str) -> PilotStatus {
    PilotStatus::Running { handle: handle.to_owned() }
}

#[test]
fn a_terminating_pod_represents_the_pilot_until_it_is_gone() {
    let job = job(json!({ "active": 1 }));
    let pods = [going(pod("a", 1, running())), pod("b", 2, running())];
    assert_eq!(see(Some(&job), &pods, "a"), runs("a"));
    assert_eq!(see(Some(&job), &pods[1..], "a"), runs("b"));
    // Its node is dead: the pod stays listed, but counts as gone.
    let seen =
        PilotObservation { job: Some(&job), pods: pods.iter().collect(), creation_error: None };
    assert_eq!(pilot_status(&seen, Some("a"), &OverdueFor(&["a"])), runs("b"));
    // Only the Job was deleted.
    assert_eq!(see(None, &pods[..1], "a"), runs("a"));
    assert_eq!(see(None, &[], "a"), PilotStatus::Unknown);
}

#[test]
fn a_job_whose_pod_was_deleted_waits_for_another() {
    let waiting = job(json!({}));
    let reason = "it has no pod yet".to_owned();
    assert_eq!(
        see(Some(&waiting), &[], "a"),
        PilotStatus::Waiting { handle: "rheo-k-0-1".to_owned(), reason }
    );
    let creation_error = Some("exceeded quota: few".to_owned());
    let seen = PilotObservation { job: Some(&waiting), pods: Vec::new(), creation_error };
    let PilotStatus::Waiting { reason, .. } = pilot_status(&seen, None, &OverdueFor(&[])) else {
        panic!("it waits")
    };
    assert_eq!(reason, "exceeded quota: few");
}

#[test]
fn reasons_for_waiting_are_reported_and_some_are_permanent() {
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu." });
    let unschedulable = pod("a", 1, json!({ "phase": "Pending", "conditions": [condition] }));
    let PilotStatus::Waiting { reason, .. } = see(Some(&job(json!({}))), &[unschedulable], "a")
    else {
        panic!("it waits")
    };
    assert_eq!(reason, "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.");

    let state =
        json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
    let container = json!({ "name": "worker", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state });
    let stuck = pod("a", 1, json!({ "phase": "Pending", "containerStatuses": [container] }));
    let waits = see(None, std::slice::from_ref(&stuck), "a");
    assert!(
        matches!(&waits, PilotStatus::Waiting { reason, .. } if reason.contains("ImagePullBackOff"))
    );
    let seen = PilotObservation { job: None, pods: vec![&stuck], creation_error: None };
    let given_up = pilot_status(&seen, None, &OverdueFor(&[]));
    assert!(matches!(given_up, PilotStatus::Waiting { .. }), "not at once");
}

#[test]
fn causes_of_ends_are_distinguished() {
    let ended = |status: Value| match see(Some(&job(json!({}))), &[pod("a", 1, status)], "a") {
        PilotStatus::Ended { cause, detail } => (cause, detail),
        other => panic!("it ended: {other:?}"),
    };
    let terminated = |code: i32, reason: &str| {
        let state = json!({ "terminated": { "exitCode": code, "reason": reason, "message": "error: no libtorch" } });
        json!({ "phase": "Failed", "containerStatuses": [{ "name": "worker", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state }] })
    };
    assert_eq!(ended(json!({ "phase": "Succeeded" })).0, PilotEndCause::Completed);
    assert_eq!(ended(terminated(137, "OOMKilled")).0, PilotEndCause::OutOfMemory);
    assert_eq!(ended(terminated(143, "Error")).0, PilotEndCause::Preempted);
    assert_eq!(ended(terminated(137, "ContainerStatusUnknown")).0, PilotEndCause::NodeLost);
    assert_eq!(
        ended(terminated(2, "Error")),
        (PilotEndCause::Failed, "exit code 2: error: no libtorch".to_owned())
    );
    for (reason, cause) in [
        ("Evicted", PilotEndCause::Preempted),
        ("DeadlineExceeded", PilotEndCause::Preempted),
        ("Preempting", PilotEndCause::Preempted),
        ("NodeLost", PilotEndCause::NodeLost),
        ("OutOfcpu", PilotEndCause::NodeLost),
        ("", PilotEndCause::Failed),
    ] {
        assert_eq!(ended(json!({ "phase": "Failed", "reason": reason })).0, cause, "{reason}");
    }
    for (reason, cause) in [
        ("PreemptionByScheduler", PilotEndCause::Preempted),
        ("DeletionByTaintManager", PilotEndCause::NodeLost),
    ] {
        let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": reason });
        let mut status = terminated(137, "Error");
        status["conditions"] = json!([condition]);
        assert_eq!(ended(status).0, cause, "{reason}");
    }
}

#[test]
fn an_ended_job_without_a_pod_gives_the_cause() {
    let finished = |kind: &str, reason: &str| {
        let condition = json!({ "type": kind, "status": "True", "reason": reason });
        match see(Some(&job(json!({ "conditions": [condition] }))), &[], "a") {
            PilotStatus::Ended { cause, .. } => cause,
            other => panic!("it ended: {other:?}"),
        }
    };
    assert_eq!(finished("Complete", ""), PilotEndCause::Completed);
    assert_eq!(finished("Failed", "DeadlineExceeded"), PilotEndCause::Preempted);
    assert_eq!(finished("Failed", "BackoffLimitExceeded"), PilotEndCause::Unknown);
    // A replacement pod has not ended yet.
    let condition = json!({ "type": "Complete", "status": "True" });
    let complete = job(json!({ "conditions": [condition] }));
    assert_eq!(see(Some(&complete), &[pod("b", 2, running())], "a"), runs("b"));
    let waits = see(Some(&complete), &[pod("b", 2, pending())], "a");
    assert!(matches!(waits, PilotStatus::Waiting { .. }));
}
