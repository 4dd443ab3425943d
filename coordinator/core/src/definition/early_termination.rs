//! `early_terminate`: the rule by which trials stop before their last epoch, as it is journaled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pruner::{Brackets, rungs};

/// The rule by which trials stop before their last epoch. Epochs are counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EarlyTermination {
    /// Asynchronous successive halving.
    Asha {
        /// The number of epochs at the first rung.
        min_epochs: u32,
        /// The factor between rungs, and between the trials that reach and that pass one.
        eta: f64,
        /// What happens to the other trials.
        #[serde(default)]
        mode: HalvingMode,
    },
    /// Hyperband: several brackets of asynchronous successive halving.
    Hyperband {
        /// The number of epochs at the first rung of the first bracket.
        min_epochs: u32,
        /// The number of epochs of a whole trial.
        max_epochs: u32,
        /// The factor between rungs, and between the trials that reach and that pass one.
        eta: f64,
        /// What happens to the other trials.
        #[serde(default)]
        mode: HalvingMode,
    },
    /// The rule that W&B calls `hyperband`: rungs without brackets.
    Bands {
        /// The number of epochs at the first rung; none if the rungs follow from `max_iter`.
        min_iter: Option<u32>,
        /// The number of epochs from which the rungs count down.
        max_iter: Option<u32>,
        /// The number of rungs below `max_iter`.
        s: Option<u32>,
        /// The factor between rungs.
        eta: f64,
        /// Whether ties and the first value beyond the quota stop too.
        strict: bool,
    },
    /// A trial must be among the best of all trials at its epoch; the median rule is 50 percent.
    Percentile {
        /// The percentage of trials that continue.
        percentile: f64,
        /// The number of epochs after which judging begins.
        warmup_epochs: u32,
        /// The smallest number of trials to compare.
        min_trials: u64,
    },
    /// A trial must improve on itself.
    Patience {
        /// The number of epochs without an improvement after which a trial stops.
        patience: u32,
        /// The difference that counts as an improvement.
        min_delta: f64,
        /// The number of epochs after which judging begins.
        warmup_epochs: u32,
    },
}

/// What successive halving does with a trial that does not pass a rung.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Mode")]
pub enum HalvingMode {
    /// The trial ends.
    #[default]
    Stop,
    /// The trial pauses with its checkpoint, and resumes once it is among the best of those that
    /// reached the rung.
    Promote,
}

impl EarlyTermination {
    /// Returns the brackets of the rule, with `seeds` trials at each point; a rule without brackets
    /// has one.
    pub(crate) fn brackets(&self, seeds: u64) -> Brackets {
        match *self {
            Self::Hyperband { min_epochs, max_epochs, eta, .. } => {
                Brackets::hyperband(min_epochs, max_epochs, eta, seeds)
            }
            _ => Brackets::single(self.ladders().concat(), seeds),
        }
    }

    /// Returns the rungs of each bracket, in epochs; empty for rules that judge every epoch.
    pub fn ladders(&self) -> Vec<Vec<u32>> {
        match *self {
            Self::Asha { min_epochs, eta, .. } => vec![rungs::geometric(min_epochs, eta)],
            Self::Hyperband { min_epochs, max_epochs, eta, .. } => {
                Brackets::hyperband(min_epochs, max_epochs, eta, 1).ladders().to_vec()
            }
            Self::Bands { min_iter: Some(first), max_iter: None, eta, .. } => {
                vec![rungs::geometric(first, eta)]
            }
            Self::Bands { max_iter, s, eta, .. } => {
                vec![rungs::below(max_iter.unwrap_or(0), s.unwrap_or(0), eta)]
            }
            Self::Percentile { .. } | Self::Patience { .. } => Vec::new(),
        }
    }

    /// Returns the smallest number of epochs after which a trial may stop.
    pub fn first_epoch(&self) -> u32 {
        let first_rung =
            || self.ladders().iter().filter_map(|ladder| ladder.first().copied()).min();
        match self {
            Self::Percentile { warmup_epochs, .. } => warmup_epochs.saturating_add(1),
            Self::Patience { warmup_epochs, patience, .. } => {
                patience.saturating_add(1).max(warmup_epochs.saturating_add(1))
            }
            _ => first_rung().unwrap_or(1),
        }
    }

    /// Describes the rule for trials of `epochs` epochs, as one or more lines.
    pub fn describe(&self, epochs: Option<u32>) -> Vec<String> {
        let until = |ladder: &[u32]| listed(ladder, epochs);
        match self {
            Self::Asha { eta, mode, .. } => vec![format!(
                "asha: after {}, the best 1/{eta} of the trials that got there continue{}",
                until(&self.ladders().concat()),
                mode.description(),
            )],
            Self::Hyperband { eta, mode, .. } => {
                let brackets = self.brackets(1);
                let shares = brackets.shares();
                let lines = brackets.ladders().iter().zip(shares).enumerate();
                let line = |(number, (ladder, share)): (usize, (&Vec<u32>, f64))| {
                    format!(
                        "  bracket {number}, {:.0} % of the points: {}",
                        100.0 * share,
                        if ladder.iter().all(|rung| epochs.is_some_and(|last| *rung >= last)) {
                            "every trial runs to its end".to_owned()
                        } else {
                            format!("after {}", until(ladder))
                        }
                    )
                };
                let title = format!(
                    "hyperband: at each rung, the best 1/{eta} of the trials of the bracket that \
                     got there continue{}",
                    mode.description(),
                );
                std::iter::once(title).chain(lines.map(line)).collect()
            }
            Self::Bands { eta, strict, .. } => vec![format!(
                "hyperband as in W&B: after {}, the best 1/{eta} of the trials that got there \
                 continue{}",
                until(&self.ladders().concat()),
                if *strict { "" } else { ", and the next one" },
            )],
            Self::Percentile { percentile, warmup_epochs, min_trials } => vec![format!(
                "percentile: after each epoch{}, a trial continues if its best value is among the \
                 best {percentile} % of the values at that epoch, once {min_trials} trials have got \
                 there",
                from(*warmup_epochs),
            )],
            Self::Patience { patience, min_delta, warmup_epochs } => vec![format!(
                "patience: after each epoch{}, a trial stops if the last {patience} epochs brought \
                 no improvement{}",
                from(*warmup_epochs),
                if *min_delta > 0.0 { format!(" by more than {min_delta}") } else { String::new() },
            )],
        }
    }
}

impl HalvingMode {
    fn description(self) -> &'static str {
        match self {
            Self::Stop => "",
            Self::Promote => ", and the others pause until they are among them",
        }
    }
}

/// Formats the first epoch that is judged.
fn from(warmup: u32) -> String {
    if warmup == 0 { String::new() } else { format!(" from {} on", warmup.saturating_add(1)) }
}

/// Formats the rungs that trials of `epochs` epochs cross.
fn listed(ladder: &[u32], epochs: Option<u32>) -> String {
    const MOST: usize = 12;
    let crossed: Vec<String> = ladder
        .iter()
        .take_while(|rung| epochs.is_none_or(|last| **rung < last))
        .map(ToString::to_string)
        .collect();
    match crossed.as_slice() {
        [] => "no epoch".to_owned(),
        [one] if one == "1" => "1 epoch".to_owned(),
        [one] => format!("{one} epochs"),
        all if all.len() > MOST => format!("{}, ... epochs", all[..MOST].join(", ")),
        [rest @ .., last] => format!("{} and {last} epochs", rest.join(", ")),
    }
}
