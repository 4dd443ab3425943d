//! Tests of the view `comparisons`: Student's t test between tasks, over the seeds of one sweep or of several.

use rheo_model::config::TaskKind;
use rheo_model::row::{FractionalFitRow, Rows, Variant};

use super::{adaptive, ask, assert_numbers, end};
use crate::fixture::Fixture;

fn fit(xi: f64, alpha: f64) -> FractionalFitRow {
    FractionalFitRow {
        epoch: 3,
        variant: Variant::Corrected,
        protocol: "short".to_owned(),
        connectivity: "isolated".to_owned(),
        scope: "per_xi".to_owned(),
        neuron: None,
        xi: Some(xi),
        order: -alpha,
        alpha,
        gain: 1.0,
        offset: 0.0,
        error: 0.0,
        r2: 1.0,
    }
}

/// Fits of an order; none at the second strength.
fn rows(alpha: f64) -> Rows {
    Rows { fractional_fits: vec![fit(30.0, alpha), fit(1.0, f64::NAN)], ..Rows::default() }
}

fn commit(fixture: &mut Fixture, sweep: &str, trial: u64, task: TaskKind, alpha: f64) {
    end(fixture, sweep, trial, &adaptive(task, trial), &rows(alpha));
}

/// The means of two groups of three, t, its degrees of freedom and p.
fn expected(one: [f64; 3], other: [f64; 3]) -> [f64; 5] {
    let mean = |values: [f64; 3]| values.iter().sum::<f64>() / 3.0;
    let squares =
        |values: [f64; 3]| values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>();
    let t =
        (mean(one) - mean(other)) / ((squares(one) + squares(other)) / 4.0 * (2.0 / 3.0)).sqrt();
    // Closed form of the distribution with four degrees of freedom.
    let q = t * t / (1.0 + t * t / 4.0);
    let p = 2.0 * (0.5 - 3.0 / 8.0 * q.sqrt() * (1.0 - q / 12.0));
    [mean(one), mean(other), t, 4.0, p]
}

const ONE: [f64; 3] = [0.1, 0.2, 0.3];
const OTHER: [f64; 3] = [0.3, 0.4, 0.6];

#[tokio::test]
async fn tasks_are_compared_by_a_two_sample_t_test() {
    let mut fixture = Fixture::new();
    for (trial, alpha) in (0..).zip(ONE) {
        commit(&mut fixture, "demo", trial, TaskKind::Gscifar10, alpha);
    }
    fixture.flush();
    for (trial, alpha) in (3..).zip(OTHER) {
        commit(&mut fixture, "demo", trial, TaskKind::Psmnist, alpha);
    }
    let sql = "SELECT sweep, group_a, group_b, quantity, seeds_a, seeds_b, xi, mean_a, mean_b, \
               t, df, p FROM comparisons";
    let lines = ask(&fixture, sql).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0][..6], ["demo", "gscifar10", "psmnist", "alpha", "3", "3"]);
    assert_eq!(lines[0][6], "30.0");
    assert_numbers(&lines[0][7..], &expected(ONE, OTHER), 1e-9);
}

#[tokio::test]
async fn one_trial_of_each_task_gives_no_comparison() {
    let mut fixture = Fixture::new();
    commit(&mut fixture, "demo", 0, TaskKind::Digits, 0.1);
    commit(&mut fixture, "demo", 1, TaskKind::Evidence, 0.2);
    let answer = fixture.query("SELECT count(*) AS n FROM comparisons").await.unwrap();
    assert_eq!(answer, "n\n0\n");
}

#[tokio::test]
async fn without_a_sweep_seeds_of_all_sweeps_count() {
    let mut fixture = Fixture::new();
    // One sweep has both tasks, but a single seed of the second; the other sweep has the other seeds
    // and a repeated trial.
    for (trial, alpha) in (0..).zip(ONE) {
        commit(&mut fixture, "networks", trial, TaskKind::Digits, alpha);
    }
    commit(&mut fixture, "networks", 3, TaskKind::Evidence, OTHER[0]);
    for (trial, alpha) in (3..).zip(OTHER) {
        commit(&mut fixture, "more_seeds", trial, TaskKind::Evidence, alpha);
    }
    let sql = "SELECT sweep, seeds_a, seeds_b, mean_a, mean_b, t, df, p FROM comparisons \
               ORDER BY sweep NULLS LAST";
    let lines = ask(&fixture, sql).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0][..3], ["networks", "3", "1"]);
    assert_eq!(lines[1][..3], ["", "3", "3"]);
    assert_numbers(&lines[1][3..], &expected(ONE, OTHER), 1e-9);
}

#[tokio::test]
async fn different_networks_are_not_compared() {
    let mut fixture = Fixture::new();
    for (trial, alpha) in (0..).zip(ONE) {
        for (task, more) in [(TaskKind::Digits, 0), (TaskKind::Evidence, 3)] {
            let mut config = adaptive(task, trial);
            // Training differs between the tasks, which is allowed.
            config.network.hidden = if trial == 0 { 10 } else { 20 };
            if trial > 0 && task == TaskKind::Evidence {
                config.training.optimizer.lr = 1e-5;
            }
            end(&mut fixture, "demo", trial + more, &config, &rows(alpha));
        }
    }
    let lines = ask(&fixture, "SELECT seeds_a, seeds_b, df FROM comparisons").await;
    assert_eq!(lines, [["2", "2", "2.0"]]);
}
