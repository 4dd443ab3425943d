//! Completion of names by real shells: from a running coordinator, from a state at rest, and
//! without an error or a long wait where there is neither.
//!
//! zsh and fish are tried where they are installed; a test without its shell says so.

#![expect(clippy::disallowed_methods, reason = "the time that a person waits is measured")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, program, wait_for};

use crate::installed::install;
use crate::sweeps::SMALL;

/// Starts the completion of the words `$2...` by the script `$1`, as bash does.
const BASH: &str = r#"
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
function=$(complete -p rheo | sed 's/.* -F \([^ ]*\) .*/\1/')
"$function" rheo "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
[[ ${#COMPREPLY[@]} -eq 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
"#;

/// The longest time that a key press may take: the limit, and the start of programs.
const WAIT: Duration = Duration::from_secs(5);

/// A shell with only the programs of `bin` and of the system on its PATH.
fn shell(bench: &TestBench, name: &str, bin: &Path) -> Command {
    let rheo = bench.rheo(&[]);
    let mut shell = Command::new(name);
    shell.current_dir(bench.path()).stdin(Stdio::null());
    for (name, value) in rheo.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut path = bin.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    shell.env("PATH", path);
    shell
}

/// The directory of the programs that were built.
fn built() -> PathBuf {
    program("rheo").parent().unwrap().to_owned()
}

/// Writes the completions for a shell, and returns their file.
fn script(bench: &TestBench, shell: &str) -> PathBuf {
    let path = bench.path().join(format!("rheo.{shell}"));
    fs::write(&path, bench.run(&["completions", shell]).expect(0).out).unwrap();
    path
}

/// Returns the completions that bash offers for the last word, by the script in a file.
#[track_caller]
fn complete_by(bench: &TestBench, bin: &Path, script: &Path, words: &[&str]) -> Vec<String> {
    let began = Instant::now();
    let mut bash = shell(bench, "bash", bin);
    bash.args(["--noprofile", "--norc", "-c", BASH, "bash"]).arg(script).args(words);
    let said = ProgramOutput::from(bash.output().unwrap()).expect(0);
    assert_eq!(said.err, "", "{words:?}");
    assert!(began.elapsed() < WAIT, "{words:?} took {:?}", began.elapsed());
    said.out.lines().map(str::to_owned).collect()
}

#[track_caller]
fn complete(bench: &TestBench, words: &[&str]) -> Vec<String> {
    complete_by(bench, &built(), &script(bench, "bash"), words)
}

/// Submits the sweeps `small` and `first.one` with six trials each.
fn submit_two(bench: &TestBench) {
    for name in ["small", "first.one"] {
        let text = SMALL.replace("name: small", &format!("name: {name}"));
        bench.run(&["submit", bench.file("sweep.yaml", &text)]).expect(0);
    }
}

/// Checks the completions of bash for two sweeps in the state directory `.rheo`.
#[track_caller]
fn check_names(bench: &TestBench) {
    let is = |words: &[&str], expected: &[&str]| assert_eq!(complete(bench, words), expected);
    is(&["rheo", "status", ""], &["first.one", "last", "small"]);
    is(&["rheo", "pause", "small", ""], &["all", "first.one", "last", "small"]);
    is(&["rheo", "show", "sm"], &["small/"]);
    is(
        &["rheo", "show", "small/"],
        &["small/0", "small/1", "small/2", "small/3", "small/4", "small/5"],
    );
    is(&["rheo", "retry", "sm"], &["small", "small/"]);
    is(&["rheo", "launch", "local", "--sweep", "="], &["first.one", "small"]);
    is(&["rheo", "launch", "local", "--sweep", "=", "f"], &["first.one"]);
    is(&["rheo", "--state", ".rheo", "wait", "f"], &["first.one"]);
    is(&["rheo", "wait", "--state", "=", ".rheo", "f"], &["first.one"]);
    is(&["rheo", "wait", "--state", "elsewhere", "f"], &[]);
    // Everything else is completed as before.
    is(&["rheo", "wait", "--time"], &["--timeout"]);
    is(&["rheo", "prev"], &["preview"]);
    assert!(!bench.path().join("elsewhere").exists());
}

#[test]
fn bash_completes_names_from_the_state_at_rest() {
    let bench = TestBench::default();
    submit_two(&bench);
    check_names(&bench);
    bench.run(&["status"]).expect(0);
}

#[test]
fn bash_completes_names_from_a_running_coordinator() {
    let bench = TestBench::default();
    let serve = RunningProgram::start(bench.rheo(&["serve"]));
    let url = wait_for("the coordinator", || bench.url());
    submit_two(&bench);
    check_names(&bench);
    let launch = ["launch", "local", "--name", "nightly", "--max", "1", "--min", "0"];
    bench.run(&launch).expect(0);
    assert_eq!(complete(&bench, &["rheo", "launch", "stop", ""]), ["nightly"]);
    // The option names the coordinator, here as bash breaks the words.
    let port = url.rsplit(':').next().unwrap();
    let words = ["rheo", "--server", "http", ":", "//127.0.0.1", ":", port, "show", "sm"];
    assert_eq!(complete(&bench, &words), ["small/"]);
    bench.run(&["launch", "stop", "nightly"]).expect(0);
    bench.run(&["stop"]).expect(0);
    serve.end().expect(0);
}

#[test]
fn nothing_is_offered_and_nothing_made_without_a_journal() {
    let bench = TestBench::default();
    assert!(complete(&bench, &["rheo", "wait", "x"]).is_empty());
    assert!(!bench.state().exists());
    fs::create_dir(bench.state()).unwrap();
    assert!(complete(&bench, &["rheo", "wait", "x"]).is_empty());
    assert_eq!(fs::read_dir(bench.state()).unwrap().count(), 0);
    fs::write(bench.state().join("journal.redb"), "no journal").unwrap();
    assert!(complete(&bench, &["rheo", "wait", "x"]).is_empty());
    assert_eq!(fs::read(bench.state().join("journal.redb")).unwrap(), b"no journal");
}

#[test]
fn a_server_that_does_not_answer_costs_a_second_and_no_error() {
    let bench = TestBench::default();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let began = Instant::now();
    let said = bench.run(&["complete-names", "rheo", "--server", &url, "show", ""]).expect(0);
    assert!((1..4).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
    let words = ["rheo", "--server", &url, "show", "sm"];
    assert!(complete(&bench, &words).is_empty());
    // No program listens there.
    drop(silent);
    assert!(complete(&bench, &words).is_empty());
    // Nor does one that is no program.
    let nowhere = bench.path().join("empty");
    let script = script(&bench, "bash");
    fs::create_dir(&nowhere).unwrap();
    let mut bash = shell(&bench, "/bin/bash", &nowhere);
    bash.env("PATH", "/usr/bin:/bin").args(["--noprofile", "--norc", "-c", BASH, "bash"]);
    let said = ProgramOutput::from(bash.arg(script).args(words).output().unwrap()).expect(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
}

#[test]
fn installed_completions_know_the_names() {
    let bench = TestBench::default();
    let prefix = bench.path().join("prefix");
    install(&prefix);
    submit_two(&bench);
    let script = prefix.join("share/bash-completion/completions/rheo");
    let names = complete_by(&bench, &prefix.join("bin"), &script, &["rheo", "status", "f"]);
    assert_eq!(names, ["first.one"]);
    for file in ["zsh/site-functions/_rheo", "fish/vendor_completions.d/rheo.fish"] {
        let text = fs::read_to_string(prefix.join("share").join(file)).unwrap();
        assert!(text.contains("rheo complete-names"), "{file}");
    }
}

fn is_installed(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {shell} is not installed");
    }
    found
}

#[test]
fn fish_completes_names() {
    if !is_installed("fish") {
        return;
    }
    let bench = TestBench::default();
    submit_two(&bench);
    let script = script(&bench, "fish");
    for (line, expected) in [
        ("rheo status ", &["first.one", "last", "small"][..]),
        ("rheo --state .rheo show small/5", &["small/5"]),
        ("rheo launch local --sweep=f", &["--sweep=first.one"]),
        ("rheo launch local --sweep f", &["first.one"]),
    ] {
        let mut fish = shell(&bench, "fish", &built());
        fish.env("HOME", bench.path()).args([
            "--no-config",
            "-c",
            "source $argv[1]; complete -C $argv[2]",
        ]);
        let said = ProgramOutput::from(fish.arg(&script).arg(line).output().unwrap()).expect(0);
        assert_eq!(said.err, "", "{line}");
        let words = said.out.lines().map(|line| line.split('\t').next().unwrap());
        assert_eq!(words.collect::<Vec<_>>(), expected, "{line}");
    }
}

#[test]
fn zsh_completes_names() {
    if !is_installed("zsh") || !is_installed("script") {
        return;
    }
    let bench = TestBench::default();
    submit_two(&bench);
    fs::rename(script(&bench, "zsh"), bench.path().join("_rheo")).unwrap();
    for (line, expected) in [
        ("rheo --state=.rheo show f", "rheo --state=.rheo show first.one/"),
        ("rheo launch local --sweep=f", "rheo launch local --sweep=first.one "),
        ("rheo prev", "rheo preview "),
    ] {
        assert_eq!(edited_by_zsh(&bench, line), expected);
    }
}

/// Returns `line` after a tab in zsh, on a terminal of its own.
fn edited_by_zsh(bench: &TestBench, line: &str) -> String {
    let mut terminal = shell(bench, "script", &built());
    terminal.args(["-qec", "zsh -f -i", "/dev/null"]).env("TERM", "xterm").stdin(Stdio::piped());
    terminal.stdout(Stdio::null()).stderr(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    let setup = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D
        save() { print -rn -- \"$BUFFER\" >line; mv line saved }; zle -N save; bindkey ^B save\n";
    let mut keys = terminal.stdin.take().unwrap();
    keys.write_all(format!("{setup}{line}\t\x02").as_bytes()).unwrap();
    let saved = bench.path().join("saved");
    let text = wait_for("zsh", || fs::read_to_string(&saved).ok());
    fs::remove_file(saved).unwrap();
    keys.write_all(b"\x15exit\n").unwrap();
    drop(keys);
    terminal.wait().unwrap();
    text
}
