//! The retries of trials that fail by themselves.

use std::time::Instant;

use rheo_tests::{RunningProgram, TestBench, wait_for};

use crate::unfit::write_short_texts;

/// A trial that fails whenever it is tried: its texts are too short for so many columns.
const FAILING: &str = "
name: failing
network: {hidden: 8}
task: {kind: char_lm, source: bytes, data: texts, eval_batch: 5000}
training: {epochs: 1, batch: 10}
retry: {error: 3, backoff: 0.1}
";

fn serve(bench: &TestBench) -> RunningProgram {
    let running = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    running
}

/// A worker with a spool of its own.
fn worker(bench: &TestBench, spool: &str) -> RunningProgram {
    let mut command = bench.worker(&["--slots", "1"]);
    command.env("RHEO_SPOOL", bench.path().join(spool));
    RunningProgram::start(command)
}

/// Waits until so many workers are known.
fn wait_for_workers(bench: &TestBench, count: usize) {
    wait_for("workers", || {
        let workers = bench.run(&["workers", "-o", "json"]).expect(0).json();
        (workers.as_array().unwrap().len() == count).then_some(())
    });
}

/// The workers of the attempts, in their order.
fn workers(bench: &TestBench) -> Vec<String> {
    let rows = bench.query("select worker from attempts order by attempt");
    rows.iter().map(|row| row["worker"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_failed_attempt_is_tried_again_by_another_worker() {
    let bench = TestBench::default();
    write_short_texts(&bench);
    let _serve = serve(&bench);
    let _workers = [worker(&bench, "a"), worker(&bench, "b")];
    wait_for_workers(&bench, 2);
    bench.run(&["submit", bench.file("failing.yaml", FAILING)]).expect(0);
    bench.run(&["wait", "failing"]).expect(1);
    let workers = workers(&bench);
    assert_eq!(workers.len(), 4, "{workers:?}");
    for pair in workers.windows(2) {
        assert_ne!(pair[0], pair[1], "{workers:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures how long real processes take")]
fn a_worker_that_is_alone_tries_again_itself_at_once() {
    let bench = TestBench::default();
    write_short_texts(&bench);
    let _serve = serve(&bench);
    // One that has left is no other.
    let gone = worker(&bench, "a");
    wait_for_workers(&bench, 1);
    gone.signal(rustix::process::Signal::TERM);
    gone.end().expect(0);
    let _worker = worker(&bench, "b");
    wait_for_workers(&bench, 2);
    let began = Instant::now();
    bench.run(&["submit", bench.file("failing.yaml", FAILING)]).expect(0);
    bench.run(&["wait", "failing"]).expect(1);
    let workers = workers(&bench);
    assert_eq!(workers.len(), 4, "{workers:?}");
    let took = began.elapsed().as_secs();
    assert!(took < 25, "three retries took {took} s: each waited for a worker that has left");
}
