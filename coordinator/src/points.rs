//! Points that take long to choose: they are computed on a thread of their own, from a copy of the
//! history, so that nobody else waits.

use std::sync::Arc;
use std::time::Duration;

use rheo_core::machine::{Caller, Command, State};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::Coordinator;
use crate::engine;
use crate::point_request::PointRequest;
use crate::report::report;

/// The time between two tries to record a chosen point while the journal cannot be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Chooses the requested points one after the other, until `stop`.
pub(crate) async fn choose(
    coordinator: Coordinator,
    mut requested: mpsc::UnboundedReceiver<PointRequest>,
    stop: CancellationToken,
) {
    while let Some(Some(request)) = stop.run_until_cancelled(requested.recv()).await {
        match stop.run_until_cancelled(choose_point(&coordinator, request)).await {
            None | Some(Err(engine::Error::Stopping)) => return,
            Some(Err(error)) => {
                tracing::warn!(error = report(&error), "cannot record a chosen point");
            }
            Some(Ok(())) => {}
        }
    }
}

async fn choose_point(
    coordinator: &Coordinator,
    PointRequest { sweep, point }: PointRequest,
) -> Result<(), engine::Error> {
    let name = sweep.clone();
    let look = move |state: &State| {
        let sweep = state.sweeps.get(&name).filter(|sweep| sweep.requested == Some(point))?;
        Some((Arc::clone(&sweep.planned.plan), sweep.history.clone()))
    };
    // It may have been deleted, or chosen already.
    let Some((plan, history)) = coordinator.handle.read(look).await? else { return Ok(()) };
    let version = history.version();
    let compute = move || plan.suggest(&history, point).unwrap_or_default();
    let Ok(suggestion) = tokio::task::spawn_blocking(compute).await else {
        tracing::error!(%sweep, point, "the method failed to choose a point; restart to try again");
        return Ok(());
    };
    let command = Command::ChoosePoint { sweep, point, suggestion, version };
    loop {
        let recorded =
            coordinator.handle.execute(Caller::Coordinator, command.clone(), Vec::new(), |_, _| ());
        match recorded.await {
            // The sweep waits for this point, so the disk is waited for.
            Err(engine::Error::Storage(_)) => tokio::time::sleep(RETRY_INTERVAL).await,
            other => return other,
        }
    }
}
