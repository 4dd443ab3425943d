//! Deletions that something interrupts: the coordinator is killed after the deletion is in the
//! journal and before the files are gone, or a query reads the sweep meanwhile.

use std::fs;

use rheo_tests::{RunningProgram, TestBench, send, wait_for};
use rustix::process::Signal;
use serde_json::json;

use crate::deletion::{checkpoints, files, serve};
use crate::hostile_queries::children;
use crate::sweeps::{SMALL, SMALL_EPOCHS};
use crate::traces::{Traces, assert_same, traces};

/// Two finished sweeps of which the results are in parts, and the traces of the one that stays.
fn two_sweeps(bench: &TestBench) -> Traces {
    bench.run(&["run", bench.file("small.yaml", SMALL)]).expect(0);
    let other = SMALL.replace("name: small", "name: other");
    bench.run(&["run", bench.file("other.yaml", &other)]).expect(0);
    traces(bench, "other")
}

/// Result files of the sweep `small`.
fn parts_of_small(bench: &TestBench) -> Vec<String> {
    let mut found = files(&bench.state().join("results"));
    found.retain(|name| name.contains("sweep=small"));
    found
}

/// A query over the sweep `small` whose process is stopped before it answers. The coordinator keeps
/// the files for it.
struct StoppedQuery {
    query: RunningProgram,
    process: u32,
}

impl StoppedQuery {
    fn start(bench: &TestBench, coordinator: &RunningProgram) -> Self {
        // Long enough that its process is seen and stopped before it has answered.
        let sql = "select count(*) / 10000000 as n from epochs, generate_series(1, 20000000) \
                   where sweep = 'small' and value % 2 = 0";
        let query = RunningProgram::start(bench.rheo(&["query", sql, "--output", "json"]));
        let process = wait_for("the process of the query", || {
            let process = children(coordinator.pid()).first().copied()?;
            send(process, Signal::STOP);
            Some(process)
        });
        Self { query, process }
    }
}

/// Deletes `small` while a query keeps its files, and returns as soon as the journal has forgotten
/// the sweep.
fn delete_in_journal(bench: &TestBench) -> RunningProgram {
    let delete = RunningProgram::start(bench.rheo(&["delete", "small", "--yes"]));
    wait_for("the deletion in the journal", || {
        (bench.run(&["status", "small"]).code() == 2).then_some(())
    });
    delete
}

#[test]
fn u44_a_deletion_that_a_kill_interrupts_removes_all_files() {
    // Some files may be gone when the process ends.
    for gone_already in [0, 1] {
        let bench = TestBench::default();
        let before = two_sweeps(&bench);
        let coordinator = serve(&bench, &[]);
        let query = StoppedQuery::start(&bench, &coordinator);
        let delete = delete_in_journal(&bench);
        coordinator.kill();
        send(query.process, Signal::KILL);
        drop((delete, query.query));
        let parts = parts_of_small(&bench);
        assert!(parts.len() > 5, "killed before the files were removed: {parts:?}");
        assert_eq!(checkpoints(&bench), 12, "of both sweeps");
        for part in parts.iter().take(gone_already) {
            fs::remove_file(part).unwrap();
        }

        // The name is free at once, and nothing of the deleted sweep counts.
        let next = SMALL.replace("epochs: 4", "epochs: 2");
        let said = bench.run(&["run", bench.file("small.yaml", &next)]).expect(0);
        assert!(!said.err.contains("set aside"), "{}", said.err);
        let left: Vec<_> =
            parts_of_small(&bench).into_iter().filter(|it| parts.contains(it)).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(bench.number("select count(*) from epochs where sweep = 'small'"), 6 * 2);
        let attempts = "select max(attempt) from attempts where sweep = 'small'";
        assert_eq!(bench.number(attempts), 1, "attempts count from 1 again");
        assert_eq!(checkpoints(&bench), 12, "of the other sweep and of the new one");
        assert_same(&traces(&bench, "other"), &before);
    }
}

#[test]
fn u44_a_query_during_a_deletion_sees_the_whole_sweep() {
    let bench = TestBench::default();
    let before = two_sweeps(&bench);
    let coordinator = serve(&bench, &["--flush-interval", "0.2"]);
    let query = StoppedQuery::start(&bench, &coordinator);
    let deleted = delete_in_journal(&bench).end().expect(0);
    assert!(deleted.err.contains("some files are removed later"), "{}", deleted.err);
    assert!(!parts_of_small(&bench).is_empty(), "a query reads them");
    // Whoever asks now sees nothing of it.
    assert_eq!(bench.number("select count(*) from epochs where sweep = 'small'"), 0);
    send(query.process, Signal::CONT);
    let answer = query.query.end().expect(0).json();
    assert_eq!(answer, json!([{ "n": SMALL_EPOCHS }]));
    wait_for("the files to be removed", || parts_of_small(&bench).is_empty().then_some(()));
    assert_same(&traces(&bench, "other"), &before);
    coordinator.signal(Signal::TERM);
    coordinator.end().expect(0);
}
