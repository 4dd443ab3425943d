//! The process of one query: reads a request, answers it and ends.
//!
//! Before it parses the query it limits itself: its memory by the kernel, its priority below the
//! coordinator's, its life by the coordinator's. A query that exceeds its limits ends only this
//! process. Stacks are large enough for every query within the bounds of `rheo-query`; a deeper one
//! overflows only here.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use rheo_core::excerpt::message;
use rheo_core::rows::RowBatch;
use rheo_query::limits::{ERROR_LENGTH, PLANNER_STACK, THREAD_STACK};
use rheo_query::wire::ChunkEncoder;
use rheo_query::{Dataset, PendingBatch, QueryEngine, QuerySnapshot, engine};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use super::frame::{self, Frame, QueryError, QueryErrorKind, QueryRequest};
use crate::app;
use crate::report::report;

/// The argument that starts `rheo` as the process of a query.
pub(crate) const ARGUMENT: &str = "query-process";

/// The niceness of queries, below the coordinator and the workers of the machine.
const NICENESS: i32 = 10;

/// The time between two reports of verified parts.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Threads that read files.
const READERS: usize = 4;

/// The rows that are pending in the journal.
type PendingBlobs = Vec<(frame::BlobHeader, Bytes)>;

/// Held while the engine creates its directories, and during the end of this process.
static ENGINE: Mutex<()> = Mutex::new(());

/// Address space that the allocator reserves per thread, in bytes.
const ARENA_BYTES: u64 = 64 << 20;

/// Answers the request on standard input; temporary files go to the new directory `scratch`.
pub(crate) fn main(scratch: &Path) -> ExitCode {
    lower_priority();
    // Without a directory for temporary files the query uses memory.
    let made = DirBuilder::new().mode(0o700).create(scratch);
    let code = serve_request(made.is_ok().then(|| scratch.to_owned()));
    // Threads may still run, which does not matter any more.
    let _ = std::fs::remove_dir_all(scratch);
    code
}

fn serve_request(scratch: Option<PathBuf>) -> ExitCode {
    let mut input = io::stdin();
    let Ok((request, rows)) = QueryRequest::read(&mut input) else { return ExitCode::FAILURE };
    let own = scratch.clone();
    std::thread::spawn(move || end_with_coordinator(input, own.as_deref()));
    let planner = std::thread::Builder::new().name("planner".to_owned()).stack_size(PLANNER_STACK);
    let answered = planner.spawn(move || run_query(&request, rows, scratch.as_deref()));
    let answer = match answered {
        Ok(planner) => planner.join(),
        Err(error) => Ok(write_frame(&Frame::Problem(stack_error(&error)))),
    };
    if matches!(answer, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Describes that the planner cannot be started, which is due to a limit on address space.
fn stack_error(error: &io::Error) -> QueryError {
    let needed = PLANNER_STACK >> 20;
    let text = format!(
        "a query needs a thread with a stack of `{needed}` MiB, which cannot be started ({error}): raise the limit on address space (`ulimit -v`)"
    );
    QueryError { kind: QueryErrorKind::Failed, text, damaged: None }
}

/// Makes this process the first to lose scarce processors and memory.
fn lower_priority() {
    // Errors are ignored: these settings protect other processes, not the query.
    let _ = setpriority_process(None, NICENESS);
    let _ = std::fs::write("/proc/self/comm", "rheo-query");
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Ends this process as soon as the coordinator closes standard input or dies.
fn end_with_coordinator(mut input: io::Stdin, scratch: Option<&Path>) {
    let mut nothing = [0; 16];
    while matches!(input.read(&mut nothing), Ok(1..)) {}
    let _engine = ENGINE.lock();
    // The coordinator, which would remove the directory, may be gone.
    let _ = scratch.map(std::fs::remove_dir_all);
    #[expect(clippy::exit, reason = "nobody waits for the answer")]
    std::process::exit(1);
}

fn run_query(request: &QueryRequest, rows: PendingBlobs, scratch: Option<&Path>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(request.threads.max(1))
        .max_blocking_threads(READERS)
        .thread_stack_size(THREAD_STACK)
        .enable_all()
        .build()?;
    limit_memory(request.memory as u64)?;
    write_frame(&match runtime.block_on(run(request, rows, scratch)) {
        Ok(()) => Frame::End,
        Err(ChildError::Reported(problem)) => Frame::Problem(problem),
        Err(ChildError::Disconnected(error)) => return Err(error),
    })
}

/// Writes a complete frame; standard output is locked, because two threads write.
fn write_frame(frame: &Frame) -> io::Result<()> {
    frame.write(&mut io::stdout().lock())
}

/// Reports verified parts for the life of this process. The next query need not verify them again,
/// even if this one is killed, and their time does not count.
fn report_checked(dataset: &Dataset) {
    let mut told = BTreeSet::new();
    loop {
        std::thread::park_timeout(REPORT_PAUSE);
        let mut new = dataset.checked();
        new.retain(|path| told.insert(path.clone()));
        if (!new.is_empty() || dataset.is_checking()) && write_frame(&Frame::Checked(new)).is_err()
        {
            return;
        }
    }
}

/// Limits the memory of this process to its present size plus `memory` bytes.
fn limit_memory(memory: u64) -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = size.and_then(|size| size.split_whitespace().next()?.parse::<u64>().ok());
    let now = kilobytes.unwrap_or_default() << 10;
    let threads = READERS as u64 * (THREAD_STACK as u64 + ARENA_BYTES);
    let wanted = now.saturating_add(memory).saturating_add(threads);
    let allowed = getrlimit(Resource::As).maximum.unwrap_or(u64::MAX);
    let most = Some(wanted.min(allowed));
    Ok(setrlimit(Resource::As, Rlimit { current: most, maximum: most })?)
}

enum ChildError {
    Reported(QueryError),
    Disconnected(io::Error),
}

async fn run(
    request: &QueryRequest,
    rows: PendingBlobs,
    scratch: Option<&Path>,
) -> Result<(), ChildError> {
    let failed = |error: &dyn std::error::Error| reported(QueryErrorKind::Failed, error);
    let place = request.place().map_err(|error| failed(&error))?;
    let dataset = app::dataset(&place).map_err(|error| failed(&error))?;
    let making = ENGINE.lock();
    let engine = QueryEngine::with_scratch(&dataset, request.limits(), scratch);
    drop(making);
    let engine = engine.map_err(|error| failed(&error))?;
    let pending = rows.into_iter().map(|(head, ipc)| PendingBatch {
        sweep: head.sweep,
        position: head.position,
        batch: RowBatch { table: head.table, rows: head.rows, ipc },
    });
    let snapshot = QuerySnapshot {
        pin: dataset.pin(),
        parts: request.parts.clone(),
        pending: pending.collect(),
        retractions: request.retractions.clone(),
        ranking_rules: request.contests.clone(),
        definitions: request.definitions.clone(),
        end_reasons: request.end_reasons.clone(),
    };
    let beside = dataset.clone();
    std::thread::spawn(move || report_checked(&beside));
    let answered = send_rows(&engine, snapshot, &request.sql).await;
    write_frame(&Frame::Checked(dataset.checked())).map_err(ChildError::Disconnected)?;
    answered
}

async fn send_rows(
    engine: &QueryEngine,
    snapshot: QuerySnapshot,
    sql: &str,
) -> Result<(), ChildError> {
    let failed = |error: &dyn std::error::Error| reported(QueryErrorKind::Failed, error);
    let mut answer = engine.query(snapshot, sql).await.map_err(|error| query_error(&error))?;
    let mut encoder = ChunkEncoder::new(&answer.schema()).map_err(|error| failed(&error))?;
    // At once, so that a valid query is known as such before it has rows.
    send_pieces(encoder.begin())?;
    while let Some(rows) = answer.next().await {
        let rows = rows.map_err(|error| query_error(&error))?;
        send_pieces(encoder.encode(&rows).map_err(|error| failed(&error))?)?;
    }
    send_pieces(encoder.finish().map_err(|error| failed(&error))?)
}

fn send_pieces(pieces: Vec<Bytes>) -> Result<(), ChildError> {
    for piece in pieces {
        write_frame(&Frame::Piece(piece)).map_err(ChildError::Disconnected)?;
    }
    Ok(())
}

fn query_error(error: &engine::Error) -> ChildError {
    if let engine::Error::Damaged(damaged) = error {
        let (text, damaged) = (report(error), Some(damaged.clone()));
        return ChildError::Reported(QueryError { kind: QueryErrorKind::Damaged, text, damaged });
    }
    let kind = match error {
        engine::Error::Exhausted(_) => QueryErrorKind::Exhausted,
        error if error.is_invalid() => QueryErrorKind::Invalid,
        // Some kernels check for memory before they allocate.
        error if report(error).contains("memory alloc") => QueryErrorKind::Exhausted,
        _ => QueryErrorKind::Failed,
    };
    reported(kind, error)
}

fn reported(kind: QueryErrorKind, error: &dyn std::error::Error) -> ChildError {
    let text = report(error);
    // The planner asks users to report internal errors, which hostile queries can provoke.
    let text = text.split(" This issue was likely caused by").next().unwrap_or_default();
    ChildError::Reported(QueryError { kind, text: message(text, ERROR_LENGTH), damaged: None })
}
