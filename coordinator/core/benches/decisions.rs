//! Benchmark of planning a sweep and of leasing and finishing trials, in a grid of 10^6 points.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and end")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rheo_core::id::{IncarnationId, StateId, WorkerId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Caller, Command, Event, State, WorkerInfo, execute,
};
use rheo_core::metric::Metrics;
use rheo_core::resources::{FreeResources, ResourceOffer};
use rheo_core::spec;
use rheo_core::sweep::{PlannedSweep, TrialLeased};
use rheo_core::time::Timestamp;
use uuid::Uuid;

#[path = "../tests/brewing/mod.rs"]
mod brewing;

use brewing::{BREWING, workloads};

const MILLION: &str = "
name: million
parameters:
  grams: {distribution: int_uniform, min: 1, max: 1000}
  grind: {distribution: int_uniform, min: 1, max: 1000}
";

const LEASE: Duration = Duration::from_secs(30);

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a grid of 1,000,000 points");
    group.bench_function("parse and plan", |bench| {
        bench.iter(|| {
            let parsed =
                spec::parse(&workloads(), "million.yaml", black_box(MILLION)).expect("a sweep");
            PlannedSweep::new(parsed.definition, &workloads()).plan.trials()
        });
    });
    let parsed = spec::parse(&workloads(), "million.yaml", MILLION).expect("a sweep");
    let planned = PlannedSweep::new(parsed.definition, &workloads());
    let history = planned.plan.history();
    group.bench_function("one trial", |bench| {
        bench.iter(|| planned.trial(&history, black_box(765_432)).expect("a trial"));
    });
    group.finish();
}

/// A submitted sweep and a worker.
fn world() -> (State, WorkerId) {
    let mut state = State::new(workloads());
    let worker = WorkerId(Uuid::from_u128(1));
    let definition =
        spec::parse(&workloads(), "million.yaml", MILLION).expect("a sweep").definition;
    let submit = Command::Submit { definition: Box::new(definition), source: MILLION.to_owned() };
    let offer = ResourceOffer { cpus: 1, ..ResourceOffer::default() };
    let info = WorkerInfo { offer, workloads: vec![BREWING], ..WorkerInfo::default() };
    let join = Command::Join { worker, info, state: None };
    let (id, incarnation) = (StateId(Uuid::from_u128(2)), IncarnationId(Uuid::from_u128(3)));
    let start = Command::Start { lease: LEASE, state: id, incarnation };
    for command in [start, submit, join] {
        execute(&mut state, Caller::Admin, &command, Timestamp(1)).expect("accepted");
    }
    (state, worker)
}

/// Leases one trial after the other and finishes each.
fn run_trials(state: &mut State, worker: WorkerId, count: u64) {
    for now in 0..count {
        let now = Timestamp(2 + now);
        let acquire = Command::Acquire {
            worker,
            held: Vec::new(),
            free: FreeResources::slots(1),
            only: None,
            lease: LEASE,
        };
        let events = execute(state, Caller::Worker, &acquire, now).expect("accepted");
        let leased = events.into_iter().find_map(|event| match event {
            Event::TrialLeased(TrialLeased { attempt, .. }) => Some(attempt),
            _ => None,
        });
        let attempt = leased.expect("a trial");
        let origin = state.origin(&attempt);
        let claim = AttemptClaim { attempt, worker, sequence: 1, origin };
        let summary = Box::default();
        let ending = AttemptEnd::Completed { metrics: Metrics::new(), summary };
        let finish = Command::Finish { claim, work: None, ending };
        execute(state, Caller::Worker, &finish, now).expect("accepted");
    }
}

fn running(criterion: &mut Criterion) {
    const TRIALS: u64 = 1000;
    let mut group = criterion.benchmark_group("state machine");
    group.throughput(Throughput::Elements(TRIALS));
    group.bench_function("lease and finish 1,000 trials", |bench| {
        bench.iter_batched(
            world,
            |(mut state, worker)| run_trials(&mut state, worker, TRIALS),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, planning, running);
criterion_main!(benches);
