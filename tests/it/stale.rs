//! The `server` file of a coordinator that died: recognised by the process that it names, so that
//! nobody takes another program for the coordinator, or shows it a token.

use std::net::TcpListener;

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

use crate::sweeps::SMALL;

fn serve(bench: &TestBench) -> RunningProgram {
    let before = bench.url();
    let running = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url().filter(|url| before.as_ref() != Some(url)));
    running
}

/// A program that took the port of a coordinator that died; whether anybody has come to it.
struct Impostor(TcpListener);

impl Impostor {
    fn at(url: &str) -> Self {
        let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
        let listener = wait_for("the port", || TcpListener::bind(("127.0.0.1", port)).ok());
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn assert_alone(&self) {
        let error = self.0.accept().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "somebody came");
    }
}

#[test]
fn a_stale_address_file_leads_nobody_to_another_program() {
    let bench = TestBench::default();
    let running = serve(&bench);
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let url = bench.url().unwrap();
    running.kill();
    let impostor = Impostor::at(&url);
    // The state at rest, as without a file, and why.
    let said = bench.run(&["status", "-o", "json"]).expect(0);
    assert_eq!(said.json()["sweeps"][0]["name"], "small");
    assert!(said.err.contains("is left from one that died (process "), "{}", said.err);
    let said = bench.run(&["cancel", "small"]).expect(0);
    assert!(said.err.contains("is left from one that died"), "{}", said.err);
    bench.run(&["resume", "small"]).expect(0);
    // A worker waits for a coordinator that starts again, and does not go elsewhere meanwhile.
    let mut command = bench.worker(&["--slots", "2"]);
    command.env("RHEO_LOG", "rheo_worker=debug");
    let worker = RunningProgram::start(command);
    let spool = bench.path().join("spool");
    wait_for("the worker", || spool.read_dir().ok()?.next().map(drop));
    let _serve = serve(&bench);
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
    impostor.assert_alone();
}

#[test]
fn a_reused_process_id_does_not_count_as_the_coordinator() {
    let bench = TestBench::default();
    let running = serve(&bench);
    let file = bench.state().join("server");
    let text = std::fs::read_to_string(&file).unwrap();
    let (dead, url) = (running.pid(), bench.url().unwrap());
    running.kill();
    // What runs this test has the number, and started long before the coordinator did.
    let other = std::os::unix::process::parent_id();
    let reused = text.replace(&format!("pid {dead}\n"), &format!("pid {other}\n"));
    assert_ne!(reused, text);
    std::fs::write(&file, reused).unwrap();
    let impostor = Impostor::at(&url);
    let said = bench.run(&["status"]).expect(0);
    assert!(said.err.contains("is left from one that died"), "{}", said.err);
    // Without an end to its patience it would wait for long; it has nothing to give back.
    let worker = RunningProgram::start(bench.worker(&[]));
    let spool = bench.path().join("spool");
    wait_for("the worker", || spool.read_dir().ok()?.next().map(drop));
    worker.signal(Signal::TERM);
    worker.end().expect(0);
    impostor.assert_alone();
}

#[test]
fn a_file_of_an_older_version_is_read() {
    let bench = TestBench::default();
    let _running = serve(&bench);
    let url = bench.url().unwrap();
    std::fs::write(bench.state().join("server"), format!("{url}\n")).unwrap();
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    RunningProgram::start(bench.worker(&["--slots", "2"])).end().expect(0);
    let said = bench.run(&["status"]).expect(0);
    assert!(!said.err.contains("died"), "{}", said.err);
}

#[test]
fn a_coordinator_on_another_machine_is_asked_and_not_believed_dead() {
    let bench = TestBench::default();
    let running = serve(&bench);
    let file = bench.state().join("server");
    let text = std::fs::read_to_string(&file).unwrap();
    let machine = text.lines().find(|line| line.starts_with("machine ")).unwrap();
    std::fs::write(&file, text.replace(machine, "machine another")).unwrap();
    let said = bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    assert!(!said.err.contains("died"), "{}", said.err);
    assert!(!said.err.contains("no coordinator"), "{}", said.err);
    running.kill();
    let said = bench.run(&["status"]).expect(0);
    assert!(said.err.contains("is left from one that died"), "{}", said.err);
}
