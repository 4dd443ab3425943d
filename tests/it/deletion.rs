//! Deleting sweeps: their names are free, nothing of them is left, and nothing else is touched.

use std::fs;
use std::path::Path;
use std::process::Command;

use rheo_tests::object_store::ObjectServer;
use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::sweeps::{LONG, LONG_EPOCHS, SMALL, SMALL_EPOCHS};
use crate::traces::{assert_same, traces};

pub(crate) fn serve(bench: &TestBench, args: &[&str]) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&[&["serve"], args].concat()));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path().display().to_string()),
        }
    }
    found
}

pub(crate) fn checkpoints(bench: &TestBench) -> usize {
    files(&bench.state().join("checkpoints"))
        .iter()
        .filter(|name| !name.contains("/.rheo-owner"))
        .count()
}

#[test]
fn u44_a_deleted_sweep_frees_its_name_results_and_checkpoints_live_and_at_rest() {
    for live in [true, false] {
        let bench = TestBench::default();
        let other = SMALL.replace("name: small", "name: other");
        bench.run(&["run", bench.file("small.yaml", SMALL)]).expect(0);
        bench.run(&["run", bench.file("other.yaml", &other)]).expect(0);
        let before = traces(&bench, "other");
        let coordinator = live.then(|| serve(&bench, &["--flush-interval", "0.2"]));
        let said = bench.run(&["delete", "small", "--yes"]).expect(0);
        assert_eq!(said.out, "small deleted\n");

        assert!(bench.run(&["status", "small"]).expect(2).err.contains("no sweep is called"));
        for table in ["trials", "attempts", "epochs", "evaluations", "shapes", "logs"] {
            let sql = format!("select count(*) from {table} where sweep = 'small'");
            assert_eq!(bench.number(&sql), 0, "{table}");
        }
        let left = files(&bench.state().join("results"));
        assert!(left.iter().all(|name| !name.contains("sweep=small")), "{left:?}");
        assert!(!bench.state().join("results/epochs/sweep=small").exists());
        assert_eq!(checkpoints(&bench), 6, "those of the other sweep");
        assert_same(&traces(&bench, "other"), &before);

        // Another sweep of that name, which was refused before.
        let next = SMALL.replace("epochs: 4", "epochs: 2");
        let file = bench.file("small.yaml", &next);
        if let Some(coordinator) = coordinator {
            bench.run(&["submit", file]).expect(0);
            let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
            bench.run(&["wait", "small"]).expect(0);
            worker.end().expect(0);
            coordinator.signal(Signal::TERM);
            coordinator.end().expect(0);
        } else {
            bench.run(&["run", file]).expect(0);
        }
        let epochs = "select count(*) from epochs where sweep = 'small'";
        assert_eq!(bench.number(epochs), 6 * 2);
        let attempts = "select max(attempt) from attempts where sweep = 'small'";
        assert_eq!(bench.number(attempts), 1, "attempts count from 1 again");
        // A restart finds everything in order.
        bench.run(&["run", file]).expect(0);
        assert_same(&traces(&bench, "other"), &before);
    }
}

#[test]
fn u44_deleting_asks_and_a_sweep_that_workers_train_is_refused() {
    let bench = TestBench::default();
    let _serve = serve(&bench, &[]);
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let unasked = bench.run(&["delete", "long"]).expect(2);
    assert!(unasked.err.contains("`--yes` deletes without asking"), "{}", unasked.err);
    bench.run(&["delete", "nobody", "--yes"]).expect(2);

    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("a running trial", || {
        let trials = bench.run(&["trials", "long", "--status", "running", "-o", "json"]).json();
        trials.as_array().is_some_and(|list| !list.is_empty()).then_some(())
    });
    let busy = bench.run(&["delete", "long", "--yes"]).expect(2);
    assert!(busy.err.contains("rheo cancel long` stops them first"), "{}", busy.err);
    bench.run(&["cancel", "long"]).expect(0);
    worker.end().expect(0);

    // On a terminal it asks, and takes anything but yes as no.
    for (answer, code) in [("n\n", 0), ("\n", 0), ("y\n", 2)] {
        let rheo = bench.rheo(&[]);
        let command = format!("{} delete long", rheo.get_program().display());
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(bench.path());
        script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut terminal = script.spawn().unwrap();
        let mut input = terminal.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, answer.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        drop(input);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("delete sweep long:"), "{shown}");
        bench.run(&["status", "long"]).expect(code);
    }
}

#[test]
fn u44_late_commits_of_a_deleted_sweep_never_reach_its_successor() {
    let bench = TestBench::default();
    let _serve = serve(&bench, &["--lease", "1", "--flush-interval", "0.2"]);
    let file = bench.file("long.yaml", LONG);
    bench.run(&["submit", file]).expect(0);
    let late = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for("commits", || {
        (bench.number("select count(*) from epochs where sweep = 'long'") >= 2).then_some(())
    });
    late.signal(Signal::STOP);
    bench.run(&["pause", "long"]).expect(0);
    wait_for("its leases to run out", || {
        let said = bench.run(&["delete", "long", "--yes"]);
        (said.code() == 0).then_some(())
    });
    // The very same sweep again, and the late worker goes on in the middle of the deleted one.
    bench.run(&["submit", file]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("new commits", || {
        (bench.number("select count(*) from epochs where sweep = 'long'") >= 1).then_some(())
    });
    late.signal(Signal::CONT);
    bench.run(&["wait", "long"]).expect(0);
    for worker in [late, worker] {
        worker.end().expect(0);
    }
    assert_eq!(bench.number("select count(*) from epochs"), LONG_EPOCHS);
    let distinct = "select count(distinct trial * 100 + epoch) from epochs";
    assert_eq!(bench.number(distinct), LONG_EPOCHS);
    let untouched = TestBench::default();
    untouched.run(&["run", untouched.file("long.yaml", LONG), "--workers", "2"]).expect(0);
    assert_same(&traces(&bench, "long"), &traces(&untouched, "long"));
}

#[test]
fn u44_spooled_commits_of_a_deleted_sweep_are_dropped() {
    let bench = TestBench::default();
    let serve = serve(&bench, &["--lease", "1"]);
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "1"]));
    wait_for("commits", || (bench.number("select count(*) from epochs") >= 1).then_some(()));
    // The coordinator hears nothing any more, then the worker dies with commits on its disk.
    serve.signal(Signal::STOP);
    wait_for("a commit on disk", || {
        let waiting = files(&bench.path().join("spool"));
        waiting.iter().any(|name| name.contains("/long/")).then_some(())
    });
    worker.kill();
    serve.signal(Signal::CONT);
    wait_for("its lease to run out", || {
        (bench.run(&["delete", "long", "--yes"]).code() == 0).then_some(())
    });
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    bench.worker(&["--slots", "2"]).output().unwrap();
    bench.run(&["wait", "small"]).expect(0);
    assert_eq!(files(&bench.path().join("spool")), [""; 0], "nothing waits for ever");
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
}

#[test]
fn object_store_u44_a_deleted_sweep_leaves_no_object_in_its_bucket() {
    let Some(server) = ObjectServer::start(&[]) else { return };
    let bench = TestBench::with(server.environment());
    let places =
        ["--results", "s3://bucket/a/results", "--checkpoints", "s3://bucket/a/checkpoints"];
    let file = bench.file("small.yaml", SMALL);
    bench.run(&[&["run", file][..], &places].concat()).expect(0);
    let usage = bench.run(&["du", "--output", "json"]).expect(0).json();
    assert!(usage["sweeps"][0]["results"].as_u64().unwrap() > 0, "{usage}");
    assert_eq!(usage["sweeps"][0]["checkpoint_files"], 6, "{usage}");
    bench.run(&["delete", "small", "--yes"]).expect(0);
    let usage = bench.run(&["du", "--output", "json"]).expect(0).json();
    assert_eq!((&usage["sweeps"], &usage["unused"]), (&Value::Array(vec![]), &0.into()), "{usage}");
    let objects = server.objects("a/");
    let left: Vec<_> = objects.iter().filter(|name| !name.ends_with("/_rheobase")).collect();
    assert!(left.is_empty(), "{left:?}");
    bench.run(&["run", file]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), SMALL_EPOCHS);
}
