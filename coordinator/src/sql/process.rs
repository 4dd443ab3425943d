//! The coordinator's side of the process of a query.
//!
//! A planner can recurse and a kernel can allocate gigabytes; while they compute, only a process
//! can be stopped from outside. The process runs this same program, gets the snapshot on standard
//! input, and is killed when the reply is dropped or exceeds its time. It creates and removes a
//! directory for temporary files; for a killed process the directory is removed here.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rheo_core::definition::SweepDefinition;
use rheo_core::excerpt::excerpt;
use rheo_core::id::SweepName;
use rheo_core::sweep::SweepEndReason;
use rheo_proto::refusal::{self, Reason};
use rheo_query::{Dataset, Limits, Pin, RankingRule};
use rheo_store::storage_url::StorageUrl;
use rheo_store::{JournalView, PartIndex, PendingFilter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::child;
use super::frame::{BlobHeader, Frame, QueryError, QueryErrorKind, QueryRequest};

/// This program, even if its file was replaced.
const SELF: &str = "/proc/self/exe";

/// Bytes of standard error that are kept: enough for the reason of an exit.
const MAX_STDERR: usize = 4 << 10;

/// Signals of the kernel on a stack overflow.
const OVERFLOW_SIGNALS: [i32; 2] = [7, 11];

/// The signal of the kernel when the machine is out of memory.
const KILL_SIGNAL: i32 = 9;

/// Bytes of pending rows per message, and the number of messages that may wait.
const PIECE_BYTES: usize = 256 << 10;
const QUEUE: usize = 4;

/// A snapshot of the results.
pub(super) struct JournalSnapshot {
    /// The pin that keeps the parts readable.
    pub(super) pin: Pin,
    pub(super) index: PartIndex,
    /// The journal, with the pending rows.
    pub(super) view: Box<dyn JournalView>,
    /// The ranking rule of each sweep.
    pub(super) contests: BTreeMap<SweepName, RankingRule>,
    /// The definitions of the sweeps that the query needs.
    pub(super) definitions: BTreeMap<SweepName, SweepDefinition>,
    /// The reasons of the sweeps that start no further trial.
    pub(super) end_reasons: BTreeMap<SweepName, SweepEndReason>,
}

/// The process of a query; a drop ends it.
pub(super) struct QueryProcess {
    running: Option<ScratchChild>,
    out: BufReader<ChildStdout>,
    /// Standard input; its end makes the process exit.
    _stdin: ChildStdin,
    stderr: JoinHandle<Vec<u8>>,
    limits: Limits,
    /// Remaining computing time.
    left: Duration,
    /// The dataset that records verified and damaged parts.
    dataset: Dataset,
    _pin: Pin,
}

/// The process and its directory of temporary files.
struct ScratchChild {
    child: Child,
    scratch: PathBuf,
}

impl ScratchChild {
    async fn end(mut self) -> Option<ExitStatus> {
        // The process may have ended by itself.
        let _ = self.child.start_kill();
        let status = self.child.wait().await.ok();
        // Nobody writes there any more.
        let _ = std::fs::remove_dir_all(&self.scratch);
        status
    }
}

impl Drop for QueryProcess {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // A dropped child is killed in any case; with a runtime, its exit is awaited.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(running.end());
        }
    }
}

impl QueryProcess {
    /// Starts `sql` on a snapshot of the results in `place`.
    pub(super) async fn start(
        sql: String,
        place: &StorageUrl,
        dataset: &Dataset,
        snapshot: JournalSnapshot,
        limits: Limits,
    ) -> Result<Self, Status> {
        let JournalSnapshot { pin, mut index, view, contests, definitions, end_reasons } = snapshot;
        for part in index.parts.iter_mut().filter(|part| dataset.is_checked(part)) {
            part.digest = None;
        }
        let start = async {
            let scratch = std::env::temp_dir().join(format!("rheo-query-{}", Uuid::now_v7()));
            let mut child = command(&scratch).spawn()?;
            let missing = || io::Error::other("no pipe");
            let mut stdin = child.stdin.take().ok_or_else(missing)?;
            let out = child.stdout.take().ok_or_else(missing)?;
            let err = child.stderr.take().ok_or_else(missing)?;
            let stderr = tokio::spawn(read_stderr(err));
            let request = build_request(sql, place, index, limits);
            let request = QueryRequest { contests, definitions, end_reasons, ..request };
            let running = Some(ScratchChild { child, scratch });
            send_request(&mut stdin, &request.encode()?, view).await?;
            io::Result::Ok(Self {
                running,
                out: BufReader::new(out),
                _stdin: stdin,
                stderr,
                limits,
                left: limits.time,
                dataset: dataset.clone(),
                _pin: pin,
            })
        };
        start.await.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::WouldBlock => {
                    ": this user may start no more threads and processes (`ulimit -u`)"
                }
                _ => "",
            };
            let text = format!("cannot start the process of the query: {error}{remedy}");
            refusal::status(&Reason::Storage, text, None)
        })
    }

    /// Returns the next chunk of the reply; none at its end. After that, and after an error, the
    /// process has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let begin = Instant::now();
            match self.read().await? {
                Frame::Piece(piece) => return Ok(Some(piece)),
                Frame::Checked(parts) => {
                    // The verification of parts, once per start, does not count as the query's
                    // time.
                    self.left += begin.elapsed();
                    self.dataset.learn(parts, None);
                }
                Frame::Problem(problem) => {
                    self.end().await;
                    return Err(self.error_status(problem));
                }
                Frame::End => {
                    self.end().await;
                    return Ok(None);
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Frame, Status> {
        let begin = Instant::now();
        let read = tokio::time::timeout(self.left, Frame::read(&mut self.out)).await;
        self.left = self.left.saturating_sub(begin.elapsed());
        match read {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(_)) => Err(self.exit_error().await),
            Err(_) => {
                self.end().await;
                Err(self.timeout_error())
            }
        }
    }

    /// Ends the process and removes its temporary files.
    pub(super) async fn end(&mut self) -> Option<ExitStatus> {
        self.running.take()?.end().await
    }

    fn error_status(&self, problem: QueryError) -> Status {
        match problem.kind {
            QueryErrorKind::Invalid => refusal::status(&Reason::InvalidQuery, problem.text, None),
            QueryErrorKind::Exhausted => self.memory_error(),
            QueryErrorKind::Damaged => {
                self.dataset.learn(Vec::new(), problem.damaged.as_deref());
                refusal::status(&Reason::ResultsDamaged, problem.text, None)
            }
            QueryErrorKind::Failed => refusal::status(&Reason::QueryFailed, problem.text, None),
        }
    }

    /// Derives the error of a process that ended without a last frame.
    async fn exit_error(&mut self) -> Status {
        // Its output has ended, so the process is about to exit and need not be killed.
        let status = match &mut self.running {
            Some(running) => running.child.wait().await.ok(),
            None => None,
        };
        self.end().await;
        let stderr = (&mut self.stderr).await.unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr);
        let signal = status.and_then(|status| status.signal());
        let is_memory = ["memory allocation of", "annot allocate memory", "out of memory"];
        if is_memory.iter().any(|sign| stderr.contains(sign)) || signal == Some(KILL_SIGNAL) {
            return self.memory_error();
        }
        if stderr.contains("overflowed its stack")
            || signal.is_some_and(|it| OVERFLOW_SIGNALS.contains(&it))
        {
            let text = "the query is nested too deeply to be planned: nest fewer expressions and subqueries, or ask several queries";
            return refusal::status(&Reason::QueryLimit, text, None);
        }
        let status = status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
        let stderr = excerpt(stderr.trim());
        let text = format!("the process of the query ended unexpectedly ({status}): {stderr}");
        refusal::status(&Reason::QueryFailed, text, None)
    }

    fn memory_error(&self) -> Status {
        let (memory, disk) = (self.limits.memory >> 20, self.limits.disk >> 20);
        let text = format!(
            "the query needs more memory than it may have: a query has `{memory}` MiB and `{disk}` MiB of temporary files: select fewer rows or columns, or raise RHEO_QUERY_MEMORY (MiB) for `rheo serve`, or for this command if no coordinator runs"
        );
        refusal::status(&Reason::QueryLimit, text, None)
    }

    fn timeout_error(&self) -> Status {
        let seconds = self.limits.time.as_secs_f64();
        let text = format!(
            "the query was stopped after `{seconds}` seconds of computing, the most that a query may take: select less, or raise RHEO_QUERY_TIME (seconds) for `rheo serve`, or for this command if no coordinator runs"
        );
        refusal::status(&Reason::QueryLimit, text, None)
    }
}

fn command(scratch: &Path) -> Command {
    let mut command = Command::new(SELF);
    command
        .arg0("rheo")
        .arg(child::ARGUMENT)
        .arg(scratch)
        // Arenas of the allocator reserve address space, which is limited.
        .env("MALLOC_ARENA_MAX", "2")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // An interrupt is for the coordinator, with which the query ends and removes its files.
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn build_request(
    sql: String,
    place: &StorageUrl,
    index: PartIndex,
    limits: Limits,
) -> QueryRequest {
    let (directory, bucket) = match place {
        StorageUrl::Directory(path) => (Some(path.clone()), None),
        StorageUrl::Bucket(address) => (None, Some(address.to_string())),
    };
    QueryRequest {
        sql,
        directory,
        bucket,
        parts: index.parts,
        retractions: index.retractions,
        contests: BTreeMap::new(),
        definitions: BTreeMap::new(),
        end_reasons: BTreeMap::new(),
        memory: limits.memory,
        disk: limits.disk,
        threads: limits.threads,
    }
}

/// Sends the request and the pending rows, of which only a few are in memory at a time.
async fn send_request(
    input: &mut ChildStdin,
    header: &[u8],
    view: Box<dyn JournalView>,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel(QUEUE);
    let reading = tokio::task::spawn_blocking(move || read_pending(&*view, &sender));
    let writing = async {
        input.write_all(header).await?;
        while let Some(piece) = pieces.recv().await {
            input.write_all(&piece).await?;
        }
        input.write_all(&BlobHeader::END).await?;
        input.flush().await
    };
    // If the process dies now, its output and exit status give the error.
    let _ = writing.await;
    drop(pieces);
    reading.await.map_err(io::Error::other)?
}

/// Sends the pending rows of a view, several blobs at a time, until the receiver is gone.
fn read_pending(view: &dyn JournalView, sender: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let (mut piece, mut failed) = (Vec::new(), Ok(()));
    let read = view.pending(&PendingFilter::default(), &mut |rows| {
        let head = BlobHeader {
            sweep: rows.trial.sweep,
            position: rows.key.position,
            table: rows.table,
            rows: rows.rows,
            bytes: rows.ipc.len() as u64,
        };
        match head.encode() {
            Ok(head) => piece.extend(head),
            Err(error) => {
                failed = Err(error);
                return ControlFlow::Break(());
            }
        }
        piece.extend_from_slice(rows.ipc);
        if piece.len() < PIECE_BYTES || sender.blocking_send(std::mem::take(&mut piece)).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    read.map_err(io::Error::other)?;
    // The receiver may be gone.
    let _ = sender.blocking_send(piece);
    failed
}

/// Reads standard error to its end and keeps the beginning.
async fn read_stderr(mut err: ChildStderr) -> Vec<u8> {
    let mut stderr = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = err.read(&mut piece).await {
        let room = MAX_STDERR.saturating_sub(stderr.len());
        stderr.extend_from_slice(&piece[..length.min(room)]);
    }
    stderr
}
