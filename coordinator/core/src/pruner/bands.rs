//! The early termination that Weights & Biases calls `hyperband`: rungs, which it calls brackets,
//! but no brackets of Hyperband.
//!
//! Rungs are at `min_iter` * eta^k epochs, or at `max_iter` / eta^k epochs for k = 1 to `s`. A trial
//! stops at a rung if its value there is worse than the value at position floor(n / eta), counted
//! from 0, of the n values at the rung in order. So ties continue, and the best floor(n / eta) + 1
//! values do. With `strict`, only the best max(1, floor(n / eta)) values continue.
//!
//! Reference: <https://docs.wandb.ai/guides/sweeps/sweep-config-keys/#early_terminate>, and the
//! published stopping rule in github.com/wandb/sweeps. There, `strict` is accepted without effect.
//! W&B judges a running trial again and again; here each rung is judged once.
//!
//! Complexity: O(log n) for each crossed rung. Without history, the first trial at a rung
//! continues.

use super::asha::quota;
use super::brackets::Brackets;
use super::{CommitEpochs, Comparison, Pruner, Verdict};
use crate::history::History;

/// The rule of W&B.
#[derive(Debug)]
pub(crate) struct Bands {
    pub(crate) brackets: Brackets,
    /// The reciprocal of the share of trials that pass a rung.
    pub(crate) eta: f64,
    pub(crate) strict: bool,
}

impl Pruner for Bands {
    fn judge(&self, history: &History, trial: u64) -> Verdict {
        for standing in history.crossed(trial) {
            let quota = quota(standing.reached, self.eta);
            let most = if self.strict { quota.max(1) } else { quota + 1 };
            if standing.better >= most {
                return Verdict::Stop { epochs: standing.epochs };
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
