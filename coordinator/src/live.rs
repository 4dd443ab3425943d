//! What is known only while the coordinator runs: the progress of running trials, and who wants to
//! be told of changes. Nothing here is durable, and nothing durable depends on it.

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

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    progress: Mutex<BTreeMap<TrialId, Progress>>,
    /// The speed of each sweep that had a trial since the start of this process.
    meters: Mutex<BTreeMap<SweepName, SpeedMeter>>,
    logs: Mutex<BTreeMap<AttemptId, LogTail>>,
    /// When workers were last heard of.
    seen: Mutex<BTreeMap<WorkerId, Timestamp>>,
    /// Counts changes that watchers may want to see.
    changes: watch::Sender<u64>,
    /// Trials that end. A watcher that is too slow misses some.
    ended: broadcast::Sender<TrialId>,
    /// Told when there may be work for a worker that waits.
    work: Notify,
    /// Told when fleets may have too few or too many pilots.
    fleets: Notify,
    /// The workers that take trials.
    takers: Mutex<BTreeMap<WorkerId, Taker>>,
    /// The sweeps that somebody wanted run since the start: submitted, resumed or retried.
    wanted: Mutex<BTreeSet<SweepName>>,
}

/// A worker that takes trials.
#[derive(Debug)]
struct Taker {
    /// The only sweep of which it takes any.
    only: Option<SweepName>,
    /// When it is no longer taken to be there, unless it is heard of before.
    until: Instant,
}

/// Trials whose ends a slow watcher may still be told of.
const REMEMBERED: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(Shared {
            progress: Mutex::default(),
            meters: Mutex::default(),
            logs: Mutex::default(),
            seen: Mutex::default(),
            changes: watch::Sender::new(0),
            ended: broadcast::Sender::new(REMEMBERED),
            work: Notify::new(),
            fleets: Notify::new(),
            takers: Mutex::default(),
            wanted: Mutex::default(),
        }))
    }
}

impl Live {
    fn progress_map(&self) -> MutexGuard<'_, BTreeMap<TrialId, Progress>> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takers(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Taker>> {
        self.0.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted_set(&self) -> MutexGuard<'_, BTreeSet<SweepName>> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a worker asks for trials, of the sweep `only` if there is one, and is to be heard of
    /// again before `until`.
    pub(crate) fn asks(&self, worker: WorkerId, only: Option<SweepName>, until: Instant) {
        self.takers().insert(worker, Taker { only, until });
    }

    /// Notes that a worker that asked for trials was heard of.
    pub(crate) fn heard_of(&self, worker: WorkerId, until: Instant) {
        if let Some(taker) = self.takers().get_mut(&worker) {
            taker.until = until.max(taker.until);
        }
    }

    /// Notes that a worker takes no more trials.
    pub(crate) fn left(&self, worker: WorkerId) {
        self.takers().remove(&worker);
    }

    /// Whether a worker is there at `now` that takes trials of a sweep.
    pub(crate) fn has_taker(&self, sweep: &SweepName, now: Instant) -> bool {
        let mut takers = self.takers();
        takers.retain(|_, taker| taker.until > now);
        takers.values().any(|taker| taker.only.as_ref().is_none_or(|only| only == sweep))
    }

    /// Notes that somebody wants a sweep run.
    pub(crate) fn want(&self, sweep: SweepName) {
        self.wanted_set().insert(sweep);
    }

    /// The sweeps that somebody wanted run since the start.
    pub(crate) fn wanted(&self) -> BTreeSet<SweepName> {
        self.wanted_set().clone()
    }

    /// Told when fleets may have too few or too many pilots; remembered if nobody waits.
    pub(crate) fn fleets(&self) -> &Notify {
        &self.0.fleets
    }

    /// The workers that are there at `now` and take trials.
    pub(crate) fn present(&self, now: Instant) -> BTreeSet<WorkerId> {
        let takers = self.takers();
        let present = takers.iter().filter(|(_, taker)| taker.until > now);
        present.map(|(worker, _)| *worker).collect()
    }

    fn meters(&self) -> MutexGuard<'_, BTreeMap<SweepName, SpeedMeter>> {
        self.0.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a worker began an attempt.
    pub(crate) fn attempt_began(&self, attempt: &AttemptId, at: Timestamp) {
        let AttemptId { trial, number } = attempt;
        let mut meters = self.meters();
        meters.entry(trial.sweep.clone()).or_default().begin(trial.index, *number == 1, at);
    }

    /// Notes that an attempt ended.
    pub(crate) fn attempt_ended(&self, attempt: &AttemptId, is_done: bool, at: Timestamp) {
        if let Some(meter) = self.meters().get_mut(&attempt.trial.sweep) {
            meter.end(attempt.trial.index, is_done, at);
        }
    }

    /// How long a sweep will still take, of which `workload` is left.
    pub(crate) fn estimate(
        &self,
        sweep: &SweepName,
        workload: Option<&RemainingTrials>,
        now: Timestamp,
    ) -> Option<Estimate> {
        let workload = workload?;
        // Before the meters are locked, because it takes a while.
        let labels =
            TrialLabels { ahead: workload.labels_ahead(), of: &|trial| workload.label(trial) };
        self.meters().get_mut(sweep)?.estimate(workload, &labels, now)
    }

    /// Notes how far a trial is at `now`.
    pub fn set_progress(&self, trial: TrialId, progress: Progress, now: Timestamp) {
        let mut meters = self.meters();
        let meter = meters.entry(trial.sweep.clone()).or_default();
        meter.report(trial.index, progress.fraction, now);
        drop(meters);
        self.progress_map().insert(trial, progress);
        self.changed();
    }

    /// How far a trial is, if it runs and has said so.
    pub fn progress(&self, trial: &TrialId) -> Option<Progress> {
        self.progress_map().get(trial).cloned()
    }

    /// Forgets the progress of a trial that ended, and tells watchers.
    pub fn trial_ended(&self, trial: TrialId) {
        self.progress_map().remove(&trial);
        // Nobody may be watching.
        let _ = self.0.ended.send(trial);
        self.changed();
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<AttemptId, LogTail>> {
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Timestamp>> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps lines of an attempt that runs.
    pub(crate) fn add_log(&self, attempt: AttemptId, lines: Vec<LogLine>) {
        if !lines.is_empty() {
            self.logs().entry(attempt).or_default().add(lines);
        }
    }

    /// Forgets lines of an attempt that a commit brings.
    pub(crate) fn record_log(&self, attempt: &AttemptId, lines: &[LogLine]) {
        if let Some(last) = lines.last() {
            self.logs().entry(attempt.clone()).or_default().record(last.number);
        }
    }

    /// The lines of an attempt that no commit has brought.
    pub(crate) fn unrecorded_log(&self, attempt: &AttemptId) -> Vec<LogLine> {
        self.logs().get(attempt).map(LogTail::lines).unwrap_or_default()
    }

    /// Forgets the lines of an attempt that ended.
    pub(crate) fn forget_log(&self, attempt: &AttemptId) {
        self.logs().remove(attempt);
    }

    /// Forgets everything about a sweep that was deleted.
    pub(crate) fn sweep_deleted(&self, sweep: &SweepName) {
        self.progress_map().retain(|trial, _| trial.sweep != *sweep);
        self.logs().retain(|attempt, _| attempt.trial.sweep != *sweep);
        self.wanted_set().remove(sweep);
        self.meters().remove(sweep);
    }

    /// Notes that a known worker was heard of.
    pub(crate) fn worker_seen(&self, worker: WorkerId, at: Timestamp) {
        self.seen().insert(worker, at);
    }

    /// When a worker was last heard of since this coordinator started.
    pub(crate) fn last_seen(&self, worker: WorkerId) -> Option<Timestamp> {
        self.seen().get(&worker).copied()
    }

    /// Forgets a worker.
    pub(crate) fn worker_forgotten(&self, worker: WorkerId) {
        self.seen().remove(&worker);
    }

    /// Is told of trials that end from now on.
    pub fn ended(&self) -> broadcast::Receiver<TrialId> {
        self.0.ended.subscribe()
    }

    /// Tells watchers to look.
    pub fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Wakes with every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Wakes every worker that waits for work.
    pub fn wake_workers(&self) {
        self.0.work.notify_waiters();
    }

    /// Told when there may be work.
    pub fn work(&self) -> &Notify {
        &self.0.work
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_serves_the_sweeps_that_it_asks_for_until_it_is_gone() {
        let (live, began) = (Live::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let [one, all] = [1, 2].map(|id| WorkerId(Uuid::from_u128(id)));
        let has =
            |name: &str, seconds| live.has_taker(&SweepName::parse(name).unwrap(), at(seconds));
        assert!(!has("a", 0));
        live.asks(one, Some(SweepName::parse("a").unwrap()), at(10));
        assert!(has("a", 0) && !has("b", 0));
        live.asks(all, None, at(10));
        assert!(has("b", 0));
        live.left(all);
        assert!(!has("b", 0));
        live.heard_of(one, at(19));
        assert!(has("a", 18) && !has("a", 19));
    }
}
