//! The coordinator: everything wired together, from a state directory to a served protocol.
//!
//! [`Coordinator::open`] only reads, so that a state directory at rest can be queried;
//! [`Coordinator::start`] begins to act on it; [`Coordinator::serve`] lets others in.
//!
//! ```text
//! .rheo/journal.redb    what happened; one process at a time has it open
//! .rheo/checkpoints/    by digest
//! .rheo/results/        Parquet
//! .rheo/spool/          what local workers have not delivered yet
//! .rheo/server          where the coordinator listens, while it runs
//! .rheo/tls/            tokens, and certificates if it listens beyond loopback
//! .rheo/places.json     where checkpoints and results lie, if not here
//! .rheo/results.orphaned-<date>/   results that the journal does not know
//! ```

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rheo_core::id::{Digest, IncarnationId};
use rheo_core::machine::Effect;
use rheo_core::schema::WorkloadRegistry;
use rheo_core::time::{Clock, Timestamp};
use rheo_model::networks;
use rheo_proto::access::JOURNAL_FILE;
use rheo_query::{Dataset, Limits, dataset};
use rheo_store::storage_url::{self, StorageUrl};
use rheo_store::{Journal, OpenJournal, checkpoint, owner};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::claim::StorageClaim;
use crate::clock::SystemClock;
use crate::directory_check;
use crate::engine::{self, Handle};
use crate::leased::LeasedKeys;
use crate::live::Live;
use crate::paths;
use crate::report::report;
use crate::sink::{Backlog, Sink};
use crate::sql::QueryService;
use crate::storage::{self, StorageLayout, StorageRequest};
use crate::uploads::UncommittedUploads;

/// How a coordinator runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// How long a lease lasts. Trials of a worker that vanished start again after this time.
    pub lease: Duration,
    /// How often rows are moved into parts; by default more often where parts are merged.
    pub flush: Option<Duration>,
    /// How often clusters are asked where pilots are.
    pub poll: Duration,
    /// Where results and checkpoints should lie.
    pub storage: StorageRequest,
    /// What queries may take.
    pub queries: Limits,
    /// The workloads that the sweeps may be of.
    pub workloads: WorkloadRegistry,
    /// How the journal is opened.
    pub open_journal: OpenJournal,
    /// Bytes of the journal that are kept in memory.
    pub journal_cache: usize,
    /// How long one message of a request may take to arrive in full.
    pub request: Duration,
    /// Bytes of checkpoints that may have been sent and not committed.
    pub uncommitted: u64,
}

impl Settings {
    /// The default lease.
    pub const LEASE: Duration = Duration::from_secs(30);

    /// The default time between parts.
    pub const FLUSH: Duration = Duration::from_secs(15);

    /// The default time between questions to a cluster: what an administrator does not mind.
    pub const POLL: Duration = Duration::from_secs(10);

    /// The default time between parts in a bucket, where they stay as they are.
    pub const FLUSH_INTO_BUCKET: Duration = Duration::from_mins(5);

    /// The default time for one message of a request.
    pub const REQUEST: Duration = Duration::from_mins(1);

    /// The default bytes of checkpoints that are not committed: four of the largest.
    pub const UNCOMMITTED: u64 = 4 * rheo_proto::MAX_CHECKPOINT;

    /// The defaults on the state directory `state`.
    pub fn new(state: PathBuf) -> Self {
        Self {
            state,
            lease: Self::LEASE,
            flush: None,
            poll: Self::POLL,
            storage: StorageRequest::default(),
            queries: Limits::default(),
            workloads: networks::workloads(),
            open_journal: rheo_store::open,
            journal_cache: rheo_store::DEFAULT_CACHE_BYTES,
            request: Self::REQUEST,
            uncommitted: Self::UNCOMMITTED,
        }
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.state.join(JOURNAL_FILE)
    }
}

/// An open state directory; cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    /// The owner of the state.
    pub handle: Handle,
    /// The results in place.
    pub dataset: Arc<Dataset>,
    /// What is known only while it runs.
    pub live: Live,
    /// The key columns of the rows of attempts that run.
    pub(crate) leased: LeasedKeys,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) checkpoints: Arc<checkpoint::CheckpointStore>,
    pub(crate) sink: Sink,
    pub(crate) sql: QueryService,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) uploads: Arc<UncommittedUploads>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) storage: Arc<StorageLayout>,
    /// The directories that are claimed until the process ends.
    pub(crate) claims: Arc<Mutex<Vec<StorageClaim>>>,
    /// The latest moment that the journal knew when it was opened.
    pub(crate) latest: Timestamp,
    /// This process on this state.
    pub(crate) incarnation: IncarnationId,
    /// Why it had to stop by itself, if it had to.
    pub(crate) fatal: Arc<OnceLock<String>>,
    /// Cancelled when somebody asks this process to end.
    pub(crate) shutdown: CancellationToken,
}

/// A state directory that was opened and not yet started.
pub struct CoordinatorAtRest {
    /// What can be read.
    pub coordinator: Coordinator,
    /// Checkpoints that are no longer needed. Unbounded, because the engine must never wait; there
    /// are a few per command, and commands are bounded.
    pub(crate) dropped: mpsc::UnboundedReceiver<Digest>,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory.
    #[error("the state directory `{}` cannot be used (--state names another)", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The journal.
    #[error("the journal `{}` cannot be used", path.display())]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rheo_store::Error,
    },
    /// The checkpoints.
    #[error("the checkpoints cannot be used")]
    Checkpoints(#[from] checkpoint::Error),
    /// Where checkpoints and results lie.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The results do not fit the journal.
    #[error("the results in `{place}` cannot be used")]
    Results {
        /// Where they lie.
        place: String,
        /// Why.
        #[source]
        source: dataset::Error,
    },
    /// The results or checkpoints belong to somebody else, or cannot be claimed.
    #[error(transparent)]
    Owner(#[from] owner::Error),
    /// There are results or checkpoints, but the journal does not know of any: it is not theirs.
    #[error(
        "the journal `{}` knows nothing of what lies in `{place}`: it is new, empty or another one; put the journal back, or move `{place}` away",
        journal.display()
    )]
    JournalLost {
        /// The journal.
        journal: PathBuf,
        /// The place of the results or checkpoints.
        place: String,
    },
    /// Nothing lies where the results were.
    #[error(
        "nothing lies in `{results}`, where the journal names {parts} files: mount the disk or put the results back; if they are lost, `rheo verify --repair` has their trials start over"
    )]
    ResultsGone {
        /// Where the results were.
        results: String,
        /// How many files the journal names there.
        parts: usize,
    },
    /// The engine did not do what it must at the start.
    #[error("the coordinator could not start")]
    Start(#[from] engine::Failure),
    /// The protocol could not be served.
    #[error("the protocol cannot be served")]
    Serve(#[from] tonic::transport::Error),
}

impl Coordinator {
    /// Opens a state directory, for reading at first.
    pub fn open(settings: Settings) -> Result<CoordinatorAtRest, Error> {
        make_state(&settings.state)?;
        let path = settings.journal();
        let journal_error = |source| Error::Journal { path: path.clone(), source };
        let journal =
            (settings.open_journal)(&path, settings.journal_cache).map_err(journal_error)?;
        let backlog = Arc::new(Backlog::default());
        let clock = |latest: Timestamp| Arc::new(SystemClock::new(latest)) as Arc<dyn Clock>;
        // Nothing that was started, so nothing that lies anywhere.
        let is_new = || {
            let loaded = journal.load(&settings.workloads);
            loaded.is_ok_and(|loaded| loaded.state.sweeps.values().all(|sweep| sweep.next == 0))
        };
        let mut storage = StorageLayout::resolve(&settings.state, &settings.storage, is_new)?;
        let dataset = Arc::new(dataset(&storage.results)?);
        let checkpoints = match checkpoint::CheckpointStore::at(&storage.checkpoints) {
            Err(checkpoint::Error::Place(error)) => return Err(storage::Error::Place(error).into()),
            opened => Arc::new(opened?),
        };
        let sink = Sink::new(Arc::clone(&journal), Arc::clone(&dataset), Arc::clone(&backlog));
        let (live, leased) = (Live::default(), LeasedKeys::default());
        let (drop, dropped) = mpsc::unbounded_channel();
        let parts = engine::Parts {
            journal: Arc::clone(&journal),
            workloads: settings.workloads.clone(),
            backlog: Arc::clone(&backlog),
            live: live.clone(),
            leased: leased.clone(),
        };
        let effects = EffectHandler {
            live: live.clone(),
            leased: leased.clone(),
            sink: sink.clone(),
            dropped: drop,
        };
        let dispatch_effect = move |effect| effects.dispatch_effect(effect);
        let running = engine::start(parts, clock, dispatch_effect).map_err(journal_error)?;
        storage.id = running.found.id.unwrap_or(storage.id);
        let sql = QueryService::new(
            storage.results.clone(),
            Arc::clone(&dataset),
            Arc::clone(&journal),
            running.handle.clone(),
            settings.queries,
        );
        let coordinator = Self {
            sql,
            handle: running.handle,
            clock: running.clock,
            dataset,
            live,
            leased,
            journal,
            checkpoints,
            sink,
            backlog,
            uploads: Arc::new(UncommittedUploads::new(settings.uncommitted)),
            settings: Arc::new(settings),
            fatal: Arc::default(),
            shutdown: CancellationToken::new(),
            storage: Arc::new(storage),
            claims: Arc::default(),
            latest: running.found.latest,
            incarnation: IncarnationId(Uuid::now_v7()),
        };
        Ok(CoordinatorAtRest { coordinator, dropped })
    }

    /// How it runs.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Moves every row that is committed now into a part.
    pub async fn flush(&self) -> Result<(), crate::sink::Error> {
        self.sink.flush().await
    }

    /// What keeps rows from being written into parts, if anything does.
    pub fn last_error(&self) -> Option<String> {
        self.sink.trouble()
    }
}

impl Coordinator {
    pub(crate) async fn remove_checkpoint(&self, digest: Digest) {
        if let Err(error) = self.checkpoints.remove(digest).await {
            tracing::warn!(error = report(&error), %digest, "a checkpoint stays");
        }
    }
}

/// Makes a state directory, if it is not there, where results can be found again.
pub(crate) fn make_state(state: &Path) -> Result<(), Error> {
    check_path(state)?;
    // Others may read results there if the umask lets them, and never change anything.
    let made = DirBuilder::new().recursive(true).mode(0o755).create(state);
    made.map_err(|source| Error::Directory { path: state.to_owned(), source })
}

/// Refuses a state directory whose path nothing could follow later.
fn check_path(state: &Path) -> Result<(), storage::Error> {
    let unusable = |reason| storage::Error::Unusable { path: state.to_owned(), reason };
    paths::check(&paths::resolve(state)).map_err(unusable)
}

/// Checks that the directories of a coordinator that is to start can be made and written; makes the
/// state directory, and nothing else.
pub(crate) fn check_directories(settings: &Settings) -> Result<(), Error> {
    let mut made = Vec::new();
    check_path(&settings.state)?;
    if !settings.journal().exists() {
        let state = paths::resolve(&settings.state);
        made = directory_check::probe("state", &state).map_err(storage::Error::from)?;
    }
    // Another place than the one that is remembered is refused later, by the journal.
    let storage = StorageLayout::resolve(&settings.state, &settings.storage, || true);
    let checked = storage.and_then(|storage| storage.check_directories());
    Ok(checked.inspect_err(|_| directory_check::remove(&made))?)
}

/// The results at `place`; nothing is asked of a bucket yet.
pub(crate) fn dataset(place: &StorageUrl) -> Result<Dataset, storage::Error> {
    Ok(match place {
        StorageUrl::Directory(path) => Dataset::new(path),
        StorageUrl::Bucket(address) => {
            let storage_url::Bucket { store, url } = address.open()?;
            Dataset::in_bucket(store, url, tokio::runtime::Handle::current())
        }
    })
}

/// Does what events ask for, at once or, where that takes time, soon.
struct EffectHandler {
    live: Live,
    leased: LeasedKeys,
    sink: Sink,
    dropped: mpsc::UnboundedSender<Digest>,
}

impl EffectHandler {
    fn dispatch_effect(&self, effect: Effect) {
        let Self { live, leased, sink, dropped } = self;
        match effect {
            Effect::WakeWorkers => live.wake_workers(),
            Effect::SweepChanged(_) => live.changed(),
            Effect::AttemptBegan(attempt, at) => live.attempt_began(&attempt, at),
            Effect::AttemptEnded { attempt, is_done, at } => {
                leased.forget(&attempt);
                live.forget_log(&attempt);
                live.attempt_ended(&attempt, is_done, at);
            }
            Effect::TrialEnded(trial) => live.trial_ended(trial),
            Effect::FlushSweep(sweep) => sink.finish(sweep),
            Effect::Reconcile => live.fleets().notify_one(),
            Effect::SweepDeleted(sweep) => live.sweep_deleted(&sweep),
            Effect::WorkerForgotten(worker) => live.worker_forgotten(worker),
            Effect::DropCheckpoint(digest) => {
                // While the coordinator stops nobody listens; the next start removes what is left.
                let _ = dropped.send(digest);
            }
        }
    }
}
