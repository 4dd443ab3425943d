//! Leaving loopback: who is let in and over what, what others are told, and that none of it stands in
//! the way of a sweep.

mod files;
mod local;
mod refused;
mod sockets;

use std::path::{Path, PathBuf};
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};

use crate::sweeps::{LONG, LONG_EPOCHS, SMALL, SMALL_EPOCHS};

/// A coordinator of `bench` and the port at which it listens.
pub(crate) fn serve(bench: &TestBench, args: &[&str]) -> (RunningProgram, u16) {
    let before = url(bench);
    let running = RunningProgram::start(bench.rheo(&[&["serve"], args].concat()));
    let url = wait_for("the coordinator", || url(bench).filter(|now| before.as_ref() != Some(now)));
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    (running, port)
}

/// The address in the state directory.
pub(crate) fn url(bench: &TestBench) -> Option<String> {
    bench.url()
}

/// Every address of this machine, so that what is served is TLS with tokens.
pub(crate) const ANY: &[&str] = &["--listen", "0.0.0.0:0"];

/// Runs a program to its end and returns its output.
pub(crate) fn said(command: Command) -> ProgramOutput {
    RunningProgram::start(command).end()
}

/// A directory with the files of `bench` that a worker elsewhere needs, as a secret that is mounted.
fn secret(bench: &TestBench, port: u16) -> PathBuf {
    let secret = bench.path().join("secret");
    std::fs::create_dir_all(secret.join("tls")).unwrap();
    for name in ["tls/ca.pem", "tls/worker.token"] {
        std::fs::copy(bench.state().join(name), secret.join(name)).unwrap();
    }
    std::fs::write(secret.join("server"), format!("https://localhost:{port}\n")).unwrap();
    secret
}

fn worker_at(bench: &TestBench, state: &Path, args: &[&str]) -> Command {
    let mut command = bench.worker(args);
    command.env("RHEO_STATE", state);
    command
}

#[test]
fn u39_a_sweep_runs_over_tls_with_workers_that_have_only_files() {
    let bench = TestBench::default();
    let (serve, port) = serve(&bench, ANY);
    let other = SMALL.replace("name: small", "name: other");
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    said(worker_at(&bench, &bench.state(), &["--slots", "2"])).expect(0);
    bench.run(&["submit", bench.file("other.yaml", &other)]).expect(0);
    let secret = secret(&bench, port);
    said(worker_at(&bench, &secret, &["--slots", "2"])).expect(0);
    for sweep in ["small", "other"] {
        bench.run(&["wait", sweep]).expect(0);
        let sql = format!("select count(*) from epochs where sweep = '{sweep}'");
        assert_eq!(bench.number(&sql), SMALL_EPOCHS);
    }
    serve.signal(rustix::process::Signal::TERM);
    let said = serve.end().expect(0);
    for name in ["admin.token", "worker.token"] {
        let token = std::fs::read_to_string(bench.state().join("tls").join(name)).unwrap();
        assert!(!said.err.contains(token.trim()), "a token is never printed");
    }
}

fn wait_for_epochs(bench: &TestBench) {
    wait_for("commits", || (bench.number("select count(*) from epochs") >= 3).then_some(()));
}

#[test]
fn u39_a_coordinator_that_starts_again_elsewhere_is_the_same_to_its_workers() {
    let bench = TestBench::default();
    let (first, before) = serve(&bench, ANY);
    let ca = std::fs::read(bench.state().join("tls/ca.pem")).unwrap();
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_epochs(&bench);
    first.kill();
    let (_second, after) = serve(&bench, ANY);
    assert_ne!(before, after);
    assert_eq!(std::fs::read(bench.state().join("tls/ca.pem")).unwrap(), ca);
    worker.end().expect(0);
    bench.run(&["wait", "long"]).expect(0);
    assert_eq!(bench.number("select max(attempt) from attempts"), 1, "nothing was trained twice");
}

#[test]
fn a_worker_with_a_replaced_token_leaves_and_keeps_its_commits() {
    let bench = TestBench::default();
    let (first, _) = serve(&bench, ANY);
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let copy = bench.path().join("copy");
    std::fs::copy(bench.state().join("tls/worker.token"), &copy).unwrap();
    let mut command = bench.worker(&["--slots", "2", "--grace", "5"]);
    command.env("RHEO_TOKEN_FILE", &copy);
    let worker = RunningProgram::start(command);
    wait_for_epochs(&bench);
    first.kill();
    // Everything is made anew, as after somebody has lost a token.
    std::fs::remove_dir_all(bench.state().join("tls")).unwrap();
    let (_second, _) = serve(&bench, ANY);
    let said = worker.end().expect(2);
    let epochs = bench.number("select count(*) from epochs");
    assert!(epochs < LONG_EPOCHS, "it left in the middle");
    assert!(said.err.contains("this is not the token of this coordinator"), "{}", said.err);
    // Another with the same spool delivers what it had to leave behind, and goes on.
    let next = RunningProgram::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "long"]).expect(0);
    next.end().expect(0);
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'error'"), 0);
    let distinct = "select count(*) from (select distinct trial, epoch from epochs)";
    for sql in ["select count(*) from epochs", distinct] {
        assert_eq!(bench.number(sql), LONG_EPOCHS);
    }
}
