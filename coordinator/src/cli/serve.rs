//! `rheo serve`: coordinates sweeps for workers that join.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rheo_core::time::{Clock as _, Timestamp};
use rheo_proto::access::{AccessConfig, SERVER_FILE, TLS_DIRECTORY};
use rheo_proto::server_file::ServerFile;
use rheo_store::storage_url::StorageUrl;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::{GlobalArgs, env, format, variables};
use crate::app::{self, Coordinator, Settings};
use crate::client::{self, CoordinatorLookup};
use crate::clock::SystemClock;
use crate::signals;
use crate::storage::StorageRequest;
use crate::tls::{self, HostNames, ListenMode, Protection, UserCredentials};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on; port 0 takes any that is free. Every call needs a token, and beyond
    /// loopback everything is TLS; what that takes is made in the state directory.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Name or IP address by which others reach this machine, for the certificate; may be repeated.
    /// The first is in the address that workers read in the state directory.
    #[arg(long, value_name = "HOST", value_parser = tls::parse_host)]
    advertise: Vec<String>,
    /// A certificate of your own, with its chain, in PEM; on loopback too.
    #[arg(long, env = env::TLS_CERT, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, env = env::TLS_KEY, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// File with a token of your own for people; by default one is made in the state directory.
    #[arg(long, env = env::TOKEN_FILE, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The same for workers.
    #[arg(long, env = env::WORKER_TOKEN_FILE, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
    /// Serve plaintext without tokens, on loopback and beyond: whoever can connect can do
    /// everything.
    #[arg(long)]
    insecure: bool,
    /// Seconds that a lease lasts: after so long, the trials of a worker that vanished start again.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::LEASE.as_secs_f64())]
    lease: f64,
    /// Seconds between parts: after so long, committed rows are in Parquet files; 15, or 300 where
    /// results lie in a bucket, which keeps every part as it is.
    #[arg(long, value_name = "SECONDS")]
    flush_interval: Option<f64>,
    /// Seconds between queries of the jobs of a cluster.
    #[arg(long, env = env::POLL, value_name = "SECONDS", default_value_t = Settings::POLL.as_secs_f64())]
    poll: f64,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

/// Memory options of the journal.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct JournalArgs {
    /// Megabytes of the journal that are kept in memory.
    #[arg(long = "journal-cache-mb", env = env::JOURNAL_CACHE, value_name = "MB",
          default_value_t = (rheo_store::DEFAULT_CACHE_BYTES >> 20) as u64,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    cache_mb: u64,
}

impl JournalArgs {
    /// Returns the cache size in bytes.
    pub(super) fn cache(&self) -> usize {
        usize::try_from(self.cache_mb << 20).unwrap_or(usize::MAX)
    }
}

/// Storage options, given at the first start of a state directory and then remembered.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StorageArgs {
    /// Location of results: a directory, or `s3://bucket/prefix`, `gs://...`, `az://...`; by default
    /// `results` in the state directory.
    #[arg(long, env = env::RESULTS, value_name = "PLACE")]
    results: Option<StorageUrl>,
    /// Location of checkpoints, likewise; by default `checkpoints` in the state directory.
    #[arg(long, env = env::CHECKPOINTS, value_name = "PLACE")]
    checkpoints: Option<StorageUrl>,
}

impl From<&StorageArgs> for StorageRequest {
    fn from(storage: &StorageArgs) -> Self {
        Self { results: storage.results.clone(), checkpoints: storage.checkpoints.clone() }
    }
}

impl Args {
    fn settings(&self, state: PathBuf) -> Result<Settings, Failure> {
        let seconds = |seconds: f64, flag: &str| match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if !duration.is_zero() => Ok(duration),
            _ => Err(Failure::usage(format!(
                "--{flag} is not a number of seconds above 0: `{seconds}`"
            ))),
        };
        let lease = seconds(self.lease, "lease")?;
        let flush = self.flush_interval;
        let flush = flush.map(|flush| seconds(flush, "flush-interval")).transpose()?;
        let poll = seconds(self.poll, "poll")?;
        let storage = (&self.storage).into();
        let (queries, journal_cache) = (variables::query_limits()?, self.journal.cache());
        Ok(Settings { lease, flush, poll, storage, queries, journal_cache, ..Settings::new(state) })
    }

    fn listen(&self, global: &GlobalArgs) -> Result<ListenConfig, Failure> {
        let credentials = UserCredentials {
            certificate: self.tls_cert.clone().zip(self.tls_key.clone()),
            admin: self.token_file.clone(),
            worker: self.worker_token_file.clone(),
        };
        let is_loopback = self.listen.ip().is_loopback();
        let protection =
            tls::protection(is_loopback, self.insecure, credentials.certificate.is_some())?;
        Ok(ListenConfig {
            address: self.listen,
            protection,
            credentials,
            advertise: self.advertise.clone(),
            access: global.access(),
        })
    }
}

/// Address and protection of a listener.
pub(super) struct ListenConfig {
    address: SocketAddr,
    protection: Protection,
    credentials: UserCredentials,
    advertise: Vec<String>,
    access: AccessConfig,
}

impl ListenConfig {
    /// Listens on a free port of loopback.
    pub(super) fn loopback(global: &GlobalArgs) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            protection: Protection::Loopback,
            // As in `rheo serve`, so that the same variable gives access.
            credentials: UserCredentials {
                admin: env::path(env::TOKEN_FILE),
                ..UserCredentials::default()
            },
            advertise: Vec::new(),
            access: global.access(),
        }
    }

    /// Returns the listen mode and the URL for clients.
    async fn listen_mode(
        &self,
        state: &Path,
        bound: SocketAddr,
    ) -> Result<(ListenMode, String), Failure> {
        let names = || HostNames::of_this_machine(&self.advertise, bound.ip());
        let (port, directory) = (bound.port(), state.join(TLS_DIRECTORY));
        match self.protection {
            Protection::Loopback => {
                Ok((tls::loopback(&self.credentials, &directory)?, format!("http://{bound}")))
            }
            Protection::Insecure => {
                let host = tls::host(&names()).await;
                Ok((tls::without_auth(), format!("http://{host}:{port}")))
            }
            Protection::Tls => {
                let names = names();
                let now = SystemClock::new(Timestamp::default()).now();
                let listen_mode = tls::secured(&self.credentials, &directory, &names, now)?;
                Ok((listen_mode, format!("https://{}:{port}", tls::host(&names).await)))
            }
        }
    }

    /// Prints who has access, unless the coordinator listens on loopback with tokens.
    fn print_protection(&self, state: &Path) {
        let directory = state.join(TLS_DIRECTORY);
        match self.protection {
            Protection::Loopback => {}
            Protection::Insecure => {
                let text = "--insecure: everybody who can connect, other users of this machine included, has full access, and traffic is not encrypted; without --insecure, calls need tokens and, beyond loopback, TLS";
                format::note(format!("WARNING: {text}"));
                tracing::warn!("{text}");
            }
            Protection::Tls => format::note(match &self.credentials.certificate {
                Some((certificate, _)) => format!(
                    "TLS with {}, and a token for every call: clients trust the certificate by RHEO_CA_FILE or their system's CAs",
                    certificate.display()
                ),
                None => format!(
                    "TLS, and a token for every call: people and workers find the CA and the tokens in {}, or by RHEO_SERVER, RHEO_CA_FILE and RHEO_TOKEN_FILE",
                    directory.display()
                ),
            }),
        }
    }
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let listen = args.listen(global)?;
    let interrupted = interrupt_signal()?;
    let running = RunningCoordinator::start(args.settings(global.state.clone())?, listen).await?;
    format::note(format!("listening on {} for {}", running.url, global.state.display()));
    let interrupted = tokio::select! {
        interrupted = interrupted => interrupted,
        () = running.stopped() => false,
        () = running.shutdown_requested() => false,
    };
    let broken = running.is_stopped().then(|| running.stop_cause());
    exit_on_second_interrupt()?;
    running.stop().await?;
    match (broken, interrupted) {
        (Some(gave_up), _) => Err(gave_up),
        (None, true) => Err(Failure::Interrupted),
        (None, false) => Ok(()),
    }
}

/// The timeout of a stop. Rows that are not in a part by then stay in the journal.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A coordinator that serves, with its address in the state directory.
pub(super) struct RunningCoordinator {
    pub(super) coordinator: Coordinator,
    pub(super) url: String,
    stop: CancellationToken,
    tasks: TaskTracker,
    file: ServerFileGuard,
}

impl RunningCoordinator {
    pub(super) async fn start(settings: Settings, listen: ListenConfig) -> Result<Self, Failure> {
        let (state, address) = (settings.state.clone(), listen.address);
        app::check_directories(&settings)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| Failure::usage(format!("cannot listen on `{address}`: {error}")))?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let opened = match client::find(&settings, &listen.access).await? {
            CoordinatorLookup::AtRest(opened) => opened,
            CoordinatorLookup::Running(_) => {
                let state = state.display();
                return Err(Failure::Unreachable(anyhow::anyhow!(
                    "a coordinator runs already on `{state}`"
                )));
            }
        };
        // The journal's lock is held: no other process writes in the state directory.
        let bound = listener.local_addr();
        let bound = bound.map_err(|error| Failure::system("cannot determine the port", error))?;
        let (listen_mode, url) = listen.listen_mode(&state, bound).await?;
        listen.print_protection(&state);
        let coordinator = opened.start(&tasks, &stop).await?;
        let serving = coordinator.clone();
        let serve_stop = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = serving.serve(listener, listen_mode, serve_stop.clone()).await {
                tracing::error!(%error, "the protocol is served no longer");
            }
            serve_stop.cancel();
        });
        let file = ServerFileGuard::write(&state.join(SERVER_FILE), &url)?;
        Ok(Self { coordinator, url, stop, tasks, file })
    }

    /// Waits until the coordinator no longer serves.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Returns the reason why the coordinator stopped serving by itself.
    pub(super) fn stop_cause(&self) -> Failure {
        let unexpected = || Failure::Other(anyhow::anyhow!("the protocol is served no longer"));
        self.fatal_error().unwrap_or_else(unexpected)
    }

    /// Returns the fatal error of the coordinator, if there was one.
    pub(super) fn fatal_error(&self) -> Option<Failure> {
        let text = self.coordinator.fatal.get()?;
        Some(Failure::Other(anyhow::Error::msg(text.clone())))
    }

    /// Waits for `rheo stop`.
    pub(super) async fn shutdown_requested(&self) {
        self.coordinator.shutdown.cancelled().await;
    }

    /// Whether the coordinator stopped serving by itself.
    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Stops serving, writes pending rows into parts, and closes the journal.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        drop(self.file);
        self.stop.cancel();
        self.tasks.close();
        // A client may never finish reading a reply.
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await;
        Ok(())
    }
}

/// The file with the coordinator's address; removed on drop.
struct ServerFileGuard(PathBuf);

impl ServerFileGuard {
    fn write(path: &Path, url: &str) -> Result<Self, Failure> {
        // A rename, so that nobody reads half an address.
        let aside = path.with_extension("new");
        std::fs::write(&aside, ServerFile::of_this_process(url).to_string())
            .and_then(|()| std::fs::rename(&aside, path))
            .map_err(|error| Failure::unusable(path, error))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ServerFileGuard {
    fn drop(&mut self) {
        // The directory may have been removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Resolves on a signal to end; true for an interrupt by a person, false for a scheduler's signal.
pub(super) fn interrupt_signal() -> Result<impl Future<Output = bool> + Send, Failure> {
    let asked = signals::stop_signal().map_err(without_signals)?;
    Ok(async move { asked.await == signals::StopSignal::Interrupt })
}

/// Makes the next interrupt end this process at once; acknowledged data are safe.
pub(super) fn exit_on_second_interrupt() -> Result<(), Failure> {
    let again = signals::second_interrupt().map_err(without_signals)?;
    tokio::spawn(async move {
        again.await;
        #[expect(clippy::exit, reason = "second interrupt")]
        std::process::exit(130);
    });
    Ok(())
}

fn without_signals(error: std::io::Error) -> Failure {
    Failure::system("cannot watch signals", error)
}
