//! Test bench of the whole-system tests: a directory per test, the real programs, signals, and
//! waits for a condition with a deadline.
//!
//! The programs are those built by `cargo build --bins`; `make test` runs it first.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test helper panics like the test")]
#![expect(clippy::missing_panics_doc, reason = "test helpers panic when a test fails")]

pub mod object_store;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Maximum duration of any wait in a test.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Variables that assign GPUs.
const GPUS: [&str; 4] =
    ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"];

/// A directory with a state directory in it, and the programs to run there.
#[derive(Debug)]
pub struct TestBench {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

/// Output and exit status of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit status.
    pub status: ExitStatus,
}

impl ProgramOutput {
    /// Returns the exit code.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Panics unless the program ended with this code.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "most callers only need the check")]
    pub fn expect(self, code: i32) -> Self {
        let (found, out, err) = (self.code(), &self.out, &self.err);
        assert_eq!(found, code, "exit code\n--- out\n{out}\n--- err\n{err}");
        self
    }

    /// Returns standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{}\n{}", self.out, self.err))
    }
}

impl From<Output> for ProgramOutput {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { out: text(output.stdout), err: text(output.stderr), status: output.status }
    }
}

impl Default for TestBench {
    fn default() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }
}

impl TestBench {
    /// Returns a bench whose programs have these environment variables.
    pub fn with(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { environment: environment.into_iter().collect(), ..Self::default() }
    }

    /// Returns the directory in which programs run.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the state directory.
    pub fn state(&self) -> PathBuf {
        self.path().join(".rheo")
    }

    /// Returns the address of the coordinator from the state directory.
    pub fn url(&self) -> Option<String> {
        let text = fs::read_to_string(self.state().join("server")).ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// Returns the token of users or of workers, as the value of a header.
    pub fn bearer(&self, role: &str) -> String {
        let path = self.state().join("tls").join(format!("{role}.token"));
        format!("Bearer {}", fs::read_to_string(path).unwrap().trim())
    }

    /// Writes a file and returns its name.
    pub fn file<'n>(&self, name: &'n str, text: &str) -> &'n str {
        fs::write(self.path().join(name), text).unwrap();
        name
    }

    /// Returns `rheo` with these arguments, in an environment without settings of the machine.
    pub fn rheo(&self, args: &[&str]) -> Command {
        self.program("rheo", args)
    }

    /// Returns `rheo-worker` with these arguments.
    pub fn worker(&self, args: &[&str]) -> Command {
        let mut command = self.program("rheo-worker", args);
        command.env("RHEO_SPOOL", self.path().join("spool"));
        command.env("RHEO_SAMPLES", self.path().join("samples"));
        command
    }

    fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("RHEO_") || GPUS.contains(&&*name) {
                command.env_remove(variable);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The first epochs of tests are too short to profit from more threads.
        command.env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs `rheo` to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> ProgramOutput {
        finish(self.rheo(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Returns the rows of a query.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let rows = self.run(&["query", sql, "--output", "json"]).expect(0).json();
        rows.as_array().unwrap().clone()
    }

    /// Returns the single value of a query.
    #[track_caller]
    pub fn value(&self, sql: &str) -> Value {
        let rows = self.query(sql);
        let row =
            rows.first().and_then(Value::as_object).unwrap_or_else(|| panic!("no row: {sql}"));
        row.values().next().unwrap().clone()
    }

    /// Returns the single number of a query.
    #[track_caller]
    pub fn number(&self, sql: &str) -> u64 {
        self.value(sql).as_u64().unwrap_or_else(|| panic!("not a number: {sql}"))
    }

    /// Returns the process ids of the workers in this bench.
    pub fn worker_pids(&self) -> Vec<u32> {
        let here = self.path().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
        let ours = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let place = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            name.trim() == "rheo-worker" && place == here
        };
        processes.filter_map(pid).filter(ours).collect()
    }
}

/// A running program; killed if the test ends first.
#[derive(Debug)]
pub struct RunningProgram(Option<Child>);

impl RunningProgram {
    /// Starts a program and captures its output.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Whether the program is still running.
    pub fn is_running(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> ProgramOutput {
        finish(self.0.take().unwrap())
    }

    /// Kills it with SIGKILL, as a power failure would.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the same program with these options of `prlimit`, such as `--as=1000000000`.
pub fn within(limits: &[&str], command: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited.args(limits).arg("--").arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// Returns the peak memory of a process, in MiB.
pub fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Sends a signal to a process.
pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended already.
    let _ = kill_process(pid, signal);
}

/// Waits for a program, reading its output meanwhile.
#[track_caller]
fn finish(child: Child) -> ProgramOutput {
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(DEADLINE) else {
        send(pid, Signal::KILL);
        panic!("the program did not end within {DEADLINE:?}");
    };
    output.unwrap().into()
}

/// Returns a program that was built beside the tests.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.is_file(), "`{}` is missing: run `cargo build --bins` first", path.display());
    path
}

/// Waits until `condition` returns a value.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test waits for real processes, with a deadline")]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits for a time that cannot be observed, such as the lease of a stopped process.
#[expect(clippy::disallowed_methods, reason = "a test waits for real processes")]
pub fn outlast(duration: Duration) {
    let until = Instant::now() + duration;
    wait_for("time to pass", || (Instant::now() >= until).then_some(()));
}

/// Returns the directory of real MNIST, if there is one; otherwise prints that `test` is skipped.
pub fn mnist(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("RHEO_DATA").map(PathBuf::from);
    if found.is_none() {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: {test}: RHEO_DATA is not set to a directory with MNIST");
        }
    }
    found
}

/// Returns the directory of the installed readers; prints that the test is skipped if they are
/// missing.
pub fn readers() -> Option<PathBuf> {
    let cache = std::env::var_os("RHEO_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/rheobase"));
    let found = cache.or_else(home)?.join("tools/python");
    if found.is_dir() {
        return Some(found);
    }
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: pyarrow, DuckDB and Polars are missing: run `deploy/tools.sh python`");
    }
    None
}
