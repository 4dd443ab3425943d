//! Parts and checkpoints that are damaged or missing: never a wrong row, one sweep only, and a repair
//! after which everything is as if nothing had happened. And a state directory that goes away.

use std::fs;
use std::path::PathBuf;

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::sweeps::{LONG, SMALL, SMALL_EPOCHS};
use crate::traces::{assert_same, traces};

/// A sweep of one trial, beside `SMALL`.
const OTHER: &str = "
name: other
task: {kind: digits, pool: 2, train_size: 100, validation_size: 50, test_size: 50}
network: {hidden: 4}
training: {epochs: 2, batch: 20}
parameters: {network.kind: {values: [heterogeneous]}}
";

/// A state with two finished sweeps.
fn two_sweeps() -> TestBench {
    let bench = TestBench::default();
    for (name, text) in [("small.yaml", SMALL), ("other.yaml", OTHER)] {
        let file = bench.file(name, text);
        bench.run(&["run", file, "--workers", "2"]).expect(0);
    }
    bench
}

/// The files of the parts of a sweep in a table.
fn parts(bench: &TestBench, table: &str, sweep: &str) -> Vec<PathBuf> {
    let directory = bench.state().join(format!("results/{table}/sweep={sweep}"));
    let mut parts: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    assert!(!parts.is_empty());
    parts
}

/// Turns one bit of a file over.
fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Returns the findings of `verify`, as (kind, state, table).
fn findings(report: &Value) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let finding = |one: &Value| {
        (text(&one["kind"]).unwrap(), text(&one["state"]).unwrap(), text(&one["table"]))
    };
    report["findings"].as_array().unwrap().iter().map(finding).collect()
}

/// Everything in `trials` that does not say when, where and by which attempt.
fn outcomes(bench: &TestBench) -> Vec<Value> {
    bench.query("select * exclude (attempts, started, ended, wall_s, host, worker, checkpoint) from trials order by sweep, trial")
}

/// Fails unless the sweep is what an undamaged run leaves.
#[track_caller]
fn assert_whole(bench: &TestBench, whole: &TestBench) {
    assert_same(&traces(bench, "small"), &traces(whole, "small"));
    assert_same(&traces(bench, "other"), &traces(whole, "other"));
    assert_eq!(outcomes(bench), outcomes(whole));
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'completed'"), 7);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_flipped_bit_gives_no_row_and_a_repair_gives_all_again() {
    let (whole, bench) = (two_sweeps(), two_sweeps());
    let sound = bench.run(&["verify", "-o", "json"]).expect(0).json();
    assert_eq!((&sound["sound"], findings(&sound).len()), (&Value::Bool(true), 0));
    assert!(sound["parts"].as_u64().unwrap() >= 10 && sound["checkpoints"] == 7, "{sound}");
    let part = parts(&bench, "epochs", "small").remove(0);
    let length = fs::metadata(&part).unwrap().len();
    for n in 0..12 {
        let at = usize::try_from(length * n / 12).unwrap();
        flip(&part, at);
        let said = bench.run(&["query", "select trial, epoch, val_loss from epochs"]).expect(1);
        for word in ["`small`", "`epochs`", part.to_str().unwrap(), "rheo verify --repair"] {
            assert!(said.err.contains(word), "{}", said.err);
        }
        assert_eq!(said.out, "", "no row comes before the error");
        flip(&part, at);
    }
    flip(&part, 100);
    // Other sweeps and other tables.
    assert_eq!(bench.number("select count(*) from epochs where sweep = 'other'"), 2);
    assert_eq!(bench.query("select val_loss from epochs where sweep = 'other'").len(), 2);
    assert_eq!(bench.number("select count(*) from trials"), 7);

    let said = bench.run(&["verify", "-o", "json"]).expect(1).json();
    let expected = ("part".to_owned(), "damaged".to_owned(), Some("epochs".to_owned()));
    assert_eq!(findings(&said), [expected]);
    let said = bench.run(&["verify", "--repair"]).expect(0);
    assert!(said.out.contains("repaired small: 6 trials start over"), "{}", said.out);
    assert_eq!(bench.number("select count(*) from trials"), 1, "no row in any table counts");
    assert_eq!(bench.number("select count(*) from evaluations where sweep = 'small'"), 0);
    assert!(!part.exists());
    let aside = bench.state().join("results/.damaged/epochs/sweep=small");
    assert_eq!(fs::read_dir(aside).unwrap().count(), 1, "the file is kept");
    let said = bench.run(&["run", "small.yaml", "--workers", "2"]).expect(0);
    assert!(said.err.contains("small goes on: 0 of 6"), "{}", said.err);
    assert_whole(&bench, &whole);
    assert_eq!(bench.number("select min(attempt) from attempts where sweep = 'small'"), 2);
}

#[test]
fn a_missing_part_is_reported_and_other_sweeps_continue() {
    let bench = two_sweeps();
    for part in parts(&bench, "epochs", "small") {
        fs::remove_file(part).unwrap();
    }
    let said = bench.run(&["query", "select count(*) from epochs"]).expect(1);
    assert!(said.err.contains("is missing") && said.err.contains("`small`"), "{}", said.err);
    let said = bench.run(&["status"]).expect(0);
    assert!(said.err.contains("WARNING: small: 1 files"), "{}", said.err);
    // A third sweep runs, beside a sweep that is damaged.
    let third = bench.file("third.yaml", &OTHER.replace("other", "third"));
    let said = bench.run(&["run", third]).expect(0);
    assert!(said.err.contains("sweep=small"), "{}", said.err);
    assert!(said.err.contains("rheo verify --repair"), "{}", said.err);
    assert_eq!(bench.number("select count(*) from epochs where sweep <> 'small'"), 4);

    let serve = RunningProgram::start(bench.rheo(&["serve", "--flush-interval", "0.1"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    let status = bench.run(&["status", "-o", "json"]).expect(0).json();
    assert_eq!(status["running"], true);
    assert_eq!(status["damaged"][0]["sweep"], "small");
    bench.run(&["query", "select count(*) from epochs"]).expect(1);
    let said = bench.run(&["verify"]).expect(1);
    assert!(said.out.contains("missing"), "{}", said.out);
    // Repaired while it runs.
    bench.run(&["verify", "--repair"]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--state", ".rheo", "--slots", "2"]));
    bench.run(&["wait", "small"]).expect(0);
    worker.end().expect(0);
    assert_eq!(bench.number("select count(*) from epochs where sweep = 'small'"), SMALL_EPOCHS);
    assert_eq!(bench.run(&["status", "-o", "json"]).json()["damaged"], Value::Array(Vec::new()));
    serve.signal(Signal::TERM);
    serve.end().expect(0);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_damaged_sweep_that_is_deleted_is_named_no_more() {
    let bench = two_sweeps();
    fs::remove_file(&parts(&bench, "epochs", "small")[0]).unwrap();
    let serve = RunningProgram::start(bench.rheo(&["serve", "--flush-interval", "0.1"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["query", "select count(*) from epochs"]).expect(1);
    let damaged = || bench.run(&["status", "-o", "json"]).expect(0).json()["damaged"].clone();
    assert_eq!(damaged()[0]["sweep"], "small");
    bench.run(&["delete", "small", "--yes"]).expect(0);
    wait_for("its files to go", || (damaged() == Value::Array(Vec::new())).then_some(()));
    assert_eq!(bench.number("select count(*) from epochs"), 2);
    serve.signal(Signal::TERM);
    serve.end().expect(0);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_sweep_that_was_removed_by_hand_breaks_no_other() {
    let whole = two_sweeps();
    let bench = two_sweeps();
    for table in fs::read_dir(bench.state().join("results")).unwrap().flatten() {
        // Not every table has rows of it.
        let _ = fs::remove_dir_all(table.path().join("sweep=small"));
    }
    for table in ["trials", "epochs", "evaluations"] {
        bench.run(&["query", &format!("select count(*) from {table}")]).expect(1);
        bench.number(&format!("select count(*) from {table} where sweep = 'other'"));
    }
    let said = bench.run(&["run", "other.yaml"]).expect(0);
    assert!(said.out.contains("1 of 1 trials completed"), "{}", said.out);
    bench.run(&["verify", "--repair"]).expect(0);
    bench.run(&["run", "small.yaml", "--workers", "2"]).expect(0);
    assert_whole(&bench, &whole);
}

#[test]
fn results_that_are_all_gone_are_refused_with_a_remedy() {
    let bench = TestBench::default();
    bench.run(&["run", bench.file("other.yaml", OTHER)]).expect(0);
    let (results, aside) = (bench.state().join("results"), bench.path().join("aside"));
    fs::rename(&results, &aside).unwrap();
    let said = bench.run(&["run", "other.yaml"]).expect(1);
    assert!(said.err.contains("mount the disk or put the results back"), "{}", said.err);
    assert!(said.err.contains("rheo verify --repair"), "{}", said.err);
    let _ = fs::remove_dir_all(&results);
    fs::rename(&aside, &results).unwrap();
    bench.run(&["run", "other.yaml"]).expect(0);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_damaged_or_missing_checkpoint_is_found_and_made_anew() {
    let (whole, bench) = (two_sweeps(), two_sweeps());
    let digest = |trial: u64| {
        let sql =
            format!("select checkpoint from trials where sweep = 'small' and trial = {trial}");
        let digest = bench.value(&sql).as_str().unwrap().to_owned();
        bench.state().join("checkpoints").join(&digest[..2]).join(digest)
    };
    flip(&digest(1), 200);
    fs::remove_file(digest(4)).unwrap();
    let said = bench.run(&["verify", "-o", "json"]).expect(1).json();
    let mut found = findings(&said);
    found.sort();
    let checkpoint = |state: &str| ("checkpoint".to_owned(), state.to_owned(), None);
    assert_eq!(found, [checkpoint("damaged"), checkpoint("missing")]);
    let said = bench.run(&["verify", "--repair"]).expect(0);
    assert!(said.out.contains("repaired small: 2 trials start over"), "{}", said.out);
    let said = bench.run(&["run", "small.yaml", "--workers", "2"]).expect(0);
    assert!(said.err.contains("small goes on: 4 of 6"), "{}", said.err);
    assert_whole(&bench, &whole);
}

#[test]
fn a_damaged_journal_is_found_by_verify() {
    let bench = TestBench::default();
    // Words that mean nothing to anybody, so that a damaged event is read as if it were whole.
    let text = format!("description: words that mean nothing{OTHER}");
    bench.run(&["run", bench.file("other.yaml", &text)]).expect(0);
    bench.run(&["verify"]).expect(0);
    let journal = bench.state().join("journal.redb");
    let mut bytes = fs::read(&journal).unwrap();
    let words = b"words that mean nothing";
    let places = bytes.windows(words.len()).enumerate();
    let places: Vec<usize> =
        places.filter(|(_, window)| window == words).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 1;
    }
    fs::write(&journal, bytes).unwrap();
    let said = bench.run(&["verify", "-o", "json"]).expect(1).json();
    assert_eq!(findings(&said)[0].0, "journal", "{said}");
    let said = bench.run(&["verify", "--repair"]).expect(1);
    assert!(said.err.contains("a damaged journal cannot be repaired"), "{}", said.err);
}

/// Starts a coordinator with work for nobody yet.
fn serve(bench: &TestBench) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    bench.run(&["submit", bench.file("other.yaml", OTHER)]).expect(0);
    serve
}

#[test]
fn a_state_directory_that_is_moved_away_ends_the_coordinator() {
    let bench = TestBench::default();
    let serve = serve(&bench);
    let aside = bench.path().join("aside");
    fs::rename(bench.state(), &aside).unwrap();
    let said = serve.end().expect(1);
    assert!(said.err.contains("was moved or removed"), "{}", said.err);
    assert!(said.err.contains("workers keep undelivered commits"), "{}", said.err);
    assert!(!bench.state().exists(), "nothing is made anew where it was");
    // Where it is now it goes on.
    let status = bench.run(&["status", "--state", "aside", "-o", "json"]).expect(0).json();
    assert_eq!(status["sweeps"][0]["name"], "other");
}

#[test]
fn a_state_directory_that_is_deleted_or_replaced_ends_the_coordinator() {
    let bench = TestBench::default();
    let serve_one = serve(&bench);
    fs::remove_dir_all(bench.state()).unwrap();
    let said = serve_one.end().expect(1);
    assert!(said.err.contains("moved, replaced or deleted"), "{}", said.err);
    assert!(!bench.state().exists(), "nothing is made anew where it was");

    let serve_two = serve(&bench);
    let journal = bench.state().join("journal.redb");
    let copy = bench.path().join("copy.redb");
    fs::copy(&journal, &copy).unwrap();
    fs::rename(&copy, &journal).unwrap();
    let said = serve_two.end().expect(1);
    assert!(said.err.contains("moved, replaced or deleted"), "{}", said.err);
}

#[test]
fn a_worker_keeps_its_work_while_the_state_directory_is_away() {
    let whole = TestBench::default();
    whole.run(&["run", whole.file("long.yaml", LONG)]).expect(0);
    let bench = TestBench::default();
    let start = || {
        let serve = RunningProgram::start(bench.rheo(&["serve"]));
        wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
        serve
    };
    let serve = start();
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--state", ".rheo"]));
    wait_for("commits", || {
        let said = bench.run(&["query", "select count(*) as n from epochs", "-o", "json"]);
        (said.json()[0]["n"].as_u64()? > 2).then_some(())
    });
    let aside = bench.path().join("aside");
    fs::rename(bench.state(), &aside).unwrap();
    serve.end().expect(1);
    fs::rename(&aside, bench.state()).unwrap();
    // The address in it is that of the coordinator that has gone.
    let _ = fs::remove_file(bench.state().join("server"));
    let serve = start();
    bench.run(&["wait", "long"]).expect(0);
    worker.end().expect(0);
    assert_same(&traces(&bench, "long"), &traces(&whole, "long"));
    serve.signal(Signal::TERM);
    serve.end().expect(0);
}
