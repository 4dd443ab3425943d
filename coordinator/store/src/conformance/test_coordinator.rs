//! A coordinator reduced to its state and its journal, with workers that lease and finish trials.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use rheo_core::definition::{RetryPolicy, SearchMethod, StopRules, SweepDefinition};
use rheo_core::id::{Digest, IncarnationId, RequestId, StateId, SweepName, WorkerId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Caller, Command, CommitManifest, Event, State, SweepRequest,
    TrialSelection, WorkerInfo, execute,
};
use rheo_core::metric::{Goal, Objective};
use rheo_core::name::{MetricName, WorkloadName};
use rheo_core::ranking::AggregateRule;
use rheo_core::resources::{FreeResources, ResourceOffer};
use rheo_core::rows::RowCounts;
use rheo_core::schema::{WorkloadRegistry, WorkloadSchema};
use rheo_core::space::{Domain, Parameter, Space};
use rheo_core::sweep::TrialLeased;
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::journal::{Error, Journal, JournalEntry, SnapshotStep};

const WORKLOAD: WorkloadName = WorkloadName::of("anything");

const LOSS: MetricName = MetricName::of("loss");

const LEASE: Duration = Duration::from_secs(30);

/// A coordinator reduced to its state and its journal.
#[derive(Debug)]
pub struct TestCoordinator {
    /// The state.
    pub state: State,
    /// The position of the next event.
    pub position: u64,
    now: u64,
    requests: u128,
}

impl TestCoordinator {
    /// Loads the state and starts.
    pub fn start(journal: &dyn Journal) -> Result<Self, Error> {
        let loaded = journal.load(&workloads())?;
        let (state, position) = (loaded.state, loaded.position);
        let now = state.latest().0.max(1);
        let requests = u128::from(position) << 32;
        let mut coordinator = Self { state, position, now, requests };
        let (state, incarnation) =
            (StateId(Uuid::from_u128(2)), IncarnationId(Uuid::from_u128(u128::from(position))));
        coordinator.send(journal, [Command::Start { lease: LEASE, state, incarnation }])?;
        Ok(coordinator)
    }

    /// Executes `commands` and journals their events with one fsync. After an error, the state is ahead of the
    /// journal.
    pub fn send(
        &mut self,
        journal: &dyn Journal,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Event>, Error> {
        self.now += 1;
        let mut events = Vec::new();
        for command in commands {
            let executed =
                execute(&mut self.state, caller(&command), &command, Timestamp(self.now));
            events.extend(executed.unwrap());
        }
        let entries: Vec<JournalEntry> = events.iter().cloned().map(JournalEntry::from).collect();
        self.position = journal.append(&entries)? + entries.len() as u64;
        Ok(events)
    }

    /// Takes a snapshot.
    pub fn snapshot(&mut self, journal: &dyn Journal) -> Result<(), Error> {
        journal.snapshot(self.position, &mut self.state)
    }

    /// Takes one step of a snapshot.
    pub fn snapshot_step(
        &mut self,
        journal: &dyn Journal,
        limit: usize,
    ) -> Result<SnapshotStep, Error> {
        journal.snapshot_step(self.position, &mut self.state, limit)
    }

    /// Takes one step of the work that a snapshot leaves.
    pub fn tidy_step(&mut self, journal: &dyn Journal, limit: usize) -> Result<bool, Error> {
        journal.tidy_step(&mut self.state, limit)
    }

    /// Submits a sweep of 6,000,000 trials, three for each point.
    pub fn submit(
        &mut self,
        journal: &dyn Journal,
        name: &SweepName,
        method: SearchMethod,
    ) -> Result<(), Error> {
        let definition = Box::new(definition(name.clone(), method));
        let source = "the sweep file".to_owned();
        self.send(journal, [Command::Submit { definition, source }]).map(drop)
    }

    /// Sends a client request about a sweep.
    pub fn request(
        &mut self,
        journal: &dyn Journal,
        request: impl FnOnce(RequestId) -> SweepRequest,
    ) -> Result<(), Error> {
        self.requests += 1;
        let request = request(RequestId(Uuid::from_u128(self.requests)));
        self.send(journal, [Command::Client(request)]).map(drop)
    }

    /// Retries ended trials of a sweep.
    pub fn retry(
        &mut self,
        journal: &dyn Journal,
        sweep: &SweepName,
        trials: TrialSelection,
    ) -> Result<(), Error> {
        let sweep = sweep.clone();
        self.request(journal, |id| SweepRequest::Retry { id, sweep, trials })
    }

    /// Deletes a sweep.
    pub fn delete(&mut self, journal: &dyn Journal, sweep: &SweepName) -> Result<(), Error> {
        let sweep = sweep.clone();
        self.request(journal, |id| SweepRequest::Delete { id, sweep })
    }

    /// Lets each of `workers` workers lease a trial, if one is queued, with one append.
    pub fn lease(
        &mut self,
        journal: &dyn Journal,
        workers: u64,
    ) -> Result<Vec<TrialLeased>, Error> {
        let acquire = |n| {
            let (worker, held) = (worker(n), Vec::new());
            Command::Acquire {
                worker,
                held,
                free: FreeResources::slots(1),
                only: None,
                lease: LEASE,
            }
        };
        let join = |n| {
            let offer = ResourceOffer { cpus: 1, ..ResourceOffer::default() };
            let info = WorkerInfo { offer, workloads: vec![WORKLOAD], ..WorkerInfo::default() };
            Command::Join { worker: worker(n), info, state: None }
        };
        let unknown = (0..workers).filter(|n| !self.state.workers.contains_key(&worker(*n)));
        let joins: Vec<Command> = unknown.map(join).collect();
        let events = self.send(journal, joins.into_iter().chain((0..workers).map(acquire)))?;
        let leased = events.into_iter().filter_map(|event| match event {
            Event::TrialLeased(leased) => Some(leased),
            _ => None,
        });
        Ok(leased.collect())
    }

    /// Lets each of `workers` workers lease and finish a trial; one trial of fifty fails in its first attempt.
    /// Returns the number of ended attempts.
    pub fn run_trials(&mut self, journal: &dyn Journal, workers: u64) -> Result<u64, Error> {
        let leased = self.lease(journal, workers)?;
        self.finish_all(journal, &leased)?;
        Ok(leased.len() as u64)
    }

    /// Finishes the leased trials with one append.
    pub fn finish_all(
        &mut self,
        journal: &dyn Journal,
        leased: &[TrialLeased],
    ) -> Result<(), Error> {
        let finishes: Vec<Command> = leased.iter().map(|leased| self.finish(leased)).collect();
        self.send(journal, finishes).map(drop)
    }

    fn finish(&self, TrialLeased { attempt, worker, .. }: &TrialLeased) -> Command {
        let origin = self.state.origin(attempt);
        let index = attempt.trial.index;
        let claim = AttemptClaim { attempt: attempt.clone(), worker: *worker, sequence: 1, origin };
        if index % 50 == 7 && attempt.number == 1 {
            let message = "the device has no memory left for this".to_owned();
            return Command::Finish { claim, work: None, ending: AttemptEnd::Error { message } };
        }
        let checkpoint = Digest::of(&index.to_le_bytes());
        let (produced, rows) = (RowCounts::default(), RowCounts::default());
        let work =
            CommitManifest { checkpoint, produced, rows, reports: Vec::new(), fraction: 1.0 };
        let metrics = [(LOSS, (index as f64 * 0.618_034).fract())].into();
        let ending = AttemptEnd::Completed { metrics, summary: Box::default() };
        Command::Finish { claim, work: Some(work), ending }
    }
}

/// The workloads of a test coordinator.
pub fn workloads() -> WorkloadRegistry {
    WorkloadRegistry::new([WorkloadSchema::unknown(WORKLOAD)])
}

fn caller(command: &Command) -> Caller {
    match command {
        Command::Start { .. } => Caller::Coordinator,
        Command::Submit { .. } | Command::Client(_) => Caller::Admin,
        _ => Caller::Worker,
    }
}

fn worker(n: u64) -> WorkerId {
    WorkerId(Uuid::from_u128(u128::from(n) + 10))
}

fn definition(name: SweepName, method: SearchMethod) -> SweepDefinition {
    let parameter =
        |path: &str, domain| Parameter { path: path.to_owned(), domain, when: Vec::new() };
    // With unequal probabilities, samplers look back at the points chosen before.
    let (values, probabilities) =
        (vec![true.into(), false.into()], (method != SearchMethod::Grid).then(|| vec![0.4, 0.6]));
    let parameters = vec![
        parameter("width", Domain::IntUniform { min: 1, max: 2000 }),
        parameter("depth", Domain::IntUniform { min: 1, max: 500 }),
        parameter("wide", Domain::Categorical { values, probabilities }),
    ];
    SweepDefinition {
        name,
        workload: WORKLOAD,
        description: None,
        method,
        objective: Objective { name: LOSS, goal: Goal::Minimize, target: None },
        base: serde_json::json!({}),
        space: Space { parameters, ..Space::default() },
        seeds: vec![0, 1, 2],
        aggregate: AggregateRule::default(),
        seed: 0,
        run_cap: None,
        enqueue: Vec::new(),
        max_failed_trials: None,
        stop: StopRules::default(),
        retry: RetryPolicy { error: 0, ..RetryPolicy::default() },
        early_terminate: None,
    }
}
