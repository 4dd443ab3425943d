//! The percentile rule, and the median rule, which is the percentile 50.
//!
//! After epoch e, a trial with values v_1 to v_e continues if the best of them is not worse than
//! the value at position ceil(p / 100 * n), counted from 1, of the n values that trials had after
//! epoch e, in order from the best. Running and ended trials count alike, the judged one included.
//! The best value is compared instead of v_e, so that a noisy curve is not cut off at a dip.
//!
//! Reference: the median rule of Golovin et al. 2017, Google Vizier, section 3.2.2, in the form of
//! Optuna's `PercentilePruner`.
//!
//! Complexity: O(log n) for each new epoch, after a scan of the epochs of the trial. Without
//! history, and until `min_trials` trials have reached the epoch, every trial continues.

use super::{CommitEpochs, Comparison, Pruner, Verdict};
use crate::history::History;

/// The percentile rule.
#[derive(Debug)]
pub(crate) struct Percentile {
    /// The percentage of trials that continue.
    pub(crate) percent: f64,
    /// The number of epochs after which judging begins.
    pub(crate) warmup_epochs: u32,
    /// The smallest number of trials to compare.
    pub(crate) min_trials: u64,
}

impl Percentile {
    /// Returns the position of the worst value that continues, from 0.
    fn last_passing(&self, values: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds up")]
        let passing = (self.percent / 100.0 * values as f64 - 1e-9).ceil().max(1.0) as usize;
        passing - 1
    }
}

impl Pruner for Percentile {
    fn judge(&self, history: &History, trial: u64) -> Verdict {
        for standing in history.crossed(trial) {
            let values = standing.reached;
            if (values as u64) < self.min_trials.max(1) {
                continue;
            }
            let threshold = history.score_at(trial, standing.epochs, self.last_passing(values));
            let best = history.best_score(trial, standing.epochs);
            if threshold.zip(best).is_some_and(|(threshold, best)| best > threshold) {
                return Verdict::Stop { epochs: standing.epochs };
            }
        }
        Verdict::Continue
    }

    fn comparison(&self) -> Comparison {
        Comparison::Each { after: self.warmup_epochs }
    }

    fn commit_epochs(&self, _trial: u64) -> CommitEpochs {
        CommitEpochs::Each { after: self.warmup_epochs }
    }
}
