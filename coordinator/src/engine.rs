//! The engine: the thread that owns the state, decides commands, journals the events, then replies.
//!
//! Commands that arrive while the disk is busy are decided together and share the next sync (group
//! commit). Replies, effects and reads wait for that sync, so nobody sees an event that a crash
//! could undo. If the write fails, the whole batch is undone: the state is rebuilt from the
//! journal, and every caller gets an error and may retry.

mod error;

use std::sync::Arc;
use std::thread;

use rheo_core::id::StateId;
use rheo_core::machine::{Caller, Command, Effect, Event, State, effects, execute};
use rheo_core::schema::WorkloadRegistry;
use rheo_core::time::{Clock, Timestamp};
use rheo_store::{Journal, JournalEntry, RowBlob, SnapshotStep};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use error::Error;

use crate::attempt_keys::AttemptKeyCache;
use crate::journal_entries;
use crate::live::LiveState;
use crate::report::report;
use crate::sink::Backlog;
use crate::throttle::Throttle;

/// The largest number of queued commands; further callers wait.
const QUEUE: usize = 4096;

/// The largest number of commands that share one sync.
const MAX_BATCH: usize = 1024;

/// The number of events between snapshots.
const SNAPSHOT_EVERY: u64 = 20_000;

/// The largest number of chunks in the first step of a snapshot. A step delays the commands that
/// arrive meanwhile.
const STEP_CHUNKS: usize = 1_000;

/// The number of chunks by which each step of a snapshot exceeds the one before, so that it ends
/// even if commands change many chunks between the steps.
const STEP_GROWTH: usize = 50;

/// A handle of the engine; cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    queue: mpsc::Sender<EngineCall>,
    /// The number of calls of the engine.
    #[cfg(test)]
    pub(crate) calls: Arc<std::sync::atomic::AtomicUsize>,
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Projects the durable state and the command's events into a reply, and sends it.
type Projection = Box<dyn FnOnce(&State, Result<&[Event], Error>) + Send>;

struct EngineCall {
    /// Caller and command; none for a read.
    command: Option<(Caller, Command)>,
    /// Rows of a commit.
    blobs: Vec<RowBlob>,
    project: Projection,
}

impl EngineHandle {
    /// Executes `command` for `caller`, with `blobs` as its rows. When this returns, its events are
    /// durable; `project` makes the reply from the state and the events.
    pub async fn execute<T: Send + 'static>(
        &self,
        caller: Caller,
        command: Command,
        blobs: Vec<RowBlob>,
        project: impl FnOnce(&State, &[Event]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.send(Some((caller, command)), blobs, project).await
    }

    /// Reads the durable state.
    pub async fn read<T: Send + 'static>(
        &self,
        project: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.send(None, Vec::new(), |state, _| project(state)).await
    }

    async fn send<T: Send + 'static>(
        &self,
        command: Option<(Caller, Command)>,
        blobs: Vec<RowBlob>,
        project: impl FnOnce(&State, &[Event]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        #[cfg(test)]
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (reply, replied) = oneshot::channel();
        let project: Projection = Box::new(move |state, result| {
            // The caller may be gone.
            let _ = reply.send(result.map(|events| project(state, events)));
        });
        let call = EngineCall { command, blobs, project };
        self.queue.send(call).await.map_err(|_| Error::Stopping)?;
        replied.await.map_err(|_| Error::Stopping)?
    }
}

/// The engine with its state.
struct Engine {
    journal: Arc<dyn Journal>,
    workloads: WorkloadRegistry,
    clock: Arc<dyn Clock>,
    state: State,
    position: u64,
    since_snapshot: u64,
    /// The number of steps of an unfinished snapshot.
    snapshot_steps: usize,
    /// Whether the last snapshot has left no work.
    is_tidy: bool,
    /// Whether the last write failed.
    is_degraded: bool,
    /// Limits the log of failed writes.
    throttle: Throttle,
    /// Whether the state equals the journal; false after a failed write.
    is_current: bool,
    backlog: Arc<Backlog>,
    live: LiveState,
    attempt_keys: AttemptKeyCache,
    dispatch_effect: Box<dyn Fn(Effect) + Send>,
}

/// A running engine.
pub(crate) struct RunningEngine {
    /// Handle of the engine.
    pub handle: EngineHandle,
    /// Clock of the engine.
    pub clock: Arc<dyn Clock>,
    /// Facts about the journal when it was opened.
    pub loaded_journal: LoadedJournal,
}

/// Facts about a journal when it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadedJournal {
    /// Id of the state; none before the first start.
    pub id: Option<StateId>,
    /// Latest time in the journal.
    pub latest: Timestamp,
}

/// The components that the engine uses.
pub(crate) struct EngineParts {
    /// Journal of the events.
    pub journal: Arc<dyn Journal>,
    /// Known workloads.
    pub workloads: WorkloadRegistry,
    /// Counter of pending rows.
    pub backlog: Arc<Backlog>,
    /// Volatile state of the running coordinator.
    pub live: LiveState,
    /// Key columns of running attempts.
    pub attempt_keys: AttemptKeyCache,
}

/// Starts the engine on the journal's state. It calls `dispatch_effect` for each effect, before the
/// replies and reads that see the new state; the function must not block.
pub(crate) fn start(
    parts: EngineParts,
    clock: impl FnOnce(Timestamp) -> Arc<dyn Clock>,
    dispatch_effect: impl Fn(Effect) + Send + 'static,
) -> Result<RunningEngine, rheo_store::Error> {
    let EngineParts { journal, workloads, backlog, live, attempt_keys } = parts;
    let loaded = journal.load(&workloads)?;
    tracing::debug!(position = loaded.position, replayed = loaded.replayed, "journal loaded");
    let (queue, calls) = mpsc::channel(QUEUE);
    let loaded_journal = LoadedJournal { id: loaded.state.id, latest: loaded.state.latest() };
    let clock = clock(loaded_journal.latest);
    let engine = Engine {
        journal,
        workloads,
        clock: Arc::clone(&clock),
        state: loaded.state,
        position: loaded.position,
        since_snapshot: loaded.replayed,
        snapshot_steps: 0,
        is_tidy: false,
        is_degraded: false,
        throttle: Throttle::default(),
        is_current: true,
        backlog,
        live,
        attempt_keys,
        dispatch_effect: Box::new(dispatch_effect),
    };
    let run = move || {
        // A partly changed state must not live on; the journal makes an abort safe.
        let _abort = AbortOnPanic;
        engine.run(calls);
    };
    // The thread ends when every handle is dropped.
    let thread = thread::Builder::new().name("engine".to_owned()).spawn(run);
    thread.map_err(rheo_store::Error::Io)?;
    let handle = EngineHandle {
        queue,
        #[cfg(test)]
        calls: Arc::default(),
    };
    Ok(RunningEngine { handle, clock, loaded_journal })
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

impl Engine {
    fn run(mut self, mut calls: mpsc::Receiver<EngineCall>) {
        loop {
            let mut batch = Vec::new();
            if !self.has_snapshot_work() {
                let Some(first) = calls.blocking_recv() else { return };
                batch.push(first);
            }
            while batch.len() < MAX_BATCH
                && let Ok(call) = calls.try_recv()
            {
                batch.push(call);
            }
            if !batch.is_empty() {
                self.process(batch);
            }
            // After the replies, which need not wait for the snapshot.
            self.take_snapshot_step();
        }
    }

    fn process(&mut self, batch: Vec<EngineCall>) {
        if let Err(error) = self.recover() {
            let error = || Error::Storage(report(&error));
            return batch.into_iter().for_each(|call| (call.project)(&self.state, Err(error())));
        }
        let now = self.clock.now();
        let mut entries = Vec::new();
        let mut failed = None;
        let mut replies = Vec::with_capacity(batch.len());
        for EngineCall { command, blobs, project } in batch {
            let result = match command {
                None => Ok(Vec::new()),
                Some((caller, command)) => execute(&mut self.state, caller, &command, now),
            };
            if let Ok(events) = &result {
                match journal_entries::of_events(
                    &self.state,
                    events,
                    blobs,
                    &self.live,
                    &self.attempt_keys,
                ) {
                    Ok(derived) => entries.extend(derived),
                    Err(error) => failed = Some(report(&error)),
                }
            }
            replies.push((project, result));
        }
        let failed = failed.or_else(|| self.append(&entries).err().map(|error| report(&error)));
        if let Some(error) = failed {
            // The events did not become durable: the whole batch is undone.
            self.is_current = false;
            self.is_degraded = true;
            if self.throttle.is_due(Instant::now()) {
                tracing::error!(error, "cannot write to the journal");
            }
            let projections = replies.into_iter().map(|(project, _)| project);
            return projections
                .for_each(|project| project(&self.state, Err(Error::Storage(error.clone()))));
        }
        // A batch of reads does not show that writes succeed again.
        if self.is_degraded && !entries.is_empty() {
            self.is_degraded = false;
            tracing::info!("the journal can be written again");
        }
        let events = replies.iter().filter_map(|(_, result)| result.as_ref().ok()).flatten();
        events.flat_map(effects).for_each(&self.dispatch_effect);
        for (project, result) in replies {
            match result {
                Ok(events) => project(&self.state, Ok(&events)),
                Err(rejection) => project(&self.state, Err(rejection.into())),
            }
        }
    }

    fn append(&mut self, entries: &[JournalEntry]) -> Result<(), rheo_store::Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let first = self.journal.append(entries)?;
        let bytes = entries.iter().flat_map(|entry| &entry.blobs).map(|blob| blob.batch.ipc.len());
        self.backlog.add(bytes.sum());
        let count = entries.len() as u64;
        self.position = first + count;
        self.since_snapshot += count;
        Ok(())
    }

    /// Whether a snapshot that was begun has further steps.
    fn has_snapshot_work(&self) -> bool {
        self.is_current && (self.snapshot_steps > 0 || !self.is_tidy)
    }

    /// Takes one step of a snapshot, if there is one to take.
    fn take_snapshot_step(&mut self) {
        let is_due = self.since_snapshot >= SNAPSHOT_EVERY;
        if !self.is_current || (!is_due && self.is_tidy) {
            return;
        }
        let limit = STEP_CHUNKS + self.snapshot_steps * STEP_GROWTH;
        let taken = if is_due {
            self.journal.snapshot_step(self.position, &mut self.state, limit).map(|step| {
                let is_taken = step == SnapshotStep::Taken;
                self.snapshot_steps = if is_taken { 0 } else { self.snapshot_steps + 1 };
                self.is_tidy = !is_taken;
                self.since_snapshot = if is_taken { 0 } else { self.since_snapshot };
            })
        } else {
            self.journal.tidy_step(&mut self.state, limit).map(|is_tidy| self.is_tidy = is_tidy)
        };
        // Every event is durable already; a failed step is tried again after the next commands.
        if let Err(error) = taken {
            (self.snapshot_steps, self.is_tidy) = (0, true);
            tracing::warn!(error = report(&error), "cannot write a snapshot of the state");
        }
    }

    /// Rebuilds the state after a failed write, because it has events that never became durable.
    fn recover(&mut self) -> Result<(), rheo_store::Error> {
        if self.is_current {
            return Ok(());
        }
        let loaded = self.journal.load(&self.workloads)?;
        self.state = loaded.state;
        self.position = loaded.position;
        self.since_snapshot = loaded.replayed;
        self.is_current = true;
        Ok(())
    }
}
