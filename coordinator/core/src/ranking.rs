//! The ranking of points, and the only definition of "best". Points are ranked, not trials, so that
//! no lucky seed wins: replicates share the point.
//!
//! Points are ordered by the progress of their seeds ([`PointStanding`]), then by the value of the
//! metric over completed seeds ([`AggregateRule`]), then by number. A point has no value if a
//! completed trial lacks the metric; no value is worse than every number. `rheo run`, `rheo status`,
//! `rheo best`, the SQL view `points` and the samplers all compare by this module; a second
//! definition could name another winner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::Goal;
use crate::student;

/// The progress of the seeds of a point, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointStanding {
    /// Every seed has completed.
    Completed,
    /// Some seeds have completed; the others have not ended, or were cancelled.
    Provisional,
    /// A seed was pruned.
    Pruned,
    /// A seed diverged.
    Diverged,
    /// A seed failed.
    Failed,
    /// No seed has a result.
    Unfinished,
}

impl PointStanding {
    /// Every standing, the best first.
    pub const ALL: [Self; 6] = [
        Self::Completed,
        Self::Provisional,
        Self::Pruned,
        Self::Diverged,
        Self::Failed,
        Self::Unfinished,
    ];

    /// Returns the standing of a point with `asked` seeds.
    pub fn of(tally: SeedTally, asked: u64) -> Self {
        match tally {
            SeedTally { failed: 1.., .. } => Self::Failed,
            SeedTally { diverged: 1.., .. } => Self::Diverged,
            SeedTally { pruned: 1.., .. } => Self::Pruned,
            SeedTally { completed: 0, .. } => Self::Unfinished,
            SeedTally { completed, .. } if completed < asked => Self::Provisional,
            SeedTally { .. } => Self::Completed,
        }
    }

    /// Returns the name used in tables and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Provisional => "provisional",
            Self::Pruned => "pruned",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        }
    }

    /// Whether a point of this standing may be called the best of its sweep.
    pub fn can_be_best(self) -> bool {
        matches!(self, Self::Completed | Self::Provisional)
    }
}

/// The numbers of ended seeds of a point by outcome. Cancelled seeds count as missing: they can
/// still run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedTally {
    /// Completed.
    pub completed: u64,
    /// Pruned.
    pub pruned: u64,
    /// Diverged.
    pub diverged: u64,
    /// Failed.
    pub failed: u64,
}

/// Rule by which the completed seeds of a point give one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AggregateRule {
    /// The mean.
    #[default]
    Mean,
    /// The median, which one lucky or unlucky seed hardly moves.
    Median,
    /// The one-sided 95 % confidence bound of the mean by Student's t, on the unfavourable side: the
    /// lower bound if the metric is maximized, the upper bound if it is minimized. A single seed has
    /// no bound, so its point ranks after those with two.
    LowerBound,
}

impl AggregateRule {
    /// Every rule.
    pub const ALL: [Self; 3] = [Self::Mean, Self::Median, Self::LowerBound];

    /// Returns the name used in sweep files and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Median => "median",
            Self::LowerBound => "lower_bound",
        }
    }

    /// Parses the name of a rule.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Returns the value of a point with these seeds; none if there is no finite one.
    pub fn value(self, goal: Goal, seeds: &SeedStatistics) -> Option<f64> {
        let value = match self {
            _ if !seeds.mean.is_finite() => return None,
            Self::Mean => seeds.mean,
            Self::Median => seeds.median,
            Self::LowerBound => {
                let error = seeds.sd? / (seeds.count as f64).sqrt();
                let margin = student::quantile_95(seeds.count.checked_sub(1)?) * error;
                match goal {
                    Goal::Minimize => seeds.mean + margin,
                    Goal::Maximize => seeds.mean - margin,
                }
            }
        };
        value.is_finite().then_some(value)
    }
}

/// The rule that ranks the points of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankingRule {
    /// The number of seeds of each point.
    pub seeds: u64,
    /// The goal for the metric of the sweep.
    pub goal: Goal,
    /// The rule by which the seeds of a point give one value.
    pub aggregate: AggregateRule,
}

/// Statistics of the metric over the completed seeds of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeedStatistics {
    /// The number of seeds.
    pub count: u64,
    /// The mean; NaN if one of the seeds lacks the metric.
    pub mean: f64,
    /// The sample standard deviation; none for a single seed.
    pub sd: Option<f64>,
    /// The median: the middle value, or the mean of the two middle ones.
    pub median: f64,
}

impl SeedStatistics {
    /// Computes the statistics of at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Self {
            count: values.len() as u64,
            mean,
            sd: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
            median: median(&sorted).unwrap_or(f64::NAN),
        }
    }
}

/// Returns the median of sorted numbers: the middle one, or the mean of the two middle ones.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let is_even = sorted.len().is_multiple_of(2);
    Some(if is_even { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

/// The metric over the completed seeds of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The value by which the point is ranked; none if there is none, or no finite one.
    pub value: Option<f64>,
    /// The mean; NaN if one of the seeds lacks the metric.
    pub mean: f64,
    /// The sample standard deviation; none for a single seed.
    pub sd: Option<f64>,
    /// The lowest value.
    pub lowest: f64,
    /// The highest value.
    pub highest: f64,
}

impl Aggregate {
    /// Aggregates the final values of completed seeds, missing ones included; none without any
    /// seed.
    pub fn of(values: &[Option<f64>], rule: AggregateRule, goal: Goal) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let values: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        let seeds = SeedStatistics::of(&values);
        let nan_or = |pick: fn(f64, f64) -> f64, value: f64| {
            if seeds.mean.is_nan() { f64::NAN } else { values.iter().copied().fold(value, pick) }
        };
        Some(Self {
            value: rule.value(goal, &seeds),
            mean: seeds.mean,
            sd: seeds.sd,
            lowest: nan_or(f64::min, f64::INFINITY),
            highest: nan_or(f64::max, f64::NEG_INFINITY),
        })
    }
}

/// The rank of a point in its sweep: smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    standing: PointStanding,
    score: Score,
    point: u64,
}

impl Rank {
    /// Ranks `point` by the value of its completed seeds, which may be none or NaN.
    pub fn new(standing: PointStanding, value: Option<f64>, goal: Goal, point: u64) -> Self {
        Self { standing, score: Score::new(value, goal), point }
    }

    /// Returns the number of the point.
    pub fn point(self) -> u64 {
        self.point
    }

    /// Whether the point, if ranked first, may be called the best of its sweep.
    pub fn can_be_best(self) -> bool {
        self.standing.can_be_best() && self.score != Score::WORST
    }
}

/// A value as an integer: smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u64);

impl Score {
    /// The score of a missing value.
    pub const WORST: Self = Self(u64::MAX);

    /// The number of low bits to ignore. The sum of the same values depends on the order of
    /// addition, and such values must be equal.
    const NOISE: u32 = 12;

    /// Scores `value`. Values that differ by less than about 1e-12 relatively are equal.
    pub fn new(value: Option<f64>, goal: Goal) -> Self {
        let value = match value {
            Some(value) if value.is_finite() => value,
            _ => return Self::WORST,
        };
        let signed = match goal {
            Goal::Minimize => value,
            Goal::Maximize => -value,
        };
        // Adding zero turns -0 into 0.
        let bits = (signed + 0.0).to_bits();
        let half = 1 << (Self::NOISE - 1);
        let rounded = (bits.saturating_add(half) >> Self::NOISE) << Self::NOISE;
        // The bits of positive numbers sort like the numbers; those of negative ones in reverse.
        let is_negative = signed < 0.0;
        Self(if is_negative { !rounded } else { rounded | (1 << 63) })
    }

    /// Returns the score as a sortable number for SQL; none for a missing value.
    pub fn sortable(self) -> Option<u64> {
        (self != Self::WORST).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(completed: u64, diverged: u64, failed: u64) -> SeedTally {
        SeedTally { completed, pruned: 0, diverged, failed }
    }

    #[test]
    fn one_diverged_or_failed_seed_puts_a_point_below_all_completed_ones() {
        for (tally, asked, standing) in [
            (tally(3, 0, 0), 3, PointStanding::Completed),
            (tally(2, 0, 0), 3, PointStanding::Provisional),
            (tally(2, 1, 0), 3, PointStanding::Diverged),
            (tally(1, 1, 1), 3, PointStanding::Failed),
            (tally(0, 0, 0), 3, PointStanding::Unfinished),
            (tally(0, 1, 0), 1, PointStanding::Diverged),
            (
                SeedTally { completed: 2, pruned: 1, ..SeedTally::default() },
                3,
                PointStanding::Pruned,
            ),
        ] {
            assert_eq!(PointStanding::of(tally, asked), standing, "{tally:?} of {asked}");
        }
        assert!(PointStanding::ALL.is_sorted());
    }

    #[test]
    fn the_mean_counts_and_what_does_not_exist_is_not_a_number() {
        let of =
            |values: &[Option<f64>]| Aggregate::of(values, AggregateRule::Mean, Goal::Minimize);
        let aggregate = of(&[Some(1.0), Some(2.0), Some(6.0)]).unwrap();
        assert_eq!((aggregate.mean, aggregate.lowest, aggregate.highest), (3.0, 1.0, 6.0));
        assert_eq!(aggregate.value, Some(3.0));
        assert!((aggregate.sd.unwrap() - 7.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(of(&[Some(0.5)]).unwrap().sd, None);
        assert_eq!(of(&[]), None);
        for rule in AggregateRule::ALL {
            let lacking = Aggregate::of(&[Some(0.5), None], rule, Goal::Maximize).unwrap();
            assert!(lacking.mean.is_nan() && lacking.lowest.is_nan() && lacking.highest.is_nan());
            assert_eq!(lacking.value, None, "{rule:?}");
        }
    }

    #[test]
    fn the_rule_decides_the_value_of_a_point() {
        let value = |values: &[f64], rule, goal| {
            let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
            Aggregate::of(&values, rule, goal).unwrap().value
        };
        for goal in [Goal::Minimize, Goal::Maximize] {
            assert_eq!(value(&[9.0, 1.0, 2.0], AggregateRule::Median, goal), Some(2.0));
            assert_eq!(value(&[9.0, 1.0, 2.0, 4.0], AggregateRule::Median, goal), Some(3.0));
            assert_eq!(value(&[5.0], AggregateRule::Median, goal), Some(5.0));
            assert_eq!(value(&[5.0], AggregateRule::LowerBound, goal), None);
            assert_eq!(value(&[5.0, 5.0], AggregateRule::LowerBound, goal), Some(5.0));
        }
        // Mean 3, deviation 1, t(0.95, 2) = 2.91999.
        let margin = 2.919_985_580_353_726 / 3.0_f64.sqrt();
        let bound = |goal| value(&[2.0, 3.0, 4.0], AggregateRule::LowerBound, goal).unwrap();
        assert!((bound(Goal::Maximize) - (3.0 - margin)).abs() < 1e-12);
        assert!((bound(Goal::Minimize) - (3.0 + margin)).abs() < 1e-12);
    }

    #[test]
    fn one_lucky_seed_ranks_below_two_good_ones_by_their_bound() {
        let rank = |values: &[f64], point| {
            let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
            let aggregate = Aggregate::of(&values, AggregateRule::LowerBound, Goal::Maximize);
            let value = aggregate.and_then(|aggregate| aggregate.value);
            Rank::new(PointStanding::Provisional, value, Goal::Maximize, point)
        };
        let [lucky, steady, spread] =
            [rank(&[0.99], 0), rank(&[0.8, 0.82], 1), rank(&[0.7, 0.99], 2)];
        assert!(steady < spread && spread < lucky);
        assert!(!lucky.can_be_best());
    }

    #[test]
    fn scores_sort_as_their_means_do() {
        let means = [-1e300, -2.5, -2.4, -1e-12, 0.0, 1e-300, 0.3, 0.31, 7.0, 1e300];
        for pair in means.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|mean| Score::new(Some(mean), Goal::Minimize));
            assert!(low < high, "{pair:?}");
            let [low, high] = [pair[0], pair[1]].map(|mean| Score::new(Some(mean), Goal::Maximize));
            assert!(high < low, "{pair:?}");
        }
        for goal in [Goal::Minimize, Goal::Maximize] {
            assert_eq!(Score::new(Some(0.1 + 0.2 + 0.3), goal), Score::new(Some(0.6), goal));
            assert_eq!(Score::new(Some(-0.0), goal), Score::new(Some(0.0), goal));
            assert_eq!(Score::new(Some(f64::NAN), goal), Score::WORST);
            assert!(Score::new(Some(f64::MAX), goal) < Score::new(None, goal));
            assert!(Score::new(Some(f64::MIN), goal) < Score::new(None, goal));
        }
    }

    #[test]
    fn ties_go_to_the_lower_number() {
        let rank = |standing, mean, point| Rank::new(standing, mean, Goal::Maximize, point);
        let mut ranks = [
            rank(PointStanding::Diverged, Some(0.99), 0),
            rank(PointStanding::Completed, Some(0.5), 4),
            rank(PointStanding::Completed, None, 1),
            rank(PointStanding::Completed, Some(0.5), 3),
            rank(PointStanding::Provisional, Some(0.9), 2),
        ];
        ranks.sort_unstable();
        assert_eq!(ranks.map(Rank::point), [3, 4, 1, 2, 0]);
        assert!(!rank(PointStanding::Completed, None, 1).can_be_best());
        assert!(!rank(PointStanding::Diverged, Some(1.0), 1).can_be_best());
    }
}
