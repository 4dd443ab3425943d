//! Fitness of a worker: needs of trials that it did not meet, and whether that may have changed.
//!
//! The coordinator sends no trial with an unmet need until the worker joins again with another
//! inventory. So an unfit worker takes its inventory again, and rejoins when it has changed. After
//! several unfit attempts in a row the worker exits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rheo_core::needs::{Inventory, Need};
use rheo_model::trainer::Trainer;

/// Consecutive unfit attempts after which the worker exits.
const STRIKES: u32 = 3;

/// Fitness of this worker.
#[derive(Debug, Default)]
pub(crate) struct Fitness(Mutex<FitnessState>);

#[derive(Debug, Default)]
struct FitnessState {
    /// Unmet needs, each with the fingerprint of what it depends on.
    lacks: Vec<(Need, u64)>,
    strikes: u32,
    /// Message of the last unfit attempt.
    last: Option<String>,
    /// Reason why the coordinator sends no trial.
    unfit_reason: Option<String>,
}

impl Fitness {
    fn state(&self) -> MutexGuard<'_, FitnessState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an attempt failed because of an unmet `need`. Trials that start together fail
    /// together and count once.
    pub(crate) fn record_unfit(&self, need: Need, message: String, fingerprint: u64) {
        let mut state = self.state();
        state.last = Some(message);
        if state.lacks.iter().all(|(lacked, _)| *lacked != need) {
            state.lacks.push((need, fingerprint));
            state.strikes += 1;
        }
    }

    /// Records that an attempt could run.
    pub(crate) fn record_success(&self) {
        self.state().strikes = 0;
    }

    /// Records the coordinator's reason for sending no trial, if it gives one.
    pub(crate) fn set_unfit_reason(&self, unfit: Option<String>) {
        let mut state = self.state();
        if let Some(cause) =
            unfit.as_ref().filter(|cause| state.unfit_reason.as_ref() != Some(cause))
        {
            tracing::warn!(cause, "this worker cannot run the waiting trials");
        }
        state.unfit_reason = unfit;
    }

    /// Returns the coordinator's reason for sending no trial.
    pub(crate) fn unfit_reason(&self) -> Option<String> {
        self.state().unfit_reason.clone()
    }

    /// Returns the reason to exit, after too many unfit attempts.
    pub(crate) fn exit_reason(&self) -> Option<String> {
        let state = self.state();
        state.last.clone().filter(|_| state.strikes >= STRIKES)
    }

    /// Whether the worker is unfit for some trials.
    pub(crate) fn is_unfit(&self) -> bool {
        let state = self.state();
        !state.lacks.is_empty() || state.unfit_reason.is_some()
    }

    /// Whether trials are worth a retry: the inventory `now` differs from the one `reported`, or an
    /// unmet need may be met now.
    pub(crate) fn has_changed(
        &self,
        reported: Option<&Inventory>,
        now: &Inventory,
        trainer: &dyn Trainer,
    ) -> bool {
        if reported.is_some_and(|reported| reported != now) {
            return true;
        }
        let state = self.state();
        state.lacks.iter().any(|(need, fingerprint)| match need {
            Need::Data { .. } | Need::Samples { .. } => trainer.fingerprint(need) != *fingerprint,
            // The inventory met these needs before, too; only a trial can tell.
            _ => now.unmet_need(need).is_none(),
        })
    }

    /// Forgets the unmet needs, once the coordinator has the new inventory.
    pub(crate) fn clear_lacks(&self) {
        self.state().lacks.clear();
    }
}

#[cfg(test)]
mod tests {
    use rheo_model::config::TrialConfig;
    use rheo_model::trainer::{Error, RunOutcome, Session};

    use super::*;

    /// A trainer whose data have this fingerprint.
    struct Fingerprint(u64);

    impl Trainer for Fingerprint {
        fn run(
            &self,
            _: &TrialConfig,
            _: Option<&[u8]>,
            _: &mut dyn Session,
        ) -> Result<RunOutcome, Error> {
            Err(Error::Other(String::new()))
        }

        fn fingerprint(&self, _: &Need) -> u64 {
            self.0
        }
    }

    fn data() -> Need {
        Need::Data { set: "mnist".to_owned(), directory: Some("/d".to_owned()) }
    }

    #[test]
    fn three_unfit_attempts_in_a_row_end_the_worker() {
        let fitness = Fitness::default();
        let fail = || fitness.record_unfit(Need::Disk, "full".to_owned(), 0);
        // Two at the same time count as one.
        fail();
        fail();
        for _ in 0..2 {
            assert_eq!(fitness.exit_reason(), None);
            fitness.clear_lacks();
            fail();
        }
        assert_eq!(fitness.exit_reason(), Some("full".to_owned()));
        fitness.record_success();
        assert_eq!(fitness.exit_reason(), None);
    }

    #[test]
    fn data_are_retried_only_after_their_files_change() {
        let fitness = Fitness::default();
        let inventory = Inventory::default();
        let changed =
            |trainer: &Fingerprint| fitness.has_changed(Some(&inventory), &inventory, trainer);
        assert!(!fitness.is_unfit());
        fitness.record_unfit(data(), "none".to_owned(), 7);
        assert!(fitness.is_unfit());
        assert!(!changed(&Fingerprint(7)));
        assert!(changed(&Fingerprint(8)));
        fitness.clear_lacks();
        assert!(!changed(&Fingerprint(8)));
    }
}
