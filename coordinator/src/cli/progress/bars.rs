//! Progress bars on a terminal: one for the sweep with the remaining time, a line of counts, and
//! one for each running trial. Lines are cut to the width of the terminal, so the most important
//! values come first.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use rheo_core::progress::Progress;
use rheo_model::config::Metric;

use super::other_counts;
use crate::cli::describe::best_point;
use crate::cli::stderr::SCREEN;
use crate::cli::{format, point, screen};
use crate::client::{SweepUpdate, TrialWithProgress};

/// The length of a trial's bar, in steps.
const STEPS: u64 = 1000;

/// The largest number of trials with a bar.
const MAX_BARS: usize = 16;

/// The largest width of the sweep's name, in columns.
const NAME: usize = 20;

/// A bar for the sweep, a line about it, and a bar for each running trial.
pub(crate) struct ProgressBars {
    sweep: ProgressBar,
    facts: ProgressBar,
    trials: BTreeMap<u64, ProgressBar>,
}

impl ProgressBars {
    pub(super) fn new() -> Self {
        let sweep = SCREEN.add(ProgressBar::new(1));
        sweep.set_style(style("{prefix:.bold} {wide_bar:.cyan/dim} {percent:>3} %{msg}"));
        let facts = SCREEN.add(ProgressBar::new(1));
        facts.set_style(style("  {wide_msg}"));
        Self { sweep, facts, trials: BTreeMap::new() }
    }

    pub(super) fn show(&mut self, update: &SweepUpdate) {
        let (sweep, counts) = (&update.sweep, update.sweep.counts);
        let running: f64 = update.running.iter().map(fraction).sum();
        self.sweep.set_prefix(screen::fit(sweep.name.as_str(), NAME));
        self.sweep.set_length(counts.trials.saturating_mul(STEPS));
        self.sweep.set_position(counts.ended() * STEPS + steps(running));
        let left =
            sweep.estimate.map(|estimate| format!("  {} left", format::remaining(&estimate)));
        self.sweep.set_message(left.unwrap_or_default());
        let best =
            sweep.best.as_ref().map(|best| format!(", best {}", best_point(best, sweep.aggregate)));
        let (done, others) = (counts.ended(), other_counts(&counts));
        let best = best.unwrap_or_default();
        self.facts.set_message(format!("{done} of {} trials{others}{best}", counts.trials));

        let shown: Vec<&TrialWithProgress> = update.running.iter().take(MAX_BARS).collect();
        self.trials.retain(|index, bar| {
            let runs = shown.iter().any(|seen| seen.trial.id.index == *index);
            if !runs {
                bar.finish_and_clear();
                SCREEN.remove(bar);
            }
            runs
        });
        for seen in shown {
            let bar = self.trials.entry(seen.trial.id.index).or_insert_with(trial_bar);
            let progress = seen.progress.as_ref().map_or_else(|| "starting".to_owned(), numbers);
            let swept = point::short(&seen.trial.swept);
            bar.set_position(steps(fraction(seen)));
            bar.set_message(format!("{} {progress}  {swept}", seen.trial.id.index));
        }
    }

    pub(super) fn end(self) {
        for bar in self.trials.values() {
            bar.finish_and_clear();
        }
        self.facts.finish_and_clear();
        self.sweep.finish_and_clear();
    }
}

fn trial_bar() -> ProgressBar {
    let bar = SCREEN.add(ProgressBar::new(STEPS));
    bar.set_style(style("  {bar:10.green/dim} {wide_msg:.dim}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌")
}

fn fraction(seen: &TrialWithProgress) -> f64 {
    seen.progress.as_ref().map_or(0.0, |progress| progress.fraction)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a screen position")]
fn steps(trials: f64) -> u64 {
    (trials * STEPS as f64).max(0.0) as u64
}

/// Formats epoch, loss and accuracy of a running trial; metrics of the validation are preferred.
fn numbers(progress: &Progress) -> String {
    let newest = |metrics: [Metric; 2]| {
        metrics.iter().find_map(|metric| progress.metrics.get(&metric.to_name()))
    };
    let mut text = format!("epoch {}/{}", progress.epoch, progress.epochs);
    if let Some(loss) = newest([Metric::ValidationLoss, Metric::TrainLoss]) {
        text += &format!("  loss {}", format::number(*loss));
    }
    if let Some(accuracy) = newest([Metric::ValidationAccuracy, Metric::TrainAccuracy]) {
        text += &format!("  accuracy {}", format::number(*accuracy));
    }
    if progress.phase != "training" {
        text += &format!("  {}", progress.phase);
    }
    text
}
