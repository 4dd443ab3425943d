//! Pruners stop trials that will not win. They are separate from samplers, so that any sampler
//! works with any pruner.
//!
//! A pruner is a function of the history. It is asked after every commit of a trial and judges the
//! epochs that the commit added, each once, so a replay gives the same verdicts. It judges trials,
//! not points: seeds of a point are compared like other trials, and may end differently. Epochs
//! count from 1: the report of epoch 0 is that after 1 epoch. A trial that a pruner stops ends as
//! pruned, which is a result and not a failure.

mod asha;
mod bands;
mod brackets;
mod comparison;
mod patience;
mod percentile;
pub(crate) mod rungs;

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use brackets::Brackets;
pub use comparison::Comparison;

use crate::definition::{EarlyTermination, SweepDefinition};
use crate::history::History;

/// Judges trials.
pub trait Pruner: Debug + Send + Sync {
    /// Judges `trial` at the epochs that its newest commit added.
    fn judge(&self, history: &History, trial: u64) -> Verdict;

    /// Returns the comparison between trials that the history must keep.
    fn comparison(&self) -> Comparison;

    /// Returns the epochs after which `trial` must commit, so that it can be judged.
    fn commit_epochs(&self, trial: u64) -> CommitEpochs;

    /// Returns the parked trials that may resume, those of the highest rung first, the best first.
    fn promotable(&self, _history: &History) -> Vec<u64> {
        Vec::new()
    }
}

/// The verdict of a pruner on a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The trial continues.
    Continue,
    /// The trial ends.
    Stop {
        /// The number of epochs at which it is stopped.
        epochs: u32,
    },
    /// The trial pauses until it is promoted.
    Park {
        /// The rung at which it waits, in epochs.
        rung: u32,
    },
}

/// The epochs after which a trial must commit, besides its usual commits. Epochs count from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommitEpochs {
    /// None.
    #[default]
    None,
    /// Every epoch after a number of them, unless the last commit is very recent.
    Each {
        /// The number of epochs after which this begins.
        after: u32,
    },
    /// These epochs, in ascending order.
    At(Vec<u32>),
}

impl CommitEpochs {
    /// Returns the epochs after `done` and before `epochs`, the number of epochs of the trial.
    #[must_use]
    pub fn remaining(self, done: u32, epochs: Option<u32>) -> Self {
        match self {
            Self::At(at) => {
                let is_ahead = |at: &u32| *at > done && epochs.is_none_or(|last| *at < last);
                Self::At(at.into_iter().filter(is_ahead).collect())
            }
            other => other,
        }
    }
}

/// Creates the pruner of a definition, if it has one.
pub(crate) fn of(definition: &SweepDefinition) -> Option<Arc<dyn Pruner>> {
    let rule = definition.early_terminate.as_ref()?;
    let goal = definition.objective.goal;
    let brackets = || rule.brackets(definition.seeds.len() as u64);
    Some(match *rule {
        EarlyTermination::Asha { eta, mode, .. }
        | EarlyTermination::Hyperband { eta, mode, .. } => {
            Arc::new(asha::Asha { brackets: brackets(), eta, mode })
        }
        EarlyTermination::Bands { eta, strict, .. } => {
            Arc::new(bands::Bands { brackets: brackets(), eta, strict })
        }
        EarlyTermination::Percentile { percentile, warmup_epochs, min_trials } => {
            Arc::new(percentile::Percentile { percent: percentile, warmup_epochs, min_trials })
        }
        EarlyTermination::Patience { patience, min_delta, warmup_epochs } => {
            Arc::new(patience::Patience { idle_epochs: patience, min_delta, warmup_epochs, goal })
        }
    })
}

#[cfg(test)]
mod tests;
