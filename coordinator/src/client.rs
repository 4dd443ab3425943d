//! The client of the command line. It calls a coordinator over the network, or, if none runs,
//! serves the state directory in this process by the same protocol, so that both behave alike.

mod admin;
mod admission;
mod fleet;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rheo_core::id::{Digest, RequestId, SweepName, TrialId};
use rheo_core::machine::{
    SweepPhase, SweepView, TrialSelection, TrialStatus, TrialView, UnfitWorker,
};
use rheo_core::progress::Progress;
use rheo_proto::access::{AccessConfig, AuthorizedChannel, BearerToken, SERVER_FILE};
use rheo_proto::refusal::Refusal;
use rheo_proto::server_file::ServerFile;
use rheo_proto::v1::admin_service_client::AdminServiceClient;
use rheo_proto::v1::fleet_service_client::FleetServiceClient;
use rheo_proto::v1::sweep_service_client::SweepServiceClient;
use rheo_proto::v1::worker_service_client::WorkerServiceClient;
use rheo_proto::{InvalidMessage, MAX_MESSAGE, sweep as wire, v1};
use rheo_query::Limits;
use tokio::io::DuplexStream;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use uuid::Uuid;

use crate::app::{self, Coordinator, CoordinatorAtRest, Settings};
use crate::grpc;
use crate::tls::AuthPolicy;
pub(crate) use admin::{RunningAttempt, ShutdownReply};

/// The timeout of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time that a state directory may be locked while no coordinator answers.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between two tries in that time.
const PAUSE: Duration = Duration::from_millis(50);

/// The interval of keepalive probes, and the timeout of their replies.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The timeout of a call that does not wait for other events.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The timeout until the reply of a query begins.
const QUERY_TIMEOUT: Duration = Duration::from_hours(1);

/// Buffer between client and server in one process, in bytes.
const PIPE: usize = 1 << 20;

/// A client of a coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: SweepServiceClient<AuthorizedChannel>,
    workers: WorkerServiceClient<AuthorizedChannel>,
    fleets: FleetServiceClient<AuthorizedChannel>,
    admin: AdminServiceClient<AuthorizedChannel>,
    /// Whether a coordinator runs; otherwise submitted sweeps only wait.
    pub is_live: bool,
    /// Message about the address file of a coordinator that died.
    pub stale_server: Option<String>,
}

/// A call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is neither a coordinator nor a state.
    #[error("no coordinator runs here and there is no state in `{}`", .0.display())]
    Nowhere(PathBuf),
    /// The given coordinator does not answer.
    #[error("the coordinator at `{url}` cannot be reached")]
    Unreachable {
        /// The coordinator's address.
        url: String,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// The state directory cannot be opened.
    #[error(transparent)]
    State(#[from] app::Error),
    /// The coordinator refused the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The coordinator sent an invalid message.
    #[error("the coordinator sent an invalid message: it may have another version")]
    NotUnderstood(#[from] InvalidMessage),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Refusal::from(&status))
    }
}

/// The coordinator of a state directory, running or not.
pub(crate) enum CoordinatorLookup {
    /// A client of the running coordinator.
    Running(Box<Client>),
    /// The opened state, if no coordinator runs.
    AtRest(Box<CoordinatorAtRest>),
}

/// Finds the coordinator of a state directory. Waits for a while if it is locked without a reply.
pub(crate) async fn find(
    settings: &Settings,
    access: &AccessConfig,
) -> Result<CoordinatorLookup, Error> {
    let access = AccessConfig { server: None, state: settings.state.clone(), ..access.clone() };
    let deadline = tokio::time::Instant::now() + IN_USE_TIMEOUT;
    loop {
        // The lock is checked before the address, which may be that of a dead coordinator.
        let in_use = match Coordinator::open(settings.clone()) {
            Err(error) if is_locked(&error) || is_forbidden(&error) => error,
            opened => return Ok(CoordinatorLookup::AtRest(Box::new(opened?))),
        };
        let error = match Client::over_network(&access).await {
            Ok(client) => return Ok(CoordinatorLookup::Running(Box::new(client))),
            // A failed authentication is the more useful error.
            Err(Error::Refused(refusal)) if refusal.is_access() => {
                if is_forbidden(&in_use) {
                    return Err(refusal.into());
                }
                refusal.into()
            }
            // The state belongs to another user.
            Err(_) if is_forbidden(&in_use) => return Err(in_use.into()),
            Err(_) => in_use.into(),
        };
        if tokio::time::Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_locked(error: &app::Error) -> bool {
    matches!(error, app::Error::Journal { source: rheo_store::Error::Locked { .. }, .. })
}

/// Whether a state directory belongs to another user.
pub(crate) fn is_forbidden(error: &app::Error) -> bool {
    match error {
        app::Error::Journal { source: rheo_store::Error::Io(source), .. }
        | app::Error::Directory { source, .. } => {
            source.kind() == std::io::ErrorKind::PermissionDenied
        }
        _ => false,
    }
}

/// Returns a message if a coordinator that died has left its address file.
fn stale_server_file(state: &Path) -> Option<String> {
    let path = state.join(SERVER_FILE);
    let file = ServerFile::read(&path).ok()??;
    let who = file.process.map(|process| format!(" ({process})")).unwrap_or_default();
    Some(format!(
        "no coordinator runs: `{}` is left from one that died{who}; the state is read without a coordinator",
        path.display()
    ))
}

impl Client {
    /// Connects to the given coordinator or to that of the state directory, or opens the state
    /// directory if none runs; `queries` limits queries in that case.
    pub(crate) async fn connect(access: &AccessConfig, queries: Limits) -> Result<Self, Error> {
        if access.server.is_some() {
            return Self::over_network(access).await;
        }
        if !access.state.is_dir() {
            return Err(Error::Nowhere(access.state.clone()));
        }
        if let Some(client) = Self::connect_remote(access).await? {
            return Ok(client);
        }
        let settings = Settings { queries, ..Settings::new(access.state.clone()) };
        match find(&settings, access).await? {
            CoordinatorLookup::Running(client) => Ok(*client),
            CoordinatorLookup::AtRest(opened) => {
                // A journal that does not match the results must be neither read nor written.
                opened.coordinator.check_storage(true).await?;
                let stale_server = stale_server_file(&access.state);
                Ok(Self {
                    is_live: false,
                    stale_server,
                    ..Self::in_process(opened.coordinator).await?
                })
            }
        }
    }

    /// Connects to a coordinator on another machine, whose lock may be invisible here.
    async fn connect_remote(access: &AccessConfig) -> Result<Option<Self>, Error> {
        let file = ServerFile::read(&access.state.join(SERVER_FILE)).ok().flatten();
        if file.and_then(|file| file.process).is_none_or(|process| process.is_here()) {
            return Ok(None);
        }
        let mut client = match Self::over_network(access).await {
            Ok(client) => client,
            Err(Error::Refused(refusal)) if refusal.is_access() => return Err(refusal.into()),
            Err(_) => return Ok(None),
        };
        match client.fleets().await {
            Err(Error::Refused(refusal)) if refusal.transient => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(Some(client)),
        }
    }

    pub(crate) async fn over_network(access: &AccessConfig) -> Result<Self, Error> {
        let route = access.read()?;
        let endpoint = route.endpoint()?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        match admission::connect(&endpoint, &route.bearer).await {
            Ok(channel) => Ok(Self::new(channel, route.bearer)),
            Err(source) => Err(match route.explain(&source) {
                Some(refusal) => refusal.into(),
                None => Error::Unreachable { url: route.url, source },
            }),
        }
    }

    /// Serves `coordinator` to this client alone, without a socket.
    pub(crate) async fn in_process(coordinator: Coordinator) -> Result<Self, Error> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let connection = tokio_stream::once(Ok::<_, std::io::Error>(theirs));
        let incoming = connection.chain(tokio_stream::pending());
        let auth = AuthPolicy::Open;
        tokio::spawn(grpc::serve(coordinator, incoming, auth, CancellationToken::new()));
        let ours = Mutex::new(Some(TokioIo::new(ours)));
        let connector = tower::service_fn(move |_| {
            let taken = ours.lock().ok().and_then(|mut ours| ours.take());
            let closed = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            std::future::ready(taken.ok_or_else(closed))
        });
        let endpoint = Endpoint::from_static("http://in-process");
        let channel = connect_through(endpoint, connector).await?;
        Ok(Self::new(channel, BearerToken::default()))
    }

    fn new(channel: Channel, bearer: BearerToken) -> Self {
        let inner = SweepServiceClient::with_interceptor(channel.clone(), bearer.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let workers = WorkerServiceClient::with_interceptor(channel.clone(), bearer.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let fleets = FleetServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let admin = AdminServiceClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(MAX_MESSAGE);
        Self { inner, workers, fleets, admin, is_live: true, stale_server: None }
    }

    /// Submits the text of a sweep file; also returns whether the sweep is new.
    pub(crate) async fn submit(
        &mut self,
        file: &str,
        text: &str,
    ) -> Result<(SweepView, bool), Error> {
        let request = v1::SubmitRequest { file: file.to_owned(), text: text.to_owned() };
        let reply = self.inner.submit(with_timeout(CALL_TIMEOUT, request)).await?.into_inner();
        Ok((self.parse_sweep(reply.sweep)?, reply.created))
    }

    /// Returns all sweeps in the order of submission, and the last error of writing parts.
    pub(crate) async fn sweeps(&mut self) -> Result<(Vec<SweepView>, Option<String>), Error> {
        let Overview { sweeps, last_error, .. } = self.overview().await?;
        Ok((sweeps, last_error))
    }

    /// Returns all sweeps and known problems.
    pub(crate) async fn overview(&mut self) -> Result<Overview, Error> {
        let request = with_timeout(CALL_TIMEOUT, v1::ListSweepsRequest::default());
        let reply = self.inner.list_sweeps(request).await?.into_inner();
        let sweeps = reply.sweeps.into_iter().map(|sweep| self.parse_sweep(Some(sweep)));
        let sweeps: Result<_, _> = sweeps.collect();
        let unfit: Result<_, _> = reply.unfit.into_iter().map(UnfitWorker::try_from).collect();
        let (last_error, state) = (reply.trouble, reply.state);
        Ok(Overview { sweeps: sweeps?, last_error, unfit: unfit?, state })
    }

    /// Returns the sweeps with missing or damaged parts.
    pub(crate) async fn damaged_sweeps(&mut self) -> Result<Vec<v1::DamagedSweep>, Error> {
        let request = with_timeout(CALL_TIMEOUT, v1::ListSweepsRequest { damage: true });
        Ok(self.inner.list_sweeps(request).await?.into_inner().damaged)
    }

    /// Verifies the stored data; with `repair`, restarts the trials with damaged data.
    pub(crate) async fn verify(
        &mut self,
        repair: bool,
    ) -> Result<Streaming<v1::VerifyResponse>, Error> {
        let request = with_timeout(QUERY_TIMEOUT, v1::VerifyRequest { repair });
        Ok(self.inner.verify(request).await?.into_inner())
    }

    /// Returns a sweep and the text of its file.
    pub(crate) async fn sweep(&mut self, name: &SweepName) -> Result<(SweepView, String), Error> {
        let request = v1::GetSweepRequest { sweep: name.to_string() };
        let reply = self.inner.get_sweep(with_timeout(CALL_TIMEOUT, request)).await?.into_inner();
        Ok((self.parse_sweep(reply.sweep)?, reply.source))
    }

    /// Returns a page of trials, and the first index of the next page.
    pub(crate) async fn trials(
        &mut self,
        sweep: &SweepName,
        statuses: &[TrialStatus],
        from: u64,
        limit: u32,
    ) -> Result<(Vec<TrialWithProgress>, Option<u64>), Error> {
        let request = v1::ListTrialsRequest {
            sweep: sweep.to_string(),
            statuses: statuses.iter().map(|status| status.name().to_owned()).collect(),
            from,
            limit,
        };
        let reply = self.inner.list_trials(with_timeout(CALL_TIMEOUT, request)).await?.into_inner();
        let trials: Result<_, _> =
            reply.trials.into_iter().map(TrialWithProgress::try_from).collect();
        Ok((trials?, reply.next))
    }

    /// Returns a trial and its complete configuration as JSON.
    pub(crate) async fn trial(
        &mut self,
        id: &TrialId,
    ) -> Result<(TrialWithProgress, String), Error> {
        let request = v1::GetTrialRequest { sweep: id.sweep.to_string(), trial: id.index };
        let reply = self.inner.get_trial(with_timeout(CALL_TIMEOUT, request)).await?.into_inner();
        Ok((reply.trial.ok_or(InvalidMessage::Missing("trial"))?.try_into()?, reply.config))
    }

    /// Downloads a checkpoint.
    pub(crate) async fn checkpoint(&mut self, digest: Digest) -> Result<Vec<u8>, Error> {
        let request = v1::GetCheckpointRequest { digest: digest.to_string(), claim: None };
        let mut chunks = self.workers.get_checkpoint(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.chunk);
        }
        Ok(bytes)
    }

    /// Follows a sweep until it ends.
    pub(crate) async fn watch(&mut self, sweep: &SweepName) -> Result<SweepWatch, Error> {
        let request = v1::WatchRequest { sweep: sweep.to_string() };
        Ok(SweepWatch(self.inner.watch(request).await?.into_inner()))
    }

    /// Pauses a sweep: no further trial starts.
    pub(crate) async fn pause(&mut self, sweep: &SweepName) -> Result<SweepView, Error> {
        let (sweep, request_id) = (sweep.to_string(), request_id());
        let request = with_timeout(CALL_TIMEOUT, v1::PauseRequest { sweep, request_id });
        let reply = self.inner.pause(request).await?.into_inner();
        self.parse_sweep(reply.sweep)
    }

    /// Resumes a sweep.
    pub(crate) async fn resume(&mut self, sweep: &SweepName) -> Result<SweepView, Error> {
        let (sweep, request_id) = (sweep.to_string(), request_id());
        let request = with_timeout(CALL_TIMEOUT, v1::ResumeRequest { sweep, request_id });
        let reply = self.inner.resume(request).await?.into_inner();
        self.parse_sweep(reply.sweep)
    }

    /// Cancels a sweep: running trials stop, and no further trial starts.
    pub(crate) async fn cancel(&mut self, sweep: &SweepName) -> Result<SweepView, Error> {
        let (sweep, request_id) = (sweep.to_string(), request_id());
        let request = with_timeout(CALL_TIMEOUT, v1::CancelRequest { sweep, request_id });
        let reply = self.inner.cancel(request).await?.into_inner();
        self.parse_sweep(reply.sweep)
    }

    /// Queues trials again; also returns how many.
    pub(crate) async fn retry(
        &mut self,
        sweep: &SweepName,
        trials: TrialSelection,
    ) -> Result<(SweepView, u64), Error> {
        let selection = Some(trials.into());
        let (sweep, request_id) = (sweep.to_string(), request_id());
        let request = with_timeout(CALL_TIMEOUT, v1::RetryRequest { sweep, request_id, selection });
        let reply = self.inner.retry(request).await?.into_inner();
        Ok((self.parse_sweep(reply.sweep)?, reply.retried))
    }

    /// Converts a sweep; without a running coordinator it is idle, whatever leases it has.
    fn parse_sweep(&self, wire: Option<v1::Sweep>) -> Result<SweepView, Error> {
        let mut sweep = parse_sweep(wire)?;
        sweep.idle |= !self.is_live && sweep.phase == SweepPhase::Running;
        Ok(sweep)
    }

    /// Runs SQL; the reply is an Arrow IPC stream in chunks.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Streaming<v1::QueryResponse>, Error> {
        let request = with_timeout(QUERY_TIMEOUT, v1::QueryRequest { sql: sql.to_owned() });
        Ok(self.inner.query(request).await?.into_inner())
    }
}

/// The sweeps and known problems.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overview {
    /// Sweeps in the order of submission.
    pub sweeps: Vec<SweepView>,
    /// Last error of writing parts.
    pub last_error: Option<String>,
    /// Workers that lack what trials need.
    pub unfit: Vec<UnfitWorker>,
    /// Id of the state; none before the first start of a coordinator.
    pub state: Option<String>,
}

/// A trial with its progress.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrialWithProgress {
    /// The trial.
    pub trial: TrialView,
    /// Progress of a running trial.
    pub progress: Option<Progress>,
}

impl TryFrom<v1::Trial> for TrialWithProgress {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Trial) -> Result<Self, InvalidMessage> {
        let (trial, progress) = wire::parse_trial(wire)?;
        Ok(Self { trial, progress })
    }
}

/// A stream of updates of a sweep.
#[derive(Debug)]
pub(crate) struct SweepWatch(Streaming<v1::WatchResponse>);

/// An update of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SweepUpdate {
    /// The sweep.
    pub sweep: SweepView,
    /// The running trials.
    pub running: Vec<TrialWithProgress>,
    /// Trials that ended since the previous update.
    pub ended: Vec<TrialView>,
}

impl SweepWatch {
    /// Waits for the next update; none after the end of the sweep.
    pub(crate) async fn next(&mut self) -> Result<Option<SweepUpdate>, Error> {
        let Some(message) = self.0.message().await? else { return Ok(None) };
        let running: Result<_, _> =
            message.running.into_iter().map(TrialWithProgress::try_from).collect();
        let ended: Result<Vec<TrialWithProgress>, _> =
            message.ended.into_iter().map(TrialWithProgress::try_from).collect();
        let ended = ended?.into_iter().map(|seen| seen.trial).collect();
        Ok(Some(SweepUpdate { sweep: parse_sweep(message.sweep)?, running: running?, ended }))
    }
}

async fn connect_through<C>(endpoint: Endpoint, connector: C) -> Result<Channel, Error>
where
    C: tower::Service<
            tonic::codegen::http::Uri,
            Response = TokioIo<DuplexStream>,
            Error = std::io::Error,
            Future: Send,
        > + Send
        + 'static,
{
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|source| Error::Unreachable { url: "this process".to_owned(), source })
}

fn with_timeout<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn parse_sweep(wire: Option<v1::Sweep>) -> Result<SweepView, Error> {
    Ok(wire.ok_or(InvalidMessage::Missing("sweep"))?.try_into()?)
}

fn request_id() -> String {
    RequestId(Uuid::now_v7()).to_string()
}
