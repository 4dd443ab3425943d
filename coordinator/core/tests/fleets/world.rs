//! The simulated world of a fleet: a cluster, the workers of its pilots, and a coordinator that
//! acts step by step as `rheo serve` does and may crash between any two steps.
//!
//! Only the list of events is durable; a crash loses everything else of the coordinator.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rheo_core::fleet::{
    Fleet, FleetCommand, FleetEvent, FleetMode, FleetName, FleetSpec, PilotId, PilotPhase,
    PilotStatus,
};
use rheo_core::id::{AttemptId, IncarnationId, RequestId, StateId, TrialId};
use rheo_core::machine::{Caller, Command, Demand, Event, Origin, Rejection, State, execute};
use rheo_core::resources::ResourceOffer;
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::brewing::workloads;
use crate::definition;

use crate::cluster::{Answer, Cluster, Known, Stage};
use crate::runner::{Fate, Runner};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The polling interval of the coordinator.
pub(crate) const POLL: Duration = Duration::from_secs(10);

/// The position of the coordinator in a round.
#[derive(Debug)]
enum Doing {
    Nothing,
    Observed(BTreeMap<u64, PilotStatus>),
    Wishing(VecDeque<u64>, Vec<Known>),
    Answered(u64, Answer, VecDeque<u64>, Vec<Known>),
}

/// The world.
#[expect(clippy::struct_excessive_bools, reason = "switches of a world, each by itself")]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    /// Earlier requests, to be repeated.
    pub(crate) sent: Vec<FleetCommand>,
    pub(crate) cluster: Cluster,
    pub(crate) runners: BTreeMap<u64, Runner>,
    pub(crate) fate: Fate,
    /// Whether the coordinator is up.
    pub(crate) up: bool,
    doing: Doing,
    pub(crate) lease: Duration,
    /// Threads of every trial.
    pub(crate) threads: u32,
    /// The shortest duration of a trial, and the spread of durations.
    pub(crate) trial: (Duration, Duration),
    /// The remaining durations of returned trials.
    pub(crate) left: BTreeMap<TrialId, Duration>,
    /// The origins of attempts, as their workers know them.
    pub(crate) origins: BTreeMap<AttemptId, Option<Origin>>,
    /// The largest allowed number of live jobs.
    pub(crate) bound: usize,
    /// Whether duplicates may exist until they are observed.
    pub(crate) doubles: bool,
    /// Whether everything is checked after every step.
    pub(crate) thorough: bool,
    requests: u128,
    /// The number of starts of the coordinator.
    starts: u128,
    /// Whether a worker that asks for a trial may get one.
    pub(crate) work: bool,
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        let mut world = Self {
            state: State::new(workloads()),
            now: Timestamp(1_000),
            events: Vec::new(),
            sent: Vec::new(),
            cluster: Cluster::new(nodes),
            runners: BTreeMap::new(),
            fate: Fate::Works,
            up: true,
            doing: Doing::Nothing,
            lease: LEASE,
            threads: 1,
            trial: (Duration::from_secs(40), Duration::from_mins(1)),
            left: BTreeMap::new(),
            origins: BTreeMap::new(),
            bound: 0,
            doubles: false,
            thorough: true,
            requests: 0,
            starts: 0,
            work: true,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.starts += 1;
        let state = StateId(Uuid::from_u128(1));
        let incarnation = IncarnationId(Uuid::from_u128(self.starts));
        self.send(Command::Start { lease: self.lease, state, incarnation }).unwrap();
    }

    pub(crate) fn submit(&mut self, file: &str) {
        let definition = definition(file);
        self.send(Command::Submit { definition, source: file.to_owned() }).unwrap();
    }

    pub(crate) fn launch(&mut self, bounds: (u32, u32), slots: u32) {
        self.launch_offering(bounds, ResourceOffer { cpus: slots, ..ResourceOffer::default() });
    }

    /// Creates a fleet of pilots with one worker each with this offer.
    pub(crate) fn launch_offering(&mut self, (min, max): (u32, u32), worker: ResourceOffer) {
        let spec = Box::new(FleetSpec {
            name: name(),
            launcher: "slurm".to_owned(),
            settings: "{}".to_owned(),
            min,
            max,
            workers: 1,
            worker,
            sweep: None,
        });
        let (id, request) = (Uuid::from_u128(7), self.request());
        self.ask(FleetCommand::Launch { spec, id, request });
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(Uuid::from_u128(self.requests))
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.state.fleets[&name()]
    }

    /// Sends a client's request twice; the repetition must change nothing.
    pub(crate) fn ask(&mut self, command: FleetCommand) {
        if !self.up {
            return;
        }
        self.send(Command::Fleet(command.clone())).unwrap();
        let before = self.state.clone();
        assert_eq!(self.send(Command::Fleet(command.clone())).unwrap(), [], "{command:?}");
        assert_eq!(self.state, before);
        self.sent.push(command);
    }

    #[expect(clippy::needless_pass_by_value, reason = "commands are made to be sent")]
    pub(crate) fn send(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        assert!(self.up, "nobody is there to hear");
        let events = execute(&mut self.state, Caller::Coordinator, &command, self.now)?;
        self.events.extend_from_slice(&events);
        if self.thorough {
            assert_eq!(self.state.defects(), [""; 0], "after {command:?}");
        }
        if let Some(fleet) = self.state.fleets.get(&name()) {
            let (max, pilots) = (fleet.spec.max as usize, fleet.pilots.len());
            assert!(pilots <= max.max(self.bound), "{pilots} pilots after {command:?}");
            // After a lower maximum was set, the number of jobs must not grow until it is reached.
            self.bound = max.max(self.bound.min(pilots));
        }
        Ok(events)
    }

    fn tell(&mut self, command: FleetCommand) -> Vec<Event> {
        self.send(Command::Fleet(command)).unwrap()
    }

    /// Checks the invariants of the cluster.
    pub(crate) fn check(&self) {
        let living = self.cluster.living();
        if !self.doubles {
            assert!(living <= self.bound, "{living} jobs where {} are allowed", self.bound);
        }
        if self.doubles || !self.thorough {
            return;
        }
        for job in self.cluster.jobs.values() {
            assert!(self.cluster.lives(job.pilot) <= 1, "pilot {} lives twice", job.pilot);
            let known = !self.up || self.fleet().pilots.contains_key(&job.pilot);
            assert!(known || !job.lives(), "pilot {} was forgotten", job.pilot);
        }
    }

    /// Lets the coordinator take one step; returns whether it is in the middle of a round.
    pub(crate) fn act(&mut self) -> bool {
        if !self.up {
            return false;
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => self.observe(),
            Doing::Observed(statuses) => self.reconcile(statuses),
            Doing::Wishing(mut submit, remove) => match submit.pop_front() {
                Some(pilot) => {
                    let answer = self.cluster.submit(pilot, self.now);
                    self.doing = Doing::Answered(pilot, answer, submit, remove);
                }
                None => self.remove(&remove),
            },
            Doing::Answered(pilot, answer, rest, remove) => {
                let rest = self.answered(pilot, &answer, rest);
                self.doing = Doing::Wishing(rest, remove);
            }
        }
        self.check();
        !matches!(self.doing, Doing::Nothing)
    }

    /// Runs a whole round of the coordinator.
    pub(crate) fn round(&mut self) {
        while self.act() {}
    }

    fn observe(&mut self) {
        let Some(fleet) = self.state.fleets.get(&name()) else { return };
        if fleet.pilots.is_empty() && fleet.mode != FleetMode::Active {
            return;
        }
        let known = known(fleet, |_| true);
        match self.cluster.observe(&known, self.now) {
            Some(statuses) => self.doing = Doing::Observed(statuses),
            None => self.unavailable(),
        }
    }

    fn reconcile(&mut self, statuses: BTreeMap<u64, PilotStatus>) {
        let gone: Vec<u64> = statuses
            .iter()
            .filter(|(number, status)| match status {
                PilotStatus::Ended { .. } => true,
                PilotStatus::Unknown => {
                    let pilot = &self.fleet().pilots[*number];
                    pilot.handle.is_some() || pilot.removing
                }
                _ => false,
            })
            .map(|(number, _)| *number)
            .collect();
        let due = self.now >= self.fleet().not_before;
        let failing = self.fleet().failures > 0;
        let events = self.tell(FleetCommand::Reconcile { fleet: name(), statuses });
        for number in gone {
            assert!(!self.fleet().pilots.contains_key(&number), "{number} ended and is kept");
        }
        let planned =
            events.iter().any(|event| matches!(event, Event::Fleet(FleetEvent::PilotPlanned(_))));
        // Trials that became free only now count in the next round.
        let freed = events.iter().any(|event| matches!(event, Event::AttemptEnded(_)));
        if due && !planned && !freed {
            self.check_nothing_waits_in_vain(failing);
        }
        let fleet = self.fleet();
        let unsent = fleet.pilots.iter().filter(|(_, p)| p.handle.is_none() && !p.removing);
        let submit = unsent.map(|(number, _)| *number).collect();
        self.doing = Doing::Wishing(submit, known(fleet, |pilot| pilot.removing));
    }

    /// Checks a round that planned nothing: every trial without a lease fits into a pilot, unless
    /// no more pilots are allowed or a single one is probing the cluster.
    fn check_nothing_waits_in_vain(&self, failing: bool) {
        let fleet = self.fleet();
        let full = fleet.pilots.len() >= fleet.spec.max as usize;
        let probes = failing && fleet.pilots.values().any(|pilot| pilot.joined == 0);
        let pauses = self.now < fleet.not_before;
        if full || probes || pauses || self.doubles || fleet.mode != FleetMode::Active {
            return;
        }
        let threads = u64::from(self.threads);
        let seats = u64::from(fleet.spec.slots()) / threads;
        let pilots = fleet.pilots.values().filter(|pilot| !pilot.removing).count() as u64;
        let serves = |job: &&u64| {
            let job = &self.cluster.jobs[job];
            let pilot = fleet.pilots.get(&job.pilot).filter(|pilot| !pilot.removing);
            pilot.is_some() && job.stage == Stage::Running
        };
        let taken = self.runners.iter().filter(|(job, _)| serves(job)).flat_map(|(_, runner)| {
            // A preempted worker learns about it when it renews.
            runner.held.iter().filter(|(attempt, _)| self.state.holds(runner.id, attempt))
        });
        let taken = taken.count() as u64;
        let seats = (pilots * seats).saturating_sub(taken);
        let waiting = Demand::of(&self.state, fleet, self.now).unleased.trials();
        assert!(waiting <= seats, "{waiting} trials wait for {seats} seats");
    }

    fn answered(&mut self, number: u64, answer: &Answer, rest: VecDeque<u64>) -> VecDeque<u64> {
        match answer {
            Answer::Taken(handle) => {
                let pilot = PilotId { fleet: name(), number };
                self.tell(FleetCommand::Submitted { pilot, handle: handle.clone() });
                return rest;
            }
            Answer::Lost => self.unavailable(),
            Answer::Refused | Answer::Limit => {
                let pilots = std::iter::once(number).chain(rest).collect();
                let is_limit = matches!(answer, Answer::Limit);
                let text = format!("{answer:?}");
                self.tell(FleetCommand::Refused { fleet: name(), pilots, text, is_limit });
            }
        }
        VecDeque::new()
    }

    fn remove(&mut self, pilots: &[Known]) {
        if !pilots.is_empty() && self.cluster.remove(pilots, self.now).is_none() {
            self.unavailable();
        }
    }

    fn unavailable(&mut self) {
        let text = "the controller does not answer".to_owned();
        self.tell(FleetCommand::Unavailable { fleet: name(), text });
    }

    /// Crashes the coordinator, which loses everything that was not durable.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.doing = Doing::Nothing;
        self.state = State::new(workloads());
    }

    pub(crate) fn restart(&mut self) {
        self.state = replayed(&self.events);
        self.up = true;
        self.start();
    }

    /// Advances time while the coordinator is in the middle of a step.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_secs(5));
            self.step();
        }
    }

    /// Polls every [`POLL`] until `done`, at most `most` times.
    pub(crate) fn until(&mut self, most: usize, done: impl Fn(&Self) -> bool) {
        for _ in 0..most {
            if done(self) {
                return;
            }
            self.round();
            self.pass(POLL);
        }
        panic!("it did not come about: {:?}", self.fleet());
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.state.sweeps.values().all(|sweep| sweep.ended.is_some())
    }

    pub(crate) fn queued(&self) -> usize {
        self.cluster.count(Stage::Queued)
    }
}

/// Rebuilds the state from events that were stored as text.
pub(crate) fn replayed(events: &[Event]) -> State {
    let mut state = State::new(workloads());
    for event in events {
        let text = serde_json::to_string(event).unwrap();
        state.apply(&serde_json::from_str(&text).unwrap());
    }
    state
}

pub(crate) fn name() -> FleetName {
    FleetName::parse("sim").unwrap()
}

fn known(fleet: &Fleet, which: impl Fn(&rheo_core::fleet::Pilot) -> bool) -> Vec<Known> {
    let pilots = fleet.pilots.iter().filter(|(_, pilot)| which(pilot));
    pilots
        .map(|(number, pilot)| Known {
            number: *number,
            handle: pilot.handle.as_ref().map(|handle| handle.parse().unwrap()),
            runs: pilot.phase == PilotPhase::Running,
        })
        .collect()
}
