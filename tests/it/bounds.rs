//! A peer with a token that sends far too much: it is refused by name, and costs neither memory nor
//! journal. The coordinator runs under a limit of memory.

use std::path::Path;

use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::v1;
use rheo_proto::v1::fleet_service_client::FleetServiceClient;
use rheo_proto::v1::sweep_service_client::SweepServiceClient;
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_tests::{RunningProgram, TestBench, peak_memory, wait_for, within};
use tonic::metadata::AsciiMetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// `rheo serve` with these limits of `prlimit`.
pub(crate) fn serve_within(bench: &TestBench, limits: &[&str]) -> RunningProgram {
    let running = RunningProgram::start(within(limits, &bench.rheo(&["serve"])));
    wait_for("the coordinator", || bench.url());
    running
}

/// A channel on which every call brings a token.
pub(crate) type AuthorizedChannel = InterceptedService<Channel, BearerToken>;

/// Adds a token.
#[derive(Clone)]
pub(crate) struct BearerToken(AsciiMetadataValue);

impl tonic::service::Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A new connection as a person or a worker.
pub(crate) async fn connect(bench: &TestBench, role: &str) -> AuthorizedChannel {
    let endpoint = Endpoint::from_shared(bench.url().unwrap()).unwrap();
    let bearer = BearerToken(bench.bearer(role).parse().unwrap());
    InterceptedService::new(endpoint.connect().await.unwrap(), bearer)
}

const ENOUGH: usize = 256 << 20;

fn workers(channel: AuthorizedChannel) -> WorkerServiceClient<AuthorizedChannel> {
    WorkerServiceClient::new(channel).max_encoding_message_size(ENOUGH)
}

/// A worker of this number.
pub(crate) fn joining(number: usize) -> v1::JoinRequest {
    let worker = format!("00000000-0000-7000-8000-{number:012}");
    let workloads = vec!["networks".to_owned()];
    v1::JoinRequest {
        worker,
        host: "here".to_owned(),
        slots: 1,
        workloads,
        ..v1::JoinRequest::default()
    }
}

fn journal(bench: &TestBench) -> u64 {
    std::fs::metadata(bench.state().join("journal.redb")).unwrap().len() >> 20
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(reply: Result<T, Status>, field: &str) {
    let status = reply.unwrap_err();
    let refusal = Refusal::from(&status);
    assert!(refusal.has_reason(&Reason::InvalidArgument), "{status:?}");
    assert!(refusal.text.contains(field), "{refusal}");
    assert!(refusal.text.len() < 1000, "{} bytes", refusal.text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn giant_joins_are_refused_and_leave_memory_and_journal_small() {
    let bench = TestBench::default();
    let serve = serve_within(&bench, &["--as=6000000000"]);
    let before = journal(&bench);
    let mut calls = Vec::new();
    for number in 0..24 {
        let mut client = workers(connect(&bench, "worker").await);
        let request = v1::JoinRequest { host: "h".repeat(60 << 20), ..joining(number) };
        calls.push(tokio::spawn(async move { client.join(request).await }));
    }
    for call in calls {
        // The rest is not read: it may be cut off before the refusal is.
        let status = call.await.unwrap().unwrap_err();
        let is_cut_off = Refusal::from(&status).reason.is_none();
        assert!(is_cut_off || status.message().contains("at most"), "{status:?}");
    }
    let peak = peak_memory(serve.pid());
    assert!(peak < 300, "the coordinator took {peak} MiB");
    assert!(journal(&bench) <= before + 2, "the journal has {} MiB", journal(&bench));
    bench.run(&["status"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn giant_commits_wait_for_memory_and_are_refused() {
    let bench = TestBench::default();
    let serve = serve_within(&bench, &["--as=6000000000"]);
    let mut calls = Vec::new();
    for _ in 0..24 {
        let mut client = workers(connect(&bench, "worker").await);
        let rows =
            v1::TableRows { table: "epochs".to_owned(), rows: 1, ipc: vec![0; 60 << 20].into() };
        let work = Some(v1::Work { rows: vec![rows], ..v1::Work::default() });
        let request = v1::CommitRequest { claim: None, work, log: Vec::new() };
        calls.push(tokio::spawn(async move { client.commit(request).await }));
    }
    for call in calls {
        assert_refused(call.await.unwrap(), "claim");
    }
    let peak = peak_memory(serve.pid());
    assert!(peak < 700, "the coordinator took {peak} MiB");
}

#[tokio::test]
async fn every_service_refuses_what_is_too_long_by_the_name_of_the_field() {
    let bench = TestBench::default();
    let _serve = serve_within(&bench, &["--as=6000000000"]);
    let long = |length: usize| "x".repeat(length);
    let mut worker = workers(connect(&bench, "worker").await);
    let join = v1::JoinRequest { host: long(300), ..joining(1) };
    assert_refused(worker.join(join).await, "`JoinRequest.host`");
    let join = v1::JoinRequest { version: "1\u{1b}[2J".to_owned(), ..joining(1) };
    assert_refused(worker.join(join).await, "control characters");
    let held = vec![v1::Attempt::default(); 5000];
    let acquire = v1::AcquireRequest { held, ..v1::AcquireRequest::default() };
    assert_refused(worker.acquire(acquire).await, "`AcquireRequest.held`");
    let failure = v1::finish_request::Failure { message: long(100_000) };
    let ending = Some(v1::finish_request::Ending::Error(failure));
    let finish = v1::FinishRequest { ending, ..v1::FinishRequest::default() };
    assert_refused(worker.finish(finish).await, "`FinishRequest.Failure.message`");
    let leave = v1::LeaveRequest { worker: long(80_000), ..v1::LeaveRequest::default() };
    assert_refused(worker.leave(leave).await, "at most 65536");

    let admin = connect(&bench, "admin").await;
    let mut sweeps = SweepServiceClient::new(admin.clone()).max_encoding_message_size(ENOUGH);
    let submit = v1::SubmitRequest { file: "a".to_owned(), text: long((4 << 20) + 1) };
    assert_refused(sweeps.submit(submit).await, "`SubmitRequest.text`");
    let submit = v1::SubmitRequest { file: "a".to_owned(), text: long(30 << 20) };
    assert!(sweeps.submit(submit).await.is_err());
    let query = v1::QueryRequest { sql: long((1 << 20) + 1) };
    assert_refused(sweeps.query(query).await, "`QueryRequest.sql`");
    let get = v1::GetSweepRequest { sweep: long(250) };
    assert_refused(sweeps.get_sweep(get).await, "not a sweep name");
    let mut fleets = FleetServiceClient::new(admin);
    let spec = v1::FleetSpec {
        name: "f".to_owned(),
        launcher: "local".to_owned(),
        settings: "{}".to_owned(),
        max: u32::MAX,
        ..v1::FleetSpec::default()
    };
    let request_id = "00000000-0000-7000-8000-000000000001".to_owned();
    let launch = v1::LaunchRequest { request_id, spec: Some(spec) };
    assert_refused(fleets.launch(launch).await, "`FleetSpec.max`");
    // None of it was kept.
    assert!(bench.run(&["status", "-o", "json"]).expect(0).json()["sweeps"][0].is_null());
    assert!(Path::new(&bench.state().join("journal.redb")).exists());
}
