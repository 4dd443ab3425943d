//! Connections that say nothing, far too many of them, and too few file descriptors: those who have
//! a token get through.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_tests::{ProgramOutput, RunningProgram, TestBench, outlast, peak_memory, wait_for};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::bounds::{connect, joining, serve_within};
use crate::sweeps::{SMALL, SMALL_EPOCHS};

/// First bytes of a client of HTTP/2, with its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn port(bench: &TestBench) -> u16 {
    bench.url().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

/// Waits until the other side closes a connection, and says how long that took.
#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn closed_after(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut rest = Vec::new();
    // Closed in order or cut off.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it was not closed");
    }
    began.elapsed()
}

#[test]
fn connections_that_ask_for_nothing_are_closed_after_ten_seconds() {
    for args in [&[][..], &["--listen", "0.0.0.0:0"]] {
        let bench = TestBench::default();
        let _serve = RunningProgram::start(bench.rheo(&[&["serve"], args].concat()));
        wait_for("the coordinator", || bench.url());
        let streams = [&b""[..], &PREFACE[..3], PREFACE, &[0x16, 3, 1]].map(|first| {
            let mut stream = TcpStream::connect(("127.0.0.1", port(&bench))).unwrap();
            stream.write_all(first).unwrap();
            std::thread::spawn(move || closed_after(stream))
        });
        for stream in streams {
            let after = stream.join().unwrap();
            assert!(after < Duration::from_secs(25), "{after:?}");
        }
        bench.run(&["status"]).expect(0);
    }
}

/// Opens connections that say nothing, and new ones as they are closed, until it is told to stop.
fn flood(port: u16, stop: &Arc<AtomicBool>, opened: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (stop, opened) = (Arc::clone(stop), Arc::clone(opened));
    std::thread::spawn(move || {
        let mut open = std::collections::VecDeque::new();
        while !stop.load(Ordering::Relaxed) {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                // Some get further than others.
                let said = [&b""[..], PREFACE][open.len() % 2];
                let _ = stream.write_all(said);
                open.push_back(stream);
                opened.fetch_add(1, Ordering::Relaxed);
            }
            if open.len() > 300 {
                open.pop_front();
            }
        }
    })
}

/// A sweep from submission to results during a flood, by a coordinator with this limit of open files;
/// returns what the coordinator said.
fn sweep_during_a_flood(open_files: u32) -> ProgramOutput {
    let bench = TestBench::default();
    let serve = serve_within(&bench, &[&format!("--nofile={open_files}:{open_files}")]);
    let stop = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let floods = [(); 2].map(|()| flood(port(&bench), &stop, &opened));
    wait_for("a flood", || (opened.load(Ordering::Relaxed) > 500).then_some(()));
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().unwrap();
    }
    let peak = peak_memory(serve.pid());
    assert!(peak < 400, "the coordinator took {peak} MiB");
    serve.signal(Signal::TERM);
    serve.end().expect(0)
}

#[test]
fn a_worker_finishes_its_sweep_during_a_flood_of_silent_connections() {
    sweep_during_a_flood(256);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn a_flood_beyond_the_open_file_limit_keeps_nobody_out() {
    let began = Instant::now();
    let said = sweep_during_a_flood(64);
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).unwrap();
    for complaint in ["out of file descriptors", "further ones are closed"] {
        let lines = said.err.matches(complaint).count();
        assert!(lines <= 1 + minutes, "{lines} lines:\n{}", said.err);
    }
    let lines = said.err.lines().count();
    assert!(lines < 20 + minutes, "{lines} lines:\n{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_workers_leaves_connections_to_people() {
    let bench = TestBench::default();
    // 32 connections: 8 are for strangers, 4 for the other token.
    let serve = serve_within(&bench, &["--nofile=64:64"]);
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = WorkerServiceClient::new(connect(&bench, "worker").await);
        client.join(joining(number)).await.unwrap();
        clients.push(client);
    }
    for number in 20..60 {
        let mut client = WorkerServiceClient::new(connect(&bench, "worker").await);
        let refusal = Refusal::from(&client.join(joining(number)).await.unwrap_err());
        // The oldest stranger makes room for the newest, and may go before it is answered.
        assert!(refusal.transient, "{refusal}");
        if refusal.reason.is_some() {
            assert!(refusal.has_reason(&Reason::Full));
            assert!(
                refusal.text.starts_with("20 connections show the token `worker.token`"),
                "{refusal}"
            );
        }
        clients.push(client);
        if number % 10 == 0 {
            bench.run(&["status"]).expect(0);
        }
    }
    // Those that are connected stay connected.
    clients[0].join(joining(0)).await.unwrap();
    // Who goes makes room.
    drop(clients);
    let mut client = WorkerServiceClient::new(connect(&bench, "worker").await);
    while let Err(status) = client.join(joining(99)).await {
        assert!(Refusal::from(&status).transient, "{status:?}");
        client = WorkerServiceClient::new(connect(&bench, "worker").await);
    }
    serve.signal(Signal::TERM);
    let said = serve.end().expect(0);
    let lines = said.err.matches("open connections show the token `worker.token`").count();
    assert_eq!(lines, 1, "{}", said.err);
}

/// Changes the limit of open files of a process.
fn set_open_files(pid: u32, limit: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={limit}")])
        .output();
    assert!(set.unwrap().status.success());
}

#[test]
fn a_lack_of_file_descriptors_is_reported_and_passes() {
    let bench = TestBench::default();
    let mut serve = bench.rheo(&["serve"]);
    serve.env("RHEO_LOG", "info");
    let serve = RunningProgram::start(serve);
    wait_for("the coordinator", || bench.url());
    bench.run(&["status"]).expect(0);
    // It can open a few more than it has now.
    let open = std::fs::read_dir(format!("/proc/{}/fd", serve.pid())).unwrap().count();
    set_open_files(serve.pid(), &format!("{}:", open + 3));
    let waiting: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", port(&bench))).unwrap()).collect();
    // The first are accepted; the rest wait until one of them is sent away.
    let closed = closed_after(waiting.into_iter().next_back().unwrap());
    assert!(closed < Duration::from_mins(1));
    set_open_files(serve.pid(), "1024:");
    // It says that all is well when that has lasted for a second.
    outlast(Duration::from_secs(2));
    bench.run(&["status"]).expect(0);
    serve.signal(Signal::TERM);
    let said = serve.end().expect(0);
    let lines = said.err.matches("out of file descriptors").count();
    assert!((1..=2).contains(&lines), "{lines} lines:\n{}", said.err);
    assert!(said.err.contains("ulimit -n"), "{}", said.err);
    assert!(said.err.contains("connections are accepted again"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn u27_a_thousand_workers_have_a_connection_each() {
    // Our ends need descriptors too.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).unwrap();
    let bench = TestBench::default();
    // A soft limit that would not do; it is raised.
    let _serve = serve_within(&bench, &["--nofile=256:8192"]);
    let mut clients = Vec::new();
    for number in 0..1000 {
        let mut client = WorkerServiceClient::new(connect(&bench, "worker").await);
        client.join(joining(number)).await.unwrap();
        clients.push(client);
    }
    // Each still has its own.
    for (number, client) in clients.iter_mut().enumerate() {
        client.join(joining(number)).await.unwrap();
    }
    bench.run(&["status"]).expect(0);
}
