//! Files that are none, have no end or never begin, and text that is longer than a message should
//! be: each is refused soon, in little memory, in few words.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for, within};

use crate::sweeps::SMALL;

/// The most bytes of an error.
const SAID: usize = 4 << 10;

/// Address space that is enough to refuse a file, and not enough to read one without an end.
const SPACE: &str = "--as=536870912";

/// Address space that is enough for a query, whose planner has a large stack.
const QUERY_SPACE: &str = "--as=1073741824";

fn rheo(bench: &TestBench, arguments: &[&str], settings: &[(&str, &str)]) -> ProgramOutput {
    let mut command = within(&[SPACE], &bench.rheo(arguments));
    command.envs(settings.iter().copied());
    RunningProgram::start(command).end()
}

fn pipe(bench: &TestBench, name: &str) {
    let made = Command::new("mkfifo").arg(bench.path().join(name)).status().unwrap();
    assert!(made.success());
}

/// A pipe to which nobody writes, and what is said about it.
const PIPE: (&str, &str) = ("pipe", "nothing came for `10` seconds");

/// Files that nobody should read to their end, and what is said about each.
fn oddities(bench: &TestBench) -> Vec<(&'static str, &'static str)> {
    pipe(bench, PIPE.0);
    fs::create_dir(bench.path().join("directory")).unwrap();
    let sparse = File::create(bench.path().join("sparse")).unwrap();
    sparse.set_len(64 << 30).unwrap();
    symlink("/dev/zero", bench.path().join("link")).unwrap();
    vec![
        ("/dev/zero", "it is a device, not a file"),
        ("link", "it is a device, not a file"),
        ("directory", "it is a directory"),
        ("sparse", "it has more than `"),
    ]
}

/// Checks that a refusal names the file and the reason, in few words.
#[track_caller]
fn check(said: &ProgramOutput, code: i32, (file, reason): (&str, &str)) {
    assert_eq!(said.code(), code, "{file}\n{}\n{}", said.out, said.err);
    assert!(said.err.contains(reason), "{file}: {reason}\n{}", said.err);
    assert!(said.err.contains(file), "{file}\n{}", said.err);
    assert!(said.err.len() <= SAID, "{file}\n{}", said.err);
}

#[test]
fn files_that_are_no_sweep_are_refused_soon_and_by_name() {
    let bench = TestBench::default();
    for oddity in oddities(&bench) {
        for command in ["preview", "submit", "run"] {
            check(&rheo(&bench, &[command, oddity.0], &[]), 2, oddity);
        }
    }
    check(&rheo(&bench, &["preview", PIPE.0], &[]), 2, PIPE);
}

#[test]
fn files_with_secrets_are_read_within_bounds_by_both_programs() {
    let bench = TestBench::default();
    for oddity in oddities(&bench) {
        for variable in ["RHEO_TOKEN_FILE", "RHEO_CA_FILE"] {
            let settings = [(variable, oddity.0), ("RHEO_SERVER", "https://127.0.0.1:1")];
            check(&rheo(&bench, &["status"], &settings), 2, oddity);
            let mut command = bench.worker(&[]);
            command.envs(settings);
            // libtorch alone maps more than the bound of `rheo`.
            check(&RunningProgram::start(command).end(), 2, oddity);
        }
        let listen = ["serve", "--listen", "0.0.0.0:0"];
        for variable in ["RHEO_TOKEN_FILE", "RHEO_WORKER_TOKEN_FILE"] {
            check(&rheo(&bench, &listen, &[(variable, oddity.0)]), 2, oddity);
        }
        let certificate = [("RHEO_TLS_CERT", oddity.0), ("RHEO_TLS_KEY", "no.key")];
        check(&rheo(&bench, &listen, &certificate), 2, oddity);
    }
    let settings = [("RHEO_TOKEN_FILE", PIPE.0), ("RHEO_SERVER", "https://127.0.0.1:1")];
    check(&rheo(&bench, &["status"], &settings), 2, PIPE);
}

#[test]
fn files_for_clusters_are_read_within_bounds() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    for oddity in oddities(&bench) {
        let slurm = ["launch", "slurm", "small", "--setup", oddity.0, "--dry-run"];
        check(&rheo(&bench, &slurm, &[]), 2, oddity);
        let kubernetes = ["launch", "kubernetes", "small", "--image", "rheo", "--dry-run"];
        let said = rheo(&bench, &kubernetes, &[("KUBECONFIG", oddity.0)]);
        assert!(said.err.len() <= SAID, "{}", said.err);
    }
}

#[test]
fn files_of_a_state_directory_are_read_within_bounds() {
    for (name, code) in [("places.json", 2), ("tls/ca.key", 2), ("tls/admin.token", 2)] {
        let bench = TestBench::default();
        fs::create_dir_all(bench.state().join("tls")).unwrap();
        symlink("/dev/zero", bench.state().join(name)).unwrap();
        let said = rheo(&bench, &["serve", "--listen", "0.0.0.0:0"], &[]);
        check(&said, code, (name, "it is a device, not a file"));
    }
}

#[test]
fn a_sweep_file_and_a_query_may_come_through_a_pipe() {
    let bench = TestBench::default();
    bench.file("small.yaml", SMALL);
    let rheo = bench.rheo(&[]).get_program().to_str().unwrap().to_owned();
    for script in [
        format!("'{rheo}' preview <(cat small.yaml)"),
        format!("cat small.yaml | '{rheo}' preview /dev/stdin"),
        format!("'{rheo}' preview /dev/stdin <small.yaml"),
        format!("mkfifo p; (cat small.yaml >p) & '{rheo}' preview p"),
    ] {
        let said = bash(&bench, &script, SPACE).expect(0);
        assert!(said.out.contains("small: 6 trials"), "{script}\n{}", said.out);
    }
    bash(&bench, &format!("cat small.yaml | '{rheo}' submit /dev/stdin"), SPACE).expect(0);
    let sql = "select 1 as one";
    let query = format!("echo '{sql}' | '{rheo}' query - -o csv");
    assert_eq!(bash(&bench, &query, QUERY_SPACE).expect(0).out, "one\n1\n");
    let said = bash(&bench, &query, SPACE).expect(2);
    assert!(said.err.contains("raise the limit on address space (`ulimit -v`)"), "{}", said.err);
    let said = bash(&bench, &format!("'{rheo}' query - </dev/zero"), SPACE).expect(2);
    assert!(said.err.contains("it has more than `262144` bytes"), "{}", said.err);
}

fn bash(bench: &TestBench, script: &str, space: &str) -> ProgramOutput {
    let rheo = bench.rheo(&[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", script]).current_dir(rheo.get_current_dir().unwrap());
    shell.envs(rheo.get_envs().filter_map(|(name, value)| Some((name, value?))));
    RunningProgram::start(within(&[space], &shell)).end()
}

#[test]
fn a_pipe_that_stays_silent_is_given_up() {
    let bench = TestBench::default();
    pipe(&bench, PIPE.0);
    let path = bench.path().join(PIPE.0);
    let writer = std::thread::spawn(move || File::options().write(true).open(path).unwrap());
    check(&rheo(&bench, &["preview", PIPE.0], &[]), 2, PIPE);
    drop(writer.join().unwrap());
}

#[test]
fn long_text_is_not_repeated() {
    let bench = TestBench::default();
    bench.run(&["submit", bench.file("small.yaml", SMALL)]).expect(0);
    let long = "x".repeat(120_000);
    let trial = format!("{long}/0");
    let url = format!("http://{long}");
    let quoted = format!("select \"{long}\" from trials");
    let table = format!("select * from {long}");
    let function = format!("select {long}(1)");
    let text = format!("select cast('{long}' as int)");
    let syntax = format!("select a b {long}");
    for arguments in [
        &["status", &long][..],
        &["show", &trial],
        &["trials", &long],
        &["trials", "small", "--status", &long],
        &["pause", &long],
        &["retry", &long],
        &["wait", &long],
        &["preview", &long],
        &["status", "--state", &long],
        &["status", "--server", &long],
        &["status", "--server", &url],
        &["status", "--output", &long],
        &["serve", "--listen", &long],
        &["serve", "--lease", &long],
        &["query", &quoted],
        &["query", &table],
        &["query", &function],
        &["query", &text],
        &["query", &syntax],
        &["query", &long],
        &["analyze", &trial, "--only", &long],
        &["checkpoint", "export", &trial],
        &["data", "fetch", &long],
        &[&long],
    ] {
        let said = bench.run(arguments);
        assert_ne!(said.code(), 0, "{arguments:.80?}");
        assert!(said.err.len() <= SAID, "{} bytes: {:.300}", said.err.len(), said.err);
        assert!(said.err.contains("xxx"), "it says what is wrong: {:.300}", said.err);
    }
}

#[test]
fn sweep_files_with_long_lines_are_answered_in_few_words() {
    let bench = TestBench::default();
    let long = "x".repeat(400_000);
    let many: String = (0..20_000).map(|n| format!("unknown_{n}: 1\n")).collect();
    for (text, most) in [
        (format!("name: {long}\n"), SAID),
        (format!("{long}: 1\nname: small\n"), SAID),
        (format!("name: small\n{long}\n"), SAID),
        (format!("name: small\nnetwork: {{kind: {long}}}\n"), SAID),
        (format!("name: small\nparameters: {{{long}: {{values: [1]}}}}\n"), SAID),
        (format!("name: small\nconstraints: ['{long}']\n"), SAID),
        (format!("name: small\ndescription: {long}\nnetwork: {{hidden: -1}}\n"), SAID),
        (format!("name: small\nnetwork: {}1{}\n", "[".repeat(50_000), "]".repeat(50_000)), SAID),
        (format!("name: small\n{many}"), 64 << 10),
    ] {
        let file = bench.file("long.yaml", &text);
        let said = rheo(&bench, &["preview", file], &[]).expect(2);
        assert!(said.err.len() <= most, "{} bytes: {:.300}", said.err.len(), said.err);
        assert!(said.err.contains("long.yaml"), "{:.300}", said.err);
    }
}

#[test]
fn an_invalid_address_file_does_not_delay_clients() {
    let bench = TestBench::default();
    let _serve = RunningProgram::start(bench.rheo(&["serve"]));
    let file = bench.state().join("server");
    wait_for("the coordinator", || file.exists().then_some(()));
    for target in [Path::new("/dev/zero"), bench.path()] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        let said = rheo(&bench, &["status"], &[]);
        assert_eq!(said.code(), 3, "{}", said.err);
        assert!(said.err.len() <= SAID, "{}", said.err);
    }
}
