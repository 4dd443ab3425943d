//! The leaderboard of a sweep: its points from the best, for a terminal, a report or a page.

use rheo_core::machine::SweepView;
use rheo_core::ranking::{AggregateRule, PointStanding};
use rheo_core::space::Point;
use rheo_query::report;
use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::client::Client;
use crate::query_reply;

/// The first points of a sweep in the order of their ranks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaderboard {
    /// The metric of the comparison.
    pub(crate) metric: String,
    /// Whether larger is better.
    pub(crate) maximize: bool,
    /// The rule by which the seeds of a point give one value.
    pub(crate) aggregate: AggregateRule,
    /// The points from the best.
    pub(crate) leaders: Vec<Leader>,
    /// The number of points that follow.
    pub(crate) further: u64,
}

/// A point on the leaderboard.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub(crate) struct Leader {
    /// The rank, from 1; points that are equal share one.
    pub(crate) rank: u64,
    /// The number of the point.
    pub(crate) point: u64,
    /// The first of its trials that ended; the only one without replicates.
    pub(crate) first_trial: u64,
    /// The outcome, or `provisional`.
    pub(crate) outcome: String,
    /// The seeds that the sweep asks for.
    pub(crate) seeds: u64,
    /// The seeds that have completed.
    pub(crate) completed: u64,
    /// The value by which the point is ranked.
    pub(crate) value: Option<f64>,
    /// The mean of the metric over the completed seeds.
    pub(crate) mean: Option<f64>,
    /// Its standard deviation; none for one seed.
    pub(crate) sd: Option<f64>,
    /// The lowest value of a completed seed.
    pub(crate) lowest: Option<f64>,
    /// The highest value of a completed seed.
    pub(crate) highest: Option<f64>,
    /// Seconds that its trials took, on average.
    pub(crate) wall_s: Option<f64>,
    /// The values of the swept parameters.
    #[serde(deserialize_with = "parse_swept")]
    pub(crate) swept: Point,
    /// The points of the sweep of which a trial has ended.
    points: u64,
}

/// Parses the values of a point from a column of JSON.
fn parse_swept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
    let text = String::deserialize(deserializer)?;
    serde_json::from_str(&text).map_err(D::Error::custom)
}

impl Leader {
    /// Whether the point may be called the best of its sweep.
    pub(crate) fn can_be_best(&self) -> bool {
        let standing = PointStanding::ALL.into_iter().find(|one| one.name() == self.outcome);
        self.value.is_some() && standing.is_some_and(PointStanding::can_be_best)
    }
}

impl Leaderboard {
    /// Queries the best `limit` points of `sweep`.
    pub(crate) async fn of(
        client: &mut Client,
        sweep: &SweepView,
        limit: usize,
    ) -> Result<Self, query_reply::Error> {
        let sql = report::leaderboard_sql(&sweep.name, limit);
        let leaders: Vec<Leader> = query_reply::rows(client, &sql).await?;
        let points = leaders.first().map_or(0, |leader| leader.points);
        Ok(Self {
            metric: sweep.metric.clone(),
            maximize: sweep.maximize,
            aggregate: sweep.aggregate,
            further: points.saturating_sub(leaders.len() as u64),
            leaders,
        })
    }

    /// Whether a point has more than one seed.
    pub(crate) fn has_replicates(&self) -> bool {
        self.leaders.iter().any(|leader| leader.seeds > 1)
    }
}
