//! Starts a coordinator: its recovery, its tasks, and its server.

use std::time::Duration;

use rheo_core::id::Digest;
use rheo_core::machine::{Caller, Command};
use rheo_store::storage_url::StorageUrl;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{Coordinator, CoordinatorAtRest, Error, Settings};
use crate::connections::{self, raise_limit};
use crate::tls::ListenMode;
use crate::{engine, fleet, grpc, points};

impl CoordinatorAtRest {
    /// Claims and recovers the results and checkpoints and renews the leases; then starts the tasks
    /// that expire leases, write parts, and remove unused files, until `stop`.
    pub async fn start(
        self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Coordinator, Error> {
        let Self { coordinator, dropped, requested } = self;
        coordinator.check_storage(false).await?;
        // The state's id is durable before storage is claimed under it.
        coordinator
            .handle
            .execute(Caller::Coordinator, coordinator.start_command(), Vec::new(), |_, _| ())
            .await?;
        coordinator.claim_storage().await?;
        let recovering = coordinator.clone();
        let recovered = tokio::task::spawn_blocking(move || recovering.recover_results()).await;
        recovered.unwrap_or(Err(engine::Error::Stopping.into()))?;
        // Before any client is served who might refer to one of them again.
        coordinator.recover_checkpoints().await;
        let usual = match coordinator.storage.results {
            StorageUrl::Directory(_) => Settings::FLUSH,
            StorageUrl::Bucket(_) => Settings::FLUSH_INTO_BUCKET,
        };
        let interval = coordinator.settings.flush.unwrap_or(usual);
        tasks.spawn(coordinator.sink.clone().run(interval, stop.clone()));
        tasks.spawn(drop_checkpoints(coordinator.clone(), dropped, stop.clone()));
        tasks.spawn(points::choose(coordinator.clone(), requested, stop.clone()));
        tasks.spawn(tick(coordinator.clone(), stop.clone()));
        tasks.spawn(coordinator.clone().remove_stale_uploads(stop.clone()));
        tasks.spawn(fleet::run(coordinator.clone(), stop.clone()));
        Ok(coordinator)
    }
}

impl Coordinator {
    /// Serves clients on `listener` under `mode`, until `stop`.
    pub(crate) async fn serve(
        &self,
        listener: TcpListener,
        mode: ListenMode,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let coordinator = self.clone();
        let ListenMode { tls, auth } = mode;
        let incoming = connections::incoming(listener, tls, raise_limit(), stop.clone());
        Ok(grpc::serve(coordinator, incoming, auth, stop).await?)
    }

    /// Returns the command that journals this start. Repeated, it counts as the same start.
    pub(crate) fn start_command(&self) -> Command {
        let (lease, incarnation) = (self.settings.lease, self.incarnation);
        Command::Start { lease, state: self.storage.id, incarnation }
    }
}

/// Removes checkpoints that are no longer needed.
async fn drop_checkpoints(
    coordinator: Coordinator,
    mut dropped: mpsc::UnboundedReceiver<Digest>,
    stop: CancellationToken,
) {
    while let Some(Some(digest)) = stop.run_until_cancelled(dropped.recv()).await {
        coordinator.remove_checkpoint(digest).await;
    }
}

/// Expires leases, and stops the coordinator if the state directory was moved.
async fn tick(coordinator: Coordinator, stop: CancellationToken) {
    let lease = coordinator.settings.lease;
    let period = (lease / 8).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let mut interval = tokio::time::interval(period);
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        // Nobody could renew while this process was stopped, so leases are renewed here.
        let stalled = last.elapsed() > lease / 3;
        let command = if stalled { coordinator.start_command() } else { Command::Tick };
        last = tokio::time::Instant::now();
        if coordinator.has_journal_moved(&stop).await {
            return;
        }
        match coordinator.handle.execute(Caller::Coordinator, command, Vec::new(), |_, _| ()).await
        {
            Ok(()) | Err(engine::Error::Storage(_)) => {}
            Err(_) => return,
        }
    }
}
