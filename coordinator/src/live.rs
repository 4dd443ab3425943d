//! What is known only while the coordinator runs: the progress of running trials, and who wants to
//! be told of changes. Nothing here is durable, and nothing durable depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::id::TrialId;
use rheo_core::trainer::Progress;
use tokio::sync::{Notify, broadcast, watch};

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    progress: Mutex<BTreeMap<TrialId, Progress>>,
    /// Counts changes that watchers may want to see.
    changes: watch::Sender<u64>,
    /// Trials that end. A watcher that is too slow misses some.
    ended: broadcast::Sender<TrialId>,
    /// Told when there may be work for a worker that waits.
    work: Notify,
    /// Told when fleets may have too few or too many pilots.
    fleets: Notify,
}

/// Trials whose ends a slow watcher may still be told of.
const REMEMBERED: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(Shared {
            progress: Mutex::default(),
            changes: watch::Sender::new(0),
            ended: broadcast::Sender::new(REMEMBERED),
            work: Notify::new(),
            fleets: Notify::new(),
        }))
    }
}

impl Live {
    fn progress_map(&self) -> MutexGuard<'_, BTreeMap<TrialId, Progress>> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told when fleets may have too few or too many pilots; remembered if nobody waits.
    pub(crate) fn fleets(&self) -> &Notify {
        &self.0.fleets
    }

    /// Notes how far a trial is.
    pub fn set_progress(&self, trial: TrialId, progress: Progress) {
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
