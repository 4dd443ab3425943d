//! The ranking of points, and the only definition of "best". Points are ranked, not trials, so that
//! no lucky seed wins: replicates share the point.
//!
//! Points are ordered by the progress of their seeds ([`PointStanding`]), then by the mean of the
//! metric over completed seeds, then by number. A missing metric of a completed trial is NaN, which
//! is worse than every number. `rheo run`, `rheo status` and the SQL view `points` all compare by
//! [`Rank`]; a second definition could name another winner.

use serde::{Deserialize, Serialize};

use crate::metric::Goal;

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

/// The metric over the completed seeds of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
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
    pub fn of(values: &[Option<f64>]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let values: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let nan_or = |pick: fn(f64, f64) -> f64, value: f64| {
            if mean.is_nan() { f64::NAN } else { values.iter().copied().fold(value, pick) }
        };
        Some(Self {
            mean,
            sd: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
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
    /// Ranks `point` by the mean over its completed seeds; the mean may be none or NaN.
    pub fn new(standing: PointStanding, mean: Option<f64>, goal: Goal, point: u64) -> Self {
        Self { standing, score: Score::new(mean, goal), point }
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

/// A mean as an integer: smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u64);

impl Score {
    /// The score of a missing mean.
    pub const WORST: Self = Self(u64::MAX);

    /// The number of low bits to ignore. The sum of the same values depends on the order of
    /// addition, and such means must be equal.
    const NOISE: u32 = 12;

    /// Scores `mean`. Means that differ by less than about 1e-12 relatively are equal.
    pub fn new(mean: Option<f64>, goal: Goal) -> Self {
        let mean = match mean {
            Some(mean) if mean.is_finite() => mean,
            _ => return Self::WORST,
        };
        let signed = match goal {
            Goal::Minimize => mean,
            Goal::Maximize => -mean,
        };
        // Adding zero turns -0 into 0.
        let bits = (signed + 0.0).to_bits();
        let half = 1 << (Self::NOISE - 1);
        let rounded = (bits.saturating_add(half) >> Self::NOISE) << Self::NOISE;
        // The bits of positive numbers sort like the numbers; those of negative ones in reverse.
        let is_negative = signed < 0.0;
        Self(if is_negative { !rounded } else { rounded | (1 << 63) })
    }

    /// Returns the score as a sortable number for SQL; none for a missing mean.
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
        let aggregate = Aggregate::of(&[Some(1.0), Some(2.0), Some(6.0)]).unwrap();
        assert_eq!((aggregate.mean, aggregate.lowest, aggregate.highest), (3.0, 1.0, 6.0));
        assert!((aggregate.sd.unwrap() - 7.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Aggregate::of(&[Some(0.5)]).unwrap().sd, None);
        assert_eq!(Aggregate::of(&[]), None);
        let lacking = Aggregate::of(&[Some(0.5), None]).unwrap();
        assert!(lacking.mean.is_nan() && lacking.lowest.is_nan() && lacking.highest.is_nan());
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
