//! SIGHUP, which a closed terminal sends: both programs end in good order, unless they were started to
//! ignore it.

use std::process::{Command, Stdio};

use rheo_tests::{RunningProgram, TestBench, program, send, wait_for};
use rustix::process::Signal;

use crate::sweeps::LONG;

fn wait_for_commits(bench: &TestBench) {
    wait_for("commits", || (bench.number("select count(*) from epochs") >= 2).then_some(()));
}

fn serve(bench: &TestBench) -> RunningProgram {
    let running = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    running
}

#[test]
fn a_coordinator_ends_in_good_order_on_sighup_and_sigusr1() {
    for signal in [Signal::HUP, Signal::USR1] {
        let bench = TestBench::default();
        let running = serve(&bench);
        running.signal(signal);
        running.end().expect(0);
        assert!(bench.url().is_none(), "nobody is told to come");
    }
}

#[test]
fn a_worker_gives_its_trials_back_on_sighup() {
    let bench = TestBench::default();
    let _serve = serve(&bench);
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "2"]));
    wait_for_commits(&bench);
    worker.signal(Signal::HUP);
    worker.end().expect(0);
    let ended = |outcome| {
        bench.number(&format!("select count(*) from attempts where outcome = '{outcome}'"))
    };
    assert_eq!((ended("preempted"), ended("lost")), (2, 0));
}

#[test]
fn a_run_saves_everything_on_sighup() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let run = RunningProgram::start(bench.rheo(&["run", file, "--workers", "2"]));
    wait_for("the coordinator", || bench.url());
    wait_for_commits(&bench);
    run.signal(Signal::HUP);
    let said = run.end().expect(130);
    assert!(said.err.contains("run the same command to go on"), "{}", said.err);
    assert!(bench.worker_pids().is_empty(), "workers have left");
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
}

#[test]
fn a_run_saves_everything_however_often_it_is_terminated() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let mut run = RunningProgram::start(bench.rheo(&["run", file, "--workers", "2"]));
    wait_for("the coordinator", || bench.url());
    wait_for_commits(&bench);
    while run.is_running() {
        run.signal(Signal::TERM);
    }
    let said = run.end().expect(130);
    assert!(said.err.contains("run the same command to go on"), "{}", said.err);
    assert!(bench.url().is_none(), "nobody is told to come");
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
}

#[test]
fn a_run_under_timeout_saves_everything() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let run = bench.rheo(&["run", file, "--workers", "2"]);
    // It sends SIGTERM to its child, and then to its whole group.
    let mut timeout = Command::new("timeout");
    timeout.arg("60").arg(run.get_program()).args(run.get_args()).current_dir(bench.path());
    timeout.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let timeout = RunningProgram::start(timeout);
    wait_for("the coordinator", || bench.url());
    wait_for_commits(&bench);
    timeout.signal(Signal::TERM);
    let said = timeout.end();
    assert!(said.err.contains("run the same command to go on"), "{}", said.err);
    assert!(bench.url().is_none(), "nobody is told to come");
    assert!(bench.worker_pids().is_empty(), "workers have left");
    assert_eq!(bench.number("select count(*) from attempts where outcome = 'lost'"), 0);
}

#[test]
fn a_second_interrupt_ends_a_run_at_once() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let mut run = RunningProgram::start(bench.rheo(&["run", file]));
    wait_for("the coordinator", || bench.url());
    wait_for_commits(&bench);
    // A worker that says nothing, for which the run would wait.
    for worker in bench.worker_pids() {
        send(worker, Signal::STOP);
    }
    wait_for("the end", || {
        run.signal(Signal::INT);
        (!run.is_running()).then_some(())
    });
    for worker in bench.worker_pids() {
        send(worker, Signal::KILL);
    }
    let said = run.end().expect(130);
    assert!(said.err.contains("once more to stop at once"), "{}", said.err);
    assert!(!said.err.contains("stopped: run the same command"), "{}", said.err);
    bench.run(&["status"]).expect(0);
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let bench = TestBench::default();
    let rheo = bench.rheo(&["serve"]);
    let mut shell = Command::new("sh");
    let script = format!("trap '' HUP; exec {} serve", program("rheo").display());
    shell.args(["-c", &script]).current_dir(bench.path());
    shell.envs(rheo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut running = RunningProgram::start(shell);
    wait_for("the coordinator", || bench.url());
    running.signal(Signal::HUP);
    for _ in 0..5 {
        bench.run(&["status"]).expect(0);
        assert!(running.is_running());
        assert!(bench.url().is_some());
    }
    running.signal(Signal::TERM);
    running.end().expect(0);
}

#[test]
fn a_run_whose_terminal_is_closed_saves_everything() {
    let bench = TestBench::default();
    let file = bench.file("long.yaml", LONG);
    let rheo = bench.rheo(&["run", file]);
    // A terminal of its own, which is closed when `script` dies.
    let mut terminal = Command::new("script");
    let command = format!("{} run {file} --workers 2", program("rheo").display());
    terminal.args(["-q", "-c", &command, "/dev/null"]).current_dir(bench.path());
    terminal.envs(rheo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = terminal.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: terminals of tests need `script` (util-linux)");
        return;
    };
    wait_for("the coordinator", || bench.url());
    wait_for_commits(&bench);
    send(child.id(), Signal::KILL);
    child.wait().unwrap();
    wait_for("the run to end", || bench.url().is_none().then_some(()));
    wait_for("the workers to leave", || bench.worker_pids().is_empty().then_some(()));
    let ended = |outcome| {
        bench.number(&format!("select count(*) from attempts where outcome = '{outcome}'"))
    };
    assert_eq!((ended("preempted"), ended("lost")), (2, 0));
}

#[test]
fn output_that_nobody_reads_to_its_end_is_no_error() {
    let bench = TestBench::default();
    let sql = "select * from generate_series(1, 100000)";
    bench.run(&["submit", bench.file("long.yaml", LONG)]).expect(0);
    for args in [
        &["schema"][..],
        &["trials", "long"],
        &["query", sql, "-o", "csv"],
        &["query", sql, "-o", "json"],
        &["query", sql, "-o", "arrow"],
        &["query", sql, "-o", "parquet"],
    ] {
        let mut rheo = bench.rheo(args);
        let mut child = rheo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // As `head` does.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{args:?}\n{errors}");
    }
}
