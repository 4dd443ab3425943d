//! Wires the coordinator together, from a state directory to the gRPC server.
//!
//! [`Coordinator::open`] only reads, so that a state can be queried without a running coordinator;
//! [`CoordinatorAtRest::start`] starts to act on it; [`Coordinator::serve`] serves clients.
//!
//! ```text
//! .rheo/journal.redb    events and pending rows; open in one process at a time
//! .rheo/checkpoints/    by digest
//! .rheo/results/        Parquet
//! .rheo/spool/          commits that local workers have not delivered yet
//! .rheo/server          address of the coordinator, while it runs
//! .rheo/tls/            tokens, and certificates if it listens beyond loopback
//! .rheo/places.json     locations of checkpoints and results, if not here
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

use crate::attempt_keys::AttemptKeyCache;
use crate::claim::StorageClaim;
use crate::clock::SystemClock;
use crate::directory_check;
use crate::engine::{self, EngineHandle};
use crate::live::LiveState;
use crate::paths;
use crate::point_request::PointRequest;
use crate::report::report;
use crate::sink::{Backlog, Sink};
use crate::sql::QueryService;
use crate::storage::{self, StorageLayout, StorageRequest};
use crate::uploads::UncommittedUploads;

/// Settings of a coordinator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// Duration of a lease: the time after which trials of a lost worker restart.
    pub lease: Duration,
    /// Interval at which pending rows are written into parts; the default depends on the storage.
    pub flush: Option<Duration>,
    /// Interval of the queries of clusters about pilots.
    pub poll: Duration,
    /// Requested locations of results and checkpoints.
    pub storage: StorageRequest,
    /// Limits of queries.
    pub queries: Limits,
    /// Known workloads.
    pub workloads: WorkloadRegistry,
    /// Function that opens the journal.
    pub open_journal: OpenJournal,
    /// Cache of the journal, in bytes.
    pub journal_cache: usize,
    /// Timeout for one message of a request to arrive in full.
    pub request: Duration,
    /// Largest total of uploaded and uncommitted checkpoints, in bytes.
    pub uncommitted: u64,
}

impl Settings {
    /// The default lease.
    pub const LEASE: Duration = Duration::from_secs(30);

    /// The default time between parts.
    pub const FLUSH: Duration = Duration::from_secs(15);

    /// The default interval of queries of a cluster: acceptable to administrators.
    pub const POLL: Duration = Duration::from_secs(10);

    /// The default time between parts in a bucket, where parts are never merged.
    pub const FLUSH_INTO_BUCKET: Duration = Duration::from_mins(5);

    /// The default timeout for one message of a request.
    pub const REQUEST: Duration = Duration::from_mins(1);

    /// The default limit of uncommitted checkpoints, in bytes: four of the largest.
    pub const UNCOMMITTED: u64 = 4 * rheo_proto::MAX_CHECKPOINT;

    /// Returns the defaults for the state directory `state`.
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

    /// Returns the path of the journal.
    pub fn journal(&self) -> PathBuf {
        self.state.join(JOURNAL_FILE)
    }
}

/// An open state directory; cheap to clone.
#[derive(Clone)]
pub struct Coordinator {
    /// Handle of the engine, which owns the state.
    pub handle: EngineHandle,
    /// Results on disk or in a bucket.
    pub dataset: Arc<Dataset>,
    /// Volatile state of the running coordinator.
    pub live: LiveState,
    /// Key columns of the rows of running attempts.
    pub(crate) attempt_keys: AttemptKeyCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) checkpoints: Arc<checkpoint::CheckpointStore>,
    pub(crate) sink: Sink,
    pub(crate) sql: QueryService,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) uploads: Arc<UncommittedUploads>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) storage: Arc<StorageLayout>,
    /// Directories claimed until the process ends.
    pub(crate) claims: Arc<Mutex<Vec<StorageClaim>>>,
    /// Latest time in the journal when it was opened.
    pub(crate) latest: Timestamp,
    /// Id of this start of the coordinator.
    pub(crate) incarnation: IncarnationId,
    /// Fatal error that stopped the coordinator.
    pub(crate) fatal: Arc<OnceLock<String>>,
    /// Token cancelled by a shutdown request.
    pub(crate) shutdown: CancellationToken,
}

/// A coordinator that is open for reading and not started.
pub struct CoordinatorAtRest {
    /// The readable coordinator.
    pub coordinator: Coordinator,
    /// Checkpoints to remove. The channel is unbounded, because the engine must never wait; there
    /// are a few per command, and commands are bounded.
    pub(crate) dropped: mpsc::UnboundedReceiver<Digest>,
    /// Points to choose.
    pub(crate) requested: mpsc::UnboundedReceiver<PointRequest>,
}

/// A state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error("the state directory `{}` cannot be used (--state names another)", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be used.
    #[error("the journal `{}` cannot be used", path.display())]
    Journal {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rheo_store::Error,
    },
    /// The checkpoints cannot be used.
    #[error("the checkpoints cannot be used")]
    Checkpoints(#[from] checkpoint::Error),
    /// The locations of checkpoints or results are invalid.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The results cannot be used with the journal.
    #[error("the results in `{place}` cannot be used")]
    Results {
        /// The location of the results.
        place: String,
        /// The cause.
        #[source]
        source: dataset::Error,
    },
    /// The results or checkpoints belong to another state, or cannot be claimed.
    #[error(transparent)]
    Owner(#[from] owner::Error),
    /// The journal names none of the existing results or checkpoints.
    #[error(
        "the journal `{}` does not match the files in `{place}`: it is new, empty or of another state; put the journal back, or move `{place}` away",
        journal.display()
    )]
    JournalLost {
        /// The path of the journal.
        journal: PathBuf,
        /// The location of the results or checkpoints.
        place: String,
    },
    /// The results have disappeared.
    #[error(
        "`{results}` is empty, but the journal names {parts} files in it: mount the disk or put the results back; if they are lost, `rheo verify --repair` restarts their trials"
    )]
    ResultsGone {
        /// The location of the results.
        results: String,
        /// The number of files that the journal names.
        parts: usize,
    },
    /// The engine refused the start.
    #[error("the coordinator could not start")]
    Start(#[from] engine::Error),
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Serve(#[from] tonic::transport::Error),
}

impl Coordinator {
    /// Opens a state directory for reading.
    pub fn open(settings: Settings) -> Result<CoordinatorAtRest, Error> {
        make_state(&settings.state)?;
        let path = settings.journal();
        let journal_error = |source| Error::Journal { path: path.clone(), source };
        let journal =
            (settings.open_journal)(&path, settings.journal_cache).map_err(journal_error)?;
        let backlog = Arc::new(Backlog::default());
        let clock = |latest: Timestamp| Arc::new(SystemClock::new(latest)) as Arc<dyn Clock>;
        // No trial has started, so no file exists.
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
        let (live, attempt_keys) = (LiveState::default(), AttemptKeyCache::default());
        let (drop, dropped) = mpsc::unbounded_channel();
        let (request, requested) = mpsc::unbounded_channel();
        let parts = engine::EngineParts {
            journal: Arc::clone(&journal),
            workloads: settings.workloads.clone(),
            backlog: Arc::clone(&backlog),
            live: live.clone(),
            attempt_keys: attempt_keys.clone(),
        };
        let effects = EffectHandler {
            live: live.clone(),
            attempt_keys: attempt_keys.clone(),
            sink: sink.clone(),
            dropped: drop,
            requested: request,
        };
        let dispatch_effect = move |effect| effects.dispatch_effect(effect);
        let running = engine::start(parts, clock, dispatch_effect).map_err(journal_error)?;
        storage.id = running.loaded_journal.id.unwrap_or(storage.id);
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
            attempt_keys,
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
            latest: running.loaded_journal.latest,
            incarnation: IncarnationId(Uuid::now_v7()),
        };
        Ok(CoordinatorAtRest { coordinator, dropped, requested })
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Writes all rows that are committed now into parts.
    pub async fn flush(&self) -> Result<(), crate::sink::Error> {
        self.sink.flush().await
    }

    /// Returns the last error of writing parts, until a write succeeds.
    pub fn last_error(&self) -> Option<String> {
        self.sink.last_error()
    }
}

impl Coordinator {
    pub(crate) async fn remove_checkpoint(&self, digest: Digest) {
        if let Err(error) = self.checkpoints.remove(digest).await {
            tracing::warn!(error = report(&error), %digest, "cannot remove a checkpoint");
        }
    }
}

/// Creates a state directory, unless it exists.
pub(crate) fn make_state(state: &Path) -> Result<(), Error> {
    check_path(state)?;
    // Other users may read if the umask allows it, and never write.
    let made = DirBuilder::new().recursive(true).mode(0o755).create(state);
    made.map_err(|source| Error::Directory { path: state.to_owned(), source })
}

/// Refuses a state directory whose path the query engine could not use.
fn check_path(state: &Path) -> Result<(), storage::Error> {
    let unusable = |reason| storage::Error::Unusable { path: state.to_owned(), reason };
    paths::check(&paths::resolve(state)).map_err(unusable)
}

/// Checks that the directories of a new coordinator can be created and written. Creates the state
/// directory and nothing else.
pub(crate) fn check_directories(settings: &Settings) -> Result<(), Error> {
    let mut made = Vec::new();
    check_path(&settings.state)?;
    if !settings.journal().exists() {
        let state = paths::resolve(&settings.state);
        made = directory_check::probe("state", &state).map_err(storage::Error::from)?;
    }
    // A location that contradicts the stored one is refused later.
    let storage = StorageLayout::resolve(&settings.state, &settings.storage, || true);
    let checked = storage.and_then(|storage| storage.check_directories());
    Ok(checked.inspect_err(|_| directory_check::remove(&made))?)
}

/// Opens the results at `place`, without a request to a bucket.
pub(crate) fn dataset(place: &StorageUrl) -> Result<Dataset, storage::Error> {
    Ok(match place {
        StorageUrl::Directory(path) => Dataset::new(path),
        StorageUrl::Bucket(address) => {
            let storage_url::Bucket { store, url } = address.open()?;
            Dataset::in_bucket(store, url, tokio::runtime::Handle::current())
        }
    })
}

/// Dispatches the effects of events, which other tasks carry out if they take time.
struct EffectHandler {
    live: LiveState,
    attempt_keys: AttemptKeyCache,
    sink: Sink,
    dropped: mpsc::UnboundedSender<Digest>,
    requested: mpsc::UnboundedSender<PointRequest>,
}

impl EffectHandler {
    fn dispatch_effect(&self, effect: Effect) {
        let Self { live, attempt_keys, sink, dropped, requested } = self;
        match effect {
            Effect::WakeWorkers => live.wake_workers(),
            Effect::SweepChanged(_) => live.notify_watchers(),
            Effect::AttemptBegan(attempt, at) => live.attempt_began(&attempt, at),
            Effect::AttemptEnded { attempt, is_done, at } => {
                attempt_keys.remove(&attempt);
                live.forget_log(&attempt);
                live.attempt_ended(&attempt, is_done, at);
            }
            Effect::TrialEnded(trial) => live.trial_ended(trial),
            Effect::FlushSweep(sweep) => sink.finish(sweep),
            Effect::Reconcile => live.fleets_changed().notify_one(),
            Effect::SweepDeleted(sweep) => live.sweep_deleted(&sweep),
            Effect::WorkerForgotten(worker) => live.worker_forgotten(worker),
            Effect::ChoosePoint(sweep, point) => {
                // The receiver is gone during a stop; after the next start it is requested again.
                let _ = requested.send(PointRequest { sweep, point });
            }
            Effect::DropCheckpoint(digest) => {
                // The receiver is gone during a stop; the next start removes the rest.
                let _ = dropped.send(digest);
            }
        }
    }
}
