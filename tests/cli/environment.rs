//! Environment of a command: variables, terminals, time zones, shells, full disks.

use std::fs;
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench};

const TINY: &str = "
name: tiny
task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
training: {epochs: 1, batch: 20}
";

fn with(mut command: Command, variables: &[(&str, &str)]) -> ProgramOutput {
    command.envs(variables.iter().copied());
    RunningProgram::start(command).end()
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let bench = TestBench::default();
    let variables = bench.run(&["config", "--output", "json"]).expect(0).json();
    let variables = variables["environment"].as_object().unwrap().clone();
    let empty: Vec<(&str, &str)> =
        variables.keys().map(|name| (name.as_str(), "")).chain([("NO_COLOR", "")]).collect();
    let file = bench.file("tiny.yaml", TINY);
    let said = with(bench.rheo(&["submit", file]), &empty).expect(0);
    assert!(bench.state().join("journal.redb").exists(), "{}", said.err);
    with(bench.rheo(&["status"]), &empty).expect(0);
    let seen = with(bench.rheo(&["config", "-o", "json"]), &empty).expect(0).json();
    assert_eq!(seen["environment"], serde_json::Value::Object(variables));
    let worker = [
        "SERVER",
        "STATE",
        "SLOTS",
        "SLOTS_ASKED",
        "GPU_COUNT",
        "MEMORY_MB",
        "GPUS",
        "SWEEP",
        "DATA",
        "SPOOL",
        "SAMPLES",
        "IDLE_TIMEOUT",
        "GRACE",
        "DEADLINE",
        "PILOT",
        "TASK",
        "RESTARTS",
        "JOB",
        "NODE",
        "PARTITION",
        "LOG",
        "CA_FILE",
        "TOKEN_FILE",
    ]
    .map(|name| format!("RHEO_{name}"));
    let empty: Vec<(&str, &str)> = worker.iter().map(|name| (name.as_str(), "")).collect();
    with(bench.worker(&["--check"]), &empty).expect(0);
    with(bench.rheo(&["run", file]), &empty).expect(0);
}

#[test]
fn a_wrong_variable_is_refused_once_before_anything_starts() {
    let bench = TestBench::default();
    let file = bench.file("tiny.yaml", TINY);
    for (command, variable, value) in [
        ("run", "RHEO_GRACE", "abc"),
        ("run", "RHEO_IDLE_TIMEOUT", "soon"),
        ("run", "RHEO_DEADLINE", "tomorrow"),
        ("run", "RHEO_LOG", "a=b=c"),
        ("run", "RHEO_WORKER", "/nowhere/rheo-worker"),
        ("run", "RHEO_RESULTS", "ftp://x"),
        ("serve", "RHEO_POLL", "often"),
        ("submit", "RHEO_LOG", "a=b=c"),
    ] {
        let args = if command == "serve" { vec![command] } else { vec![command, file] };
        let said = with(bench.rheo(&args), &[(variable, value)]).expect(2);
        let name = variable.trim_start_matches("RHEO_").to_lowercase().replace('_', "-");
        assert!(
            said.err.contains(variable) || said.err.contains(&format!("--{name}")),
            "{}",
            said.err
        );
        assert_eq!(said.err.matches("error: ").count(), 1, "{}", said.err);
        assert!(said.err.contains(value), "{variable}: {}", said.err);
        assert_eq!(said.out, "");
        assert!(!bench.state().exists(), "{variable} left something");
    }
}

/// Returns the output of a command on a terminal.
fn on_a_terminal(bench: &TestBench, command: &str) -> String {
    let mut script = Command::new("script");
    script.args(["-qec", command, "/dev/null"]).current_dir(bench.path());
    script.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let output = script.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn escapes_are_sent_only_to_terminals_that_want_them() {
    let bench = TestBench::default();
    let rheo = rheo_tests::program("rheo").display().to_string();
    bench.file("tiny.yaml", TINY);
    bench.file("wrong.yaml", "title: x\n");
    for command in ["preview wrong.yaml", "--help", "run tiny.yaml", "status", "nonsense"] {
        for plain in ["NO_COLOR=1", "TERM=dumb"] {
            // Where CI is set, many programs take a dumb terminal for a log with colours.
            for ci in ["", "CI=true"] {
                let seen = on_a_terminal(&bench, &format!("env {ci} {plain} {rheo} {command}"));
                assert!(!seen.contains('\u{1b}'), "{ci} {plain} {command}: {seen:?}");
            }
        }
        let piped = on_a_terminal(&bench, &format!("{rheo} {command} 2>&1 | cat"));
        assert!(!piped.contains('\u{1b}'), "{command}: {piped:?}");
    }
    let colourful = on_a_terminal(&bench, &format!("{rheo} preview wrong.yaml"));
    assert!(colourful.contains('\u{1b}'), "{colourful:?}");
}

#[test]
fn times_are_those_of_the_reader_and_say_so() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("tiny.yaml", TINY)]).expect(0);
    let seen = |zone: &str| {
        let said = with(bench.rheo(&["status"]), &[("TZ", zone)]).expect(0);
        let last = said.out.lines().last().unwrap().trim().to_owned();
        let words: Vec<&str> = last.split_whitespace().collect();
        words[words.len() - if zone == "UTC" { 2 } else { 3 }..].join(" ")
    };
    let utc = seen("UTC");
    assert!(utc.ends_with('Z'), "{utc}");
    for (zone, offset) in
        [("XYZ-5:30", "+05:30"), ("XYZ3", "-03:00"), ("Pacific/Kiritimati", "+14:00")]
    {
        let there = seen(zone);
        assert!(there.ends_with(offset), "{zone}: {there}");
        assert_ne!(there[..16], utc[..16], "{zone}");
    }
}

#[test]
fn commands_that_are_printed_can_be_pasted() {
    let bench = TestBench::default();
    bench.run(&["--state", "my 'own' $state", "run", bench.file("tiny.yaml", TINY)]).expect(0);
    let said = bench.run(&["--state", "my 'own' $state", "run", "tiny.yaml"]).expect(0);
    let examples: Vec<&str> = said.out.lines().filter(|line| line.contains(" query \"")).collect();
    assert_eq!(examples.len(), 2, "{}", said.out);
    for example in examples {
        let mut shell = Command::new("sh");
        shell.args(["-c", example]).current_dir(bench.path());
        let output = shell.output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 20, "{example}: {output:?}");
    }
}

#[test]
fn what_differs_between_two_sweeps_is_shown_line_by_line() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("tiny.yaml", TINY)]).expect(0);
    let other = TINY.replace("hidden: 4", "hidden: 5");
    for command in ["submit", "run"] {
        let said = bench.run(&[command, bench.file("tiny.yaml", &other)]).expect(2);
        let lines: Vec<&str> = said.err.lines().map(str::trim).collect();
        assert!(lines.iter().any(|line| line.starts_with('-') && line.contains('4')), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with('+') && line.contains('5')), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("help: ")), "{lines:?}");
    }
}

#[test]
fn errors_of_the_system_name_what_they_are_about() {
    let bench = TestBench::default();
    let file = bench.file("tiny.yaml", TINY);
    for (args, path) in [
        (&["--state", "tiny.yaml/x", "submit", file][..], "tiny.yaml/x"),
        (&["--state", "tiny.yaml/x", "run", file], "tiny.yaml/x"),
        (&["--state", "tiny.yaml/x", "serve"], "tiny.yaml/x"),
        (&["--state", "tiny.yaml/x", "launch", "local", "--max", "1"], "tiny.yaml/x"),
        (&["--state", "tiny.yaml", "status"], "tiny.yaml"),
        (&["data", "fetch", "mnist", "--dir", "/proc/nowhere"], "/proc/nowhere"),
        (&["--state", "/proc/nowhere", "submit", file], "/proc/nowhere"),
    ] {
        let said = bench.run(args);
        assert!(matches!(said.code(), 1..=3), "{args:?}: {}", said.err);
        assert!(said.err.contains(path), "{args:?}: {}", said.err);
    }
    let rheo = rheo_tests::program("rheo").display().to_string();
    let script = format!("{rheo} schema > /dev/full");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("standard output cannot be written: No space left"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let state = bench.state();
    fs::create_dir(&state).unwrap();
    fs::create_dir(state.join("server.new")).unwrap();
    let said = RunningProgram::start(bench.rheo(&["run", file])).end().expect(2);
    assert!(said.err.contains("server"), "{}", said.err);
}
