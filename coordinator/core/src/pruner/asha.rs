//! Asynchronous successive halving (ASHA), in brackets.
//!
//! Rungs are at r_k = `min_epochs` * eta^k epochs. A trial that reaches rung k is compared, once,
//! with the n_k trials of its bracket that have reached the rung so far, by their values at the
//! epoch of the rung. It continues if fewer than max(1, floor(n_k / eta)) of them are better; ties
//! go to the trial with the lower number. A trial that does not continue ends, and counts at no
//! higher rung, also if its commit holds the epochs of one. So the first trial at a rung continues.
//!
//! In the mode `promote`, it pauses instead, and floor(n_k / eta) counts without a minimum. When a
//! worker asks for work, the best paused trial of the highest rung resumes that is among the best
//! floor(n_k / eta) of its rung by then; only if there is none, a new trial begins. So no trial
//! passes a rung unless it is among the best at that moment. One exception gives every sweep a result:
//! if nothing else is left to run and no trial has completed, the best of the highest rung resumes.
//!
//! Reference: Li et al. 2020, A system for massively parallel hyperparameter tuning, section 3
//! (arXiv:1810.05934): algorithm 2 is the mode `promote`. With one bracket this is ASHA; with the brackets of
//! [`Brackets::hyperband`](super::Brackets::hyperband) it is asynchronous Hyperband (Li et al.
//! 2018, arXiv:1603.06560).
//!
//! Complexity: O(log n) for each crossed rung, and for each rung when a worker asks. Without
//! history, the first trial at a rung continues; in the mode `promote`, it pauses.

use super::brackets::Brackets;
use super::{CommitEpochs, Comparison, Pruner, Verdict, rungs};
use crate::definition::HalvingMode;
use crate::history::{EpochStanding, History};

/// Asynchronous successive halving.
#[derive(Debug)]
pub(crate) struct Asha {
    pub(crate) brackets: Brackets,
    /// The reciprocal of the share of trials that pass a rung.
    pub(crate) eta: f64,
    pub(crate) mode: HalvingMode,
}

/// Returns the number of trials that may pass a rung that `reached` trials have reached.
pub(crate) fn quota(reached: usize, eta: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds down")]
    let quota = (reached as f64 / eta * (1.0 + rungs::ROUNDING)) as usize;
    quota
}

impl Pruner for Asha {
    fn judge(&self, history: &History, trial: u64) -> Verdict {
        for EpochStanding { epochs: rung, reached, rank, .. } in history.crossed(trial) {
            let quota = quota(reached, self.eta);
            match self.mode {
                HalvingMode::Stop if rank >= quota.max(1) => {
                    return Verdict::Stop { epochs: rung };
                }
                HalvingMode::Promote if rank >= quota => return Verdict::Park { rung },
                HalvingMode::Stop | HalvingMode::Promote => {}
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

    fn promotable(&self, history: &History) -> Vec<u64> {
        history.promotable(|reached| quota(reached, self.eta))
    }
}
