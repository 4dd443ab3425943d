//! SQL over all committed rows: a snapshot of the parts in the journal and of its pending rows.
//!
//! Each query runs in its own process, and the number of processes is limited. So a query cannot
//! exhaust the coordinator's memory, stack or processors. See [`process`].

pub(crate) mod child;
mod frame;
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::machine::State;
use rheo_core::sweep::{Sweep, SweepEndReason};
use rheo_proto::refusal::{self, Reason};
use rheo_query::limits::{self, Limits};
use rheo_query::{Dataset, RankingRule, engine};
use rheo_store::Journal;
use rheo_store::storage_url::StorageUrl;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::engine::EngineHandle;
use crate::report::report;
use process::{JournalSnapshot, QueryProcess};

/// Chunks of a reply that may wait for a slow client.
const QUEUE: usize = 8;

/// Runs queries; cheap to clone.
#[derive(Clone)]
pub(crate) struct QueryService {
    place: Arc<StorageUrl>,
    dataset: Arc<Dataset>,
    journal: Arc<dyn Journal>,
    handle: EngineHandle,
    limits: Limits,
    /// Permits of the queries that run or wait.
    admitted: Arc<Semaphore>,
    /// Permits of the queries that run.
    running: Arc<Semaphore>,
}

/// The permits of a running query.
type RunPermits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl QueryService {
    /// Creates the service for the parts of `dataset` in `place`.
    pub(crate) fn new(
        place: StorageUrl,
        dataset: Arc<Dataset>,
        journal: Arc<dyn Journal>,
        handle: EngineHandle,
        limits: Limits,
    ) -> Self {
        Self {
            place: Arc::new(place),
            dataset,
            journal,
            handle,
            limits,
            admitted: Arc::new(Semaphore::new(limits.running + limits::WAITING_QUERIES)),
            running: Arc::new(Semaphore::new(limits.running)),
        }
    }

    /// Starts `sql` and returns its reply, an Arrow IPC stream in chunks. The query ends when the
    /// reply is dropped, and at `stop`.
    pub(crate) async fn query(
        &self,
        sql: String,
        stop: CancellationToken,
    ) -> Result<impl Stream<Item = Result<Bytes, Status>> + use<>, Status> {
        engine::check_text(&sql)
            .map_err(|error| refusal::status(&Reason::InvalidQuery, report(&error), None))?;
        let permits = self.acquire_permits().await?;
        let snapshot = self.snapshot(&sql).await?;
        let mut process =
            QueryProcess::start(sql, &self.place, &self.dataset, snapshot, self.limits).await?;
        // An error of the query is known before its first chunk.
        let first = tokio::select! {
            first = process.next() => first?,
            () = stop.cancelled() => return Err(stopping()),
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let end_error = Arc::new(OnceLock::new());
        let query = RunningQuery {
            process,
            stop,
            sender,
            end_error: Arc::clone(&end_error),
            admitted: Arc::clone(&self.admitted),
            _permits: permits,
        };
        tokio::spawn(query.forward(first));
        // The error follows the chunks that still wait for the client.
        let last = tokio_stream::once(()).filter_map(move |()| end_error.get().cloned().map(Err));
        Ok(ReceiverStream::new(receiver).chain(last))
    }

    /// Waits for the permits to run a query.
    async fn acquire_permits(&self) -> Result<RunPermits, Status> {
        let busy = |_| {
            let (running, waiting) = (self.limits.running, limits::WAITING_QUERIES);
            let text = format!(
                "`{running}` queries run and `{waiting}` wait, the most that are allowed at once: try again later, or raise RHEO_QUERIES for `rheo serve`"
            );
            refusal::status(&Reason::QueriesBusy, text, None)
        };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        Ok((admitted, running.map_err(|error| Status::internal(error.to_string()))?))
    }

    /// Takes a snapshot of the results for the query `sql`.
    async fn snapshot(&self, sql: &str) -> Result<JournalSnapshot, Status> {
        // Pinned first, so that parts named by the journal stay readable.
        let pin = self.dataset.pin();
        let journal = Arc::clone(&self.journal);
        let read = tokio::task::spawn_blocking(move || {
            let view = journal.view()?;
            Ok((view.index()?, view))
        });
        let read: Result<_, rheo_store::Error> =
            read.await.map_err(|error| Status::internal(error.to_string()))?;
        let (index, view) =
            read.map_err(|error| refusal::status(&Reason::Storage, report(&error), None))?;
        // Read last, so that it has every sweep with rows in the journal.
        let sql = sql.to_owned();
        let read =
            move |state: &State| (contests(state), definitions(state, &sql), end_reasons(state));
        let (contests, definitions, end_reasons) = self.handle.read(read).await?;
        Ok(JournalSnapshot { pin, index, view, contests, definitions, end_reasons })
    }
}

/// Returns the ranking rule of each sweep.
fn contests(state: &State) -> BTreeMap<SweepName, RankingRule> {
    let contest = |sweep: &Sweep| RankingRule {
        seeds: sweep.seeds(),
        goal: sweep.planned.definition.objective.goal,
        aggregate: sweep.planned.definition.aggregate,
    };
    state.sweeps.iter().map(|(name, sweep)| (name.clone(), contest(sweep))).collect()
}

/// Returns the definitions of the sweeps that the query `sql` needs.
fn definitions(state: &State, sql: &str) -> BTreeMap<SweepName, SweepDefinition> {
    let needed = state.sweeps.iter().filter(|(name, _)| engine::needs_definition(sql, name));
    needed.map(|(name, sweep)| (name.clone(), sweep.planned.definition.clone())).collect()
}

/// Returns the reasons of the sweeps that start no further trial.
fn end_reasons(state: &State) -> BTreeMap<SweepName, SweepEndReason> {
    let reason = |sweep: &Sweep| sweep.ended.map(|(reason, _)| reason).or(sweep.closed);
    let sweeps = state.sweeps.iter();
    sweeps.filter_map(|(name, sweep)| Some((name.clone(), reason(sweep)?))).collect()
}

fn stopping() -> Status {
    refusal::status(&Reason::Stopping, "the coordinator is stopping", None)
}

/// A query whose reply is being sent.
struct RunningQuery {
    process: QueryProcess,
    stop: CancellationToken,
    sender: mpsc::Sender<Result<Bytes, Status>>,
    /// The error that ends the reply early.
    end_error: Arc<OnceLock<Status>>,
    admitted: Arc<Semaphore>,
    /// Released after the process has ended, because processes are limited, not replies.
    _permits: RunPermits,
}

impl RunningQuery {
    /// Sends the reply until it ends, or the client is gone or too slow.
    async fn forward(mut self, first: Option<Bytes>) {
        let deadline = Instant::now() + limits::TOTAL_TIMEOUT;
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Some(piece)) => {
                    if !self.send(piece, deadline).await {
                        break;
                    }
                }
                Ok(None) => break,
                Err(status) => {
                    // No other error was set before.
                    let _ = self.end_error.set(status);
                    break;
                }
            }
            next = tokio::select! {
                next = self.process.next() => next,
                () = self.sender.closed() => break,
                () = self.stop.cancelled() => Err(stopping()),
            };
        }
        self.process.end().await;
    }

    /// Sends a chunk; returns whether the client took it.
    async fn send(&self, piece: Bytes, deadline: Instant) -> bool {
        loop {
            let stalled_at = (Instant::now() + limits::STALL_TIMEOUT).min(deadline);
            let room = tokio::select! {
                room = tokio::time::timeout_at(stalled_at, self.sender.reserve()) => room,
                () = self.stop.cancelled() => return false,
            };
            match room {
                Ok(Ok(room)) => {
                    room.send(Ok(piece));
                    return true;
                }
                // The client is gone.
                Ok(Err(_)) => return false,
                Err(_) if Instant::now() < deadline && !self.has_waiters() => {}
                Err(_) => {
                    let text = "the query was ended: the client did not read its rows while other queries waited";
                    let _ = self.end_error.set(refusal::status(&Reason::QueryLimit, text, None));
                    return false;
                }
            }
        }
    }

    /// Whether another query waits for a permit.
    fn has_waiters(&self) -> bool {
        self.admitted.available_permits() < limits::WAITING_QUERIES
    }
}
