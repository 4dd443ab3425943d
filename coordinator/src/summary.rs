//! The summary of an ended sweep, for a terminal, a report or a page.

use std::time::Duration;

use rheo_core::id::TrialId;
use rheo_core::machine::{SweepView, TrialStatus};
use rheo_core::sweep::TrialOutcome;
use rheo_query::report;

use crate::client::Client;
use crate::leaderboard::Leaderboard;
use crate::query_reply;

/// The largest number of points on the leaderboard of a summary.
const MAX_LEADERS: usize = 24;

/// The largest number of failed trials in a summary.
const MAX_FAILED: u32 = 5;

/// A sweep that has ended, with its failures and its best points.
#[derive(Debug, Clone)]
pub(crate) struct SweepSummary {
    /// The sweep.
    pub(crate) sweep: SweepView,
    /// The time from its submission to its end.
    pub(crate) took: Option<Duration>,
    /// The first failed trials.
    pub(crate) failures: Vec<FailedTrial>,
    /// The best points; none if no trial has a result.
    pub(crate) leaderboard: Option<Leaderboard>,
}

/// A trial that failed, and its error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedTrial {
    /// The trial.
    pub(crate) trial: TrialId,
    /// The last error.
    pub(crate) error: String,
}

impl SweepSummary {
    /// Queries the summary of `sweep`.
    pub(crate) async fn of(
        client: &mut Client,
        sweep: &SweepView,
    ) -> Result<Self, query_reply::Error> {
        let has_results = sweep.counts.completed + sweep.counts.diverged > 0;
        let leaderboard = if has_results {
            Some(Leaderboard::of(client, sweep, MAX_LEADERS).await?)
        } else {
            None
        };
        Ok(Self {
            took: sweep.ended.map(|ended| ended.since(sweep.submitted)),
            failures: failures(client, sweep).await?,
            leaderboard,
            sweep: sweep.clone(),
        })
    }

    /// Returns the query for test accuracy by perturbation; none if no trial has a result.
    pub(crate) fn robustness_sql(&self) -> Option<String> {
        self.leaderboard.as_ref().map(|_| report::robustness_sql(&self.sweep.name))
    }

    /// Returns example queries for further analysis.
    pub(crate) fn examples(&self) -> [String; 2] {
        [report::points_sql(&self.sweep.name), report::curves_sql(&self.sweep.name)]
    }
}

async fn failures(
    client: &mut Client,
    sweep: &SweepView,
) -> Result<Vec<FailedTrial>, query_reply::Error> {
    if sweep.counts.failed == 0 {
        return Ok(Vec::new());
    }
    let failed = [TrialStatus::Ended(TrialOutcome::Failed)];
    let (trials, _) = client.trials(&sweep.name, &failed, 0, MAX_FAILED).await?;
    let failure = |view: rheo_core::machine::TrialView| FailedTrial {
        trial: view.id,
        error: view.error.unwrap_or_default(),
    };
    Ok(trials.into_iter().map(|seen| failure(seen.trial)).collect())
}
