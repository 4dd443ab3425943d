//! What a worker has learned of its own surroundings: what it turned out to lack, and whether that may
//! be over.
//!
//! The coordinator gives it no trial that needs what it lacks until it joins again with another
//! inventory. So it looks again while it is unfit, and joins again when something has changed. One
//! that is unfit again and again is of no use, and leaves.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rheo_core::needs::{Inventory, Need};
use rheo_model::trainer::Trainer;

/// So many unfit attempts in a row are enough.
const STRIKES: u32 = 3;

/// What a worker has learned of itself.
#[derive(Debug, Default)]
pub(crate) struct Fitness(Mutex<FitnessState>);

#[derive(Debug, Default)]
struct FitnessState {
    /// What it turned out to lack, each with the fingerprint of what that depends on.
    lacks: Vec<(Need, u64)>,
    strikes: u32,
    /// Why the last attempt could not be run.
    last: Option<String>,
    /// Why it gets no trial, as the coordinator says.
    unfit_reason: Option<String>,
}

impl Fitness {
    fn state(&self) -> MutexGuard<'_, FitnessState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an attempt could not be run for want of `need`. Trials that began together fail
    /// together, and count once.
    pub(crate) fn record_unfit(&self, need: Need, message: String, fingerprint: u64) {
        let mut state = self.state();
        state.last = Some(message);
        if state.lacks.iter().all(|(lacked, _)| *lacked != need) {
            state.lacks.push((need, fingerprint));
            state.strikes += 1;
        }
    }

    /// Notes that an attempt could be run.
    pub(crate) fn record_success(&self) {
        self.state().strikes = 0;
    }

    /// Notes why the coordinator has no trial for it, if it says so.
    pub(crate) fn set_unfit_reason(&self, unfit: Option<String>) {
        let mut state = self.state();
        if let Some(cause) =
            unfit.as_ref().filter(|cause| state.unfit_reason.as_ref() != Some(cause))
        {
            tracing::warn!(cause, "trials wait that this worker cannot run");
        }
        state.unfit_reason = unfit;
    }

    /// Why it gets no trial, if it lacks what they need.
    pub(crate) fn unfit_reason(&self) -> Option<String> {
        self.state().unfit_reason.clone()
    }

    /// Why it is of no use, after too many attempts that it could not run.
    pub(crate) fn exit_reason(&self) -> Option<String> {
        let state = self.state();
        state.last.clone().filter(|_| state.strikes >= STRIKES)
    }

    /// Whether there is something to look after.
    pub(crate) fn is_unfit(&self) -> bool {
        let state = self.state();
        !state.lacks.is_empty() || state.unfit_reason.is_some()
    }

    /// Whether trials are worth another try: what was found `now` differs from what was `reported`, or
    /// that has changed which it lacked.
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
            // It looks well, which it did before: only a trial can tell.
            _ => now.unmet_need(need).is_none(),
        })
    }

    /// Forgets what it lacked, once the coordinator knows that it has changed.
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
    fn three_unfit_attempts_in_a_row_are_enough() {
        let fitness = Fitness::default();
        let fail = || fitness.record_unfit(Need::Disk, "full".to_owned(), 0);
        // Two at the same time are one.
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
    fn data_are_worth_another_try_when_their_files_change_and_not_before() {
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
