//! Workers as child processes on this machine.
//!
//! A worker that dies is restarted, because its trials resume from their last commit; a worker that
//! dies at every start is abandoned, with the end of its log. Children hold the read end of a pipe
//! whose write end only this process has, so that they notice its death and leave.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The runtime below which a death counts as early.
const EARLY_DEATH: Duration = Duration::from_secs(10);

/// The exit code of a worker that can run no trial; a restart would not help.
const UNFIT_EXIT: i32 = 1;

/// The number of consecutive early deaths after which a worker is abandoned.
const MAX_EARLY_DEATHS: u32 = 4;

/// The exit code of a worker with invalid settings or denied access; a restart would not help.
const USAGE_EXIT: i32 = 2;

/// The number of log lines in an error.
const LAST_LINES: usize = 10;

/// The number of bytes at the end of a log that are searched for its last lines.
const LAST_BYTES: u64 = 16 << 10;

/// A group of worker processes.
#[derive(Debug, Clone)]
pub struct WorkerProcesses {
    /// The program.
    pub program: PathBuf,
    /// The arguments of the program.
    pub args: Vec<OsString>,
    /// The number of processes.
    pub count: u32,
    /// Additional environment variables of each process, in order; further processes have none.
    pub variables: Vec<BTreeMap<String, String>>,
    /// The directory of logs, one file per process.
    pub logs: PathBuf,
    /// The time that a process may take to leave after SIGTERM.
    pub grace: Duration,
}

/// An error of a worker process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The log could not be written.
    #[error("cannot write the log `{}`", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A worker exits because of invalid settings or denied access.
    #[error("worker {number} does not start; the end of `{}`:\n{last}", log.display())]
    Misconfigured {
        /// The number of the worker, from 1.
        number: u32,
        /// The log.
        log: PathBuf,
        /// The last lines of the log.
        last: String,
    },
    /// Every worker has left because it can run no trial.
    #[error("worker {number} can run no trial and has left; the end of `{}`:\n{last}", log.display())]
    Unfit {
        /// The number of the worker, from 1.
        number: u32,
        /// The log.
        log: PathBuf,
        /// The last lines of the log.
        last: String,
    },
    /// A worker died at every start.
    #[error("worker {number} keeps dying ({status}); the end of `{}`:\n{last}", log.display())]
    Crashing {
        /// The number of the worker, from 1.
        number: u32,
        /// The last exit status.
        status: ExitStatus,
        /// The log.
        log: PathBuf,
        /// The last lines of the log.
        last: String,
    },
}

impl WorkerProcesses {
    /// Runs the workers until each has left, or until `stop`; then sends SIGTERM, and SIGKILL after
    /// the grace period. Unfit workers are an error only if all are unfit.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), Error> {
        let tracker = TaskTracker::new();
        let failed = stop.child_token();
        let mut handles = Vec::new();
        for number in 1..=self.count {
            let (workers, stop, failed) = (self.clone(), stop.clone(), failed.clone());
            handles.push(tracker.spawn(async move {
                let result = workers.supervise(number, &failed).await;
                let unfit = matches!(result, Err(Error::Unfit { .. }));
                if result.is_err() && !unfit && !stop.is_cancelled() {
                    // The others would fail in the same way.
                    failed.cancel();
                }
                result
            }));
        }
        tracker.close();
        let (mut result, mut unfit) = (Ok(()), Vec::new());
        for handle in handles {
            match handle.await {
                Ok(Err(error @ Error::Unfit { .. })) => unfit.push(error),
                Ok(Err(error)) => result = result.and(Err(error)),
                Ok(Ok(())) | Err(_) => {}
            }
        }
        let all = unfit.len() == self.count as usize;
        result.and(unfit.pop().filter(|_| all).map_or(Ok(()), Err))
    }

    async fn supervise(&self, number: u32, stop: &CancellationToken) -> Result<(), Error> {
        let mut early_deaths = 0;
        loop {
            let began = Instant::now();
            let (mut child, alive) = self.start(number)?;
            let status = tokio::select! {
                status = child.wait() => status,
                () = stop.cancelled() => {
                    stop_child(&mut child, self.grace).await;
                    drop(alive);
                    return Ok(());
                }
            };
            let status = status.map_err(|source| self.start_error(source))?;
            if status.success() || stop.is_cancelled() {
                return Ok(());
            }
            if status.code() == Some(USAGE_EXIT) {
                let log = self.log(number);
                let last = last_lines(&log);
                return Err(Error::Misconfigured { number, log, last });
            }
            if status.code() == Some(UNFIT_EXIT) {
                tracing::warn!(number, "worker can run no trial and has left");
                let log = self.log(number);
                let last = last_lines(&log);
                return Err(Error::Unfit { number, log, last });
            }
            early_deaths = if began.elapsed() < EARLY_DEATH { early_deaths + 1 } else { 1 };
            tracing::warn!(number, %status, "worker died; restarting it");
            if early_deaths >= MAX_EARLY_DEATHS {
                let log = self.log(number);
                let last = last_lines(&log);
                return Err(Error::Crashing { number, status, log, last });
            }
            let pause = Duration::from_millis(100 << early_deaths);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn start(&self, number: u32) -> Result<(Child, Option<ChildStdin>), Error> {
        let path = self.log(number);
        let log_error = |source| Error::Log { path: path.clone(), source };
        std::fs::create_dir_all(&self.logs).map_err(log_error)?;
        let open = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let log = open.map_err(log_error)?;
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.variables_of(number))
            // May belong to another coordinator. The worker finds its files in the state directory.
            .env_remove("RHEO_TOKEN_FILE")
            .env_remove("RHEO_CA_FILE")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(log_error)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| self.start_error(source))?;
        let alive = child.stdin.take();
        Ok((child, alive))
    }

    fn start_error(&self, source: io::Error) -> Error {
        Error::Start { program: self.program.clone(), source }
    }

    /// The additional variables of process `number`, counted from 1.
    fn variables_of(&self, number: u32) -> impl Iterator<Item = (&String, &String)> {
        let position = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        self.variables.get(position).into_iter().flatten()
    }

    fn log(&self, number: u32) -> PathBuf {
        self.logs.join(format!("worker-{number}.log"))
    }
}

/// Sends SIGTERM to a worker, and SIGKILL if it does not leave within the grace period.
async fn stop_child(child: &mut Child, grace: Duration) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may just have left.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        tracing::warn!("worker did not leave in time; killing it");
        let _ = child.kill().await;
    }
}

fn last_lines(log: &Path) -> String {
    let text = end_of(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut last: VecDeque<&str> = VecDeque::new();
    for line in text.lines() {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Reads the last bytes of a log.
fn end_of(log: &Path) -> io::Result<Vec<u8>> {
    let mut log = File::open(log)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut end = Vec::new();
    log.take(LAST_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> WorkerProcesses {
        WorkerProcesses {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            count: 1,
            variables: Vec::new(),
            logs: logs.to_owned(),
            grace: Duration::from_secs(20),
        }
    }

    #[tokio::test]
    async fn a_dead_worker_is_restarted_until_it_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("mark");
        let script = format!("test -e {0} && exit 0; touch {0}; kill -9 $$", mark.display());
        shell(&script, directory.path()).run(CancellationToken::new()).await.unwrap();
        assert!(mark.exists());
    }

    #[tokio::test]
    async fn a_crashing_worker_is_abandoned_with_its_last_log_lines() {
        let directory = tempfile::tempdir().unwrap();
        let workers = shell("echo no libtorch here >&2; exit 7", directory.path());
        let error = workers.run(CancellationToken::new()).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.ends_with("  no libtorch here"), "{error}");
    }

    #[tokio::test]
    async fn a_worker_with_invalid_settings_is_started_once() {
        let directory = tempfile::tempdir().unwrap();
        let workers = shell("echo no such setting >&2; exit 2", directory.path());
        let error = workers.run(CancellationToken::new()).await.unwrap_err();
        assert!(matches!(&error, Error::Misconfigured { last, .. } if last == "  no such setting"));
    }

    #[tokio::test]
    async fn a_worker_that_gives_up_is_not_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let script = format!("echo started >>{0}/starts; echo no data >&2; exit 1", path.display());
        let error = shell(&script, path).run(CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().ends_with("  no data"), "{error}");
        assert_eq!(std::fs::read_to_string(path.join("starts")).unwrap(), "started\n");
        // One of two that gives up holds the other up in no way.
        let script = format!("mkdir {0}/one 2>/dev/null && exit 1; exit 0", path.display());
        let two = WorkerProcesses { count: 2, ..shell(&script, path) };
        two.run(CancellationToken::new()).await.unwrap();
    }

    #[tokio::test]
    async fn asked_to_stop_workers_leave_in_their_own_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let script = format!(
            "trap 'echo left >{0}/left; exit 0' TERM; touch {0}/ready; while :; do sleep 0.01; done",
            path.display()
        );
        let stop = CancellationToken::new();
        let workers = shell(&script, path);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { workers.run(stop).await }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !path.join("ready").exists() {
            assert!(Instant::now() < deadline, "the worker did not start");
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        assert!(path.join("left").exists());
    }
}
