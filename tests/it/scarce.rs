//! A machine without enough threads, or without a writable spool: the message names what is missing
//! and the remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rheo_tests::{RunningProgram, TestBench, program, wait_for};
use rustix::process::geteuid;

/// A user of whom nothing runs on this machine.
const NOBODY: &str = "54321";

/// `rheo schema` by a user who may have so many threads and processes. The kernel does not count those
/// of root, so that another user is needed if root tests.
fn schema_with_threads(bench: &TestBench, most: &str) -> RunningProgram {
    // Others may not read where the programs were built.
    fs::set_permissions(bench.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = bench.path().join("rheo");
    fs::copy(program("rheo"), &copy).unwrap();
    let mut command = if geteuid().is_root() {
        let mut other = Command::new("setpriv");
        other.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--", "prlimit"]);
        other
    } else {
        Command::new("prlimit")
    };
    command.arg(format!("--nproc={most}:{most}")).arg("--").arg(copy).arg("schema");
    command.current_dir(bench.path()).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    RunningProgram::start(command)
}

#[test]
fn a_user_without_threads_is_told_so() {
    for most in ["1", "3", "8"] {
        let bench = TestBench::default();
        let said = schema_with_threads(&bench, most).end().expect(1);
        let expected = format!("this user may have {most} threads and processes");
        assert!(said.err.contains(&expected) && said.err.contains("`ulimit -u`"), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    schema_with_threads(&TestBench::default(), "2000").end().expect(0);
}

#[test]
fn a_worker_whose_spool_cannot_be_written_says_which_and_what_to_do() {
    let bench = TestBench::default();
    let _serve = RunningProgram::start(bench.rheo(&["serve"]));
    wait_for("the coordinator", || bench.url());
    // Root may write in every directory, but in none that is a file.
    bench.file("taken", "");
    for spool in ["taken", "taken/below"] {
        let spool = bench.path().join(spool);
        let mut worker = bench.worker(&["--slots", "1"]);
        worker.env("RHEO_SPOOL", &spool);
        let said = RunningProgram::start(worker).end().expect(2);
        assert!(said.err.contains("`--spool` or RHEO_SPOOL"), "{}", said.err);
        assert!(said.err.contains(&*spool.to_string_lossy()), "{}", said.err);
        assert!(said.err.contains("Not a directory (os error 20)"), "{}", said.err);
    }
}
