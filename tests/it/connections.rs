//! Connections that say nothing, far too many of them, and too few file descriptors: those who have
//! a token get through.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_tests::{Bench, Running, outlast, peak_memory, wait_for};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::bounds::{connect, joining, serve_within};
use crate::sweeps::{SMALL, SMALL_EPOCHS};

/// What a client of HTTP/2 says first, with its settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn port(bench: &Bench) -> u16 {
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
        let bench = Bench::default();
        let _serve = Running::start(bench.rheo(&[&["serve"], args].concat()));
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

#[test]
fn a_worker_finishes_its_sweep_during_a_flood_of_silent_connections() {
    let bench = Bench::default();
    let serve = serve_within(&bench, &["--nofile=256:256"]);
    let stop = Arc::new(AtomicBool::new(false));
    let opened = Arc::new(AtomicUsize::new(0));
    let floods = [(); 2].map(|()| flood(port(&bench), &stop, &opened));
    wait_for("a flood", || (opened.load(Ordering::Relaxed) > 500).then_some(()));
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let worker = Running::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().unwrap();
    }
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
    let peak = peak_memory(serve.pid());
    assert!(peak < 400, "the coordinator took {peak} MiB");
}

/// Changes the limit of open files of a process.
fn set_open_files(pid: u32, limit: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={limit}")])
        .output();
    assert!(set.unwrap().status.success());
}

#[test]
fn out_of_file_descriptors_is_said_as_that_and_passes() {
    let bench = Bench::default();
    let mut serve = bench.rheo(&["serve"]);
    serve.env("RHEO_LOG", "info");
    let serve = Running::start(serve);
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
    let bench = Bench::default();
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
