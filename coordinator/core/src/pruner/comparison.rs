//! The epochs after which trials are compared with each other.

use super::brackets::Brackets;
use super::rungs;

/// The epochs after which trials are compared with each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Comparison {
    /// Trials are not compared.
    #[default]
    None,
    /// All trials after each epoch, from a number of epochs on.
    Each {
        /// The number of epochs after which comparing begins.
        after: u32,
    },
    /// The trials of each bracket at its rungs.
    Rungs(Brackets),
}

impl Comparison {
    /// Returns the bracket of `trial`.
    pub(crate) fn bracket(&self, trial: u64) -> usize {
        match self {
            Self::Rungs(brackets) => brackets.of_trial(trial),
            Self::None | Self::Each { .. } => 0,
        }
    }

    /// Returns the numbers of epochs after `after` up to `to` at which `trial` is compared.
    pub(crate) fn between(&self, trial: u64, after: u32, to: u32) -> Vec<u32> {
        match self {
            Self::None => Vec::new(),
            Self::Each { after: warmup } => (after.max(*warmup).saturating_add(1)..=to).collect(),
            Self::Rungs(brackets) => rungs::between(brackets.ladder(trial), after, to).to_vec(),
        }
    }

    /// Returns the first rung after `after` epochs; none for a rule without rungs.
    pub(crate) fn next_rung(&self, trial: u64, after: u32) -> Option<u32> {
        let Self::Rungs(brackets) = self else { return None };
        brackets.ladder(trial).iter().copied().find(|rung| *rung > after)
    }
}
