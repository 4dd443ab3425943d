//! Progress of a running sweep on the terminal: the time that is left, lines that fit, numbers that can be read.

use std::process::Command;
use std::time::{Duration, Instant};

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, outlast, send, wait_for};
use rustix::process::Signal;

use crate::sweeps::SMALL;

/// Trials that take the same time, some seconds each.
const EQUAL: &str = "
name: equal
task: {kind: digits, pool: 2, train_size: 4000, validation_size: 100, test_size: 100}
network: {hidden: 12, kind: relu}
training: {epochs: 12, batch: 20, optimizer: {lr: 1.0e-3}}
checkpoint: {interval: 0.2}
retry: {lost: 100}
parameters:
  training.optimizer.lr: {values: [1.0e-3, 1.1e-3, 1.2e-3, 1.3e-3, 1.4e-3, 1.5e-3, 1.6e-3, 1.7e-3]}
";

/// Runs `rheo` with its standard error on a terminal of so many columns, which it returns.
const ON_A_TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
columns, out = int(sys.argv[1]), sys.argv[2]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.execv(sys.argv[3], sys.argv[3:])
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    sys.stdout.buffer.write(piece)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn on_a_terminal(bench: &TestBench, columns: usize, args: &[&str]) -> ProgramOutput {
    let rheo = bench.rheo(args);
    let mut python = Command::new("python3");
    python.args(["-c", ON_A_TERMINAL, &columns.to_string(), "out.txt"]);
    python.arg(rheo.get_program()).args(rheo.get_args()).current_dir(bench.path());
    python.envs(rheo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    python.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    RunningProgram::start(python).end()
}

/// Returns the lines that a terminal shows of a text, without escape sequences.
fn lines(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => {
                // `ESC [ … letter`; the bracket is no letter. All but colours move the cursor.
                if letters.find(char::is_ascii_alphabetic) != Some('m') {
                    plain.push('\n');
                }
            }
            '\r' => plain.push('\n'),
            other => plain.push(other),
        }
    }
    plain.lines().map(str::to_owned).collect()
}

fn left(bench: &TestBench) -> Option<f64> {
    let status = bench.run(&["status", "--output", "json"]);
    // The coordinator may not listen yet, or no longer.
    if status.code() == 3 {
        return None;
    }
    let status = status.expect(0).json();
    status["sweeps"][0]["left"]["likely_s"].as_f64()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures the time that was left")]
fn the_time_that_is_left_is_right_after_a_resume() {
    let bench = TestBench::default();
    let file = bench.file("equal.yaml", EQUAL);
    let args = ["run", file, "--slots", "1"];
    let first = RunningProgram::start(bench.rheo(&args));
    wait_for("half of the trials to end", || {
        (bench.state().join("journal.redb").exists()
            && bench.number("select count(*) from trials") >= 4)
            .then_some(())
    });
    first.kill();
    let mut second = RunningProgram::start(bench.rheo(&args));
    let began = Instant::now();
    let mut told = Vec::new();
    wait_for("the sweep to end", || {
        if bench.state().join("server").exists() && second.is_running() {
            told.extend(left(&bench).map(|left| (began.elapsed().as_secs_f64(), left)));
        }
        (!second.is_running()).then_some(())
    });
    let whole = began.elapsed().as_secs_f64();
    second.end().expect(0);
    // From a quarter to three quarters of the time; other programs may make it faster or slower.
    let middle = told.iter().filter(|(at, _)| (0.25..0.75).contains(&(at / whole)));
    let mut factors: Vec<f64> = middle.map(|(at, left)| left / (whole - at)).collect();
    factors.sort_unstable_by(f64::total_cmp);
    assert!(factors.len() >= 3, "{told:?} of {whole}");
    let median = factors[factors.len() / 2];
    assert!((0.4..2.5).contains(&median), "{median}: {told:?} of {whole}");
}

/// Short trials first, then some that take many times as long.
const UNEQUAL: &str = "
name: unequal
task: {kind: digits, pool: 2, train_size: 2000, validation_size: 100, test_size: 100}
network: {hidden: 12, kind: relu}
training: {batch: 20}
checkpoint: {interval: 0.2}
parameters:
  training.epochs: {values: [2, 40]}
replicates: 4
";

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures the time that was left")]
fn short_trials_do_not_promise_an_early_end_to_long_ones() {
    let bench = TestBench::default();
    let file = bench.file("unequal.yaml", UNEQUAL);
    let mut run = RunningProgram::start(bench.rheo(&["run", file, "--slots", "1"]));
    wait_for("the coordinator", || bench.url());
    let began = Instant::now();
    let mut told = Vec::new();
    wait_for("the sweep to end", || {
        if run.is_running() {
            let status = bench.run(&["status", "--output", "json"]);
            let at = began.elapsed().as_secs_f64();
            if status.code() == 0 {
                let left = &status.json()["sweeps"][0]["left"];
                told.extend(left["high_s"].as_f64().map(|high| (at, high)));
            }
        }
        (!run.is_running()).then_some(())
    });
    let whole = began.elapsed().as_secs_f64();
    run.end().expect(0);
    // Most of the time goes into the long ones, which are known soon after the first has begun.
    let late = told.iter().filter(|(at, _)| *at > 0.5 * whole).count();
    assert!(late >= 3, "{told:?} of {whole}");
    let wrong: Vec<_> = told.iter().filter(|(at, high)| 1.5 * high + 2.0 < whole - at).collect();
    assert!(wrong.is_empty(), "{wrong:?} of {told:?} of {whole}");
}

#[test]
fn without_a_terminal_progress_is_printed_as_lines() {
    let bench = TestBench::default();
    let file = bench.file("equal.yaml", EQUAL);
    let mut run = RunningProgram::start(bench.rheo(&["run", file, "--slots", "1"]));
    let watch = wait_for("a coordinator", || {
        bench
            .state()
            .join("server")
            .exists()
            .then(|| RunningProgram::start(bench.rheo(&["watch", "equal"])))
    });
    // However fast this machine is: it is in the middle of a trial when the first line is due.
    wait_for("a trial to end and the next one to run", || {
        let counts =
            &bench.run(&["status", "--output", "json"]).expect(0).json()["sweeps"][0]["counts"];
        (counts["completed"].as_u64() > Some(0) && counts["running"] == 1).then_some(())
    });
    let workers = bench.worker_pids();
    for pid in &workers {
        send(*pid, Signal::STOP);
    }
    outlast(Duration::from_secs(11));
    for pid in workers {
        send(pid, Signal::CONT);
    }
    wait_for("the end", || (!run.is_running()).then_some(()));
    for said in [run.end().expect(0), watch.end().expect(0)] {
        let about = said.err.lines().filter(|line| line.starts_with("equal: "));
        let about: Vec<&str> =
            about.filter(|line| line.contains(" of 8 trials have ended, 1 running")).collect();
        assert!(!about.is_empty(), "a line after ten seconds\n{}", said.err);
        assert!(about.iter().any(|line| line.ends_with(" left")), "{}", said.err);
        assert!(
            about.iter().any(|line| line.contains("best validation.accuracy 0.")),
            "{}",
            said.err
        );
        assert!(said.err.contains("equal ended: 8 of 8 trials have ended; best "), "{}", said.err);
        assert!(!said.err.contains('\u{1b}'), "no escapes\n{}", said.err);
    }
}

#[test]
fn trials_that_end_together_are_counted_one_by_one() {
    let bench = TestBench::default();
    let file = SMALL.replace("epochs: 4", "epochs: 1");
    let said = bench.run(&["run", bench.file("small.yaml", &file), "--slots", "6"]).expect(0);
    let numbers: Vec<String> = said
        .err
        .lines()
        .filter_map(|line| Some(line.strip_prefix('[')?.split_once(']')?.0.to_owned()))
        .collect();
    assert_eq!(numbers, ["1/6", "2/6", "3/6", "4/6", "5/6", "6/6"], "{}", said.err);
}

#[test]
fn no_line_is_longer_than_a_narrow_terminal() {
    for columns in [60, 80] {
        let bench = TestBench::default();
        let name = "a-sweep-whose-name-is-long-for-a-terminal";
        // Long enough for each trial to report how far it is.
        let file = SMALL.replace("epochs: 4", "epochs: 80");
        let file = file.replace("name: small", &format!("name: {name}"));
        let file = bench.file("narrow.yaml", &file);
        let said = on_a_terminal(&bench, columns, &["run", file, "--slots", "2"]).expect(0);
        let lines = lines(&said.out);
        // A line that fills the terminal is followed by the next one without a break.
        for text in &lines {
            let letters: Vec<char> = text.chars().collect();
            for line in letters.chunks(columns).skip(1) {
                let begin: String = line.iter().take(3).collect();
                let is_new = begin.starts_with("  ")
                    && begin.ends_with(['━', '╌', '0', '1', '2', '3', '4', '5', '6']);
                assert!(is_new, "a line is longer than {columns} columns: {text}");
            }
        }
        for expected in ["of 6 trials", "epoch ", "[6/6]", "%"] {
            let found = lines.iter().any(|line| line.contains(expected));
            assert!(found, "{expected} at {columns} columns\n{lines:#?}");
        }
    }
}

#[test]
fn values_have_a_few_digits_for_people_and_all_for_programs() {
    let bench = TestBench::default();
    let file = SMALL
        .replace("network.kind: {values: [homogeneous, heterogeneous, adaptive]}", DRAWN)
        .replace("replicates: {seeds: [1, 2]}", "method: random\nrun_cap: 2")
        .replace("controller: 4", "kind: relu")
        .replace(", optimizer: {lr: 5.0e-3}", "");
    let said = bench.run(&["run", bench.file("small.yaml", &file)]).expect(0);
    let rate = bench.value("select lr from trials where trial = 0").as_f64().unwrap();
    assert!(rate.to_string().len() > 12, "{rate}");
    let trials = bench.run(&["trials", "small"]).expect(0).out;
    let show = bench.run(&["show", "small/0"]).expect(0).out;
    let status = bench.run(&["status", "small"]).expect(0).out;
    let query = bench.run(&["query", "select lr, val_loss, wall_s from trials"]).expect(0).out;
    let show = show.split("Configuration").next().unwrap();
    for text in [&said.out, &said.err, &trials, show, &status, &query] {
        let longest = digits(text);
        assert!(longest <= 9, "{longest} digits\n{text}");
    }
    let json = bench.run(&["trials", "small", "--output", "json"]).expect(0).json();
    assert_eq!(json[0]["swept"]["training.optimizer.lr"].as_f64(), Some(rate));
    let value = bench.value("select objective from trials where trial = 0");
    assert_eq!(json[0]["objective"], value);
}

/// A parameter whose values have many digits.
const DRAWN: &str =
    "training.optimizer.lr: {distribution: log_uniform_values, min: 1.0e-3, max: 1.0e-2}";

/// The most digits after a point.
fn digits(text: &str) -> usize {
    let pieces = text.split('.').skip(1);
    let count = |piece: &str| piece.chars().take_while(char::is_ascii_digit).count();
    pieces.map(count).max().unwrap_or(0)
}
