//! Whose trial it is: workers meet the coordinator of another state, or of an older copy of their own,
//! where theirs was. Sweeps have the same name everywhere, so names tell nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

/// Two trials of some seconds, which commit after every epoch.
const FIRST: &str = "
name: same
task: {kind: digits, pool: 2, train_size: 3000, validation_size: 50, test_size: 50}
network: {kind: heterogeneous, hidden: 8}
training: {epochs: 20, batch: 20}
checkpoint: {interval: 0}
retry: {lost: 100}
parameters: {training.optimizer.lr: {values: [1.0e-3]}}
replicates: {seeds: [1, 2]}
";

const EPOCHS: u64 = 2 * 20;

/// The same name, and another value.
fn second() -> String {
    FIRST.replace("1.0e-3", "2.0e-3")
}

fn serve(bench: &TestBench) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&["serve", "--flush-interval", "3600"]));
    let pid = format!("pid {}\n", serve.pid());
    let server = bench.state().join("server");
    wait_for("the coordinator", || {
        let text = fs::read_to_string(&server).ok()?;
        text.contains(&pid).then_some(())
    });
    serve
}

fn worker(bench: &TestBench) -> RunningProgram {
    RunningProgram::start(bench.worker(&["--slots", "2"]))
}

fn committed(bench: &TestBench) -> u64 {
    let said = bench.run(&["query", "select count(*) as n from epochs", "--output", "json"]);
    if said.code() == 0 { said.json()[0]["n"].as_u64().unwrap() } else { 0 }
}

/// The commits in the spool.
fn spooled(bench: &TestBench) -> Vec<PathBuf> {
    let mut files = below(&bench.path().join("spool"));
    files.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.parse::<u64>().is_ok()
    });
    files
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

fn swap(bench: &TestBench, from: &str, to: &str) {
    fs::rename(bench.path().join(from), bench.path().join(to)).unwrap();
}

#[test]
fn a_worker_keeps_its_commits_for_its_own_state() {
    let bench = TestBench::default();
    let coordinator = serve(&bench);
    bench.run(&["submit", bench.file("first.yaml", FIRST)]).expect(0);
    let first = worker(&bench);
    wait_for("a commit", || (committed(&bench) > 0).then_some(()));
    coordinator.kill();
    wait_for("commits on disk", || (spooled(&bench).len() >= 2).then_some(()));

    // Another state takes its place, at the same address and with a sweep of the same name.
    swap(&bench, ".rheo", "first");
    let other = serve(&bench);
    bench.run(&["submit", bench.file("second.yaml", &second())]).expect(0);
    let said = first.end().expect(2);
    assert!(said.err.contains("belongs to state"), "{}", said.err);
    assert!(said.err.contains("spool"), "{}", said.err);
    assert_eq!(committed(&bench), 0, "nothing of it was recorded");
    let kept = spooled(&bench);
    assert!(kept.len() >= 2, "{kept:?}");

    // A worker of that state with the same spool delivers its own commits only.
    let said = worker(&bench).end().expect(0);
    assert!(
        said.out.contains("another state") || said.err.contains("another state"),
        "{}",
        said.err
    );
    assert_eq!(committed(&bench), EPOCHS);
    let rates =
        bench.query("select distinct config['training']['optimizer']['lr'] as lr from trials");
    assert_eq!(rates.len(), 1);
    assert_eq!(rates[0]["lr"], 2.0e-3);
    assert_eq!(spooled(&bench), kept, "the commits of the other state are still there");
    other.kill();

    // Back in its place, the first state gets what is its own.
    swap(&bench, ".rheo", "second");
    swap(&bench, "first", ".rheo");
    let _again = serve(&bench);
    worker(&bench).end().expect(0);
    assert_eq!(committed(&bench), EPOCHS);
    let distinct = "select count(*) from (select distinct trial, epoch from epochs)";
    assert_eq!(bench.number(distinct), EPOCHS);
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'preempted'"), 2);
    assert_eq!(spooled(&bench), Vec::<PathBuf>::new());
}

#[test]
fn a_restored_journal_takes_nothing_that_was_leased_after_the_backup() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("first.yaml", FIRST)]).expect(0);
    let coordinator = serve(&bench);
    coordinator.signal(Signal::TERM);
    coordinator.end().expect(0);
    let (journal, backup) = (bench.state().join("journal.redb"), bench.path().join("backup"));
    fs::copy(&journal, &backup).unwrap();

    let coordinator = serve(&bench);
    let first = worker(&bench);
    wait_for("a commit", || (committed(&bench) > 0).then_some(()));
    coordinator.kill();
    wait_for("commits on disk", || (spooled(&bench).len() >= 2).then_some(()));
    fs::copy(&backup, &journal).unwrap();
    let _restored = serve(&bench);
    // The worker is not to blame: it takes new trials, and says what it could not deliver.
    let said = first.end().expect(1);
    let log = [said.out, said.err].concat();
    assert!(log.contains("never leased attempt"), "{log}");
    assert!(log.contains("some commits were not delivered"), "{log}");
    assert!(spooled(&bench).len() >= 2, "what was refused is kept");
    assert_eq!(committed(&bench), EPOCHS);
    let distinct = "select count(*) from (select distinct trial, epoch from epochs)";
    assert_eq!(bench.number(distinct), EPOCHS);
    assert_eq!(bench.number("select count(*) from trials where status = 'completed'"), 2);
    let first = "select min(first_epoch) from attempts where outcome = 'completed'";
    assert!(bench.number(first) <= 1, "trials began anew");
}

#[test]
fn an_idle_worker_joins_another_state_in_the_same_directory() {
    let bench = TestBench::default();
    let coordinator = serve(&bench);
    let idle = worker(&bench);
    let status = || bench.path().join("spool");
    wait_for("the worker to join", || {
        let states = below(&status()).into_iter().filter(|path| path.ends_with(".state"));
        (states.count() == 1).then_some(())
    });
    coordinator.kill();
    swap(&bench, ".rheo", "first");
    let _other = serve(&bench);
    bench.run(&["submit", bench.file("second.yaml", &second())]).expect(0);
    idle.end().expect(0);
    assert_eq!(committed(&bench), EPOCHS);
}

#[test]
fn status_and_config_show_the_id_of_the_state() {
    let bench = TestBench::default();
    let json = |args: &[&str]| bench.run(&[args, &["-o", "json"]].concat()).expect(0).json();
    assert_eq!(json(&["config"])["state_id"], serde_json::Value::Null);
    let file = bench.file("small.yaml", crate::sweeps::SMALL);
    bench.run(&["submit", file]).expect(0);
    assert_eq!(json(&["status"])["state_id"], serde_json::Value::Null, "nothing has started");
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    let owner = fs::read_to_string(bench.state().join("results/.rheo-owner.json")).unwrap();
    let owner: serde_json::Value = serde_json::from_str(&owner).unwrap();
    let id = owner["state"].as_str().unwrap();
    let check = || {
        assert_eq!(json(&["status"])["state_id"], id);
        assert_eq!(json(&["config"])["state_id"], id);
        assert!(bench.run(&["status"]).expect(0).out.ends_with(&format!("\nState: {id}\n")));
        assert!(bench.run(&["config"]).expect(0).out.contains(id));
    };
    check();
    serve.signal(Signal::TERM);
    serve.end().expect(0);
    check();
}
