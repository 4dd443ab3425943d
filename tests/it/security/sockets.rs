//! Listening sockets of our programs, as the system lists them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rheo_tests::{RunningProgram, TestBench, wait_for};

use super::{ANY, said, serve, url};
use crate::sweeps::LONG;

/// The local addresses on which a process listens, as hexadecimal digits, without the port.
fn listening(pid: u32) -> BTreeSet<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = descriptors.filter_map(|one| fs::read_link(one.path()).ok());
    let sockets: BTreeSet<String> = links.map(|link| link.display().to_string()).collect();
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A: it listens. The tenth field is the number of the socket.
            if fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9])) {
                found.insert(fields[1].split(':').next().unwrap().to_owned());
            }
        }
    }
    found
}

const LOOPBACK: &str = "0100007F";

#[test]
fn u39_nothing_listens_beyond_loopback_unless_it_was_asked_to_and_workers_on_nothing() {
    let bench = TestBench::default();
    let run = RunningProgram::start(bench.rheo(&[
        "run",
        bench.file("long.yaml", LONG),
        "--workers",
        "2",
    ]));
    let workers = wait_for("workers", || Some(bench.worker_pids()).filter(|pids| pids.len() == 2));
    wait_for("the coordinator", || url(&bench));
    assert_eq!(listening(run.pid()), BTreeSet::from([LOOPBACK.to_owned()]));
    for worker in workers {
        assert_eq!(listening(worker), BTreeSet::new(), "U18");
    }
    drop(run);
    let bench = TestBench::default();
    let (running, _) = serve(&bench, &[]);
    assert_eq!(listening(running.pid()), BTreeSet::from([LOOPBACK.to_owned()]));
    // So that this test would see it.
    let bench = TestBench::default();
    let (running, _) = serve(&bench, ANY);
    assert_eq!(listening(running.pid()), BTreeSet::from(["00000000".to_owned()]));
}

/// Returns the reply of a port to some bytes, until it closes the connection.
fn answer(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // It may be cut off.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn u39_a_port_with_tls_says_so_to_those_who_speak_something_else() {
    let bench = TestBench::default();
    let (_serve, port) = serve(&bench, ANY);
    let browser = answer(port, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    let browser = String::from_utf8(browser).unwrap();
    assert!(browser.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{browser}");
    assert!(browser.contains("this port speaks TLS"), "{browser}");
    // Garbage is answered by the library for HTTP, or not at all.
    let garbage = String::from_utf8_lossy(&answer(port, &[0, 1, 2, 3, 4, 5])).into_owned();
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
}

#[test]
fn silent_connections_hold_up_nobody() {
    let bench = TestBench::default();
    let (_serve, port) = serve(&bench, ANY);
    let silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    // A handshake that stops in the middle.
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half.write_all(&[0x16, 3, 1]).unwrap();
    bench.run(&["status"]).expect(0);
    drop((silent, half));
}

#[test]
fn plaintext_beyond_loopback_is_possible_and_never_a_secret() {
    let bench = TestBench::default();
    let (running, port) = serve(&bench, &["--listen", "0.0.0.0:0", "--insecure"]);
    assert!(url(&bench).unwrap().starts_with("http://"));
    let elsewhere = TestBench::default();
    let here = format!("http://127.0.0.1:{port}");
    said(elsewhere.rheo(&["--server", &here, "status"])).expect(0);
    assert!(!bench.state().join("tls").exists());
    running.signal(rustix::process::Signal::TERM);
    let said = running.end().expect(0);
    assert!(said.err.contains("WARNING: --insecure: everybody who can connect"), "{}", said.err);
    assert!(said.err.matches("--insecure").count() >= 2, "in the log too: {}", said.err);
}
