//! Interpretation of the status that a cluster reports for a pilot: the leases that end with it, and
//! whether the fleet has failed or recovered.

use std::time::Duration;

use super::health::{MIN_HEALTHY_RUN, recovery};
use crate::fleet::{
    Fleet, FleetEvent, Pilot, PilotEndCause, PilotEnded, PilotId, PilotObserved, PilotPhase,
    PilotRemoved, PilotStatus, failure_event,
};
use crate::sweep::AttemptOutcome;
use crate::time::Timestamp;

/// The time that a running pilot has until its first worker joins.
const JOIN_TIMEOUT: Duration = Duration::from_mins(10);

/// Leases that end with a pilot.
pub(super) struct EndedLeases {
    /// The outcome of their attempts.
    pub(super) outcome: AttemptOutcome,
    /// The job whose workers lose their leases; all workers of the pilot if none.
    pub(super) job: Option<String>,
}

impl EndedLeases {
    fn all(outcome: AttemptOutcome) -> Self {
        Self { outcome, job: None }
    }
}

/// Returns the leases that end and the events that follow from an observed status.
pub(super) fn interpret_status(
    fleet: &Fleet,
    number: u64,
    pilot: &Pilot,
    status: &PilotStatus,
    at: Timestamp,
) -> (Option<EndedLeases>, Vec<FleetEvent>) {
    let id = || PilotId { fleet: fleet.spec.name.clone(), number };
    let seen = |handle: &String, phase: PilotPhase| {
        let news = pilot.handle.as_ref() != Some(handle) || pilot.phase != phase;
        let event = FleetEvent::PilotObserved(PilotObserved {
            pilot: id(),
            handle: handle.clone(),
            phase,
            at,
        });
        if news { vec![event] } else { Vec::new() }
    };
    match status {
        PilotStatus::Unknown if pilot.handle.is_none() && !pilot.removing => (None, Vec::new()),
        PilotStatus::Unknown => {
            let detail = "the cluster no longer knows it".to_owned();
            let cause =
                if pilot.removing { PilotEndCause::Cancelled } else { PilotEndCause::Unknown };
            let end = PilotEnded { pilot: id(), cause, detail, at };
            (Some(EndedLeases::all(cause.attempt_outcome())), pilot_end_events(fleet, pilot, end))
        }
        PilotStatus::Waiting { handle, reason } => {
            // The pilot ran and was requeued: its trials go to others.
            let requeued = pilot.phase == PilotPhase::Running;
            let ends = requeued.then_some(EndedLeases::all(AttemptOutcome::Preempted));
            (ends, seen(handle, PilotPhase::Waiting { reason: reason.clone() }))
        }
        PilotStatus::Running { handle } => {
            let mut events = seen(handle, PilotPhase::Running);
            let idle = events.is_empty() && pilot.joined == 0 && !pilot.removing;
            if idle && at.since(pilot.since) > JOIN_TIMEOUT {
                let minutes = JOIN_TIMEOUT.as_secs() / 60;
                let reason = format!(
                    "pilot {} ({handle}) has run for {minutes} minutes, but none of its workers has joined: see its log",
                    id()
                );
                events.push(FleetEvent::PilotRemoved(PilotRemoved {
                    pilot: id(),
                    reason: reason.clone(),
                    at,
                }));
                events.extend(failure_event(fleet, &reason, true, at));
            }
            // The cluster restarted the pilot elsewhere. Workers of the new job may have trials
            // already.
            let before = pilot.handle.as_ref().filter(|old| *old != handle);
            let before = before.filter(|_| pilot.phase == PilotPhase::Running).cloned();
            let ends = before
                .map(|job| EndedLeases { outcome: AttemptOutcome::Preempted, job: Some(job) });
            (ends, events)
        }
        PilotStatus::Ended { cause, detail } => (
            Some(EndedLeases::all(cause.attempt_outcome())),
            pilot_end_events(
                fleet,
                pilot,
                PilotEnded { pilot: id(), cause: *cause, detail: detail.clone(), at },
            ),
        ),
    }
}

/// Ends a pilot. If no worker of it joined, or it died early, the fleet has failed.
fn pilot_end_events(fleet: &Fleet, pilot: &Pilot, end: PilotEnded) -> Vec<FleetEvent> {
    let PilotEnded { pilot: id, cause, detail, at } = &end;
    let (cause, at) = (*cause, *at);
    let lasted = at.since(pilot.since) >= MIN_HEALTHY_RUN;
    // Preempted before its worker could be expected.
    let unlucky =
        cause == PilotEndCause::Preempted && (pilot.phase != PilotPhase::Running || !lasted);
    let idle = pilot.joined == 0 && !unlucky;
    let failure = !pilot.removing && (idle || (cause.may_be_program_fault() && !lasted));
    let worked = pilot.joined > 0 && !pilot.removing && !cause.may_be_program_fault();
    let recovered = worked && fleet.failures > 0 && at >= fleet.not_before;
    let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    let text = if pilot.joined == 0 {
        format!("pilot {id} ended ({}) before a worker joined{why}", cause.name())
    } else {
        format!("pilot {id} ended ({}) soon after it started{why}", cause.name())
    };
    let mut events = vec![FleetEvent::PilotEnded(end)];
    if failure {
        events.extend(failure_event(fleet, &text, true, at));
    } else if recovered {
        events.push(recovery(fleet, at));
    }
    events
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fleet::{FleetName, FleetSpec, PilotPlanned};
    use crate::resources::ResourceOffer;

    fn running(handle: &str) -> (Fleet, PilotId) {
        let name = FleetName::parse("k").unwrap();
        let spec = FleetSpec {
            name: name.clone(),
            launcher: "kubernetes".to_owned(),
            settings: String::new(),
            min: 0,
            max: 1,
            workers: 1,
            worker: ResourceOffer { cpus: 1, ..ResourceOffer::default() },
            sweep: None,
        };
        let mut fleet = Fleet::new(spec, Uuid::nil());
        let pilot = PilotId { fleet: name, number: 1 };
        fleet.apply(&FleetEvent::PilotPlanned(PilotPlanned {
            pilot: pilot.clone(),
            at: Timestamp::default(),
        }));
        let (handle, phase) = (handle.to_owned(), PilotPhase::Running);
        fleet.apply(&FleetEvent::PilotObserved(PilotObserved {
            pilot: pilot.clone(),
            handle,
            phase,
            at: Timestamp::default(),
        }));
        (fleet, pilot)
    }

    #[test]
    fn a_restarted_pilot_loses_the_leases_of_its_earlier_job_only() {
        let (mut fleet, pilot) = running("pod-a");
        let later = Timestamp::default() + MIN_HEALTHY_RUN;
        let ends = |fleet: &Fleet, status: &PilotStatus| {
            let (ends, events) = interpret_status(fleet, 1, &fleet.pilots[&1], status, later);
            (ends.map(|ends| (ends.outcome, ends.job)), events)
        };
        let same = PilotStatus::Running { handle: "pod-a".to_owned() };
        assert_eq!(ends(&fleet, &same), (None, Vec::new()));

        // Workers of the new job may have trials already.
        let (ended, events) = ends(&fleet, &PilotStatus::Running { handle: "pod-b".to_owned() });
        assert_eq!(ended, Some((AttemptOutcome::Preempted, Some("pod-a".to_owned()))));
        fleet.apply(&events[0]);
        assert_eq!(fleet.pilots[&1].handle.as_deref(), Some("pod-b"));
        assert_eq!(fleet.pilots[&1].since, later, "it runs since then");

        // Requeued: nothing of it runs.
        let waits = PilotStatus::Waiting { handle: "pod-c".to_owned(), reason: String::new() };
        assert_eq!(ends(&fleet, &waits).0, Some((AttemptOutcome::Preempted, None)));
        assert_eq!(pilot.to_string(), "k/1");
    }
}
