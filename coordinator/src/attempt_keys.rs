//! The key columns of the rows of attempts that run, so that a commit need not ask the engine for them.
//!
//! They are noted when a lease is told and forgotten when it has ended. An attempt that is not here, because
//! this process started after it was leased, is looked up once. Nothing is decided by what is here: whether a
//! commit counts, the state says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rheo_core::id::AttemptId;
use rheo_core::log::LogLine;
use rheo_core::machine::State;
use rheo_core::plan::PlannedTrial;
use rheo_query::{TrialKeys, encode_logs};
use rheo_store::RowBlob;

/// What rows of an attempt begin with.
#[derive(Debug)]
pub(crate) struct AttemptKeys {
    /// The key columns.
    pub(crate) keys: TrialKeys,
    /// The trial.
    pub(crate) planned: Arc<PlannedTrial>,
    /// The number of the attempt as people count it.
    number: u32,
}

impl AttemptKeys {
    /// Those of `attempt`; none if there is no such trial.
    pub(crate) fn of(state: &State, attempt: &AttemptId) -> Option<Self> {
        let sweep = state.sweeps.get(&attempt.trial.sweep)?;
        let planned = sweep.trial(attempt.trial.index).ok()?;
        let keys = TrialKeys::new(attempt.trial.index, &planned.resolved);
        Some(Self { keys, planned, number: sweep.attempt_count(attempt.number) })
    }

    /// Lines of the log of the attempt as rows; none if there are no lines.
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

/// The keys of all attempts that run. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttemptKeyCache(Arc<Mutex<BTreeMap<AttemptId, Arc<AttemptKeys>>>>);

impl AttemptKeyCache {
    fn map(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Arc<AttemptKeys>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `attempt`, which need not run.
    pub(crate) fn find(&self, state: &State, attempt: &AttemptId) -> Option<Arc<AttemptKeys>> {
        self.get(attempt).or_else(|| AttemptKeys::of(state, attempt).map(Arc::new))
    }

    /// Those of an attempt, if they are known.
    pub(crate) fn get(&self, attempt: &AttemptId) -> Option<Arc<AttemptKeys>> {
        self.map().get(attempt).cloned()
    }

    /// Notes those of an attempt, if it runs, and returns them. Called by the engine alone, so that no attempt is
    /// noted that has ended.
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

    /// Forgets an attempt that ended.
    pub(crate) fn remove(&self, attempt: &AttemptId) {
        self.map().remove(attempt);
    }
}
