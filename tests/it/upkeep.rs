//! Looking after a coordinator: its workers, its disk, its end.

use rheo_tests::{RunningProgram, TestBench, wait_for};
use rustix::process::Signal;

use crate::sweeps::{LONG, LONG_EPOCHS, SMALL};

fn serve(bench: &TestBench) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&["serve", "--lease", "2"]));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

#[test]
fn workers_are_listed_with_what_they_hold_and_how_they_departed() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    let none = bench.run(&["workers"]).expect(0);
    assert!(none.err.contains("no worker is known"), "{}", none.err);
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let mut first = bench.worker(&["--slots", "2"]);
    first.envs([("RHEO_JOB", "815"), ("RHEO_NODE", "n7"), ("RHEO_PARTITION", "main")]);
    let first = RunningProgram::start(first);
    let worker = wait_for("a busy worker", || {
        let workers = bench.run(&["workers", "--output", "json"]).expect(0).json();
        (workers[0]["busy"] == 2).then(|| workers[0].clone())
    });
    assert_eq!(worker["pid"], first.pid());
    assert_eq!((&worker["status"], &worker["slots"]), (&"busy".into(), &2.into()));
    assert_eq!(worker["trials"], serde_json::json!(["long/0", "long/1"]));
    assert_eq!((&worker["job"], &worker["node"]), (&"815".into(), &"n7".into()));
    assert!(worker["seen"].as_str() >= worker["joined"].as_str(), "{worker}");
    let table = bench.run(&["workers"]).expect(0).out;
    for expected in ["WORKER", "busy", "2/2", "long/0, long/1", "815", env!("CARGO_PKG_VERSION")] {
        assert!(table.contains(expected), "{expected}\n{table}");
    }

    first.kill();
    let status = |wanted: &str| {
        wait_for(wanted, || {
            let workers = bench.run(&["workers", "--output", "json"]).expect(0).json();
            let all = workers.as_array().unwrap();
            all.iter().any(|worker| worker["status"] == wanted).then_some(())
        });
    };
    // Whoever starts with its spool says that it is dead.
    let second = RunningProgram::start(bench.worker(&["--slots", "2"]));
    status("lost");
    status("busy");
    second.signal(Signal::TERM);
    second.end().expect(0);
    status("left");
}

#[test]
fn disk_use_is_told_by_sweep() {
    let bench = TestBench::default();
    bench.run(&["run", bench.file("small.yaml", SMALL)]).expect(0);
    let usage = bench.run(&["du", "--output", "json"]).expect(0).json();
    let sweep = &usage["sweeps"][0];
    assert_eq!((&sweep["sweep"], &sweep["checkpoint_files"]), (&"small".into(), &6.into()));
    let size = |name: &str| std::fs::metadata(bench.state().join(name)).unwrap().len();
    assert_eq!(usage["journal"], size("journal.redb"));
    let du = |name: &str| {
        let out = std::process::Command::new("find")
            .args([name, "-name", "*", "-type", "f", "-not", "-name", ".*", "-printf", "%s\n"])
            .current_dir(bench.state())
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|line| line.parse::<u64>().unwrap()).sum::<u64>()
    };
    let parts: u64 = du("results");
    assert_eq!(sweep["results"].as_u64(), Some(parts), "{usage}");
    assert_eq!(sweep["checkpoints"].as_u64(), Some(du("checkpoints")), "{usage}");
    assert_eq!(usage["unused"], 0, "{usage}");
    let number = |name: &str| usage[name].as_u64().unwrap();
    let sum = parts + du("checkpoints") + number("journal") + number("spool") + number("logs");
    assert_eq!(number("total"), sum, "{usage}");
    let table = bench.run(&["du"]).expect(0).out;
    for expected in ["small", "journal", "total", "kB"] {
        assert!(table.contains(expected), "{expected}\n{table}");
    }
}

#[test]
fn stop_ends_the_coordinator_that_launch_left_and_may_be_repeated() {
    let bench = TestBench::default();
    let none = bench.run(&["stop"]).expect(0);
    assert!(none.out.contains("no coordinator runs on"), "{}", none.out);
    let file = bench.file("long.yaml", LONG);
    bench.run(&["launch", "local", file, "--max", "1"]).expect(0);
    wait_for("commits", || (bench.number("select count(*) from epochs") >= 1).then_some(()));
    let said = bench.run(&["stop"]).expect(0);
    assert!(said.out.contains("the coordinator has ended: process "), "{}", said.out);
    assert!(said.err.contains("keep on disk what they commit"), "{}", said.err);
    assert!(!bench.state().join("server").exists());
    let pid: u32 = said.out.split_whitespace().nth(5).unwrap().parse().unwrap();
    wait_for("the process to end", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    let again = bench.run(&["stop", "--output", "json"]).expect(0).json();
    assert_eq!(again["stopped"], false);
    // What the worker kept meanwhile is delivered to the next coordinator.
    let serve = serve(&bench);
    bench.run(&["wait", "long"]).expect(0);
    assert_eq!(bench.number("select count(*) from epochs"), LONG_EPOCHS);
    let stopped = bench.run(&["stop", "--output", "json"]).expect(0).json();
    assert_eq!((&stopped["stopped"], &stopped["pid"]), (&true.into(), &serve.pid().into()));
    serve.end().expect(0);
    wait_for("workers to leave", || bench.worker_pids().is_empty().then_some(()));
}

#[test]
fn stop_ends_a_run_as_an_interrupt_does() {
    let bench = TestBench::default();
    let run = RunningProgram::start(bench.rheo(&["run", bench.file("long.yaml", LONG)]));
    wait_for("a trial", || {
        let said = bench.run(&["trials", "long", "--status", "running", "-o", "json"]);
        let trials = said.status.success().then(|| said.json())?;
        trials.as_array().is_some_and(|list| !list.is_empty()).then_some(())
    });
    bench.run(&["stop"]).expect(0);
    let said = run.end().expect(130);
    assert!(said.err.contains("run the same command to go on"), "{}", said.err);
    assert!(bench.worker_pids().is_empty());
}
