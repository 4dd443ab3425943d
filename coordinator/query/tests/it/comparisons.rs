//! The view `comparisons`: Student's t test between tasks, over the trials of a sweep.

use rheo_core::row::{FractionalFitRow, Rows, Variant};
use rheo_query::{Keys, encode};

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

fn commit(fixture: &mut Fixture, trial: u64, task: &str, alpha: f64) {
    let keys = Keys { trial, task: task.to_owned(), net: "adaptive".to_owned(), seed: trial };
    // At the second strength nothing was found.
    let fractional_fits = vec![fit(30.0, alpha), fit(1.0, f64::NAN)];
    let rows = Rows { fractional_fits, ..Rows::default() };
    fixture.commit("demo", encode(&keys, &rows).unwrap().remove(0));
}

#[tokio::test]
async fn tasks_are_compared_by_a_two_sample_t_test() {
    let mut fixture = Fixture::new();
    let (one, other) = ([0.1, 0.2, 0.3], [0.3, 0.4, 0.6]);
    for (trial, alpha) in (0..).zip(one) {
        commit(&mut fixture, trial, "gscifar10", alpha);
    }
    fixture.flush();
    for (trial, alpha) in (3..).zip(other) {
        commit(&mut fixture, trial, "psmnist", alpha);
    }
    let sql = "SELECT group_a, group_b, quantity, xi, mean_a, mean_b, t, df, p FROM comparisons";
    let answer = fixture.query(sql).await.unwrap();
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 2, "{answer}");
    let fields: Vec<&str> = lines[1].split(',').collect();
    assert_eq!(fields[..3], ["gscifar10", "psmnist", "alpha"]);
    let numbers: Vec<f64> = fields[3..].iter().map(|field| field.parse().unwrap()).collect();
    let mean = |values: [f64; 3]| values.iter().sum::<f64>() / 3.0;
    let squares =
        |values: [f64; 3]| values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>();
    let t =
        (mean(one) - mean(other)) / ((squares(one) + squares(other)) / 4.0 * (2.0 / 3.0)).sqrt();
    // The distribution with four degrees of freedom in closed form.
    let q = t * t / (1.0 + t * t / 4.0);
    let p = 2.0 * (0.5 - 3.0 / 8.0 * q.sqrt() * (1.0 - q / 12.0));
    let expected = [30.0, mean(one), mean(other), t, 4.0, p];
    for (found, expected) in numbers.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{numbers:?}, not {expected}");
    }
}

#[tokio::test]
async fn one_trial_of_each_task_says_nothing() {
    let mut fixture = Fixture::new();
    commit(&mut fixture, 0, "digits", 0.1);
    commit(&mut fixture, 1, "evidence", 0.2);
    let answer = fixture.query("SELECT count(*) AS n FROM comparisons").await.unwrap();
    assert_eq!(answer, "n\n0\n");
}
