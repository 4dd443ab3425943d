//! Kills at any moment: nothing acknowledged is lost, nothing is doubled, and the results are the
//! same to the bit as those of a run that nobody touched.

use std::sync::OnceLock;
use std::time::Duration;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, outlast, send, wait_for};
use rustix::process::Signal;

use crate::sweeps::{LONG, LONG_EPOCHS};
use crate::traces::{Traces, assert_same, traces};

/// Returns the traces of an uninterrupted run of `LONG`.
fn untouched() -> &'static Traces {
    static TRACES: OnceLock<Traces> = OnceLock::new();
    TRACES.get_or_init(|| {
        let bench = TestBench::default();
        let file = bench.file("long.yaml", LONG);
        bench.run(&["run", file, "--workers", "2"]).expect(0);
        traces(&bench, "long")
    })
}

fn start(bench: &TestBench) -> RunningProgram {
    let file = bench.file("long.yaml", LONG);
    // Parts are written rarely, so that rows wait in the journal when it is killed.
    RunningProgram::start(bench.rheo(&["run", file, "--workers", "2", "--flush-interval", "3600"]))
}

/// Waits until more epochs are durable, which is in the middle of a trial unless these are all.
fn wait_for_commits(bench: &TestBench, more_than: u64) -> u64 {
    wait_for("commits", || {
        let said = bench.run(&["query", "select count(*) as n from epochs", "--output", "json"]);
        // Before the coordinator has said where it listens, its state directory is in use.
        let epochs = said.status.success().then(|| said.json()[0]["n"].as_u64())??;
        (epochs > more_than || epochs == LONG_EPOCHS).then_some(epochs)
    })
}

/// Runs the same command again, to the end.
fn go_on(bench: &TestBench) -> ProgramOutput {
    bench.run(&["run", "long.yaml", "--workers", "2"]).expect(0)
}

#[test]
fn u01_a_worker_that_is_killed_in_the_middle_costs_nothing() {
    let bench = TestBench::default();
    let run = start(&bench);
    wait_for_commits(&bench, 2);
    let first = wait_for("workers", || bench.worker_pids().first().copied());
    send(first, Signal::KILL);
    // It is replaced, and the sweep goes on by itself.
    let said = run.end().expect(0);
    assert!(said.out.contains("4 of 4 trials completed"), "{}", said.out);
    let lost = bench.number("select count(*) from attempts where outcome = 'lost'");
    assert!(lost > 0, "the killed worker held a trial");
    assert_same(&traces(&bench, "long"), untouched());
}

#[test]
fn u04_acknowledged_rows_survive_a_kill_before_they_are_in_a_part() {
    let bench = TestBench::default();
    let run = start(&bench);
    let acknowledged = wait_for_commits(&bench, 3);
    run.kill();
    assert_eq!(parts(&bench), 0, "rows are in the journal only");
    // At rest, from the journal.
    assert!(bench.number("select count(*) from epochs") >= acknowledged);
    wait_for("orphaned workers to leave", || bench.worker_pids().is_empty().then_some(()));
    go_on(&bench);
    assert_same(&traces(&bench, "long"), untouched());
}

#[test]
fn u01_everything_is_killed_again_and_again_and_the_sweep_completes() {
    let bench = TestBench::default();
    let mut epochs = 0;
    for _ in 0..3 {
        let run = start(&bench);
        epochs = wait_for_commits(&bench, epochs);
        for pid in bench.worker_pids() {
            send(pid, Signal::KILL);
        }
        run.kill();
        for pid in bench.worker_pids() {
            send(pid, Signal::KILL);
        }
        wait_for("workers to be dead", || bench.worker_pids().is_empty().then_some(()));
    }
    go_on(&bench);
    assert_same(&traces(&bench, "long"), untouched());
    // U05, U08: each cell once, no number used twice.
    assert_eq!(bench.number("select count(*) from trials where status = 'completed'"), 4);
    assert_eq!(bench.number("select count(distinct trial) from trials"), 4);
    assert_eq!(
        bench.number("select count(*) - count(distinct (trial * 1000 + attempt)) from attempts"),
        0
    );
}

#[test]
fn an_interrupt_saves_everything_and_the_same_command_goes_on() {
    let bench = TestBench::default();
    let run = start(&bench);
    wait_for_commits(&bench, 2);
    run.signal(Signal::INT);
    let said = run.end().expect(130);
    assert!(said.err.contains("run the same command to go on"), "{}", said.err);
    assert!(bench.worker_pids().is_empty(), "workers have left");
    // Given back in order: preempted, not lost, and no budget of failures is used.
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
    assert!(bench.number("select count(*) from attempts where outcome = 'preempted'") > 0);
    let said = go_on(&bench);
    assert!(said.err.contains("long goes on"), "{}", said.err);
    assert_same(&traces(&bench, "long"), untouched());
}

#[test]
fn workers_that_are_told_to_go_are_replaced_while_a_run_lasts() {
    let bench = TestBench::default();
    let run = start(&bench);
    wait_for_commits(&bench, 2);
    for pid in bench.worker_pids() {
        send(pid, Signal::TERM);
    }
    let said = run.end().expect(0);
    assert!(said.out.contains("4 of 4 trials completed"), "{}", said.out);
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
    assert_same(&traces(&bench, "long"), untouched());
}

#[test]
fn a_coordinator_that_was_frozen_takes_no_trial_from_anybody() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    // Long enough for workers on a busy machine to renew in time.
    let serve = RunningProgram::start(bench.rheo(&["serve", "--lease", "3"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_commits(&bench, 2);
    serve.signal(Signal::STOP);
    outlast(Duration::from_secs(7));
    serve.signal(Signal::CONT);
    bench.run(&["wait", "long"]).expect(0);
    worker.end().expect(0);
    assert_eq!(bench.number("select max(attempt) from attempts"), 1, "nothing was trained twice");
}

#[test]
fn u13_a_worker_that_is_terminated_commits_what_it_has_and_another_goes_on() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    let first = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_commits(&bench, 2);
    first.signal(Signal::TERM);
    first.end().expect(0);
    let second = RunningProgram::start(bench.worker(&["--slots", "2"]));
    bench.run(&["wait", "long"]).expect(0);
    second.end().expect(0);
    assert_same(&traces(&bench, "long"), untouched());
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'preempted'"), 2);
    drop(serve);
}

#[test]
fn u12_the_trials_of_a_worker_that_vanished_start_again_within_a_lease() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let _serve = RunningProgram::start(bench.rheo(&["serve", "--lease", "1"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    let frozen = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_commits(&bench, 2);
    frozen.signal(Signal::STOP);
    // Its spool is its own, so nobody can tell that it is not coming back but by its lease.
    let mut other = bench.worker(&["--slots", "2"]);
    other.env("RHEO_SPOOL", bench.path().join("elsewhere"));
    let other = RunningProgram::start(other);
    bench.run(&["wait", "long"]).expect(0);
    other.end().expect(0);
    // U10: it wakes, is refused, and leaves because nothing is left.
    frozen.signal(Signal::CONT);
    frozen.end().expect(0);
    assert_same(&traces(&bench, "long"), untouched());
}

#[test]
fn u03_workers_train_on_while_the_coordinator_is_away() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", file]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_commits(&bench, 2);
    let address = || std::fs::read(bench.state().join("server")).ok();
    let first = address();
    serve.kill();
    // It goes on, and what it has made lies on its disk.
    wait_for("commits on disk", || {
        let spool = bench.path().join("spool");
        let files = walk(&spool).into_iter().filter(|path| !path.ends_with("lock")).count();
        (files >= 2).then_some(())
    });
    let _serve = RunningProgram::start(bench.rheo(&["serve"]));
    // `rheo status` would do without one.
    wait_for("the coordinator", || (address()? != first.clone()?).then_some(()));
    bench.run(&["wait", "long"]).expect(0);
    worker.end().expect(0);
    assert_same(&traces(&bench, "long"), untouched());
    assert_eq!(bench.number("select max(attempt) from attempts"), 1, "nothing was trained twice");
}

fn parts(bench: &TestBench) -> usize {
    let is_part = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "parquet");
    walk(&bench.state().join("results")).iter().filter(is_part).count()
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
