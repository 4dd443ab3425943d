//! The sweep service, for clients.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rheo_core::estimate::RemainingTrials;
use rheo_core::excerpt::excerpt;
use rheo_core::id::{AttemptId, SweepName, TrialId};
use rheo_core::machine::{
    Caller, Command, Event, Rejection, State, SweepPhase, SweepRequest as Change, SweepView,
    TrialStatus as Standing, TrialView,
};
use rheo_core::spec;
use rheo_core::sweep::{Lease, TrialsRetried};
use rheo_proto::refusal::{self, Reason};
use rheo_proto::sweep as wire;
use rheo_proto::v1::sweep_service_server::SweepService;
use rheo_proto::{InvalidMessage, v1};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::caller_of;
use crate::app::Coordinator;
use crate::engine;
use crate::report::report;

/// The shortest time between two messages to a watcher.
const WATCH_PAUSE: Duration = Duration::from_millis(200);

/// The largest number of trials per page.
const MAX_PAGE: u32 = 1000;

/// The largest number of indices scanned for a page, so that a rare status does not block the
/// engine.
const MAX_SCANNED: u64 = 100_000;

/// The largest number of concurrent watchers.
const MAX_WATCHERS: usize = 1000;

/// Handler of the sweep service.
pub(crate) struct SweepHandler {
    coordinator: Coordinator,
    stop: CancellationToken,
    watchers: Arc<Semaphore>,
}

impl SweepHandler {
    pub(crate) fn new(coordinator: Coordinator, stop: CancellationToken) -> Self {
        Self { coordinator, stop, watchers: Arc::new(Semaphore::new(MAX_WATCHERS)) }
    }

    /// Reads a view of one sweep.
    async fn read_sweep<T: Send + 'static>(
        &self,
        name: &str,
        view: impl FnOnce(&rheo_core::sweep::Sweep) -> Result<T, Rejection> + Send + 'static,
    ) -> Result<T, Status> {
        let name = wire::parse_name(name)?;
        let found = self.coordinator.handle.read(move |state| match state.sweeps.get(&name) {
            Some(sweep) => view(sweep),
            None => Err(Rejection::UnknownSweep(name)),
        });
        Ok(found.await?.map_err(engine::Error::Rejected)?)
    }

    /// Converts a sweep for clients.
    fn sweep_message(&self, snapshot: SweepSnapshot) -> v1::Sweep {
        sweep_message(&self.coordinator, snapshot)
    }

    /// Changes a sweep; returns it and the number of trials that were queued again.
    async fn change(&self, caller: Caller, change: Change) -> Result<(v1::Sweep, u64), Status> {
        let name = change.target().1.clone();
        let wants = matches!(change, Change::Resume { .. } | Change::Retry { .. });
        let view = move |state: &State, events: &[Event]| {
            let sweep = state.sweeps.get(&name).map(snapshot);
            let retried = events.iter().map(|event| match event {
                Event::TrialsRetried(TrialsRetried { reopened, .. }) => reopened.len() as u64,
                _ => 0,
            });
            (sweep, retried.sum())
        };
        let command = Command::Client(change);
        let (sweep, retried) =
            self.coordinator.handle.execute(caller, command, Vec::new(), view).await?;
        let sweep = sweep.ok_or_else(|| Status::internal("a sweep vanished"))?;
        if wants {
            self.coordinator.live.request_sweep(sweep.view.name.clone());
        }
        Ok((self.sweep_message(sweep), retried))
    }
}

/// A sweep and its remaining trials.
struct SweepSnapshot {
    view: SweepView,
    left: Option<RemainingTrials>,
}

fn snapshot(sweep: &rheo_core::sweep::Sweep) -> SweepSnapshot {
    SweepSnapshot { view: SweepView::of(sweep), left: RemainingTrials::of(sweep) }
}

type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SweepService for SweepHandler {
    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let caller = caller_of(&request);
        let v1::SubmitRequest { file, text } = request.into_inner();
        let workloads = &self.coordinator.settings().workloads;
        let parsed = spec::parse(workloads, &file, &text).map_err(|mistakes| {
            let detail = serde_json::to_string(&mistakes).ok();
            refusal::status(&Reason::InvalidSweep, mistakes.to_string(), detail)
        })?;
        let name = parsed.definition.name.clone();
        let wanted = name.clone();
        let command = Command::Submit { definition: Box::new(parsed.definition), source: text };
        let view = move |state: &State, events: &[Event]| {
            (state.sweeps.get(&name).map(snapshot), !events.is_empty())
        };
        let (sweep, created) =
            self.coordinator.handle.execute(caller, command, Vec::new(), view).await?;
        self.coordinator.live.request_sweep(wanted);
        let sweep = sweep.map(|sweep| self.sweep_message(sweep));
        Ok(Response::new(v1::SubmitResponse { sweep, created }))
    }

    async fn list_sweeps(
        &self,
        request: Request<v1::ListSweepsRequest>,
    ) -> Result<Response<v1::ListSweepsResponse>, Status> {
        let active = self.coordinator.live.active_worker_ids(Instant::now());
        let view =
            move |state: &State| -> (Vec<SweepSnapshot>, Vec<v1::UnfitWorker>, Option<String>) {
                let sweeps = state.order.iter().filter_map(|name| state.sweeps.get(name));
                let view = |sweep: &rheo_core::sweep::Sweep| {
                    let view = SweepView::among_workers(state, sweep, |id| active.contains(&id));
                    SweepSnapshot { view, left: RemainingTrials::of(sweep) }
                };
                let unfit = state.unfit_workers().into_iter().map(Into::into);
                (sweeps.map(view).collect(), unfit.collect(), state.id.map(|id| id.to_string()))
            };
        let (sweeps, unfit, state) = self.coordinator.handle.read(view).await?;
        let sweeps = sweeps.into_iter().map(|sweep| self.sweep_message(sweep)).collect();
        let damaged = if request.into_inner().damage {
            self.coordinator.damaged_sweeps().await
        } else {
            Vec::new()
        };
        let damaged = damaged.into_iter().map(Into::into).collect();
        let trouble = self.coordinator.last_error();
        Ok(Response::new(v1::ListSweepsResponse { sweeps, trouble, damaged, unfit, state }))
    }

    async fn get_sweep(
        &self,
        request: Request<v1::GetSweepRequest>,
    ) -> Result<Response<v1::GetSweepResponse>, Status> {
        let name = wire::parse_name(&request.into_inner().sweep)?;
        let active = self.coordinator.live.active_worker_ids(Instant::now());
        let found = self.coordinator.handle.read(move |state| {
            let Some(sweep) = state.sweeps.get(&name) else {
                return Err(Rejection::UnknownSweep(name));
            };
            let view = SweepView::among_workers(state, sweep, |id| active.contains(&id));
            Ok((SweepSnapshot { view, left: RemainingTrials::of(sweep) }, sweep.source.clone()))
        });
        let (sweep, source) = found.await?.map_err(engine::Error::Rejected)?;
        Ok(Response::new(v1::GetSweepResponse { sweep: Some(self.sweep_message(sweep)), source }))
    }

    async fn list_trials(
        &self,
        request: Request<v1::ListTrialsRequest>,
    ) -> Result<Response<v1::ListTrialsResponse>, Status> {
        let v1::ListTrialsRequest { sweep, statuses, from, limit } = request.into_inner();
        let mut wanted = Vec::with_capacity(statuses.len());
        for name in &statuses {
            let detail = format!("`{}` is not known", excerpt(name));
            let unknown = InvalidMessage::Value { field: "statuses", detail };
            wanted.push(Standing::parse(name).ok_or(unknown)?);
        }
        let limit = if limit == 0 { MAX_PAGE } else { limit.min(MAX_PAGE) };
        let view = move |sweep: &rheo_core::sweep::Sweep| Ok(page(sweep, &wanted, from, limit));
        let (views, next) = self.read_sweep(&sweep, view).await?;
        let live = &self.coordinator.live;
        let trials = views.into_iter().map(|view| {
            let progress = live.progress(&view.id);
            wire::trial_message(view, progress.as_ref())
        });
        Ok(Response::new(v1::ListTrialsResponse { trials: trials.collect(), next }))
    }

    async fn get_trial(
        &self,
        request: Request<v1::GetTrialRequest>,
    ) -> Result<Response<v1::GetTrialResponse>, Status> {
        let v1::GetTrialRequest { sweep, trial } = request.into_inner();
        let view = move |sweep: &rheo_core::sweep::Sweep| {
            let unknown = || Rejection::UnknownTrial(TrialId::new(sweep.name().clone(), trial));
            let view = TrialView::of(sweep, trial).ok_or_else(unknown)?;
            let planned = sweep.trial(trial).ok();
            let config = planned.map(|trial| trial.text().to_string()).unwrap_or_default();
            Ok((view, config, LeasedAttempt::of(sweep, trial)))
        };
        let (view, config, running) = self.read_sweep(&sweep, view).await?;
        let progress = self.coordinator.live.progress(&view.id);
        let trial = Some(wire::trial_message(view, progress.as_ref()));
        let running = match running {
            Some(running) => Some(running.message(&self.coordinator).await?),
            None => None,
        };
        Ok(Response::new(v1::GetTrialResponse { trial, config, running }))
    }

    type WatchStream = MessageStream<v1::WatchResponse>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let name = wire::parse_name(&request.into_inner().sweep)?;
        let permit = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            let text = format!("{MAX_WATCHERS} clients watch sweeps already, the most that are allowed: try again later");
            refusal::status(&Reason::Full, text, None)
        })?;
        // Before the first snapshot, so that no later change is missed.
        let live = &self.coordinator.live;
        let mut subscription =
            Subscription { changes: live.subscribe_changes(), endings: live.subscribe_ended() };
        let first = watch_response(&self.coordinator, &name, &mut subscription.endings).await?;
        let (sender, receiver) = mpsc::channel(4);
        let (coordinator, stop) = (self.coordinator.clone(), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = send_changes(&coordinator, &name, first, subscription, &sender) => {}
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::PauseResponse>, Status> {
        let (sweep, _) = self.change(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::PauseResponse { sweep: Some(sweep) }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let (sweep, _) = self.change(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::ResumeResponse { sweep: Some(sweep) }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let (sweep, _) = self.change(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::CancelResponse { sweep: Some(sweep) }))
    }

    async fn retry(
        &self,
        request: Request<v1::RetryRequest>,
    ) -> Result<Response<v1::RetryResponse>, Status> {
        let (sweep, retried) =
            self.change(caller_of(&request), request.into_inner().try_into()?).await?;
        Ok(Response::new(v1::RetryResponse { sweep: Some(sweep), retried }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        let caller = caller_of(&request);
        let change: Change = request.into_inner().try_into()?;
        let name = change.target().1.clone();
        let claimed = self.coordinator.claim_storage_at_rest().await;
        claimed.map_err(|error| refusal::status(&Reason::Storage, report(&error), None))?;
        // Checkpoints of this sweep alone. No worker adds any while a sweep can be deleted.
        let target = name.clone();
        let own = self.coordinator.handle.read(move |state: &State| {
            let Some(sweep) = state.sweeps.get(&target) else { return BTreeSet::new() };
            let mut own = sweep.checkpoints();
            for other in state.sweeps.values().filter(|other| other.name() != &target) {
                let others = other.checkpoints();
                own.retain(|digest| !others.contains(digest));
            }
            own
        });
        let own = own.await?;
        let handle = self.coordinator.handle.clone();
        let forget =
            handle.execute(caller, Command::Client(change), Vec::new(), |_, events: &[Event]| {
                events.iter().any(|event| matches!(event, Event::SweepDeleted(_)))
            });
        let (deleted, all_gone) = self.coordinator.sink.delete(&name, forget).await?;
        if deleted {
            tracing::info!(sweep = %name, "deleted");
            for digest in own {
                self.coordinator.remove_checkpoint(digest).await;
            }
        }
        Ok(Response::new(v1::DeleteResponse { files_remain: !all_gone }))
    }

    type QueryStream = MessageStream<v1::QueryResponse>;

    async fn query(
        &self,
        request: Request<v1::QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let pieces = self.coordinator.sql.query(request.into_inner().sql, self.stop.clone());
        let pieces = pieces.await?;
        let messages = pieces.map(|piece| piece.map(|ipc| v1::QueryResponse { ipc }));
        Ok(Response::new(Box::pin(messages)))
    }

    type VerifyStream = MessageStream<v1::VerifyResponse>;

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<Self::VerifyStream>, Status> {
        let updates = super::verify::verify(self.coordinator.clone(), request.into_inner().repair);
        Ok(Response::new(Box::pin(ReceiverStream::new(updates))))
    }
}

/// Converts a sweep for clients, with values that only the running coordinator knows.
fn sweep_message(
    coordinator: &Coordinator,
    SweepSnapshot { mut view, left }: SweepSnapshot,
) -> v1::Sweep {
    let now = coordinator.clock.now();
    view.estimate = coordinator.live.estimate(&view.name, left.as_ref(), now);
    let could_run = view.phase == SweepPhase::Running && view.counts.running == 0;
    view.idle = could_run && !coordinator.live.has_worker_for(&view.name, Instant::now());
    view.into()
}

/// The running attempt of a trial.
struct LeasedAttempt {
    id: AttemptId,
    number: u32,
    lease: Lease,
}

impl LeasedAttempt {
    fn of(sweep: &rheo_core::sweep::Sweep, index: u64) -> Option<Self> {
        let trial = sweep.live.get(&index)?;
        let lease = trial.lease.clone()?;
        let id = AttemptId::new(TrialId::new(sweep.name().clone(), index), trial.attempt);
        Some(Self { id, number: sweep.attempt_count(trial.attempt), lease })
    }

    /// Converts the attempt, with its worker and the log lines that are not durable yet.
    async fn message(self, coordinator: &Coordinator) -> Result<v1::RunningAttempt, engine::Error> {
        let Self { id, number, lease } = self;
        let worker = lease.worker;
        let info = coordinator.handle.read(move |state| {
            state.workers.get(&worker).map(|worker| worker.info.clone()).unwrap_or_default()
        });
        let info = info.await?;
        Ok(v1::RunningAttempt {
            attempt: number,
            worker: worker.to_string(),
            host: info.host,
            pid: info.pid,
            since_ms: lease.since.0,
            log: coordinator.live.unrecorded_log(&id).iter().map(Into::into).collect(),
        })
    }
}

/// Returns up to `limit` trials of the `wanted` statuses from index `from` on, and the next index.
fn page(
    sweep: &rheo_core::sweep::Sweep,
    wanted: &[Standing],
    from: u64,
    limit: u32,
) -> (Vec<TrialView>, Option<u64>) {
    let trials = sweep.planned.plan.trials();
    let end = trials.min(from.saturating_add(MAX_SCANNED));
    let mut views = Vec::new();
    let mut index = from;
    while index < end && views.len() < limit as usize {
        if wanted.is_empty() || wanted.contains(&Standing::of(sweep, index)) {
            views.extend(TrialView::of(sweep, index));
        }
        index += 1;
    }
    (views, (index < trials).then_some(index))
}

/// Returns a sweep, its running trials, and the trials that ended according to `endings`.
async fn watch_response(
    coordinator: &Coordinator,
    name: &SweepName,
    endings: &mut broadcast::Receiver<TrialId>,
) -> Result<v1::WatchResponse, engine::Error> {
    let target = name.clone();
    let observed = coordinator.handle.read(move |state| {
        let sweep = state.sweeps.get(&target).ok_or(Rejection::UnknownSweep(target))?;
        let running = sweep.live.iter().filter(|(_, trial)| trial.lease.is_some());
        let running = running.filter_map(|(index, _)| TrialView::of(sweep, *index));
        Ok::<_, Rejection>((snapshot(sweep), running.collect::<Vec<_>>()))
    });
    let (sweep, running) = observed.await??;
    // Read after the sweep, so that no trial which ended by then is missed.
    let ended = drain_endings(endings).into_iter().filter(|trial| trial.sweep == *name);
    let ended: BTreeSet<u64> = ended.map(|trial| trial.index).collect();
    let running = running.into_iter().filter(|view| !ended.contains(&view.id.index)).map(|view| {
        let progress = coordinator.live.progress(&view.id);
        wire::trial_message(view, progress.as_ref())
    });
    let running = running.collect();
    let target = name.clone();
    let ended = coordinator.handle.read(move |state| {
        let sweep = state.sweeps.get(&target);
        let views = ended.into_iter().filter_map(|index| TrialView::of(sweep?, index));
        views.collect::<Vec<_>>()
    });
    let ended = ended.await?.into_iter().map(|view| wire::trial_message(view, None)).collect();
    Ok(v1::WatchResponse { running, sweep: Some(sweep_message(coordinator, sweep)), ended })
}

/// The signals that wake a watcher.
struct Subscription {
    /// Counter of changes to any sweep.
    changes: watch::Receiver<u64>,
    /// Ended trials.
    endings: broadcast::Receiver<TrialId>,
}

/// Sends every change until the sweep has ended or the watcher is gone.
async fn send_changes(
    coordinator: &Coordinator,
    name: &SweepName,
    first: v1::WatchResponse,
    mut subscription: Subscription,
    sender: &mpsc::Sender<Result<v1::WatchResponse, Status>>,
) {
    let mut message = first;
    loop {
        let ended =
            message.sweep.as_ref().is_some_and(|sweep| sweep.phase == SweepPhase::Ended.name());
        if sender.send(Ok(message.clone())).await.is_err() || ended {
            return;
        }
        loop {
            if subscription.changes.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(WATCH_PAUSE).await;
            subscription.changes.mark_unchanged();
            match watch_response(coordinator, name, &mut subscription.endings).await {
                Ok(next) if next != message => {
                    message = next;
                    break;
                }
                Ok(_) => {}
                Err(failure) => {
                    // The watcher may be gone.
                    let _ = sender.send(Err(failure.into())).await;
                    return;
                }
            }
        }
    }
}

/// Takes all pending trials from the channel.
fn drain_endings(endings: &mut broadcast::Receiver<TrialId>) -> Vec<TrialId> {
    let mut ended = Vec::new();
    loop {
        match endings.try_recv() {
            Ok(trial) => ended.push(trial),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return ended,
        }
    }
}
