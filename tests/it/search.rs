//! Methods that choose points by results, on real workers.

use rheo_tests::{RunningProgram, TestBench, send, wait_for};
use rustix::process::Signal;

/// Sixteen tiny trials, the last six of which are chosen by a model.
const MODELLED: &str = "
name: modelled
method: bayes
run_cap: 16
task: {kind: digits, pool: 2, train_size: 200, validation_size: 50, test_size: 50}
network: {hidden: 8}
training: {epochs: 2, batch: 20}
checkpoint: {interval: 0}
retry: {lost: 100}
parameters:
  network.kind: {values: [homogeneous, heterogeneous, relu]}
  training.optimizer.lr: {distribution: log_uniform_values, min: 1.0e-4, max: 1.0e-1}
enqueue:
  - {network.kind: relu, training.optimizer.lr: 0.01}
";

/// Returns the swept values of the ended trials, by number.
fn points(bench: &TestBench) -> Vec<String> {
    let sql = "select trial, swept from trials order by trial";
    let said = bench.run(&["query", sql, "--output", "json"]).expect(0);
    let rows = said.json();
    rows.as_array().unwrap().iter().map(|row| row["swept"].to_string()).collect()
}

#[test]
fn a_modelled_sweep_that_is_killed_goes_on_with_the_points_it_had() {
    let bench = TestBench::default();
    let file = bench.file("modelled.yaml", MODELLED);
    let run = RunningProgram::start(bench.rheo(&["run", file, "--workers", "2"]));
    let count = "select count(*) as n from trials";
    wait_for("modelled trials", || {
        let said = bench.run(&["query", count, "--output", "json"]);
        let ended = said.status.success().then(|| said.json()[0]["n"].as_u64())??;
        (ended > 11).then_some(())
    });
    for pid in bench.worker_pids() {
        send(pid, Signal::KILL);
    }
    run.kill();
    wait_for("workers to be dead", || bench.worker_pids().is_empty().then_some(()));
    let before = points(&bench);
    assert!(before[0].contains("relu") && before[0].contains("0.01"), "{}", before[0]);

    bench.run(&["run", file, "--workers", "2"]).expect(0);
    assert_eq!(bench.number("select count(distinct trial) from trials"), 16);
    assert_eq!(bench.number("select count(distinct swept) from trials"), 16);
    let after = points(&bench);
    assert!(before.iter().all(|point| after.contains(point)), "a point was chosen anew");
}
