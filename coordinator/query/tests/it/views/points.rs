//! Tests of the view `points`: results over the seeds of each point, in the order of the core.

use std::collections::BTreeMap;

use rheo_core::id::SweepName;
use rheo_core::metric::Goal;
use rheo_core::ranking::{Aggregate, AggregateRule, PointStanding, Rank, SeedTally};
use rheo_query::{RankingRule, encode_trials, report};

use super::ask;
use crate::fixture::Fixture;
use crate::sample;

/// The status of an ended trial, and its metric.
type End = (&'static str, Option<f64>);

/// A sweep with these ended trials; trial k is seed k mod `seeds` of point k / `seeds`.
fn fixture(goal: Goal, seeds: u64, ends: &[(u64, End)]) -> Fixture {
    fixture_by(RankingRule { seeds, goal, aggregate: AggregateRule::Mean }, ends)
}

/// [`fixture`] with another rule.
fn fixture_by(rule: RankingRule, ends: &[(u64, End)]) -> Fixture {
    let seeds = rule.seeds;
    let mut fixture = Fixture::new();
    fixture.ranking_rules = [(SweepName::parse("demo").unwrap(), rule)].into();
    for (index, (trial, (status, objective))) in ends.iter().enumerate() {
        let mut row = sample::trial(*trial);
        row.point = trial / seeds;
        (*status).clone_into(&mut row.status);
        row.objective = *objective;
        fixture.commit("demo", encode_trials(&[row]).unwrap());
        if index % 7 == 3 {
            fixture.flush();
        }
    }
    fixture
}

async fn order(fixture: &Fixture) -> Vec<u64> {
    let lines = ask(fixture, "SELECT point FROM points WHERE sweep = 'demo' ORDER BY rank").await;
    lines.iter().map(|line| line[0].parse().unwrap()).collect()
}

/// The points in the order of the core, with their values.
fn ranked(rule: RankingRule, ends: &[(u64, End)]) -> Vec<(u64, Option<f64>)> {
    let RankingRule { seeds, goal, aggregate } = rule;
    let mut points: BTreeMap<u64, (SeedTally, Vec<Option<f64>>)> = BTreeMap::new();
    for (trial, (status, objective)) in ends {
        let (tally, values) = points.entry(trial / seeds).or_default();
        match *status {
            "completed" => {
                tally.completed += 1;
                values.push(*objective);
            }
            "pruned" => tally.pruned += 1,
            "diverged" => tally.diverged += 1,
            "failed" => tally.failed += 1,
            _ => {}
        }
    }
    let rank = |(point, (tally, values)): (&u64, &(SeedTally, Vec<Option<f64>>))| {
        let value = Aggregate::of(values, aggregate, goal).and_then(|aggregate| aggregate.value);
        (Rank::new(PointStanding::of(*tally, seeds), value, goal, *point), value)
    };
    let mut ranks: Vec<(Rank, Option<f64>)> = points.iter().map(rank).collect();
    ranks.sort_unstable_by_key(|(rank, _)| *rank);
    ranks.into_iter().map(|(rank, value)| (rank.point(), value)).collect()
}

#[tokio::test]
async fn u36_the_point_with_the_best_mean_ranks_first() {
    let ends = [0.7, 0.1, 0.4, 0.5, 0.5, 0.4].map(|value| ("completed", Some(value)));
    let ends: Vec<(u64, End)> = (0..).zip(ends).collect();
    let fixture = fixture(Goal::Maximize, 2, &ends);
    let sql = "SELECT rank, point, outcome, completed, seeds, mean, lowest, highest, first_trial \
               FROM points ORDER BY rank";
    let lines = ask(&fixture, sql).await;
    // The means of points 1 and 2 differ only in the order of summation.
    assert_eq!(lines[0], ["1", "1", "completed", "2", "2", "0.45", "0.4", "0.5", "2"]);
    assert_eq!(lines[1][..4], ["2", "2", "completed", "2"]);
    assert_eq!(lines[2][..4], ["3", "0", "completed", "2"]);
}

#[tokio::test]
async fn u47_points_with_failures_rank_below_completed_ones() {
    let ends = [
        (0, ("diverged", Some(1e-6))),
        (1, ("completed", Some(2.5))),
        (2, ("completed", None)),
        (3, ("failed", None)),
        (4, ("completed", Some(2.4))),
        (5, ("cancelled", None)),
        (6, ("completed", Some(f64::NAN))),
    ];
    let fixture = fixture(Goal::Minimize, 1, &ends);
    assert_eq!(order(&fixture).await, [4, 1, 2, 6, 0, 3, 5]);
    let lines = ask(&fixture, "SELECT mean, sd, lowest FROM points ORDER BY rank LIMIT 4").await;
    assert_eq!(lines, [["2.4", "", "2.4"], ["2.5", "", "2.5"], ["", "", ""], ["", "", ""]]);
}

#[tokio::test]
async fn a_point_with_missing_seeds_is_provisional() {
    let completed = |value| ("completed", Some(value));
    let ends =
        [(0, completed(0.2)), (1, completed(0.2)), (2, completed(0.9)), (4, ("diverged", None))];
    let fixture = fixture(Goal::Maximize, 2, &ends);
    let sql = "SELECT point, outcome, completed, seeds, diverged FROM points ORDER BY rank";
    let expected = [
        ["0", "completed", "2", "2", "0"],
        ["1", "provisional", "1", "2", "0"],
        ["2", "diverged", "0", "2", "1"],
    ];
    assert_eq!(ask(&fixture, sql).await, expected);
}

#[tokio::test]
async fn sql_and_the_core_agree_on_the_order_of_points() {
    // A small pseudo-random generator.
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for goal in [Goal::Minimize, Goal::Maximize] {
        for seeds in [1, 2, 3, 6] {
            let mut ends: Vec<(u64, End)> = Vec::new();
            for trial in 0..120 {
                let status = match draw(24) {
                    0 => "diverged",
                    1 => "failed",
                    2 => "cancelled",
                    3 => "pruned",
                    4 => continue,
                    _ => "completed",
                };
                // Multiples of 1/40, like accuracies over few samples, give many ties.
                let value = draw(41) as f64 / 40.0 - 0.2;
                let objective = (draw(30) > 0).then_some(value);
                ends.push((trial, (status, objective)));
            }
            for aggregate in AggregateRule::ALL {
                agrees_with_core(RankingRule { seeds, goal, aggregate }, &ends).await;
            }
        }
    }
}

async fn agrees_with_core(rule: RankingRule, ends: &[(u64, End)]) {
    let fixture = fixture_by(rule, ends);
    let expected = ranked(rule, ends);
    let lines = ask(&fixture, "SELECT point, value FROM points ORDER BY rank").await;
    assert_eq!(lines.len(), expected.len());
    for (line, (point, value)) in lines.iter().zip(expected) {
        assert_eq!(line[0], point.to_string(), "{rule:?}");
        let found = line[1].parse::<f64>().ok();
        let is_near = match (found, value) {
            (Some(found), Some(value)) => (found - value).abs() < 1e-9,
            (found, value) => found == value,
        };
        assert!(is_near, "{rule:?}, point {point}: {found:?} {value:?}");
    }
}

#[tokio::test]
async fn a_leaderboard_counts_the_points_that_follow() {
    let ends: Vec<(u64, End)> = (0..60).map(|trial| (trial, ("completed", Some(0.5)))).collect();
    let fixture = fixture(Goal::Maximize, 2, &ends);
    let sql = report::leaderboard_sql(&SweepName::parse("demo").unwrap(), 2);
    let counts = ask(&fixture, &format!("SELECT rank, points FROM ({sql})")).await;
    assert_eq!(counts, [["1", "30"], ["2", "30"]]);
}

#[tokio::test]
async fn the_confidence_bound_is_that_of_students_t() {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    let values = [0.7, 0.9, 0.75, 0.86, 0.81];
    let ends: Vec<(u64, End)> = (0..).zip(values.map(|value| ("completed", Some(value)))).collect();
    let aggregate = AggregateRule::LowerBound;
    for (goal, sign) in [(Goal::Maximize, -1.0), (Goal::Minimize, 1.0)] {
        let fixture = fixture_by(RankingRule { seeds: 5, goal, aggregate }, &ends);
        let lines = ask(&fixture, "SELECT value, mean, sd FROM points").await;
        let [value, mean, sd] = [0, 1, 2].map(|column| lines[0][column].parse::<f64>().unwrap());
        let t = StudentsT::new(0.0, 1.0, 4.0).unwrap().inverse_cdf(0.95);
        assert!((value - (mean + sign * t * sd / 5.0_f64.sqrt())).abs() < 1e-9, "{lines:?}");
    }
}
