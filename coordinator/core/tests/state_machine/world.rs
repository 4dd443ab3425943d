//! The simulated world of the state machine: workers that hold attempts, and every event so far.

use std::collections::BTreeMap;
use std::time::Duration;

use rheo_core::id::{AttemptId, Digest, IncarnationId, RequestId, StateId, SweepName, WorkerId};
use rheo_core::machine::{
    Assignment, AttemptClaim, AttemptEnd, Caller, Command, CommitManifest, Event, HeldAttempt,
    Origin, Rejection, State, SweepRequest, WorkerInfo, execute,
};
use rheo_core::metric::MetricReport;
use rheo_core::name::TableName;
use rheo_core::needs::{AvailableDataset, Inventory, Need};
use rheo_core::plan::PlannedTrial;
use rheo_core::resources::{FreeResources, ResourceOffer};
use rheo_core::rows::RowCounts;
use rheo_core::sweep::{
    AttemptEnded, AttemptOutcome, TrialCommitted, TrialEnded, TrialLeased, TrialOutcome,
    TrialsStartedOver,
};
use rheo_core::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::brewing::{BITTERNESS, BREWING, TASTE, workloads};
use crate::definition;
use crate::stored::StoredState;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The rows that every trial produces in `epochs` epochs.
pub(crate) const EPOCHS: u64 = 4;

pub(crate) const GRID: &str = "
name: demo
parameters:
  grams: {values: [8, 16, 32]}
replicates: 2
retry: {lost: 1, error: 1, backoff: 2}
";

/// A sweep whose points depend on the history: unequal weights in a finite space.
pub(crate) const WEIGHTED: &str = "
name: demo
method: random
parameters:
  grams: {values: [8, 16, 32], probabilities: [0.2, 0.3, 0.5]}
  grind: {values: [10, 20]}
replicates: 2
run_cap: 7
";

/// A sweep whose later points depend on results.
pub(crate) const MODELLED: &str = "
name: demo
method: tpe
parameters:
  grams: {min: 1, max: 40}
  grind: {values: [10, 20]}
run_cap: 14
";

pub(crate) const LIMITED: &str = "
name: demo
metric: {name: bitterness, goal: minimize, target: 0.0999}
parameters:
  grams: {values: [8, 16, 32]}
  grind: {values: [10, 20]}
max_failed_trials: 2
retry: {error: 0, lost: 0, preempted: 1}
";

/// A sweep of twelve trials that pause after 1 and 2 epochs until they are among the best half.
pub(crate) const PROMOTING: &str = "
name: demo
parameters:
  grams: {values: [8, 16, 32, 64, 128, 256]}
replicates: 2
retry: {lost: 1, error: 1, backoff: 2}
early_terminate: {type: asha, eta: 2, mode: promote}
";

/// The same, but trials stop.
pub(crate) const STOPPING: &str = "
name: demo
parameters:
  grams: {values: [8, 16, 32, 64, 128, 256]}
replicates: 2
early_terminate: {type: asha, eta: 2}
";

/// A sweep some of whose trials need a data set or two slots.
pub(crate) const MIXED: &str = "
name: demo
parameters:
  bean: {values: [arabica, robusta, instant]}
  resources.threads: {values: [2, 1]}
retry: {lost: 1, error: 1, backoff: 2}
";

/// A worker's record of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) attempt: AttemptId,
    pub(crate) origin: Option<Origin>,
    pub(crate) sequence: u64,
    pub(crate) produced: u64,
    pub(crate) durable: u64,
}

/// The world around the state machine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) id: StateId,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    pub(crate) stored: StoredState,
    /// Earlier commands, to be repeated.
    pub(crate) sent: Vec<Command>,
    pub(crate) jobs: BTreeMap<WorkerId, Vec<Job>>,
    /// The accepted rows by trial.
    pub(crate) rows: BTreeMap<u64, u64>,
    /// The highest attempt number by trial.
    pub(crate) attempts: BTreeMap<u64, u32>,
    pub(crate) requests: u128,
    /// The number of starts of the coordinator.
    pub(crate) starts: u128,
}

impl World {
    pub(crate) fn new(file: &str) -> Self {
        Self::of(1, file)
    }

    /// Creates a world with the state `id`.
    pub(crate) fn of(id: u128, file: &str) -> Self {
        let mut world = Self {
            id: StateId(Uuid::from_u128(id)),
            state: State::new(workloads()),
            now: Timestamp(1_000),
            events: Vec::new(),
            stored: StoredState::default(),
            sent: Vec::new(),
            jobs: BTreeMap::new(),
            rows: BTreeMap::new(),
            attempts: BTreeMap::new(),
            requests: 0,
            starts: 0,
        };
        world.start();
        world.submit(file).unwrap();
        world
    }

    /// Starts the coordinator, possibly again.
    pub(crate) fn start(&mut self) {
        self.starts += 1;
        self.start_as(IncarnationId(Uuid::from_u128(self.id.0.as_u128() * 1_000 + self.starts)));
    }

    /// Crashes the coordinator; a new one loads the stored state.
    pub(crate) fn restart(&mut self) {
        let loaded = self.stored.restart();
        assert_eq!(loaded, self.state, "a loaded state is another one");
        self.state = loaded;
        self.start();
    }

    /// Takes a step of a snapshot. Once it is complete, every chunk must be stored: no event is
    /// left to make up for it.
    pub(crate) fn snapshot_step(&mut self, limit: usize) {
        self.stored.snapshot_step(&mut self.state, limit);
        assert_eq!(self.stored.load(), self.state, "a part was not stored");
    }

    pub(crate) fn start_as(&mut self, incarnation: IncarnationId) {
        let state = self.id;
        self.send(Command::Start { lease: LEASE, state, incarnation }).unwrap();
    }

    pub(crate) fn submit(&mut self, file: &str) -> Result<Vec<Event>, Rejection> {
        let definition = definition(file);
        self.send(Command::Submit { definition, source: file.to_owned() })
    }

    pub(crate) fn sweep(&self) -> &rheo_core::sweep::Sweep {
        &self.state.sweeps[&demo()]
    }

    pub(crate) fn send(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let before = self.state.clone();
        let result = execute(&mut self.state, Caller::Coordinator, &command, self.now);
        match &result {
            Err(_) => assert_eq!(self.state, before, "a refused command left a trace"),
            Ok(events) => self.observe(&before, events),
        }
        assert_eq!(self.state.defects(), [""; 0], "after {command:?}");
        self.sent.push(command);
        result
    }

    pub(crate) fn observe(&mut self, before: &State, events: &[Event]) {
        self.events.extend_from_slice(events);
        self.stored.append(events);
        // The state right before each event: a lease may follow from another of the same command.
        let mut state = before.clone();
        for event in events {
            match event {
                Event::TrialLeased(TrialLeased { attempt, worker, .. }) => {
                    let last = self.attempts.insert(attempt.trial.index, attempt.number);
                    assert!(last.unwrap_or(0) < attempt.number, "attempt numbers only grow");
                    let sweep = self.sweep();
                    let index = attempt.trial.index;
                    let known = &state.sweeps[&attempt.trial.sweep];
                    let waited = known.live.get(&index).is_some_and(|trial| !trial.is_deferred());
                    let rule = known.closed.or_else(|| known.reached_rule(self.now));
                    assert!(waited || rule.is_none(), "{attempt} began after {rule:?}");
                    let trial = sweep.planned.trial(&sweep.history, index).unwrap();
                    // U42: not even while the worker is unfit for another trial.
                    let lack = state.workers[worker].unmet_need(&needs(&trial));
                    assert_eq!(lack, None, "an unfit worker was given {attempt}");
                    if let Some(parked) = state.sweeps[&demo()].parked.get(&index) {
                        crate::parking::check_promotion(&state, index, parked.rung.unwrap());
                    }
                }
                Event::TrialEnded(TrialEnded { outcome: TrialOutcome::Failed, .. }) => {
                    let unfit = |event: &Event| {
                        let outcome = AttemptOutcome::Unfit;
                        matches!(event, Event::AttemptEnded(AttemptEnded { outcome: o, .. }) if *o == outcome)
                    };
                    assert!(!events.iter().any(unfit), "an unfit worker failed a trial");
                }
                Event::TrialCommitted(TrialCommitted { attempt, produced, .. }) => {
                    let held = state.live(&attempt.trial).unwrap();
                    assert_eq!(held.attempt, attempt.number, "a stale commit was accepted");
                    let rows = self.rows.entry(attempt.trial.index).or_default();
                    *rows += sipped(produced).saturating_sub(sipped(&held.durable));
                    assert!(*rows <= EPOCHS, "a row was doubled");
                }
                Event::TrialsStartedOver(TrialsStartedOver { trials, .. }) => {
                    // None of their rows counts any more.
                    for trial in trials {
                        self.rows.remove(&trial.index);
                    }
                }
                // The trained work is gone; attempt numbers continue.
                Event::SweepDeleted(_) => self.rows.clear(),
                _ => {}
            }
            state.apply(event);
        }
    }

    pub(crate) fn join(&mut self, worker: WorkerId) {
        self.join_as(worker, 0);
    }

    /// Has a worker join after a number of changes of its inventory. Worker 1 has no data set,
    /// worker 2 has one slot, and worker 0 has more than two.
    pub(crate) fn join_as(&mut self, id: WorkerId, revision: u32) {
        let offer = slots(if id == worker(0) {
            6
        } else if id == worker(2) {
            1
        } else {
            2
        });
        let devices = vec!["cpu".to_owned()];
        let found = AvailableDataset { set: "beans".to_owned(), sizes: Some([500, 100, 100]) };
        let data = if id == worker(1) { Vec::new() } else { vec![found] };
        let inventory = Some(Inventory { data, devices, revision, ..Inventory::default() });
        let info =
            WorkerInfo { offer, inventory, workloads: vec![BREWING], ..WorkerInfo::default() };
        self.send(Command::Join { worker: id, info, state: None }).unwrap();
    }

    /// Has a worker ask for trials; it joins first if necessary.
    pub(crate) fn acquire(&mut self, worker: WorkerId, slots: u32) -> usize {
        let held = self.held(worker);
        let (free, only) = (FreeResources::slots(slots), None);
        let ask = Command::Acquire { worker, held: held.clone(), free, only, lease: LEASE };
        if let Err(rejection) = self.send(ask.clone()) {
            assert_eq!(rejection, Rejection::UnknownWorker(worker));
            self.join(worker);
            self.send(ask).unwrap();
        }
        let assignments = self.state.assignments(worker, &held);
        for assignment in &assignments {
            let job = job(assignment);
            self.jobs.entry(worker).or_default().push(job);
        }
        assignments.len()
    }

    pub(crate) fn held(&self, worker: WorkerId) -> Vec<HeldAttempt> {
        let jobs = self.jobs.get(&worker).into_iter().flatten();
        jobs.map(|job| HeldAttempt { attempt: job.attempt.clone(), origin: job.origin }).collect()
    }

    /// Returns the attempts that a worker knows it holds.
    pub(crate) fn attempts_of(&self, worker: WorkerId) -> Vec<AttemptId> {
        self.held(worker).into_iter().map(|held| held.attempt).collect()
    }

    /// Trains up to `epochs` epochs and commits; the worker drops a trial whose lease it has lost.
    pub(crate) fn commit(&mut self, worker: WorkerId, which: usize, epochs: u64) {
        let Some(mut job) = self.take(worker, which) else { return };
        let work = job.train(epochs);
        let claim = job.claim(worker);
        match self.send(Command::Commit { claim, work }) {
            Ok(_) => self.jobs.entry(worker).or_default().push(job),
            Err(rejection) => assert!(is_stale(&rejection), "{rejection}"),
        }
    }

    pub(crate) fn finish(&mut self, worker: WorkerId, which: usize, how: u8) {
        let Some(mut job) = self.take(worker, which) else { return };
        let summary = Box::new(json!({}));
        let message = "no memory left on this device".to_owned();
        let loss = 0.05 * f64::from(u32::try_from(job.attempt.trial.index).unwrap() + 1);
        let metrics = [(BITTERNESS, loss), (TASTE, 0.5)].into();
        let (work, ending) = match how {
            0..4 => (Some(job.train(EPOCHS)), AttemptEnd::Completed { metrics, summary }),
            4 => {
                let detail = "epoch 1, update 3".to_owned();
                (Some(job.train(1)), AttemptEnd::Diverged { metrics, summary, detail })
            }
            5 => (None, AttemptEnd::Error { message }),
            6 => (None, AttemptEnd::OutOfMemory { message }),
            7 => (Some(job.train(1)), AttemptEnd::TimedOut),
            8 => (Some(job.train(1)), AttemptEnd::Preempted),
            9 => (None, AttemptEnd::CheckpointUnusable { message }),
            11 => (Some(job.train(1)), AttemptEnd::Unfit { need: Need::Disk, message }),
            12 => (None, AttemptEnd::Unfit { need: job.need(), message }),
            _ => (Some(job.train(1)), AttemptEnd::Stopped),
        };
        let claim = job.claim(worker);
        if let Err(rejection) = self.send(Command::Finish { claim, work, ending }) {
            assert!(is_stale(&rejection), "{rejection}");
        }
    }

    /// Restarts trials, as after damage.
    pub(crate) fn start_over(&mut self, trials: &[u64]) -> Vec<Event> {
        let (id, trials) = (self.request(), trials.to_vec());
        let request = SweepRequest::StartOver { id, sweep: demo(), trials, parts: Vec::new() };
        self.send(Command::Client(request)).unwrap()
    }

    pub(crate) fn take(&mut self, worker: WorkerId, which: usize) -> Option<Job> {
        let jobs = self.jobs.get_mut(&worker).filter(|jobs| !jobs.is_empty())?;
        let which = which % jobs.len();
        Some(jobs.remove(which))
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(Uuid::from_u128(self.requests))
    }

    /// Trains an epoch of the first trial of a worker, and ends the attempt if the coordinator says
    /// so, or if the trial is complete.
    pub(crate) fn train_one_epoch(&mut self, worker: WorkerId) {
        let Some(job) = self.jobs.get(&worker).and_then(|jobs| jobs.first()) else { return };
        let (attempt, is_last) = (job.attempt.clone(), job.produced + 1 >= EPOCHS);
        if is_last {
            return self.finish(worker, 0, 0);
        }
        self.commit(worker, 0, 1);
        if let Some(jobs) = self.jobs.get_mut(&worker) {
            // A commit puts the trial last.
            jobs.sort_by_key(|job| job.attempt != attempt);
        }
        if self.state.stop_reason(&attempt).is_some() {
            self.finish(worker, 0, 10);
        }
    }

    /// Lets a worker without failures finish everything.
    pub(crate) fn run_to_the_end(&mut self) {
        let worker = worker(9);
        for _ in 0..200 {
            if self.sweep().ended.is_some() {
                return;
            }
            // Longer than any lease and any pause between attempts.
            self.now = self.now + Duration::from_secs(400);
            self.send(Command::Tick).unwrap();
            while self.acquire(worker, 2) > 0 {
                while !self.held(worker).is_empty() {
                    match self.sweep().planned.pruner {
                        Some(_) => self.train_one_epoch(worker),
                        None => self.finish(worker, 0, 0),
                    }
                }
            }
        }
        panic!("the sweep did not end: {:?}", self.sweep());
    }
}

impl Job {
    pub(crate) fn train(&mut self, epochs: u64) -> CommitManifest {
        let first = self.produced;
        self.produced = (first + epochs).min(EPOCHS);
        let rows = self.produced.saturating_sub(self.durable.max(first));
        self.durable = self.durable.max(self.produced);
        self.sequence += 1;
        let index = self.attempt.trial.index;
        let report = |epoch: u64| MetricReport {
            epoch: u32::try_from(epoch).unwrap(),
            metrics: [(TASTE, taste(index, epoch))].into(),
        };
        CommitManifest {
            checkpoint: digest(self),
            produced: sips(self.produced),
            rows: sips(rows),
            reports: (first..self.produced).map(report).collect(),
            fraction: self.produced as f64 / EPOCHS as f64,
        }
    }

    /// Returns the data set that its trial needs, or a need common to all trials.
    fn need(&self) -> Need {
        match self.attempt.trial.index % 6 {
            0..4 => Need::Data { set: "beans".to_owned(), directory: None },
            _ => Need::System,
        }
    }

    pub(crate) fn claim(&mut self, worker: WorkerId) -> AttemptClaim {
        let sequence = self.sequence.max(1);
        AttemptClaim { attempt: self.attempt.clone(), worker, sequence, origin: self.origin }
    }
}

/// Returns the taste of a trial after an epoch. Some trials are equal, and some overtake others.
pub(crate) fn taste(trial: u64, epoch: u64) -> f64 {
    ((trial * 7 + epoch * 3 + 9) % 10) as f64 / 10.0
}

pub(crate) fn job(assignment: &Assignment) -> Job {
    Job {
        attempt: assignment.attempt.clone(),
        origin: Some(assignment.origin),
        sequence: 0,
        produced: sipped(&assignment.covered),
        durable: sipped(&assignment.durable),
    }
}

pub(crate) fn digest(job: &Job) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&job.attempt.trial.index.to_le_bytes());
    bytes[8..12].copy_from_slice(&job.attempt.number.to_le_bytes());
    bytes[12..20].copy_from_slice(&job.sequence.to_le_bytes());
    Digest::from_bytes(bytes)
}

pub(crate) fn is_stale(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::StaleAttempt(_))
}

pub(crate) fn demo() -> SweepName {
    SweepName::parse("demo").unwrap()
}

pub(crate) fn worker(n: u8) -> WorkerId {
    WorkerId(Uuid::from_u128(u128::from(n) + 100))
}

/// Returns free slots without other resources.
pub(crate) fn slots(cpus: u32) -> ResourceOffer {
    ResourceOffer { cpus, ..ResourceOffer::default() }
}

/// Returns a number of rows of the only table that trials fill.
pub(crate) fn sips(count: u64) -> RowCounts {
    [(TableName::of("sips"), count)].into_iter().collect()
}

/// Returns the rows of that table.
pub(crate) fn sipped(counts: &RowCounts) -> u64 {
    counts.get(&TableName::of("sips"))
}

fn needs(trial: &PlannedTrial) -> Vec<Need> {
    workloads().schema(&BREWING).needs(&trial.resolved)
}
