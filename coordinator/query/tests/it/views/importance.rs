//! Tests of the table function `importance`.

use std::collections::BTreeMap;

use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::ranking::AggregateRule;
use rheo_core::spec;
use rheo_model::config::Metric;
use rheo_model::networks;
use rheo_query::encode_trials;
use serde_json::json;

use super::ask;
use crate::fixture::Fixture;
use crate::sample;

const SWEEP: &str = "
method: random
run_cap: 60
metric: {name: validation.loss, goal: minimize}
parameters:
  training.optimizer.lr: {min: 1.0e-4, max: 1.0e-1, distribution: log_uniform_values}
  network.hidden: {values: [8, 16, 32]}
replicates: {seeds: [1, 2]}
";

/// The definition of [`SWEEP`] under the name `sweep`.
pub(crate) fn definitions(sweep: &str) -> BTreeMap<SweepName, SweepDefinition> {
    let file = format!("name: {sweep}\n{SWEEP}");
    let definition = spec::parse(&networks::workloads(), sweep, &file).unwrap().definition;
    [(definition.name.clone(), definition)].into()
}

/// A sweep of 60 points with two seeds, whose loss depends on the learning rate and whose test accuracy
/// depends on the number of neurons.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.definitions = definitions("demo");
    for trial in 0..120_u64 {
        let point = trial / 2;
        let hidden = [8, 16, 32][usize::try_from(point % 3).unwrap()];
        let share = (point * 7 % 60) as f64 / 60.0;
        let mut row = sample::trial(trial);
        row.point = point;
        let swept =
            json!({"training.optimizer.lr": 1e-4 * 1e3_f64.powf(share), "network.hidden": hidden});
        row.swept = serde_json::from_value(swept).unwrap();
        row.objective = Some((share - 0.5).abs() + 0.001 * (trial % 2) as f64);
        row.metrics.insert(Metric::TestAccuracy.to_name(), f64::from(hidden));
        "completed".clone_into(&mut row.status);
        fixture.commit("demo", encode_trials(&[row]).unwrap());
        if trial == 70 {
            fixture.flush();
        }
    }
    fixture
}

#[tokio::test]
async fn the_parameter_that_decides_comes_first() {
    let fixture = fixture();
    let rows = ask(&fixture, "SELECT * FROM importance('demo')").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0][0], "training.optimizer.lr");
    assert!(rows[0][1].parse::<f64>().unwrap() > 0.8, "{rows:?}");
    assert_eq!(rows[0][2..], ["60", "60", "6", "validation.loss"]);
}

#[tokio::test]
async fn another_metric_of_the_sweep_can_be_asked_for() {
    let fixture = fixture();
    let sql =
        "SELECT metric, parameter FROM importance('demo', 'test.accuracy') WHERE importance > 0.5";
    assert_eq!(ask(&fixture, sql).await, [["test.accuracy", "network.hidden"]]);
    let own = "SELECT importance FROM importance('demo', 'validation.loss')";
    assert_eq!(
        ask(&fixture, own).await,
        ask(&fixture, "SELECT importance FROM importance('demo')").await
    );
}

#[tokio::test]
async fn points_count_with_the_value_that_the_sweep_ranks_by() {
    let mut fixture = fixture();
    let mut without_a_seed = sample::trial(3);
    without_a_seed.point = 60;
    fixture.commit("demo", encode_trials(&[without_a_seed]).unwrap());
    let sql = "SELECT max(all_points) FROM importance('demo')";
    assert_eq!(ask(&fixture, sql).await, [["61"]]);
    for definition in fixture.definitions.values_mut() {
        definition.aggregate = AggregateRule::LowerBound;
    }
    // A single seed has no confidence bound.
    assert_eq!(ask(&fixture, sql).await, [["60"]]);
}

#[tokio::test]
async fn a_sweep_without_results_has_no_important_parameter() {
    let mut fixture = Fixture::new();
    fixture.definitions = definitions("demo");
    let rows =
        ask(&fixture, "SELECT importance, points, best_points FROM importance('demo')").await;
    assert_eq!(rows, [["0.0", "0", "0"], ["0.0", "0", "0"]]);
}

#[tokio::test]
async fn wrong_arguments_are_refused_with_the_right_ones() {
    let fixture = fixture();
    let error = async |sql: &str| {
        let error = fixture.query(sql).await.unwrap_err();
        assert!(error.is_invalid());
        error.to_string()
    };
    let usage = error("SELECT * FROM importance()").await;
    assert!(usage.contains("importance('demo', 'test.loss')"), "{usage}");
    assert_eq!(error("SELECT * FROM importance(1)").await, usage);
    let unknown = error("SELECT * FROM importance('other')").await;
    assert_eq!(unknown, "no sweep `other`; `rheo status` lists all");
    let metric = error("SELECT * FROM importance('demo', 'accuracy')").await;
    assert!(metric.starts_with("no metric `accuracy`; there are `"), "{metric}");
}
