//! Volatile state of the running coordinator: the progress of trials, log lines that are not
//! durable, active workers, and notifications of changes. Nothing durable depends on it.

mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::estimate::{Estimate, RemainingTrials, SpeedMeter, TrialLabels};
use rheo_core::id::{AttemptId, SweepName, TrialId, WorkerId};
use rheo_core::log::LogLine;
use rheo_core::progress::Progress;
use rheo_core::time::Timestamp;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use log::LogTail;

/// The volatile state; clones share it.
#[derive(Debug, Clone)]
pub struct LiveState(Arc<SharedLiveState>);

#[derive(Debug)]
struct SharedLiveState {
    progress: Mutex<BTreeMap<TrialId, Progress>>,
    /// Speed of each sweep that had a trial since the start.
    meters: Mutex<BTreeMap<SweepName, SpeedMeter>>,
    logs: Mutex<BTreeMap<AttemptId, LogTail>>,
    /// Time of the last call of each worker.
    seen: Mutex<BTreeMap<WorkerId, Timestamp>>,
    /// Counter of changes, for watchers.
    changes: watch::Sender<u64>,
    /// Ended trials; a slow watcher misses some.
    ended: broadcast::Sender<TrialId>,
    /// Notified when waiting workers may get work.
    work: Notify,
    /// Notified when fleets may need more or fewer pilots.
    fleets: Notify,
    /// Workers that take trials.
    active_workers: Mutex<BTreeMap<WorkerId, ActiveWorker>>,
    /// Sweeps submitted, resumed or retried since the start.
    requested: Mutex<BTreeSet<SweepName>>,
}

/// A worker that takes trials.
#[derive(Debug)]
struct ActiveWorker {
    /// The only sweep that the worker serves; none for all.
    only: Option<SweepName>,
    /// The time after which a silent worker counts as gone.
    until: Instant,
}

/// The number of ended trials kept for slow watchers.
const ENDED_QUEUE: usize = 1024;

impl Default for LiveState {
    fn default() -> Self {
        Self(Arc::new(SharedLiveState {
            progress: Mutex::default(),
            meters: Mutex::default(),
            logs: Mutex::default(),
            seen: Mutex::default(),
            changes: watch::Sender::new(0),
            ended: broadcast::Sender::new(ENDED_QUEUE),
            work: Notify::new(),
            fleets: Notify::new(),
            active_workers: Mutex::default(),
            requested: Mutex::default(),
        }))
    }
}

impl LiveState {
    fn progress_map(&self) -> MutexGuard<'_, BTreeMap<TrialId, Progress>> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active_workers(&self) -> MutexGuard<'_, BTreeMap<WorkerId, ActiveWorker>> {
        self.0.active_workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requested(&self) -> MutexGuard<'_, BTreeSet<SweepName>> {
        self.0.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a worker asks for trials, of the sweep `only` if given, and is active until
    /// `until`.
    pub(crate) fn worker_asked(&self, worker: WorkerId, only: Option<SweepName>, until: Instant) {
        self.active_workers().insert(worker, ActiveWorker { only, until });
    }

    /// Extends the time of an active worker.
    pub(crate) fn worker_renewed(&self, worker: WorkerId, until: Instant) {
        if let Some(worker) = self.active_workers().get_mut(&worker) {
            worker.until = until.max(worker.until);
        }
    }

    /// Records that a worker takes no more trials.
    pub(crate) fn worker_left(&self, worker: WorkerId) {
        self.active_workers().remove(&worker);
    }

    /// Whether an active worker at `now` takes trials of a sweep.
    pub(crate) fn has_worker_for(&self, sweep: &SweepName, now: Instant) -> bool {
        let mut active_workers = self.active_workers();
        active_workers.retain(|_, worker| worker.until > now);
        active_workers.values().any(|worker| worker.only.as_ref().is_none_or(|only| only == sweep))
    }

    /// Records that a sweep was submitted, resumed or retried.
    pub(crate) fn request_sweep(&self, sweep: SweepName) {
        self.requested().insert(sweep);
    }

    /// Returns the sweeps that were submitted, resumed or retried since the start.
    pub(crate) fn requested_sweeps(&self) -> BTreeSet<SweepName> {
        self.requested().clone()
    }

    /// Returns the notification that fleets may need more or fewer pilots; it is kept if nobody
    /// waits.
    pub(crate) fn fleets_changed(&self) -> &Notify {
        &self.0.fleets
    }

    /// Returns the workers that are active at `now`.
    pub(crate) fn active_worker_ids(&self, now: Instant) -> BTreeSet<WorkerId> {
        let active_workers = self.active_workers();
        let present = active_workers.iter().filter(|(_, worker)| worker.until > now);
        present.map(|(worker, _)| *worker).collect()
    }

    fn meters(&self) -> MutexGuard<'_, BTreeMap<SweepName, SpeedMeter>> {
        self.0.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the start of an attempt.
    pub(crate) fn attempt_began(&self, attempt: &AttemptId, at: Timestamp) {
        let AttemptId { trial, number } = attempt;
        let mut meters = self.meters();
        meters.entry(trial.sweep.clone()).or_default().begin(trial.index, *number == 1, at);
    }

    /// Records the end of an attempt.
    pub(crate) fn attempt_ended(&self, attempt: &AttemptId, is_done: bool, at: Timestamp) {
        if let Some(meter) = self.meters().get_mut(&attempt.trial.sweep) {
            meter.end(attempt.trial.index, is_done, at);
        }
    }

    /// Estimates the time that a sweep's remaining trials will take.
    pub(crate) fn estimate(
        &self,
        sweep: &SweepName,
        workload: Option<&RemainingTrials>,
        now: Timestamp,
    ) -> Option<Estimate> {
        let workload = workload?;
        // Computed before the meters are locked, because it takes a while.
        let labels =
            TrialLabels { ahead: workload.labels_ahead(), of: &|trial| workload.label(trial) };
        self.meters().get_mut(sweep)?.estimate(workload, &labels, now)
    }

    /// Records the progress of a trial at `now`.
    pub fn set_progress(&self, trial: TrialId, progress: Progress, now: Timestamp) {
        let mut meters = self.meters();
        let meter = meters.entry(trial.sweep.clone()).or_default();
        meter.report(trial.index, progress.fraction, now);
        drop(meters);
        self.progress_map().insert(trial, progress);
        self.notify_watchers();
    }

    /// Returns the last reported progress of a running trial.
    pub fn progress(&self, trial: &TrialId) -> Option<Progress> {
        self.progress_map().get(trial).cloned()
    }

    /// Removes the progress of an ended trial, and notifies watchers.
    pub fn trial_ended(&self, trial: TrialId) {
        self.progress_map().remove(&trial);
        // There may be no watcher.
        let _ = self.0.ended.send(trial);
        self.notify_watchers();
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<AttemptId, LogTail>> {
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Timestamp>> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds log lines of a running attempt.
    pub(crate) fn add_log(&self, attempt: AttemptId, lines: Vec<LogLine>) {
        if !lines.is_empty() {
            self.logs().entry(attempt).or_default().add(lines);
        }
    }

    /// Removes log lines that a commit brings.
    pub(crate) fn record_log(&self, attempt: &AttemptId, lines: &[LogLine]) {
        if let Some(last) = lines.last() {
            self.logs().entry(attempt.clone()).or_default().record(last.number);
        }
    }

    /// Returns the log lines that no commit has brought.
    pub(crate) fn unrecorded_log(&self, attempt: &AttemptId) -> Vec<LogLine> {
        self.logs().get(attempt).map(LogTail::lines).unwrap_or_default()
    }

    /// Removes the log lines of an ended attempt.
    pub(crate) fn forget_log(&self, attempt: &AttemptId) {
        self.logs().remove(attempt);
    }

    /// Removes everything about a deleted sweep.
    pub(crate) fn sweep_deleted(&self, sweep: &SweepName) {
        self.progress_map().retain(|trial, _| trial.sweep != *sweep);
        self.logs().retain(|attempt, _| attempt.trial.sweep != *sweep);
        self.requested().remove(sweep);
        self.meters().remove(sweep);
    }

    /// Records a call of a known worker.
    pub(crate) fn worker_seen(&self, worker: WorkerId, at: Timestamp) {
        self.seen().insert(worker, at);
    }

    /// Returns the time of a worker's last call since the start.
    pub(crate) fn last_seen(&self, worker: WorkerId) -> Option<Timestamp> {
        self.seen().get(&worker).copied()
    }

    /// Removes a worker.
    pub(crate) fn worker_forgotten(&self, worker: WorkerId) {
        self.seen().remove(&worker);
    }

    /// Subscribes to the trials that end from now on.
    pub fn subscribe_ended(&self) -> broadcast::Receiver<TrialId> {
        self.0.ended.subscribe()
    }

    /// Notifies watchers of a change.
    pub fn notify_watchers(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Subscribes to changes.
    pub fn subscribe_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Wakes every worker that waits for work.
    pub fn wake_workers(&self) {
        self.0.work.notify_waiters();
    }

    /// Returns the notification that waiting workers may get work.
    pub fn work_available(&self) -> &Notify {
        &self.0.work
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_serves_the_requested_sweeps_until_it_is_gone() {
        let (live, began) = (LiveState::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let [one, all] = [1, 2].map(|id| WorkerId(Uuid::from_u128(id)));
        let has = |name: &str, seconds| {
            live.has_worker_for(&SweepName::parse(name).unwrap(), at(seconds))
        };
        assert!(!has("a", 0));
        live.worker_asked(one, Some(SweepName::parse("a").unwrap()), at(10));
        assert!(has("a", 0) && !has("b", 0));
        live.worker_asked(all, None, at(10));
        assert!(has("b", 0));
        live.worker_left(all);
        assert!(!has("b", 0));
        live.worker_renewed(one, at(19));
        assert!(has("a", 18) && !has("a", 19));
    }
}
