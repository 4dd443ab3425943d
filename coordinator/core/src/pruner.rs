//! Pruners stop trials that will not win. They are separate from samplers, so that any sampler
//! works with any pruner.
//!
//! A pruner is a function of the history. It is asked after every report of a running trial. A
//! trial that it stops ends as pruned, which is a result and not a failure.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::history::History;

/// Judges running trials.
pub trait Pruner: Debug + Send + Sync {
    /// Judges `trial` from all reports so far, its own included.
    fn judge(&self, history: &History, trial: u64) -> Verdict;
}

/// The verdict of a pruner on a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The trial continues.
    Continue,
    /// The trial ends.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{HistoryRetention, TrialEnding};
    use crate::metric::Goal;

    /// Stops a trial whose newest value is worse than that of most others at the same epoch.
    #[derive(Debug)]
    struct Median(Goal);

    impl Pruner for Median {
        fn judge(&self, history: &History, trial: u64) -> Verdict {
            let Some(&(epoch, value)) = history.trial(trial).and_then(|t| t.reports.last()) else {
                return Verdict::Continue;
            };
            let others = history.trials().filter(|(other, _)| *other != trial);
            let values: Vec<f64> = others
                .filter_map(|(_, other)| other.reports.iter().find(|(e, _)| *e == epoch))
                .map(|(_, value)| *value)
                .collect();
            let better = values.iter().filter(|&&other| self.0.is_better(other, value)).count();
            if better * 2 > values.len() { Verdict::Stop } else { Verdict::Continue }
        }
    }

    #[test]
    fn a_pruner_sees_the_reports_of_running_and_of_ended_trials() {
        let mut history =
            History::new(HistoryRetention { points: false, reports: true }, 1, Goal::Maximize);
        for (trial, values) in [[0.5, 0.7], [0.6, 0.8], [0.1, 0.2]].iter().enumerate() {
            for (epoch, value) in (0..).zip(values) {
                history.record_report(trial as u64, epoch, *value);
            }
        }
        history.record_end(0, TrialEnding::Completed, None);
        let pruner = Median(Goal::Maximize);
        let verdicts = [0, 1, 2, 3].map(|trial| pruner.judge(&history, trial));
        assert_eq!(
            verdicts,
            [Verdict::Continue, Verdict::Continue, Verdict::Stop, Verdict::Continue]
        );
    }
}
