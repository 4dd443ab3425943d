//! Decisions about fleets: from requests and observed pilots to events.
//!
//! Pilots are planned and removed only by [`FleetCommand::Reconcile`], which reports *every* live
//! pilot. While the cluster cannot report all of them, nothing is decided: a pilot that was merely
//! not seen would be replaced, and the upper bound broken.

use std::collections::BTreeMap;
use std::time::Duration;

use super::demand::{self, Demand, FleetCapacity};
use super::unfit_pilot::UnfitPilot;
use crate::fleet::{
    Fleet, FleetCommand, FleetDegraded, FleetDrained, FleetEvent, FleetLaunched, FleetMode,
    FleetName, FleetScaled, FleetStopped, Pilot, PilotEndCause, PilotEnded, PilotId, PilotObserved,
    PilotPhase, PilotPlanned, PilotRemoved, PilotStatus, failure_event,
};
use crate::id::WorkerId;
use crate::machine::{self, Rejection, State};
use crate::sweep::AttemptOutcome;
use crate::time::Timestamp;

/// The largest number of pilots planned in one step.
const MAX_PLANNED: usize = 100;

/// The time that a running pilot has until its first worker joins.
const JOIN_TIMEOUT: Duration = Duration::from_mins(10);

/// The running time after which a pilot counts as healthy.
const MIN_HEALTHY_RUN: Duration = Duration::from_mins(2);

pub(crate) fn decide(
    state: &State,
    command: &FleetCommand,
    now: Timestamp,
) -> Result<Vec<machine::Event>, Rejection> {
    let known = |name: &FleetName| {
        state.fleets.get(name).ok_or_else(|| Rejection::UnknownFleet(name.clone()))
    };
    let wrap =
        |events: Vec<FleetEvent>| Ok(events.into_iter().map(machine::Event::Fleet).collect());
    match command {
        FleetCommand::Launch { request, .. }
        | FleetCommand::Scale { request, .. }
        | FleetCommand::Drain { request, .. }
        | FleetCommand::Stop { request, .. }
            if state.requests.contains(*request) =>
        {
            Ok(Vec::new())
        }
        FleetCommand::Launch { spec, id, request } => {
            machine::limits::check_room_for_fleet(state, &spec.name)?;
            wrap(vec![FleetEvent::FleetLaunched(FleetLaunched {
                spec: spec.clone(),
                id: *id,
                request: *request,
            })])
        }
        FleetCommand::Scale { fleet, min, max, request } => {
            let spec = &known(fleet)?.spec;
            let max = max.unwrap_or(spec.max);
            let min = min.unwrap_or(spec.min.min(max)).min(max);
            wrap(vec![FleetEvent::FleetScaled(FleetScaled {
                fleet: fleet.clone(),
                min,
                max,
                request: *request,
            })])
        }
        FleetCommand::Drain { fleet, request } => {
            let fleet = known(fleet)?.spec.name.clone();
            wrap(vec![FleetEvent::FleetDrained(FleetDrained { fleet, request: *request })])
        }
        FleetCommand::Stop { fleet, request } => {
            let fleet = known(fleet)?.spec.name.clone();
            wrap(vec![FleetEvent::FleetStopped(FleetStopped { fleet, request: *request })])
        }
        FleetCommand::Reconcile { fleet, statuses } => {
            Ok(reconcile(state, known(fleet)?, statuses, now))
        }
        FleetCommand::Submitted { pilot, handle } => {
            let unseen = known(&pilot.fleet)?.pilots.get(&pilot.number);
            let unseen = unseen.filter(|known| known.handle.as_ref() != Some(handle));
            let phase = PilotPhase::Waiting { reason: String::new() };
            let (pilot, handle, at) = (pilot.clone(), handle.clone(), now);
            wrap(
                unseen
                    .map(|_| FleetEvent::PilotObserved(PilotObserved { pilot, handle, phase, at }))
                    .into_iter()
                    .collect(),
            )
        }
        FleetCommand::Refused { fleet, pilots, text, is_limit } => {
            let given_up = refusal_events(known(fleet)?, pilots, text, *is_limit, now);
            // A refused pilot may have run before its reply was lost.
            let theirs = |worker: WorkerId| {
                let pilot = state.pilot_of(worker);
                pilot.is_some_and(|pilot| pilot.fleet == *fleet && pilots.contains(&pilot.number))
            };
            let outcome = PilotEndCause::Refused.attempt_outcome();
            let lost = machine::decide::end_leases_of(state, outcome, now, theirs);
            Ok(given_up.into_iter().map(machine::Event::Fleet).chain(lost).collect())
        }
        FleetCommand::Unavailable { fleet, text } => {
            wrap(obstacle_event(known(fleet)?, text, now).into_iter().collect())
        }
    }
}

/// Ends refused pilots; the next one is planned after a pause.
fn refusal_events(
    fleet: &Fleet,
    pilots: &[u64],
    text: &str,
    is_limit: bool,
    at: Timestamp,
) -> Vec<FleetEvent> {
    let mut events = Vec::new();
    for number in pilots.iter().copied().filter(|number| fleet.pilots.contains_key(number)) {
        let pilot = PilotId { fleet: fleet.spec.name.clone(), number };
        let detail = text.to_owned();
        events.push(FleetEvent::PilotEnded(PilotEnded {
            pilot,
            cause: PilotEndCause::Refused,
            detail,
            at,
        }));
    }
    if !events.is_empty() {
        events.extend(failure_event(fleet, text, !is_limit, at));
    }
    events
}

/// Reports a new obstacle that does not count as a failure; none if it is already reported.
fn obstacle_event(fleet: &Fleet, text: &str, at: Timestamp) -> Option<FleetEvent> {
    let said = fleet.problem.as_ref().is_some_and(|problem| problem.text == text);
    let (name, not_before) = (fleet.spec.name.clone(), fleet.not_before);
    let problem = Some(text.to_owned());
    (!said).then_some(FleetEvent::FleetDegraded(FleetDegraded {
        fleet: name,
        problem,
        failure: false,
        not_before,
        at,
    }))
}

fn reconcile(
    state: &State,
    fleet: &Fleet,
    statuses: &BTreeMap<u64, PilotStatus>,
    now: Timestamp,
) -> Vec<machine::Event> {
    let mut events = Vec::new();
    let mut ends: BTreeMap<AttemptOutcome, BTreeMap<u64, Option<String>>> = BTreeMap::new();
    // The fleet as it will be once the events are applied.
    let mut fleet = fleet.clone();
    for (number, status) in statuses {
        let Some(pilot) = fleet.pilots.get(number) else { continue };
        let (over, mut happened) = interpret_status(&fleet, *number, pilot, status, now);
        let is_end = happened.iter().any(|event| matches!(event, FleetEvent::PilotEnded(_)));
        if is_end
            && !pilot.removing
            && let Some(unfit) = UnfitPilot::of(state, &fleet, *number)
        {
            happened.retain(|event| !matches!(event, FleetEvent::FleetDegraded(_)));
            happened.extend(unfit.events(&fleet, now));
        }
        if happened.iter().any(|event| matches!(event, FleetEvent::PilotRemoved(_)))
            && is_at_work(state, &fleet.spec.name, *number)
        {
            continue;
        }
        if let Some(EndedLeases { outcome, job }) = over {
            ends.entry(outcome).or_default().insert(*number, job);
        }
        apply_all(&mut fleet, &mut events, happened);
    }
    for (outcome, pilots) in ends {
        let theirs = |worker: WorkerId| {
            let ours = state.pilot_of(worker).filter(|pilot| pilot.fleet == fleet.spec.name);
            let job = ours.and_then(|pilot| pilots.get(&pilot.number));
            job.is_some_and(|job| job.as_ref().is_none_or(|job| is_in(state, worker, job)))
        };
        events.extend(machine::decide::end_leases_of(state, outcome, now, theirs));
    }
    let demand = Demand::of(state, &fleet, now);
    let further = scale(state, &fleet, &demand, now);
    apply_all(&mut fleet, &mut events, further);
    let problem = health_events(&fleet, demand.too_large, now);
    apply_all(&mut fleet, &mut events, problem);
    events
}

/// Whether a worker of the pilot holds a trial. It may have joined before the cluster reported the
/// pilot as running.
fn is_at_work(state: &State, fleet: &FleetName, number: u64) -> bool {
    let mut pilots = state.leases().filter_map(|(_, lease)| state.pilot_of(lease.worker));
    pilots.any(|pilot| pilot.fleet == *fleet && pilot.number == number)
}

fn apply_all(fleet: &mut Fleet, events: &mut Vec<machine::Event>, happened: Vec<FleetEvent>) {
    for event in happened {
        fleet.apply(&event);
        events.push(machine::Event::Fleet(event));
    }
}

fn is_in(state: &State, worker: WorkerId, job: &str) -> bool {
    state.place_of(worker).is_some_and(|place| place.job.as_deref() == Some(job))
}

/// Leases that end with a pilot.
struct EndedLeases {
    outcome: AttemptOutcome,
    /// The job whose workers lose their leases; all workers of the pilot if none.
    job: Option<String>,
}

impl EndedLeases {
    fn all(outcome: AttemptOutcome) -> Self {
        Self { outcome, job: None }
    }
}

/// Returns the leases that end and the events that follow from an observed status.
fn interpret_status(
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

fn recovery(fleet: &Fleet, at: Timestamp) -> FleetEvent {
    let fleet = fleet.spec.name.clone();
    FleetEvent::FleetDegraded(FleetDegraded {
        fleet,
        problem: None,
        failure: false,
        not_before: at,
        at,
    })
}

/// Plans missing pilots and removes superfluous ones.
fn scale(state: &State, fleet: &Fleet, demand: &Demand, at: Timestamp) -> Vec<FleetEvent> {
    let loads = demand::loads(state);
    let ours = loads.get(&fleet.spec.name);
    let load = |number: u64| ours.and_then(|ours| ours.get(&number));
    let remove = |number: u64, reason: &str| {
        FleetEvent::PilotRemoved(PilotRemoved {
            pilot: PilotId { fleet: fleet.spec.name.clone(), number },
            reason: reason.to_owned(),
            at,
        })
    };
    let mut live: Vec<(u64, &Pilot)> =
        fleet.pilots.iter().filter(|(_, p)| !p.removing).map(|(n, p)| (*n, p)).collect();
    // The cheapest to remove come first: queued pilots, then those with the fewest trials, then the
    // newest.
    live.sort_by_cached_key(|(number, pilot)| {
        let runs = pilot.phase == PilotPhase::Running;
        (runs, load(*number).map_or(0, |load| load.taken), std::cmp::Reverse(*number))
    });
    let queued = live.iter().take_while(|(_, pilot)| pilot.phase != PilotPhase::Running).count();
    match fleet.mode {
        FleetMode::Stopped => {
            return live.iter().map(|(n, _)| remove(*n, "the fleet was stopped")).collect();
        }
        FleetMode::Draining => {
            let queued = live.iter().take(queued);
            return queued.map(|(n, _)| remove(*n, "the fleet is draining")).collect();
        }
        FleetMode::Active => {}
    }
    let (min, max) = (fleet.spec.min as usize, fleet.spec.max as usize);
    if live.len() > max {
        let surplus = live.iter().take(live.len() - max);
        return surplus
            .map(|(n, _)| remove(*n, "the fleet has more pilots than its maximum"))
            .collect();
    }
    let numbers: Vec<u64> = live.iter().map(|(number, _)| *number).collect();
    let capacity = FleetCapacity { state, fleet, loads: &loads };
    let fit = capacity.fit(demand.unleased.clone(), &numbers, max - live.len());
    let least = if demand.unfinished { min } else { 0 };
    let target = (live.len() + fit.missing).max(least).min(max);
    if target > live.len() {
        return plan_pilots(fleet, target - live.len(), at);
    }
    let spare = fit.unused.min(queued).min(live.len().saturating_sub(least));
    live.iter().take(spare).map(|(n, _)| remove(*n, "no work is left for it")).collect()
}

fn plan_pilots(fleet: &Fleet, missing: usize, at: Timestamp) -> Vec<FleetEvent> {
    if at < fleet.not_before {
        return Vec::new();
    }
    // Pilots that are being removed count.
    let room = (fleet.spec.max as usize).saturating_sub(fleet.pilots.len());
    // After a failure, a single pilot probes whether the fleet works again.
    let untried = fleet.pilots.values().filter(|pilot| pilot.joined == 0).count();
    let most = match fleet.failures {
        0 if is_limited(fleet) => 1,
        0 => MAX_PLANNED,
        _ => 1usize.saturating_sub(untried),
    };
    let count = missing.min(room).min(most) as u64;
    let pilot = |number| PilotId { fleet: fleet.spec.name.clone(), number };
    (fleet.next..fleet.next + count)
        .map(|number| FleetEvent::PilotPlanned(PilotPlanned { pilot: pilot(number), at }))
        .collect()
}

/// Whether the cluster accepted no more pilots at the last try. A single pilot then probes it.
fn is_limited(fleet: &Fleet) -> bool {
    fleet.problem.as_ref().is_some_and(|problem| fleet.not_before > problem.since)
}

/// Reports a fleet whose workers are too small, and clears the report once the fleet is healthy.
fn health_events(fleet: &Fleet, too_large: Option<String>, at: Timestamp) -> Vec<FleetEvent> {
    let large = too_large.filter(|_| fleet.mode == FleetMode::Active);
    let lasted = |pilot: &Pilot| {
        pilot.joined > 0
            && pilot.phase == PilotPhase::Running
            && at.since(pilot.since) > MIN_HEALTHY_RUN
    };
    let works = fleet.failures == 0 || fleet.pilots.values().any(lasted);
    let said = fleet.problem.as_ref().map(|problem| &problem.text);
    let other = said.is_some() && said != large.as_ref();
    let over = (other || fleet.failures > 0) && works && at >= fleet.not_before;
    let mut events: Vec<FleetEvent> = over.then(|| recovery(fleet, at)).into_iter().collect();
    if let Some(text) = large.filter(|_| over || said.is_none()) {
        let (fleet, problem, not_before) = (fleet.spec.name.clone(), Some(text), fleet.not_before);
        events.push(FleetEvent::FleetDegraded(FleetDegraded {
            fleet,
            problem,
            failure: false,
            not_before,
            at,
        }));
    }
    events
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fleet::{FleetSpec, WorkerLocation};
    use crate::machine::{WorkerInfo, WorkerJoined};
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

    #[test]
    fn workers_are_told_apart_by_their_job() {
        let mut state = State::default();
        let worker = WorkerId(Uuid::from_u128(1));
        let place = WorkerLocation { job: Some("pod-a".to_owned()), ..WorkerLocation::default() };
        let info = WorkerInfo { place, ..WorkerInfo::default() };
        state.apply(&machine::Event::WorkerJoined(WorkerJoined {
            worker,
            info,
            at: Timestamp::default(),
        }));
        assert!(is_in(&state, worker, "pod-a"));
        assert!(!is_in(&state, worker, "pod-b"));
    }
}
