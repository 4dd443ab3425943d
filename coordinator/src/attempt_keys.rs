//! A cache of the key columns of running attempts, so that a commit need not ask the engine for
//! them.
//!
//! An entry is inserted with the lease and removed at its end. An attempt that was leased before
//! this process started is looked up once. The cache decides nothing: only the state admits
//! commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::id::AttemptId;
use rheo_core::log::LogLine;
use rheo_core::machine::State;
use rheo_core::plan::PlannedTrial;
use rheo_query::{TrialKeys, encode_logs};
use rheo_store::RowBlob;

/// The key columns of an attempt's rows.
#[derive(Debug)]
pub(crate) struct AttemptKeys {
    /// The key columns.
    pub(crate) keys: TrialKeys,
    /// The planned trial.
    pub(crate) planned: Arc<PlannedTrial>,
    /// Number of the attempt for people, from 1.
    number: u32,
}

impl AttemptKeys {
    /// Returns the keys of `attempt`; none if there is no such trial.
    pub(crate) fn of(state: &State, attempt: &AttemptId) -> Option<Self> {
        let sweep = state.sweeps.get(&attempt.trial.sweep)?;
        let planned = sweep.trial(attempt.trial.index).ok()?;
        let keys = TrialKeys::new(attempt.trial.index, &planned.resolved);
        Some(Self { keys, planned, number: sweep.attempt_count(attempt.number) })
    }

    /// Encodes log lines of the attempt as rows; none if there are no lines.
    pub(crate) fn encode_log(
        &self,
        attempt: &AttemptId,
        lines: &[LogLine],
    ) -> Result<Option<RowBlob>, rheo_query::Error> {
        if lines.is_empty() {
            return Ok(None);
        }
        let batch = encode_logs(&self.keys, self.number, lines)?;
        Ok(Some(RowBlob { trial: attempt.trial.clone(), batch }))
    }
}

/// The keys of all running attempts. Clones share the cache.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttemptKeyCache(Arc<Mutex<BTreeMap<AttemptId, Arc<AttemptKeys>>>>);

impl AttemptKeyCache {
    fn map(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Arc<AttemptKeys>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the keys of `attempt`, which need not run.
    pub(crate) fn find(&self, state: &State, attempt: &AttemptId) -> Option<Arc<AttemptKeys>> {
        self.get(attempt).or_else(|| AttemptKeys::of(state, attempt).map(Arc::new))
    }

    /// Returns the keys of an attempt, if they are cached.
    pub(crate) fn get(&self, attempt: &AttemptId) -> Option<Arc<AttemptKeys>> {
        self.map().get(attempt).cloned()
    }

    /// Returns the keys of an attempt, and caches them if it runs. Only the engine calls this, so
    /// that
    /// no ended attempt is cached.
    pub(crate) fn insert_if_leased(
        &self,
        state: &State,
        attempt: &AttemptId,
    ) -> Option<Arc<AttemptKeys>> {
        let keys = Arc::new(AttemptKeys::of(state, attempt)?);
        let trial = state.live(&attempt.trial).filter(|trial| trial.lease.is_some());
        if trial.is_some_and(|trial| trial.attempt == attempt.number) {
            self.map().insert(attempt.clone(), Arc::clone(&keys));
        }
        Some(keys)
    }

    /// Removes an ended attempt.
    pub(crate) fn remove(&self, attempt: &AttemptId) {
        self.map().remove(attempt);
    }
}
