//! The patience rule: a trial stops if it has not improved for `patience` epochs.
//!
//! The reference of a trial is its first value, and then every value that is better than the
//! reference by more than `min_delta`. The trial stops after the first epoch that is `patience`
//! epochs after that of the reference. A value that is not finite is no improvement.
//!
//! Reference: Prechelt 1998, Early stopping - but when?, criterion UP, in the usual form with a
//! least improvement.
//!
//! Complexity: O(e) for a commit of a trial with e epochs; other trials play no part, so the rule
//! needs no history of them.

use super::{CommitEpochs, Comparison, Pruner, Verdict};
use crate::history::History;
use crate::metric::Goal;

/// The patience rule.
#[derive(Debug)]
pub(crate) struct Patience {
    /// The number of epochs without an improvement after which a trial stops.
    pub(crate) idle_epochs: u32,
    /// The difference that counts as an improvement.
    pub(crate) min_delta: f64,
    /// The number of epochs after which judging begins.
    pub(crate) warmup_epochs: u32,
    pub(crate) goal: Goal,
}

impl Patience {
    fn improves(&self, value: f64, reference: f64) -> bool {
        match self.goal {
            Goal::Minimize => value < reference - self.min_delta,
            Goal::Maximize => value > reference + self.min_delta,
        }
    }
}

impl Pruner for Patience {
    fn judge(&self, history: &History, trial: u64) -> Verdict {
        let Some(known) = history.trial(trial) else { return Verdict::Continue };
        let (judged, epochs) = known.judged;
        let mut reference: Option<(u32, f64)> = None;
        let mut reports = known.reports.iter().peekable();
        for epoch in 0..epochs {
            let value =
                reports.next_if(|(reported, _)| *reported == epoch).map(|(_, value)| *value);
            match (value, reference) {
                (Some(value), Some((_, best))) if self.improves(value, best) => {
                    reference = Some((epoch, value));
                }
                (Some(value), None) => reference = Some((epoch, value)),
                _ => {}
            }
            let since = reference.map_or(epoch + 1, |(at, _)| epoch - at);
            if epoch >= judged && epoch >= self.warmup_epochs && since >= self.idle_epochs {
                return Verdict::Stop { epochs: epoch + 1 };
            }
        }
        Verdict::Continue
    }

    fn comparison(&self) -> Comparison {
        Comparison::None
    }

    fn commit_epochs(&self, _trial: u64) -> CommitEpochs {
        CommitEpochs::Each { after: self.warmup_epochs }
    }
}
