//! A sweep as it runs: bars on a terminal, plain lines elsewhere, both on standard error.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rheo_core::metric::Metric;
use rheo_core::sweep::{Counts, Status, TrialView};
use rheo_core::trainer::Progress;

use super::{format, point, screen};
use crate::client::{Moment, Seen};

/// Steps of a bar for one trial.
const STEPS: u64 = 1000;

/// The most trials with a bar of their own.
const BARS: usize = 16;

/// All bars of this process; what else is written to standard error goes through it, so that it
/// does not tear them.
static SCREEN: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Standard error, above the bars if there are any.
pub(super) fn stderr() -> Stderr {
    Stderr(Vec::new())
}

/// Collects a line and prints it above the bars.
pub(super) struct Stderr(Vec<u8>);

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        // Where there are no bars; drawing on a terminal that was closed would panic.
        if !screen::has_colours(&io::stderr()) {
            return io::stderr().write_all(&bytes);
        }
        SCREEN.suspend(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.flush();
    }
}

/// Shows moments of a sweep.
pub(super) enum Display {
    /// On a terminal.
    Bars(Bars),
    /// Anywhere else.
    Lines,
}

impl Display {
    pub(super) fn new() -> Self {
        if screen::has_colours(&io::stderr()) { Self::Bars(Bars::new()) } else { Self::Lines }
    }

    /// Shows how things are now.
    pub(super) fn show(&mut self, moment: &Moment) {
        for trial in &moment.ended {
            format::note(ended(trial, &moment.sweep.counts));
        }
        if let Self::Bars(bars) = self {
            bars.show(moment);
        }
    }

    /// Takes everything off the screen.
    pub(super) fn end(self) {
        if let Self::Bars(bars) = self {
            bars.end();
        }
    }
}

/// One line about a trial that ended.
fn ended(trial: &TrialView, counts: &Counts) -> String {
    let outcome = match (trial.status, trial.objective) {
        (Status::Ended(outcome), Some(value)) => {
            format!("{} {}", outcome.name(), format::number(value))
        }
        (status, _) => status.name().to_owned(),
    };
    let error = trial.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let took = trial.started.zip(trial.ended).map(|(began, ended)| ended.since(began));
    let took = took.map(|took| format!(", {}", format::duration(took))).unwrap_or_default();
    let point = point::short(&trial.swept);
    let (done, all) = (counts.ended(), counts.trials);
    format!("[{done}/{all}] {} {outcome}{error}  ({point} seed={}{took})", trial.id, trial.seed)
}

/// A bar for the sweep and one for each running trial.
pub(super) struct Bars {
    sweep: ProgressBar,
    trials: BTreeMap<u64, ProgressBar>,
    /// Whether the time that is left can be told from what has been seen.
    timed: bool,
}

impl Bars {
    fn new() -> Self {
        let sweep = SCREEN.add(ProgressBar::new(1));
        sweep.set_style(style(
            "{prefix:.bold} {bar:30.cyan/dim} {percent:>3} %  {msg}  {eta_precise} left",
        ));
        sweep.enable_steady_tick(Duration::from_millis(200));
        Self { sweep, trials: BTreeMap::new(), timed: false }
    }

    fn show(&mut self, moment: &Moment) {
        let counts = moment.sweep.counts;
        let running: f64 = moment.running.iter().map(fraction).sum();
        self.sweep.set_prefix(moment.sweep.name.to_string());
        self.sweep.set_length(counts.trials.saturating_mul(STEPS));
        self.sweep.set_position(counts.ended() * STEPS + steps(running));
        if !std::mem::replace(&mut self.timed, true) {
            // What was done before this display began says nothing about the speed.
            self.sweep.reset_eta();
        }
        let failed =
            if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
        let (done, all, now) = (counts.ended(), counts.trials, counts.running);
        self.sweep.set_message(format!("{done} of {all} trials, {now} running{failed}"));

        let shown: Vec<&Seen> = moment.running.iter().take(BARS).collect();
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
            bar.set_prefix(format!("{} {}", seen.trial.id, point::short(&seen.trial.swept)));
            bar.set_position(steps(fraction(seen)));
            bar.set_message(seen.progress.as_ref().map_or_else(|| "starting".to_owned(), numbers));
        }
    }

    fn end(self) {
        for bar in self.trials.values() {
            bar.finish_and_clear();
        }
        self.sweep.finish_and_clear();
    }
}

fn trial_bar() -> ProgressBar {
    let bar = SCREEN.add(ProgressBar::new(STEPS));
    bar.set_style(style("  {bar:16.green/dim} {prefix}  {msg:.dim}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌")
}

fn fraction(seen: &Seen) -> f64 {
    seen.progress.as_ref().map_or(0.0, |progress| progress.fraction)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a screen position")]
fn steps(trials: f64) -> u64 {
    (trials * STEPS as f64).max(0.0) as u64
}

/// Epoch, loss and accuracy of a running trial: of the validation once there is one.
fn numbers(progress: &Progress) -> String {
    let newest =
        |metrics: [Metric; 2]| metrics.iter().find_map(|metric| progress.metrics.get(metric));
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
