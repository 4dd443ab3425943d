//! The memory of a coordinator that sees many trials.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rheo_proto::access::{AccessConfig, AuthorizedChannel, Role};
use rheo_proto::v1;
use rheo_proto::v1::finish_request::{Ending, Result as Ended};
use rheo_proto::v1::sweep_service_client::SweepServiceClient;
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_tests::{RunningProgram, TestBench, peak_memory, wait_for};
use rustix::process::Signal;
use tokio::task::JoinSet;

const MANY: &str = "
name: many
network: {hidden: 8}
parameters:
  training.optimizer.lr: {values: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 7.0e-4, 8.0e-4, 9.0e-4, 1.0e-3]}
  training.batch: {distribution: int_uniform, min: 1, max: 1000}
  task.seed: {distribution: int_uniform, min: 1, max: 10}
run_cap: 100000
";

/// Trials of the sweep.
const TRIALS: u64 = 100_000;

/// The most memory that the coordinator may take, in MiB.
const BOUND: u64 = 400;

/// Workers that finish trials at the same time, and trials that each of them has.
const WORKERS: u32 = 4;
const SLOTS: u32 = 64;

type Client = WorkerServiceClient<AuthorizedChannel>;

fn access(bench: &TestBench, role: Role) -> AccessConfig {
    AccessConfig { server: None, state: bench.state(), ca_file: None, token_file: None, role }
}

async fn client(bench: &TestBench) -> Client {
    let route = access(bench, Role::Worker).read().unwrap();
    let channel = route.endpoint().unwrap().connect().await.unwrap();
    WorkerServiceClient::with_interceptor(channel, route.bearer)
}

async fn submit(bench: &TestBench) {
    let route = access(bench, Role::Admin).read().unwrap();
    let channel = route.endpoint().unwrap().connect().await.unwrap();
    let mut sweeps = SweepServiceClient::with_interceptor(channel, route.bearer);
    let request = v1::SubmitRequest { file: "many.yaml".to_owned(), text: MANY.to_owned() };
    sweeps.submit(request).await.unwrap();
}

/// Finishes every trial that it gets at once, until nothing is left.
async fn work(mut client: Client, number: u32, done: Arc<AtomicU64>) {
    let worker = format!("00000000-0000-4000-8000-{number:012}");
    let join = v1::JoinRequest {
        worker: worker.clone(),
        slots: SLOTS,
        workloads: vec!["networks".to_owned()],
        ..Default::default()
    };
    client.join(join).await.unwrap();
    loop {
        let request = v1::AcquireRequest {
            worker: worker.clone(),
            slots: SLOTS,
            wait_ms: 1000,
            ..Default::default()
        };
        let reply = client.acquire(request).await.unwrap().into_inner();
        if reply.nothing_left {
            return;
        }
        let mut finishing = JoinSet::new();
        for assignment in reply.assignments {
            let (mut client, request) = (client.clone(), finish(&worker, assignment));
            finishing.spawn(async move { client.finish(request).await.map(drop) });
        }
        while let Some(finished) = finishing.join_next().await {
            finished.unwrap().unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The last word on a trial of networks.
const SUMMARY: &str = r#"{"parameters": 1, "inputs": 1, "steps": 1, "n0": null, "epochs": 1, "best_val_epoch": null, "best_val_accuracy": null, "device": "cpu", "wall_s": 0.1}"#;

fn finish(worker: &str, assignment: v1::Assignment) -> v1::FinishRequest {
    let metric = |name: &str| v1::MetricValue { name: name.to_owned(), value: 0.5 };
    let metrics = vec![metric("validation.accuracy"), metric("validation.loss")];
    let claim = v1::Claim { worker: worker.to_owned(), attempt: assignment.attempt, sequence: 1 };
    let summary = SUMMARY.to_owned();
    let ended = Ended { metrics, summary, ..Default::default() };
    let (claim, ending) = (Some(claim), Some(Ending::Completed(ended)));
    v1::FinishRequest { claim, work: None, log: Vec::new(), ending }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_trials_leave_the_coordinator_small() {
    let bench = TestBench::default();
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    submit(&bench).await;
    let done = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        workers.spawn(work(client(&bench).await, number, Arc::clone(&done)));
    }
    workers.join_all().await;
    assert_eq!(done.load(Ordering::Relaxed), TRIALS);
    assert_eq!(bench.number("select count(*) from trials"), TRIALS);
    let peak = peak_memory(serve.pid());
    assert!(peak < BOUND, "the coordinator took {peak} MiB");
    serve.signal(Signal::TERM);
    serve.end().expect(0);
}
