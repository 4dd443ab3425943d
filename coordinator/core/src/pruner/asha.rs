//! Asynchronous successive halving (ASHA), in brackets.
//!
//! Rungs are at r_k = `min_epochs` * eta^k epochs. A trial that reaches rung k is compared, once,
//! with the n_k trials of its bracket that have reached the rung so far, by their values at the
//! epoch of the rung. It continues if fewer than max(1, floor(n_k / eta)) of them are better; ties
//! go to the trial with the lower number.
//!
//! Reference: Li et al. 2020, A system for massively parallel hyperparameter tuning, section 3
//! (arXiv:1810.05934), in the stopping form. With one bracket this is ASHA; with the brackets of
//! [`Brackets::hyperband`](super::Brackets::hyperband) it is asynchronous Hyperband (Li et al.
//! 2018, arXiv:1603.06560).
//!
//! Complexity: O(log n) for each crossed rung. Without history, the first trial at a rung
//! continues.

use super::brackets::Brackets;
use super::{CommitEpochs, Comparison, Pruner, Verdict, rungs};
use crate::history::History;

/// Asynchronous successive halving.
#[derive(Debug)]
pub(crate) struct Asha {
    pub(crate) brackets: Brackets,
    /// The reciprocal of the share of trials that pass a rung.
    pub(crate) eta: f64,
}

/// Returns the number of trials that may pass a rung that `reached` trials have reached.
pub(crate) fn quota(reached: usize, eta: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds down")]
    let quota = (reached as f64 / eta * (1.0 + rungs::ROUNDING)) as usize;
    quota
}

impl Pruner for Asha {
    fn judge(&self, history: &History, trial: u64) -> Verdict {
        for standing in history.crossed(trial) {
            if standing.rank >= quota(standing.reached, self.eta).max(1) {
                return Verdict::Stop;
            }
        }
        Verdict::Continue
    }

    fn comparison(&self) -> Comparison {
        Comparison::Rungs(self.brackets.clone())
    }

    fn commit_epochs(&self, trial: u64) -> CommitEpochs {
        CommitEpochs::At(self.brackets.ladder(trial).to_vec())
    }
}
