//! The one owner of the state: a thread that takes commands, decides, writes down and only then
//! lets anything out.
//!
//! Commands that arrive while the disk is busy are decided together and share the next
//! synchronisation (group commit). Replies, effects and reads all wait for it, so nobody ever sees
//! what a crash could take back. If the disk refuses, the batch is taken back as a whole: the state
//! is rebuilt from the journal and every caller is told to try again.

mod failure;

use std::sync::Arc;
use std::thread;

use rheo_core::id::StateId;
use rheo_core::machine::{Caller, Command, Effect, Event, State, effects, execute};
use rheo_core::schema::WorkloadRegistry;
use rheo_core::time::{Clock, Timestamp};
use rheo_store::{Journal, JournalEntry, RowBlob};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use failure::Failure;

use crate::derived;
use crate::leased::LeasedKeys;
use crate::live::Live;
use crate::report::report;
use crate::sink::Backlog;
use crate::throttle::Throttle;

/// Commands that may wait for the engine; further callers wait to hand theirs over.
const QUEUE: usize = 4096;

/// The most commands that share one synchronisation.
const BATCH: usize = 1024;

/// A snapshot is taken after so many events, or as many as there are trials that run or wait for another
/// attempt if that is more. It stores those anew and of all others what has changed, so its cost per event is
/// bounded.
const SNAPSHOT_EVERY: u64 = 20_000;

/// Talks to the engine; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    queue: mpsc::Sender<Message>,
    /// How often the engine was asked.
    #[cfg(test)]
    pub(crate) calls: Arc<std::sync::atomic::AtomicUsize>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Looks at the durable state and at what the command made happen, and replies.
type View = Box<dyn FnOnce(&State, Result<&[Event], Failure>) + Send>;

struct Message {
    /// None only reads.
    command: Option<(Caller, Command)>,
    /// Rows that come with a commit.
    blobs: Vec<RowBlob>,
    view: View,
}

impl Handle {
    /// Carries out `command` for `caller`; `blobs` are the rows that belong to it. When this returns,
    /// whatever happened is durable; `view` says what the caller wants to know of it.
    pub async fn execute<T: Send + 'static>(
        &self,
        caller: Caller,
        command: Command,
        blobs: Vec<RowBlob>,
        view: impl FnOnce(&State, &[Event]) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.send(Some((caller, command)), blobs, view).await
    }

    /// Looks at the durable state.
    pub async fn read<T: Send + 'static>(
        &self,
        view: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.send(None, Vec::new(), |state, _| view(state)).await
    }

    async fn send<T: Send + 'static>(
        &self,
        command: Option<(Caller, Command)>,
        blobs: Vec<RowBlob>,
        view: impl FnOnce(&State, &[Event]) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        #[cfg(test)]
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (reply, replied) = oneshot::channel();
        let view: View = Box::new(move |state, result| {
            // A caller that has gone away does not want the reply.
            let _ = reply.send(result.map(|events| view(state, events)));
        });
        let message = Message { command, blobs, view };
        self.queue.send(message).await.map_err(|_| Failure::Stopping)?;
        replied.await.map_err(|_| Failure::Stopping)?
    }
}

/// The engine and what it needs.
struct Engine {
    journal: Arc<dyn Journal>,
    workloads: WorkloadRegistry,
    clock: Arc<dyn Clock>,
    state: State,
    position: u64,
    since_snapshot: u64,
    /// Whether the last write failed.
    troubled: bool,
    /// How often that is logged.
    throttle: Throttle,
    /// False after a failed write, until the state is rebuilt.
    sound: bool,
    backlog: Arc<Backlog>,
    live: Live,
    leased: LeasedKeys,
    carry_out: Box<dyn Fn(Effect) + Send>,
}

/// A running engine.
pub(crate) struct Running {
    /// Talks to it.
    pub handle: Handle,
    /// What it is told the time by.
    pub clock: Arc<dyn Clock>,
    /// The journal when it was opened.
    pub found: Found,
}

/// What a journal was when it was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The id of its state, if it has one.
    pub id: Option<StateId>,
    /// The latest moment of which it knows.
    pub latest: Timestamp,
}

/// What the engine works with.
pub(crate) struct Parts {
    /// Where it writes down what happens.
    pub journal: Arc<dyn Journal>,
    /// The workloads that this program knows.
    pub workloads: WorkloadRegistry,
    /// The rows that wait in the journal, which it counts.
    pub backlog: Arc<Backlog>,
    /// What is known only while the coordinator runs.
    pub live: Live,
    /// The key columns of the rows of attempts that run.
    pub leased: LeasedKeys,
}

/// Starts the engine on the state that the journal holds. It calls `carry_out` with what it wants done
/// outside, which must not wait for anything; whoever sees a state finds its effects carried out.
pub(crate) fn start(
    parts: Parts,
    clock: impl FnOnce(Timestamp) -> Arc<dyn Clock>,
    carry_out: impl Fn(Effect) + Send + 'static,
) -> Result<Running, rheo_store::Error> {
    let Parts { journal, workloads, backlog, live, leased } = parts;
    let loaded = journal.load(&workloads)?;
    tracing::debug!(position = loaded.position, replayed = loaded.replayed, "journal loaded");
    let (queue, messages) = mpsc::channel(QUEUE);
    let found = Found { id: loaded.state.id, latest: loaded.state.latest() };
    let clock = clock(found.latest);
    let engine = Engine {
        journal,
        workloads,
        clock: Arc::clone(&clock),
        state: loaded.state,
        position: loaded.position,
        since_snapshot: loaded.replayed,
        troubled: false,
        throttle: Throttle::default(),
        sound: true,
        backlog,
        live,
        leased,
        carry_out: Box::new(carry_out),
    };
    let run = move || {
        // Half-decided state must not live on: the journal makes dying safe.
        let _abort = AbortOnPanic;
        engine.run(messages);
    };
    // It ends by itself when every handle is gone.
    let thread = thread::Builder::new().name("engine".to_owned()).spawn(run);
    thread.map_err(rheo_store::Error::Io)?;
    let handle = Handle {
        queue,
        #[cfg(test)]
        calls: Arc::default(),
    };
    Ok(Running { handle, clock, found })
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
    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(first) = messages.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                match messages.try_recv() {
                    Ok(message) => batch.push(message),
                    Err(_) => break,
                }
            }
            self.process(batch);
        }
    }

    fn process(&mut self, batch: Vec<Message>) {
        if let Err(error) = self.recover() {
            let failure = || Failure::Storage(report(&error));
            return batch
                .into_iter()
                .for_each(|message| (message.view)(&self.state, Err(failure())));
        }
        let now = self.clock.now();
        let mut entries = Vec::new();
        let mut failed = None;
        let mut replies = Vec::with_capacity(batch.len());
        for Message { command, blobs, view } in batch {
            let result = match command {
                None => Ok(Vec::new()),
                Some((caller, command)) => execute(&mut self.state, caller, &command, now),
            };
            if let Ok(events) = &result {
                match derived::entries(&self.state, events, blobs, &self.live, &self.leased) {
                    Ok(derived) => entries.extend(derived),
                    Err(error) => failed = Some(report(&error)),
                }
            }
            replies.push((view, result));
        }
        let failed = failed.or_else(|| self.append(&entries).err().map(|error| report(&error)));
        if let Some(error) = failed {
            // What was decided did not become durable: it is taken back, for everybody.
            self.sound = false;
            self.troubled = true;
            if self.throttle.is_due(Instant::now()) {
                tracing::error!(error, "nothing can be recorded");
            }
            let views = replies.into_iter().map(|(view, _)| view);
            return views.for_each(|view| view(&self.state, Err(Failure::Storage(error.clone()))));
        }
        // Who only reads does not show that writing succeeds again.
        if self.troubled && !entries.is_empty() {
            self.troubled = false;
            tracing::info!("events are recorded again");
        }
        let events = replies.iter().filter_map(|(_, result)| result.as_ref().ok()).flatten();
        events.flat_map(effects).for_each(&self.carry_out);
        for (view, result) in replies {
            match result {
                Ok(events) => view(&self.state, Ok(&events)),
                Err(rejection) => view(&self.state, Err(rejection.into())),
            }
        }
        // After the replies, which need not wait for it.
        if !entries.is_empty() {
            self.snapshot_if_due();
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

    fn snapshot_if_due(&mut self) {
        if self.since_snapshot < SNAPSHOT_EVERY {
            return;
        }
        let live: u64 = self.state.sweeps.values().map(|sweep| sweep.live.len() as u64).sum();
        if self.since_snapshot < live {
            return;
        }
        // Every event is durable already; a snapshot that fails is taken later.
        match self.journal.snapshot(self.position, &mut self.state) {
            Ok(()) => self.since_snapshot = 0,
            Err(error) => tracing::warn!(error = report(&error), "no snapshot was taken"),
        }
    }

    /// Rebuilds the state if a write has failed: it holds events that never became durable.
    fn recover(&mut self) -> Result<(), rheo_store::Error> {
        if self.sound {
            return Ok(());
        }
        let loaded = self.journal.load(&self.workloads)?;
        self.state = loaded.state;
        self.position = loaded.position;
        self.since_snapshot = loaded.replayed;
        self.sound = true;
        Ok(())
    }
}
