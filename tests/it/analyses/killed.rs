//! Workers that are killed in the middle of trials with everything in them that has a memory: rows
//! and weights are the same to the bit as those of a run that nobody touched.

use std::collections::BTreeMap;

use rheo_tests::{RunningProgram, TestBench, send, wait_for};
use rustix::process::Signal;

use super::ended;
use crate::traces::weights;

/// The tables that the two sweeps fill.
const TABLES: [&str; 11] = [
    "epochs",
    "evaluations",
    "shapes",
    "lyapunov",
    "gradients",
    "gain_scaling",
    "gain_fits",
    "controller_pca",
    "fractional_traces",
    "fractional_fits",
    "mutual_information",
];

/// Moments at which the worker is killed: a counting query, and the count that it must exceed.
const MOMENTS: [(&str, u64); 4] = [
    ("select count(*) as n from epochs", 1),
    ("select count(*) as n from epochs", 3),
    ("select count(*) as n from evaluations", 0),
    ("select count(*) as n from epochs where trial = 1", 1),
];

/// Every row of every table, in an order of its own; without the column that no repetition
/// reproduces.
fn rows(bench: &TestBench) -> BTreeMap<&'static str, Vec<String>> {
    let of = |table: &'static str| {
        let what = if table == "epochs" { "* exclude (wall_s)" } else { "*" };
        let rows = bench.query(&format!("select {what} from {table}"));
        let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        rows.sort();
        (table, rows)
    };
    TABLES.map(of).into()
}

/// Waits for a moment and kills the worker, unless it is over.
fn kill_at(bench: &TestBench, (sql, more_than): (&str, u64)) {
    wait_for(sql, || {
        let said = bench.run(&["query", sql, "--output", "json"]);
        // Before the coordinator has said where it listens, its state directory is in use.
        let count = said.status.success().then(|| said.json()[0]["n"].as_u64())??;
        (count > more_than).then_some(())
    });
    for pid in bench.worker_pids() {
        send(pid, Signal::KILL);
        wait_for("its end", || (!bench.worker_pids().contains(&pid)).then_some(()));
    }
}

#[track_caller]
fn check(sweep: &str, tables: usize) {
    let untouched = ended(sweep);
    let bench = TestBench::default();
    let file = bench.file("sweep.yaml", sweep);
    let run = RunningProgram::start(bench.rheo(&["run", file, "--workers", "1"]));
    for moment in MOMENTS {
        kill_at(&bench, moment);
    }
    run.end().expect(0);
    let lost = bench.number("select count(*) from attempts where outcome = 'lost'");
    assert!(lost > 0, "the killed worker held a trial");
    let resumed = "select count(*) from attempts where attempt > 1 and first_epoch > 0";
    assert!(bench.number(resumed) > 0, "an attempt went on in the middle");
    let (found, expected) = (rows(&bench), rows(&untouched));
    assert_eq!(expected.values().filter(|rows| !rows.is_empty()).count(), tables);
    for (table, expected) in &expected {
        let found = &found[table];
        assert_eq!(found.len(), expected.len(), "rows of {table}");
        for (row, expected) in found.iter().zip(expected) {
            assert_eq!(row, expected, "a row of {table}");
        }
    }
    let (found, mut expected) = (weights(&bench, "killed"), weights(&untouched, "killed"));
    // A digest over the header too, which says how long the trial took.
    for tensors in expected.values_mut() {
        tensors.remove("blake3");
    }
    for (trial, tensors) in &expected {
        for (name, bytes) in tensors {
            assert!(found[trial].get(name) == Some(bytes), "`{name}` of trial {trial} differs");
        }
    }
}

#[test]
fn u01_texts_with_carried_states_and_analyses_survive_kills_to_the_bit() {
    check(include_str!("../science/killed_text.yaml"), 8);
}

#[test]
fn u01_a_second_training_and_noise_survive_kills_to_the_bit() {
    check(include_str!("../science/killed_images.yaml"), 7);
}
