//! The worker itself: joins, keeps its slots busy, renews its leases, and leaves in good order.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rheo_core::id::{StateId, WorkerId};
use rheo_core::machine::{HeldAttempt, WorkerInfo};
use rheo_core::needs::Inventory;
use rheo_core::resources::{FreeResources, GrantedResources};
use rheo_model::networks;
use rheo_model::trainer::Trainer;
use rheo_proto::refusal::{Reason, Refusal};
use rheo_proto::worker::JoinReply;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::control::{Control, Directive};
use crate::exit::{Error, ExitReason};
use crate::fitness::Fitness;
use crate::inventory;
use crate::link::Assignment;
use crate::link::{AcquireReply, LeaveReason, Link, pauses};
use crate::orphan::deliver_orphan;
use crate::outbox::apply_verdict;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::trial::WorkerContext;

/// Time for which one call waits for work.
const ACQUIRE_WAIT: Duration = Duration::from_secs(20);

/// Timeout of the leave message.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval at which an unfit worker takes its inventory again.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum interval between progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum log lines per heartbeat; they become durable with commits anyway.
const HEARTBEAT_LINES: usize = 1000;

/// Running trials.
type RunningTrials = Arc<Mutex<BTreeMap<HeldAttempt, (GrantedResources, Arc<Control>)>>>;

struct Worker {
    settings: Settings,
    /// Time at which this process is killed.
    ends: Option<Instant>,
    info: Mutex<WorkerInfo>,
    fitness: Arc<Fitness>,
    context: WorkerContext,
    /// State of the worker, once it has joined.
    state: Mutex<Option<StateId>>,
    running: RunningTrials,
    /// Notified when a slot becomes free.
    freed: Arc<Notify>,
    tasks: TaskTracker,
}

/// Works until no work is left, or until `drain`.
pub async fn run(
    settings: Settings,
    trainer: Arc<dyn Trainer>,
    drain: CancellationToken,
) -> Result<ExitReason, Error> {
    let worker = WorkerId(Uuid::now_v7());
    let link = Arc::new(Link::new(settings.access.clone()));
    let mut info = WorkerInfo {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        offer: settings.offered.offer(),
        gpu_names: settings.offered.gpus.iter().map(|gpu| gpu.name.clone()).collect(),
        shortfalls: settings.offered.shortfalls.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workloads: vec![networks::NAME],
        place: settings.location.clone(),
        inventory: None,
    };
    let spool = match Spool::open(&settings.spool, worker) {
        Ok(spool) => Arc::new(spool),
        Err(error) => {
            // Makes the problem visible at the coordinator.
            let reason = inventory::spool_error_text(&error);
            let told = async {
                link.join(worker, &info, None).await?;
                link.leave(worker, LeaveReason::Useless(reason)).await
            };
            // The coordinator may be unreachable.
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, told).await;
            return Err(error.into());
        }
    };
    info.inventory = take_inventory(&trainer, &spool, 0).await;
    let worker = Worker {
        info: Mutex::new(info),
        fitness: Arc::default(),
        context: WorkerContext { worker, link, spool, trainer, step_timer: Arc::default() },
        state: Mutex::default(),
        ends: settings.deadline.map(|left| Instant::now() + left),
        running: RunningTrials::default(),
        freed: Arc::new(Notify::new()),
        tasks: TaskTracker::new(),
        settings,
    };
    let result = worker.work(&drain).await;
    worker.leave(result).await
}

impl Worker {
    fn running(&self) -> MutexGuard<'_, BTreeMap<HeldAttempt, (GrantedResources, Arc<Control>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, Option<StateId>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self) -> WorkerInfo {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the resources that running trials leave free.
    fn free(&self) -> FreeResources {
        let mut free = FreeResources::of(self.settings.offered.offer());
        for (granted, _) in self.running().values() {
            free.take(granted);
        }
        free
    }

    async fn work(&self, drain: &CancellationToken) -> Result<ExitReason, Error> {
        if !self.has_time() {
            let left = self
                .ends
                .map_or(Duration::MAX, |ends| ends.saturating_duration_since(Instant::now()));
            let grace = self.settings.grace.as_secs();
            return Err(Error::NoTime { left: left.as_secs(), grace });
        }
        let JoinReply { lease, state } = tokio::select! {
            joined = self.join() => joined?,
            () = drain.cancelled() => return Ok(ExitReason::Drained),
        };
        tokio::select! {
            () = self.recover_orphans(state) => {}
            () = drain.cancelled() => return Ok(ExitReason::Drained),
        }
        let heartbeat = self.heartbeat(lease);
        let acquire = self.acquire();
        tokio::select! {
            error = heartbeat => Err(error),
            exit = acquire => exit,
            never = self.watch_inventory() => match never {},
            () = self.time_to_leave() => {
                tracing::info!("the deadline of this worker is near");
                Ok(ExitReason::Drained)
            }
            () = drain.cancelled() => Ok(ExitReason::Drained),
        }
    }

    /// Waits until leaving must begin, which depends on the measured steps.
    async fn time_to_leave(&self) {
        let Some(ends) = self.ends else { return std::future::pending().await };
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            let leave_lead = self.context.step_timer.leave_lead(self.settings.grace);
            if left <= leave_lead {
                return;
            }
            tokio::time::sleep(left.saturating_sub(leave_lead).min(PROGRESS_INTERVAL)).await;
        }
    }

    /// Returns the time in which new trials may still start: later ones could not commit before
    /// leaving begins.
    fn time_for_trials(&self) -> Duration {
        let step_timer = &self.context.step_timer;
        let needed = step_timer.leave_lead(self.settings.grace) + step_timer.first_commit();
        self.ends.map_or(Duration::MAX, |ends| {
            ends.saturating_duration_since(Instant::now()).saturating_sub(needed)
        })
    }

    fn has_time(&self) -> bool {
        !self.time_for_trials().is_zero()
    }

    /// Joins; waits for a coordinator that is not reachable yet.
    async fn join(&self) -> Result<JoinReply, Error> {
        let deadline = Instant::now() + self.settings.unreachable_timeout;
        let mut waits = pauses();
        loop {
            let pause = waits.next().unwrap_or(ACQUIRE_WAIT);
            match self.context.link.join(self.context.worker, &self.info(), None).await {
                Ok(joined) => {
                    self.context.spool.dedicate(joined.state)?;
                    tracing::info!(state = %joined.state, "joined");
                    *self.state() = Some(joined.state);
                    return Ok(joined);
                }
                Err(refusal) if !refusal.transient => return Err(self.refused(refusal)),
                Err(refusal) if Instant::now() + pause > deadline => {
                    return Err(Error::Unreachable(refusal));
                }
                Err(refusal) => {
                    tracing::debug!(%refusal, "waiting for the coordinator");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Joins again. A worker with trials or commits of a state joins only that state; one without
    /// joins any coordinator.
    async fn rejoin(&self) -> Result<(), Error> {
        let is_bound = !self.running().is_empty() || !self.context.spool.is_empty();
        let state = self.state().filter(|_| is_bound);
        match self.context.link.join(self.context.worker, &self.info(), state).await {
            Ok(joined) => {
                let before = self.state().replace(joined.state);
                if before != Some(joined.state) {
                    self.context.spool.dedicate(joined.state)?;
                    tracing::info!(state = %joined.state, "joined another state");
                }
            }
            Err(refusal) if refusal.is_foreign() => return Err(self.refused(refusal)),
            Err(refusal) => tracing::debug!(%refusal, "could not join again yet"),
        }
        Ok(())
    }

    /// Delivers the commits of dead workers of `state` on this spool, and reports the workers as
    /// dead.
    async fn recover_orphans(&self, state: StateId) {
        let deliveries = TaskTracker::new();
        for orphan in Spool::orphans(&self.settings.spool) {
            deliveries.spawn(deliver_orphan(orphan, Arc::clone(&self.context.link), state));
        }
        // So their trials are free before this worker asks for any, unless the coordinator is
        // unreachable. Undelivered commits wait on disk for the next worker.
        deliveries.close();
        let _ = tokio::time::timeout(ACQUIRE_WAIT, deliveries.wait()).await;
    }

    /// Renews leases and applies verdicts, until the coordinator no longer accepts this worker.
    /// Runs as an async task; trials have their own threads.
    async fn heartbeat(&self, lease: Duration) -> Error {
        let period = (lease / 3).min(PROGRESS_INTERVAL);
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let held: Vec<_> = {
                let running = self.running();
                let running = running.iter();
                running.map(|(id, (_, control))| (id.clone(), Arc::clone(control))).collect()
            };
            if held.is_empty() {
                continue;
            }
            let lines = HEARTBEAT_LINES / held.len();
            let told: Vec<_> = held
                .iter()
                .map(|(id, control)| (id.clone(), control.progress(), control.log().unsent(lines)))
                .collect();
            let last: Vec<u32> =
                told.iter().map(|(.., log)| log.last().map_or(0, |line| line.number)).collect();
            match self
                .context
                .link
                .renew(self.context.worker, told, (lease / 3).max(PROGRESS_INTERVAL))
                .await
            {
                Ok(verdicts) => {
                    for (((_, control), verdict), last) in held.iter().zip(verdicts).zip(last) {
                        control.log().sent(last);
                        apply_verdict(control, verdict);
                    }
                }
                Err(refusal) if refusal.has_reason(&Reason::UnknownWorker) => {
                    if let Err(error) = self.rejoin().await {
                        return error;
                    }
                }
                Err(refusal) if refusal.is_access() && !refusal.transient => {
                    return self.refused(refusal);
                }
                Err(refusal) => tracing::debug!(%refusal, "heartbeat failed"),
            }
        }
    }

    /// Takes the inventory again while the worker is unfit, and rejoins when it has changed.
    async fn watch_inventory(&self) -> Infallible {
        loop {
            tokio::time::sleep(INVENTORY_INTERVAL).await;
            let mut info = self.info();
            let said = info.inventory.take();
            let revision = said.as_ref().map_or(0, |said| said.revision);
            if !self.fitness.is_unfit() {
                continue;
            }
            let WorkerContext { trainer, spool, worker, link, .. } = &self.context;
            let Some(mut now) = take_inventory(trainer, spool, revision).await else { continue };
            if !self.fitness.has_changed(said.as_ref(), &now, &**trainer) {
                continue;
            }
            now.revision += 1;
            info.inventory = Some(now);
            // If the coordinator is unreachable, a later try reports it.
            let state = *self.state();
            if link.join(*worker, &info, state).await.is_ok() {
                tracing::info!("the inventory of this machine has changed: retrying trials");
                *self.info.lock().unwrap_or_else(PoisonError::into_inner) = info;
                self.fitness.clear_lacks();
                self.freed.notify_one();
            }
        }
    }

    /// Keeps the slots busy until no work is left.
    async fn acquire(&self) -> Result<ExitReason, Error> {
        let mut busy = Instant::now();
        let mut reached = Instant::now();
        let mut waits = pauses();
        loop {
            let free = self.free();
            if !self.running().is_empty() {
                busy = Instant::now();
            }
            if !self.has_time() && self.running().is_empty() {
                tracing::info!("not enough time remains for another trial");
                return Ok(ExitReason::Drained);
            }
            if let Some(reason) = self.fitness.exit_reason() {
                return Err(Error::Unfit { reason });
            }
            if free.cpus == 0 || !self.has_time() {
                self.freed.notified().await;
                continue;
            }
            match self.request_trials(&free).await {
                Ok(AcquireReply { assignments, nothing_left, unfit }) => {
                    reached = Instant::now();
                    waits = pauses();
                    self.fitness.set_unfit_reason(unfit);
                    if nothing_left && assignments.is_empty() && self.running().is_empty() {
                        return Ok(ExitReason::NothingLeft);
                    }
                    for assignment in assignments {
                        busy = Instant::now();
                        self.start(assignment);
                    }
                }
                Err(refusal) if refusal.has_reason(&Reason::UnknownWorker) => self.rejoin().await?,
                Err(refusal) if !refusal.transient => return Err(self.refused(refusal)),
                Err(refusal) => {
                    tracing::debug!(%refusal, "the coordinator is unreachable");
                    let idle = self.running().is_empty();
                    if idle && reached.elapsed() > self.settings.unreachable_timeout {
                        return Err(Error::Unreachable(refusal));
                    }
                    tokio::time::sleep(waits.next().unwrap_or(ACQUIRE_WAIT)).await;
                }
            }
            let idle = self.settings.idle.is_some_and(|idle| busy.elapsed() > idle);
            if idle && self.running().is_empty() {
                // The launcher can start another worker where it is more useful.
                let cause = self.fitness.unfit_reason();
                return cause.map_or(Ok(ExitReason::Idle), |reason| Err(Error::Unfit { reason }));
            }
        }
    }

    fn refused(&self, refusal: Refusal) -> Error {
        if refusal.is_foreign() {
            return Error::Foreign { refusal, spool: self.settings.spool.clone() };
        }
        if refusal.is_access() { Error::Access(refusal) } else { Error::Refused(refusal) }
    }

    /// Requests work; returns early when a slot becomes free.
    async fn request_trials(&self, free: &FreeResources) -> Result<AcquireReply, Refusal> {
        let held: Vec<HeldAttempt> = self.running().keys().cloned().collect();
        let wait = self.settings.idle.map_or(ACQUIRE_WAIT, |idle| idle.min(ACQUIRE_WAIT));
        let wait = wait.min(self.time_for_trials());
        let WorkerContext { link, worker, .. } = &self.context;
        let acquire = link.acquire(*worker, &held, free, self.settings.sweep.as_ref(), wait);
        tokio::select! {
            reply = acquire => reply,
            () = self.freed.notified() => {
                Ok(AcquireReply { unfit: self.fitness.unfit_reason(), ..AcquireReply::default() })
            }
        }
    }

    fn start(&self, assignment: Assignment) {
        let held =
            HeldAttempt { attempt: assignment.attempt.clone(), origin: Some(assignment.origin) };
        let control = Arc::new(Control::default());
        let granted = assignment.granted.clone();
        let gpus = self.settings.offered.granted(&granted);
        match self.running().entry(held.clone()) {
            Entry::Vacant(entry) => drop(entry.insert((granted, Arc::clone(&control)))),
            // Assigned twice; the first one still runs.
            Entry::Occupied(_) => return,
        }
        let (context, running) = (self.context.clone(), Arc::clone(&self.running));
        let (freed, fitness) = (Arc::clone(&self.freed), Arc::clone(&self.fitness));
        self.tasks.spawn(async move {
            let trainer = Arc::clone(&context.trainer);
            match context.run(assignment, control, gpus).await {
                Ok(()) => fitness.record_success(),
                Err((need, cause)) => {
                    let fingerprint = trainer.fingerprint(&need);
                    fitness.record_unfit(need, cause, fingerprint);
                }
            }
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&held);
            freed.notify_one();
        });
    }

    /// Waits until trials have committed, renewing their leases, then sends the leave message.
    async fn leave(self, result: Result<ExitReason, Error>) -> Result<ExitReason, Error> {
        self.tasks.close();
        if !self.running().is_empty() {
            tracing::info!("leaving: running trials commit");
        }
        for (_, control) in self.running().values() {
            control.issue(Directive::Drain);
        }
        let given_back = async {
            tokio::select! {
                () = self.tasks.wait() => {}
                // With access denied, the commits are written to disk, which takes time, too.
                _ = self.heartbeat(PROGRESS_INTERVAL * 3) => self.tasks.wait().await,
            }
        };
        let orphaned = async {
            self.settings.orphaned.cancelled().await;
            tokio::time::sleep(Settings::ORPHANED).await;
        };
        let delivered = tokio::select! {
            () = given_back => true,
            () = tokio::time::sleep(self.settings.grace) => false,
            () = orphaned => false,
        };
        // Including commits that were refused because they belong to another state or history.
        let is_left = !self.context.spool.is_empty();
        let undelivered = Error::Undelivered { spool: self.settings.spool };
        if !delivered && is_left {
            return result.and(Err(undelivered));
        }
        // A trial in the middle of a step is returned without that step.
        let reason = match &result {
            Err(Error::Unfit { reason }) => LeaveReason::Useless(reason.clone()),
            Err(Error::Spool(error)) => LeaveReason::Useless(inventory::spool_error_text(error)),
            _ => LeaveReason::Done,
        };
        let leave = self.context.link.leave(self.context.worker, reason);
        // If the coordinator is unreachable, it will notice that this worker renews no lease.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, leave).await;
        if let Some(spool) = Arc::into_inner(self.context.spool) {
            spool.close();
        }
        if is_left { result.and(Err(undelivered)) } else { result }
    }
}

/// Takes the inventory on a blocking thread, so that a slow disk delays nothing.
async fn take_inventory(
    trainer: &Arc<dyn Trainer>,
    spool: &Arc<Spool>,
    revision: u32,
) -> Option<Inventory> {
    let (trainer, spool) = (Arc::clone(trainer), Arc::clone(spool));
    let asked_at = move || inventory::take_inventory(&*trainer, &spool, revision);
    tokio::task::spawn_blocking(asked_at).await.ok()?
}
