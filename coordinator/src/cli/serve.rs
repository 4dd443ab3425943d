//! `rheo serve`: coordinates sweeps for workers that join.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::{Global, format};
use crate::app::{Coordinator, Settings};
use crate::client::{self, Found, server_file};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on; port 0 takes any that is free. Only loopback, until TLS is there.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seconds that a lease lasts: after so long, the trials of a worker that vanished start again.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::LEASE.as_secs_f64())]
    lease: f64,
    /// Seconds between parts: after so long, committed rows are in Parquet files.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::FLUSH.as_secs_f64())]
    flush_interval: f64,
    /// Seconds between questions to a cluster about the pilots of fleets.
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::POLL.as_secs_f64())]
    poll: f64,
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
        let flush = seconds(self.flush_interval, "flush-interval")?;
        let poll = seconds(self.poll, "poll")?;
        Ok(Settings { lease, flush, poll, ..Settings::new(state) })
    }
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "`{}` is not a loopback address, and nothing here listens beyond loopback without TLS and a token, which this version does not have: forward a port with ssh, or run workers on this machine",
            args.listen
        )));
    }
    let interrupted = interruption()?;
    let running = Running::start(args.settings(global.state.clone())?, args.listen).await?;
    format::note(format!("listening on {} for {}", running.url, global.state.display()));
    let interrupted = tokio::select! {
        interrupted = interrupted => interrupted,
        () = running.stopped() => false,
    };
    let broken = running.is_stopped();
    exit_when_asked_again()?;
    running.stop().await?;
    match (broken, interrupted) {
        (true, _) => Err(Failure::Other(anyhow::anyhow!("the protocol is served no longer"))),
        (false, true) => Err(Failure::Interrupted),
        (false, false) => Ok(()),
    }
}

/// How long stopping may take: what is not in a part by then is in the journal.
const PATIENCE: Duration = Duration::from_secs(30);

/// A coordinator that serves, and says where in its state directory.
pub(super) struct Running {
    pub(super) coordinator: Coordinator,
    pub(super) url: String,
    stop: CancellationToken,
    tasks: TaskTracker,
    file: ServerFile,
}

impl Running {
    pub(super) async fn start(settings: Settings, listen: SocketAddr) -> Result<Self, Failure> {
        let file = server_file(&settings.state);
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::usage(format!("cannot listen on `{listen}`: {error}")))?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let coordinator = match client::find(&settings).await? {
            Found::AtRest(opened) => opened.start(&tasks, &stop).await?,
            Found::Running(_) => {
                let state = settings.state.display();
                return Err(Failure::Unreachable(anyhow::anyhow!(
                    "a coordinator runs already on `{state}`"
                )));
            }
        };
        let serving = coordinator.clone();
        let serve_stop = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = serving.serve(listener, serve_stop.clone()).await {
                tracing::error!(%error, "the protocol is served no longer");
            }
            serve_stop.cancel();
        });
        let file = ServerFile::write(&file, &url)?;
        Ok(Self { coordinator, url, stop, tasks, file })
    }

    /// Waits until it no longer serves.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether it serves no longer although nobody asked it to stop.
    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Stops serving, writes what is left into parts and closes the journal.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        drop(self.file);
        self.stop.cancel();
        self.tasks.close();
        // Somebody may be in the middle of reading an answer, for ever.
        let _ = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
        Ok(())
    }
}

/// Says where the coordinator listens, as long as it does.
struct ServerFile(PathBuf);

impl ServerFile {
    fn write(path: &Path, url: &str) -> Result<Self, Failure> {
        // Renamed into place, so that nobody reads half an address.
        let aside = path.with_extension("new");
        std::fs::write(&aside, format!("{url}\n"))?;
        std::fs::rename(&aside, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        // It may be gone with its directory.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Resolves to whether a person (or else a scheduler) wants this process to end.
pub(super) fn interruption() -> Result<impl Future<Output = bool> + Send, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => false,
        }
    })
}

/// From here on another interrupt ends this process at once; what is acknowledged is safe.
pub(super) fn exit_when_asked_again() -> Result<(), Failure> {
    let again = interruption()?;
    tokio::spawn(async move {
        again.await;
        #[expect(clippy::exit, reason = "asked twice")]
        std::process::exit(130);
    });
    Ok(())
}
