//! The world around a fleet: its cluster, the workers of its pilots, and a coordinator that looks
//! after it step by step as `rheo serve` does, and may die between any two steps.
//!
//! What is durable is the list of events; everything else of the coordinator is gone after a crash.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rheo_core::fleet::{
    Cause, Command as FleetCommand, Demand, Event as FleetEvent, Fleet, FleetName, Mode, Phase,
    PilotId, Place, Sight, Spec,
};
use rheo_core::id::{AttemptId, RequestId, TrialId, WorkerId};
use rheo_core::spec;
use rheo_core::sweep::{
    Claim, Command, Ending, Event, Rejection, State, WorkLeft, WorkerInfo, execute,
};
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::cluster::{Answer, Cluster, Known, Stage};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// How often the coordinator looks.
pub(crate) const POLL: Duration = Duration::from_secs(10);

/// What becomes of a job that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    Dies,
    Hangs,
}

/// The worker of a running job.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    id: WorkerId,
    fate: Fate,
    /// When it is ready to join.
    ready: Timestamp,
    pub(crate) joined: bool,
    /// Its trials, and when they will be done.
    pub(crate) held: Vec<(AttemptId, Timestamp)>,
}

/// Where the coordinator is in a round.
#[derive(Debug)]
enum Doing {
    Nothing,
    Observed(BTreeMap<u64, Sight>),
    Wishing(VecDeque<u64>, Vec<Known>),
    Answered(u64, Answer, VecDeque<u64>, Vec<Known>),
}

/// The world.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    /// Requests that were made, to be made again.
    pub(crate) sent: Vec<FleetCommand>,
    pub(crate) cluster: Cluster,
    pub(crate) runners: BTreeMap<u64, Runner>,
    pub(crate) fate: Fate,
    /// Whether the coordinator runs.
    pub(crate) up: bool,
    doing: Doing,
    pub(crate) lease: Duration,
    /// Threads of every trial.
    pub(crate) threads: u32,
    /// The shortest trial, and by how much others are longer.
    pub(crate) trial: (Duration, Duration),
    /// What is left of trials that were given back.
    left: BTreeMap<TrialId, Duration>,
    /// More jobs than this would be too many.
    pub(crate) bound: usize,
    /// Doubles may exist until they are seen.
    pub(crate) doubles: bool,
    /// Everything is checked all the time.
    pub(crate) thorough: bool,
    requests: u128,
    /// Whether somebody who asks for a trial may get one.
    work: bool,
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            state: State::default(),
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
            trial: (Duration::from_secs(40), Duration::from_secs(60)),
            left: BTreeMap::new(),
            bound: 0,
            doubles: false,
            thorough: true,
            requests: 0,
            work: true,
        }
    }

    pub(crate) fn submit(&mut self, file: &str) {
        let definition = Box::new(spec::parse("sim.yaml", file).unwrap().definition);
        self.send(Command::Submit { definition, source: file.to_owned() }).unwrap();
    }

    pub(crate) fn launch(&mut self, (min, max): (u32, u32), slots: u32) {
        let spec = Box::new(Spec {
            name: name(),
            launcher: "slurm".to_owned(),
            settings: "{}".to_owned(),
            min,
            max,
            slots,
            largest: slots,
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

    /// A request of a client; made twice, it changes nothing more.
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

    pub(crate) fn send(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        assert!(self.up, "nobody is there to hear");
        let events = execute(&mut self.state, &command, self.now)?;
        self.events.extend_from_slice(&events);
        if self.thorough {
            assert_eq!(self.state.defects(), [""; 0], "after {command:?}");
        }
        if let Some(fleet) = self.state.fleets.get(&name()) {
            let (max, pilots) = (fleet.spec.max as usize, fleet.pilots.len());
            assert!(pilots <= max.max(self.bound), "{pilots} pilots after {command:?}");
            // After a lower bound was set: never more than there are, until there are few enough.
            self.bound = max.max(self.bound.min(pilots));
        }
        Ok(events)
    }

    fn tell(&mut self, command: FleetCommand) -> Vec<Event> {
        self.send(Command::Fleet(command)).unwrap()
    }

    /// What must hold of the cluster at every moment.
    pub(crate) fn check(&self) {
        let living = self.cluster.living();
        if !self.doubles {
            assert!(living <= self.bound, "{living} jobs where {} are allowed", self.bound);
        }
        for job in self.cluster.jobs.values().filter(|_| self.thorough && !self.doubles) {
            assert!(self.cluster.lives(job.pilot) <= 1, "pilot {} lives twice", job.pilot);
            let known = !self.up || self.fleet().pilots.contains_key(&job.pilot);
            assert!(known || !job.lives(), "pilot {} was forgotten", job.pilot);
        }
    }

    /// The coordinator does one thing. Says whether it is in the middle of a round.
    pub(crate) fn act(&mut self) -> bool {
        if !self.up {
            return false;
        }
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => self.observe(),
            Doing::Observed(sights) => self.reconcile(sights),
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

    /// A whole round of the coordinator.
    pub(crate) fn round(&mut self) {
        while self.act() {}
    }

    fn observe(&mut self) {
        let Some(fleet) = self.state.fleets.get(&name()) else { return };
        if fleet.pilots.is_empty() && fleet.mode != Mode::Active {
            return;
        }
        let known = known(fleet, |_| true);
        match self.cluster.observe(&known, self.now) {
            Some(sights) => self.doing = Doing::Observed(sights),
            None => self.unavailable(),
        }
    }

    fn reconcile(&mut self, sights: BTreeMap<u64, Sight>) {
        let gone: Vec<u64> = sights
            .iter()
            .filter(|(number, sight)| match sight {
                Sight::Ended { .. } => true,
                Sight::Unknown => {
                    let pilot = &self.fleet().pilots[*number];
                    pilot.handle.is_some() || pilot.removing
                }
                _ => false,
            })
            .map(|(number, _)| *number)
            .collect();
        let due = self.now >= self.fleet().not_before;
        let failing = self.fleet().failures > 0;
        let events = self.tell(FleetCommand::Reconcile { fleet: name(), sights });
        for number in gone {
            assert!(!self.fleet().pilots.contains_key(&number), "{number} ended and is kept");
        }
        let planned = events
            .iter()
            .any(|event| matches!(event, Event::Fleet(FleetEvent::PilotPlanned { .. })));
        // Trials that are free only now count at the next look.
        let freed = events.iter().any(|event| matches!(event, Event::AttemptEnded { .. }));
        if due && !planned && !freed {
            self.check_nothing_waits_in_vain(failing);
        }
        let fleet = self.fleet();
        let unsent = fleet.pilots.iter().filter(|(_, p)| p.handle.is_none() && !p.removing);
        let submit = unsent.map(|(number, _)| *number).collect();
        self.doing = Doing::Wishing(submit, known(fleet, |pilot| pilot.removing));
    }

    /// After a look that planned nothing: every trial that nobody has finds room in a pilot, or there
    /// must not be more of them now, or one shows just now whether a failure is over.
    fn check_nothing_waits_in_vain(&self, failing: bool) {
        let fleet = self.fleet();
        let full = fleet.pilots.len() >= fleet.spec.max as usize;
        let probes = failing && fleet.pilots.values().any(|pilot| pilot.joined == 0);
        let pauses = self.now < fleet.not_before;
        if full || probes || pauses || self.doubles || fleet.mode != Mode::Active {
            return;
        }
        let threads = u64::from(self.threads);
        let seats = u64::from(fleet.spec.slots) / threads;
        let pilots = fleet.pilots.values().filter(|pilot| !pilot.removing).count() as u64;
        let serves = |job: &&u64| {
            let job = &self.cluster.jobs[job];
            let pilot = fleet.pilots.get(&job.pilot).filter(|pilot| !pilot.removing);
            pilot.is_some() && job.stage == Stage::Running
        };
        let taken = self.runners.iter().filter(|(job, _)| serves(job)).flat_map(|(_, runner)| {
            // One that was preempted in between hears of it when it renews.
            runner.held.iter().filter(|(attempt, _)| self.state.holds(runner.id, attempt))
        });
        let taken = taken.count() as u64;
        let seats = (pilots * seats).saturating_sub(taken);
        let waiting = Demand::of(&self.state, fleet, self.now).claimable / threads;
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

    /// The coordinator is gone, with all that was not durable.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.doing = Doing::Nothing;
        self.state = State::default();
    }

    pub(crate) fn restart(&mut self) {
        self.state = replayed(&self.events);
        self.up = true;
        let lease = self.lease;
        self.send(Command::Start { lease }).unwrap();
    }

    /// Lets time pass, in which the coordinator is in the middle of what it does.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_secs(5));
            self.step();
        }
    }

    /// What happens by itself in a moment.
    pub(crate) fn step(&mut self) {
        self.work = true;
        for job in self.cluster.pass(self.now) {
            let restarts = u128::from(self.cluster.jobs[&job].restarts);
            let ready = self.now + Duration::from_secs(5 + job % 10);
            let id = WorkerId(Uuid::from_u128((u128::from(job) << 32) | restarts));
            let runner = Runner { id, fate: self.fate, ready, joined: false, held: Vec::new() };
            self.runners.insert(job, runner);
        }
        self.runners.retain(|id, _| {
            self.cluster.jobs.get(id).is_some_and(|job| job.stage == Stage::Running)
        });
        let late = |id: &u64| self.now.since(self.cluster.jobs[id].since) >= self.cluster.walltime;
        for id in self.cluster.running().filter(late).collect::<Vec<_>>() {
            self.preempt(id, false, true);
        }
        for id in self.cluster.running().collect::<Vec<_>>() {
            let Some(mut runner) = self.runners.remove(&id) else { continue };
            match self.live(&mut runner, id) {
                None => drop(self.runners.insert(id, runner)),
                Some(cause) => self.cluster.end(id, cause, self.now),
            }
        }
        if self.up {
            self.send(Command::Tick).unwrap();
        }
        self.check();
    }

    /// A worker does what it does; says how its job ends if it does.
    fn live(&mut self, runner: &mut Runner, job: u64) -> Option<Cause> {
        if self.now < runner.ready || runner.fate == Fate::Hangs {
            return None;
        }
        if runner.fate == Fate::Dies {
            return Some(Cause::Failed);
        }
        if !self.up {
            return None;
        }
        if self.cluster.jobs[&job].asked.is_some() {
            self.give_back(runner);
            return Some(Cause::Completed);
        }
        let worker = runner.id;
        runner.held.retain(|(attempt, _)| self.state.holds(worker, attempt));
        let now = self.now;
        for (attempt, _) in runner.held.extract_if(.., |(_, due)| *due <= now) {
            self.left.remove(&attempt.trial);
            let (metrics, summary) = Default::default();
            self.finish(worker, attempt, Ending::Completed { metrics, summary });
        }
        if !runner.joined {
            self.join(runner, job);
        }
        if !runner.held.is_empty() && self.lease <= LEASE {
            let attempts = runner.held.iter().map(|(attempt, _)| attempt.clone()).collect();
            let lease = self.lease;
            // One that was forgotten joins again.
            runner.joined = self.send(Command::Renew { worker, attempts, lease }).is_ok();
        }
        self.acquire(runner, job);
        if runner.held.is_empty() && self.state.work_left(worker, None) == WorkLeft::None {
            self.send(Command::Leave { worker }).unwrap();
            return Some(Cause::Completed);
        }
        None
    }

    fn join(&mut self, runner: &mut Runner, job: u64) {
        let (number, restarts) = (self.cluster.jobs[&job].pilot, self.cluster.jobs[&job].restarts);
        let place = Place {
            pilot: Some(PilotId { fleet: name(), number }),
            restarts,
            job: Some(job.to_string()),
            ..Place::default()
        };
        let slots = self.fleet().spec.slots;
        let info = WorkerInfo { slots, place, ..WorkerInfo::default() };
        self.send(Command::Join { worker: runner.id, info }).unwrap();
        runner.joined = true;
    }

    fn acquire(&mut self, runner: &mut Runner, job: u64) {
        let taken = u32::try_from(runner.held.len()).unwrap() * self.threads;
        let slots = self.fleet().spec.slots.saturating_sub(taken);
        if slots < self.threads || !self.work {
            return;
        }
        let held = runner.held.iter().map(|(attempt, _)| attempt.clone()).collect();
        let (worker, lease) = (runner.id, self.lease);
        let ask = Command::Acquire { worker, held, slots, only: None, lease };
        let Ok(events) = self.send(ask) else {
            return self.join(runner, job);
        };
        let takes = self.fleet().pilot_takes_trials(self.cluster.jobs[&job].pilot);
        self.work = !(events.is_empty() && takes);
        for event in events {
            let Event::TrialLeased { attempt, .. } = event else { continue };
            let (least, more) = self.trial;
            let share = f64::from(u32::try_from(attempt.trial.index * 379 % 1000).unwrap());
            let whole = least + more.mul_f64(share / 1000.0);
            let due = self.now + self.left.get(&attempt.trial).copied().unwrap_or(whole);
            runner.held.push((attempt, due));
        }
    }

    fn give_back(&mut self, runner: &mut Runner) {
        for (attempt, due) in std::mem::take(&mut runner.held) {
            self.left.insert(attempt.trial.clone(), due.since(self.now));
            self.finish(runner.id, attempt, Ending::Preempted);
        }
        if runner.joined {
            self.send(Command::Leave { worker: runner.id }).unwrap();
        }
    }

    fn finish(&mut self, worker: WorkerId, attempt: AttemptId, ending: Ending) {
        let claim = Claim { attempt, worker, sequence: 1 };
        if let Err(rejection) = self.send(Command::Finish { claim, work: None, ending }) {
            assert!(matches!(rejection, Rejection::StaleAttempt(_)), "{rejection}");
        }
        self.work = true;
    }

    /// The cluster takes a running job's place. Its worker may hear of it before.
    pub(crate) fn preempt(&mut self, id: u64, requeued: bool, noticed: bool) {
        if let Some(mut runner) = self.runners.remove(&id)
            && noticed
            && self.up
        {
            self.give_back(&mut runner);
        }
        if requeued {
            self.cluster.requeue(id, self.now);
        } else {
            self.cluster.end(id, Cause::Preempted, self.now);
        }
    }

    /// A running job ends without a word of its worker.
    pub(crate) fn kill(&mut self, id: u64, cause: Cause) {
        self.runners.remove(&id);
        self.cluster.end(id, cause, self.now);
    }

    /// Looks every [`POLL`] until `done`, at most `most` times.
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

/// The state after these events, by way of text, as they come out of a journal.
pub(crate) fn replayed(events: &[Event]) -> State {
    let mut state = State::default();
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
            handle: pilot.handle.clone(),
            runs: pilot.phase == Phase::Running,
        })
        .collect()
}
