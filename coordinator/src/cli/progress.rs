//! Progress of a running sweep on standard error: bars on a terminal, plain lines elsewhere.
//!
//! Without a terminal, a line about the whole sweep is printed after 10, 20, 40 and 80 seconds and
//! then every minute, so that a log shows that the sweep is alive.

mod bars;

use std::io;
use std::time::Duration;

use rheo_core::machine::{SweepPhase, SweepView, TrialCounts, TrialStatus, TrialView};
use tokio::time::Instant;

use self::bars::ProgressBars;
use super::describe::{best_point, phase};
use super::{format, point, screen};
use crate::client::SweepUpdate;

/// Shows the progress of a sweep.
pub(super) enum ProgressDisplay {
    /// Bars on a terminal.
    ProgressBars(ProgressBars),
    /// Lines in a file or a pipe.
    ProgressLines(ProgressLines),
}

impl ProgressDisplay {
    pub(super) fn new() -> Self {
        if screen::has_colours(&io::stderr()) {
            Self::ProgressBars(ProgressBars::new())
        } else {
            Self::ProgressLines(ProgressLines {
                last: None,
                due: Instant::now() + FIRST_PAUSE,
                pause: FIRST_PAUSE,
            })
        }
    }

    /// Shows an update, and a line for each trial that ended.
    pub(super) fn show(&mut self, update: &SweepUpdate) {
        let counts = &update.sweep.counts;
        let before = counts.ended().saturating_sub(update.ended.len() as u64);
        for (done, trial) in (before + 1..).zip(&update.ended) {
            print_line(&trial_line(trial, done, counts.trials));
        }
        match self {
            Self::ProgressBars(bars) => bars.show(update),
            Self::ProgressLines(lines) => lines.last = Some(Box::new(update.sweep.clone())),
        }
    }

    /// Waits until a line about the whole sweep is due.
    pub(super) async fn due(&self) {
        match self {
            Self::ProgressBars(_) => std::future::pending().await,
            Self::ProgressLines(lines) => tokio::time::sleep_until(lines.due).await,
        }
    }

    /// Prints the line that is due.
    pub(super) fn report(&mut self) {
        if let Self::ProgressLines(lines) = self {
            lines.report();
        }
    }

    /// Removes the bars, or prints a last line about the sweep.
    pub(super) fn end(self) {
        match self {
            Self::ProgressBars(bars) => bars.end(),
            Self::ProgressLines(lines) => {
                lines.last.as_deref().into_iter().for_each(print_sweep_line);
            }
        }
    }

    /// Removes the bars, if any, and prints a last line about the sweep.
    pub(super) fn end_with(self, sweep: &SweepView) {
        match self {
            Self::ProgressBars(bars) => {
                bars.end();
                print_sweep_line(sweep);
            }
            Self::ProgressLines(_) => self.end(),
        }
    }
}

/// The time before the first line about the whole sweep, and the longest time between two lines.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Periodic lines about the whole sweep.
pub(super) struct ProgressLines {
    last: Option<Box<SweepView>>,
    due: Instant,
    pause: Duration,
}

impl ProgressLines {
    fn report(&mut self) {
        self.last.as_deref().into_iter().for_each(print_sweep_line);
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

/// Prints a line, cut to the width of the terminal.
fn print_line(line: &str) {
    match screen::width() {
        Some(width) => format::note(screen::fit(line, width)),
        None => format::note(line),
    }
}

fn print_sweep_line(sweep: &SweepView) {
    print_line(&sweep_line(sweep));
}

/// Formats one line about a sweep.
fn sweep_line(sweep: &SweepView) -> String {
    let (done, all) = (sweep.counts.ended(), sweep.counts.trials);
    let others = other_counts(&sweep.counts);
    let best = sweep
        .best
        .as_ref()
        .map(|best| format!("; best {} {}", sweep.metric, best_point(best, sweep.aggregate)));
    let left = sweep.estimate.map(|estimate| format!("; {} left", format::remaining(&estimate)));
    let (best, left) = (best.unwrap_or_default(), left.unwrap_or_default());
    let ended = sweep.phase == SweepPhase::Ended;
    let ended = if ended { format!(" {}", phase(sweep)) } else { String::new() };
    format!("{}{ended}: {done} of {all} trials have ended{others}{best}{left}", sweep.name)
}

/// Formats the non-zero counts of trials that run or did not complete.
fn other_counts(counts: &TrialCounts) -> String {
    let some = [
        (counts.running, "running"),
        (counts.parked, "parked"),
        (counts.diverged, "diverged"),
        (counts.pruned, "pruned"),
        (counts.cancelled, "cancelled"),
        (counts.failed, "failed"),
    ];
    let some = some.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!(", {count} {what}")).collect()
}

/// Formats one line about a trial that ended, the `done`-th of `all`.
fn trial_line(trial: &TrialView, done: u64, all: u64) -> String {
    let outcome = match (trial.status, trial.objective) {
        (TrialStatus::Ended(outcome), Some(value)) => {
            format!("{} {}", outcome.name(), format::number(value))
        }
        (status, _) => status.name().to_owned(),
    };
    let error = trial.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let took = trial.started.zip(trial.ended).map(|(began, ended)| ended.since(began));
    let took = took.map(|took| format!(", {}", format::duration(took))).unwrap_or_default();
    let point = point::short(&trial.swept);
    let space = if point.is_empty() { "" } else { " " };
    format!(
        "[{done}/{all}] {} {outcome}{error}  ({point}{space}seed={}{took})",
        trial.id, trial.seed
    )
}
