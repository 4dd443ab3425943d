//! Fits and summaries of traces against the reference values, and shape and adaptation analyses on
//! small networks.

use std::ops::Range;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{Analysis, AnalysisKind, NetworkKind, TrialConfig};
use rheo_model::row::{AdaptationRow, Rows, Variant};
use rheo_model::trainer::{NextAction, RunOutcome, Trainer};
use rheo_train::TorchTrainer;
use rheo_train::numerics::order::{self, DriveBases};
use rheo_train::numerics::principal::components;
use rheo_train::numerics::released_order::{self, ReleasedGrid};
use rheo_train::numerics::released_scaling;
use rheo_train::numerics::response::{
    StepSubset, StepWindows, adaptation_index, released_adaptation_index, step_response,
};
use rheo_train::numerics::scaling::{self, CurveForm};
use rheo_train::numerics::search::linspace;
use tch::{Kind, Tensor};

use crate::support::{
    ScriptedSession, assert_close, joined, numbers, oracles, stop_at, tiny, train,
};

/// Steps, window and drives of the reference setup of the fractional fits.
const STEPS: usize = 150;
const WINDOW: Range<usize> = 40..110;
const XI: [f64; 6] = [1.0, 2.5, 5.0, 10.0, 15.0, 20.0];

/// Returns `high` on the steps of `on`, else 0.
fn pulse(high: f64, on: Range<usize>) -> Vec<f64> {
    (0..STEPS).map(|t| if on.contains(&t) { high } else { 0.0 }).collect()
}

fn drives() -> Vec<Vec<f64>> {
    XI.iter().map(|&xi| pulse(xi, 51..101)).collect()
}

/// Returns GL(u, beta) gain + offset for every drive.
fn linear_responses(gain: f64, beta: f64, offset: f64) -> Vec<Vec<f64>> {
    let response = |u: Vec<f64>| -> Vec<f64> {
        order::derivative(&u, beta).iter().map(|d| gain * d + offset).collect()
    };
    drives().into_iter().map(response).collect()
}

fn scaled(unit: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    let unit: Vec<f64> = (0..STEPS).map(|t| unit(t as f64)).collect();
    XI.iter().map(|xi| unit.iter().map(|value| xi * value).collect()).collect()
}

/// Returns xi ((t-50)_+^a - (t-100)_+^a) / Gamma(1+a); `gamma` is the value of the Gamma function.
fn power_law(a: f64, gamma: f64) -> Vec<Vec<f64>> {
    let ramp = |t: f64| if t > 0.0 { t.powf(a) } else { 0.0 };
    scaled(|t| (ramp(t - 50.0) - ramp(t - 100.0)) / gamma)
}

fn adapting() -> Vec<Vec<f64>> {
    let on = |t: f64| (51.0..=100.0).contains(&t);
    scaled(|t| if on(t) { 0.5 + 0.5 * (-(t - 51.0) / 20.0).exp() } else { 0.0 })
}

/// Returns the responses of the reference, in its order.
fn reference_responses() -> Vec<Vec<Vec<f64>>> {
    let memoryless = [0.25, 0.5, 1.0, 2.0, 4.0].map(|gain| linear_responses(gain, 0.0, 0.0));
    let fractional = [(1.0, -0.3), (2.0, -0.3), (1.0, 0.3), (2.0, 0.3)]
        .map(|(gain, beta)| linear_responses(gain, beta, 0.7));
    // Gamma(1.1), Gamma(1.3) and Gamma(1.5).
    let power_laws = [
        (0.1, 0.951_350_769_866_873_2),
        (0.3, 0.897_470_696_306_277_2),
        (0.5, 0.886_226_925_452_758),
    ]
    .map(|(a, gamma)| power_law(a, gamma));
    memoryless.into_iter().chain(fractional).chain(power_laws).chain([adapting()]).collect()
}

fn slices(traces: &[Vec<f64>]) -> Vec<&[f64]> {
    traces.iter().map(Vec::as_slice).collect()
}

#[test]
fn order_and_gain_have_the_reference_values() {
    let cases = oracles()["fractional"]["cases"].clone();
    let fitter = DriveBases::new(drives(), WINDOW);
    let responses = reference_responses();
    assert_eq!(cases.as_array().unwrap().len(), responses.len());
    for (case, responses) in cases.as_array().unwrap().iter().zip(&responses) {
        let fit = fitter.fit(&slices(responses));
        let found = [("order", fit.order), ("gain", fit.gain), ("r2", fit.r2)];
        for ((name, found), tolerance) in found.into_iter().zip([1e-3, 1e-3, 1e-5]) {
            let expected = case[name].as_f64().unwrap();
            let off = (found - expected).abs();
            assert!(off <= tolerance, "{} {name}: {found}, not {expected}", case["response"]);
        }
    }
}

#[test]
fn released_orders_have_the_reference_values() {
    let cases = oracles()["fractional"]["cases"].clone();
    let fitter = ReleasedGrid::new(linspace(-1.0, 1.0, 1001), STEPS, WINDOW);
    let targets: Vec<Vec<f64>> = XI.iter().map(|&xi| pulse(xi, 51..100)).collect();
    for (case, responses) in cases.as_array().unwrap().iter().zip(reference_responses()) {
        let fit = fitter.fit(&slices(&responses), &targets);
        let off = (fit.alpha - case["released_alpha"].as_f64().unwrap()).abs();
        assert!(off <= 0.002 + 1e-12, "{}: {}", case["response"], fit.alpha);
    }
}

#[test]
fn weak_orders_are_told_apart_at_any_gain() {
    let fitter = DriveBases::new(drives(), WINDOW);
    for beta in [0.05, 0.1, 0.2, 0.3, 0.4, 0.5] {
        for beta in [beta, -beta] {
            for gain in [0.5, 1.0, 2.0, 4.0] {
                let fit = fitter.fit(&slices(&linear_responses(gain, beta, -0.2)));
                assert!((fit.order - beta).abs() <= 0.005, "{beta} {gain}: {fit:?}");
                assert!((fit.gain - gain).abs() <= 0.005, "{beta} {gain}: {fit:?}");
                assert!((fit.offset + 0.2).abs() <= 1e-6, "{beta} {gain}: {fit:?}");
                assert!(fit.error <= 1e-9 && fit.r2 > 0.999_999, "{beta} {gain}: {fit:?}");
            }
        }
    }
}

#[test]
fn a_response_unexplained_by_the_drive_has_no_order() {
    let fitter = DriveBases::new(drives(), WINDOW);
    let mut rng = TrialRng::new(0, Purpose::Analysis);
    let noise: Vec<Vec<f64>> =
        XI.iter().map(|_| (0..STEPS).map(|_| rng.normal()).collect()).collect();
    let fit = fitter.fit(&slices(&noise));
    assert!(fit.order.is_nan() && fit.r2 < 0.5 && fit.r2 >= 0.0, "{fit:?}");
    let flat = fitter.fit(&slices(&vec![vec![0.25; STEPS]; XI.len()]));
    assert!(flat.order.is_nan() && flat.r2.is_nan(), "{flat:?}");
    assert!(flat.gain == 0.0 && flat.offset == 0.25, "{flat:?}");
    let diverged = fitter.fit(&slices(&vec![vec![f64::NAN; STEPS]; XI.len()]));
    assert!(diverged.order.is_nan() && diverged.gain.is_nan(), "{diverged:?}");
}

#[test]
fn fractional_derivatives_of_whole_orders_are_ordinary_ones() {
    let u: Vec<f64> = (0..20).map(|t| (f64::from(t) * 0.7).sin()).collect();
    let difference: Vec<f64> = (0..20).map(|t| u[t] - if t > 0 { u[t - 1] } else { 0.0 }).collect();
    let sum: Vec<f64> = (0..20).map(|t| u[..=t].iter().sum()).collect();
    assert_eq!(order::derivative(&u, 0.0), u);
    assert_close("difference", &order::derivative(&u, 1.0), &difference);
    assert_close("sum", &order::derivative(&u, -1.0), &sum);
    let weights = numbers(&oracles()["fractional"]["gl_weights_half"]);
    assert_eq!(order::weights(0.5, weights.len()), weights);
}

#[test]
fn the_released_derivative_is_that_of_waves() {
    // (i 2 pi f)^alpha turns a wave by alpha pi/2 and scales it.
    for steps in [150, 151] {
        let frequency = std::f64::consts::TAU * 7.0 / f64::from(steps);
        let wave = |turn: f64| -> Vec<f64> {
            (0..steps).map(|t| (frequency * f64::from(t) + turn).sin()).collect()
        };
        for alpha in [-0.8_f64, 0.0, 0.3, 1.0] {
            let turned = wave(alpha * std::f64::consts::FRAC_PI_2);
            let expected: Vec<f64> =
                turned.iter().map(|y| frequency.powf(alpha) * (y - turned[25])).collect();
            let found = released_order::derivative(&wave(0.0), alpha);
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-10, "{steps} {alpha}: {a}, not {b}");
            }
        }
    }
}

#[test]
fn the_adaptation_index_has_the_reference_values() {
    let oracle = &oracles()["adaptation_index"];
    let response = |t: f64| {
        let on = (51.0..=100.0).contains(&t);
        1.0 + if on { 2.0 * (0.5 + 0.5 * (-(t - 51.0) / 10.0).exp()) } else { 0.0 }
    };
    let trace: Vec<f64> = (0..STEPS).map(|t| response(t as f64)).collect();
    let corrected = adaptation_index(&trace, StepSubset::All);
    let released = released_adaptation_index(&trace, StepSubset::All);
    assert_close("corrected", &[corrected], &numbers(&oracle["corrected"]));
    assert_close("released", &[released], &numbers(&oracle["released"]));
    for subset in [StepSubset::Even, StepSubset::Odd] {
        let index = adaptation_index(&trace, subset);
        assert!((index - corrected).abs() < 0.02 && index != corrected, "{subset:?}: {index}");
    }
}

#[test]
fn the_adaptation_index_is_bounded_and_zero_without_a_response() {
    assert_eq!(adaptation_index(&[3.0; STEPS], StepSubset::All), 0.0);
    // The released index is zero for all negative sums.
    let falling: Vec<f64> = (0..STEPS).map(|t| -(t as f64)).collect();
    assert_eq!(released_adaptation_index(&falling, StepSubset::All), 0.0);
    let mut rng = TrialRng::new(1, Purpose::Analysis);
    for _ in 0..100 {
        let trace: Vec<f64> = (0..STEPS).map(|_| rng.normal()).collect();
        let index = adaptation_index(&trace, StepSubset::All);
        let upside_down: Vec<f64> = trace.iter().map(|h| -2.0 * h + 5.0).collect();
        assert!(index.abs() <= 1.0, "{index}");
        assert!((adaptation_index(&upside_down, StepSubset::All) + index).abs() < 1e-9, "{index}");
    }
}

#[test]
fn gain_fits_have_the_reference_values() {
    let oracle = &oracles()["gain_fit"];
    let xi = numbers(&oracle["xi"]);
    let wiggle = |i: usize| (3.0 * i as f64).cos();
    let power = |(i, xi): (usize, &f64)| 5.4 + 0.3 * xi.powf(-0.5) + 0.01 * wiggle(i);
    let exponential = |(i, xi): (usize, &f64)| 0.002 - 0.004 * (-0.2 * xi).exp() + 1e-4 * wiggle(i);
    let data = [
        (CurveForm::Power, xi.iter().enumerate().map(power).collect::<Vec<_>>()),
        (CurveForm::Exponential, xi.iter().enumerate().map(exponential).collect()),
    ];
    for (form, values) in data {
        let fit = scaling::fit(form, &xi, &values).unwrap();
        for (name, found) in [("a", fit.a), ("b", fit.b), ("c", fit.c), ("rmse", fit.rmse)] {
            let expected = oracle[form.name()][name].as_f64().unwrap();
            let off = (found - expected).abs();
            assert!(off <= 1e-4 * expected.abs(), "{form:?} {name}: {found}, not {expected}");
        }
        assert!(fit.r2 > 0.9 && fit.r2 < 1.0, "{fit:?}");
    }
}

#[test]
fn gain_fits_need_three_strengths_above_zero() {
    let (xi, values) = ([0.0, 1.0, 2.0, 4.0], [9.0, 1.0, 0.5, 0.25]);
    assert_eq!(scaling::fit(CurveForm::Power, &xi[..3], &values[..3]), None);
    let fit = scaling::fit(CurveForm::Power, &xi, &values).unwrap();
    // 1 / xi passes through all three points.
    assert!((fit.a - 1.0).abs() < 1e-6 && (fit.b - 1.0).abs() < 1e-6, "{fit:?}");
    assert!(fit.c.abs() < 1e-6 && fit.rmse < 1e-9, "{fit:?}");
    assert_eq!(scaling::fit(CurveForm::Power, &xi, &[f64::NAN; 4]), None);
    assert!(scaling::fit(CurveForm::Power, &xi, &[5.0; 4]).unwrap().r2.is_nan());
}

#[test]
fn the_time_constant_of_an_exponential_is_found() {
    let windows = StepWindows { pre: 150..200, driven: 201..400, steady: 300..380 };
    let decay =
        |t: usize| if t < 201 { 5.0 } else { 3.0 + 4.0 * (-((t - 201) as f64) / 9.5).exp() };
    let trace: Vec<f64> = (0..784).map(decay).collect();
    let found = step_response(&trace, &windows);
    assert_eq!((found.pre, found.onset, found.tau), (5.0, 7.0, 10.0));
    assert!((found.steady - 3.0).abs() < 1e-4, "{found:?}");
    let flat = step_response(&[2.0; 784], &windows);
    assert_eq!((flat.pre, flat.onset, flat.steady), (2.0, 2.0, 2.0));
    assert!(flat.tau.is_nan());
    let short = step_response(&[2.0; 100], &windows);
    assert!(short.pre.is_nan() && short.onset.is_nan() && short.steady.is_nan());
}

#[test]
fn principal_components_are_the_axes_of_a_cloud() {
    // An ellipse in a rotated plane of four dimensions, away from the origin.
    let (first, second) = ([0.6, 0.0, -0.8, 0.0], [0.0, -1.0, 0.0, 0.0]);
    let points: Vec<f64> = (0..100)
        .flat_map(|i| {
            let angle = std::f64::consts::TAU * f64::from(i) / 100.0;
            let (x, y) = (3.0 * angle.cos(), angle.sin());
            (0..4).map(move |d| 7.0 + x * first[d] + y * second[d])
        })
        .collect();
    let found = components(&Tensor::from_slice(&points).view([100, 4]), 2).unwrap();
    let loadings = Vec::<f64>::try_from(found.loadings.t_copy().contiguous().view(-1)).unwrap();
    let expected = [-0.6, 0.0, 0.8, 0.0, 0.0, 1.0, 0.0, 0.0];
    for (a, b) in loadings.iter().zip(expected) {
        assert!((a - b).abs() < 1e-12, "{loadings:?}");
    }
    assert!((found.explained[0] - 0.9).abs() < 1e-12, "{:?}", found.explained);
    assert!((found.explained[1] - 0.1).abs() < 1e-12, "{:?}", found.explained);
    let spread = Vec::<f64>::try_from(found.scores.square().mean_dim(0, false, Kind::Double));
    let spread = spread.unwrap();
    assert!((spread[0] - 4.5).abs() < 1e-12 && (spread[1] - 0.5).abs() < 1e-12, "{spread:?}");
}

#[test]
fn released_gain_fits_end_in_a_minimum() {
    let oracle = &oracles()["gain_fit"];
    let xi = numbers(&oracle["xi"]);
    let values: Vec<f64> = xi.iter().map(|xi| 2.0 * xi.powf(-0.7) + 1.5).collect();
    let fit = released_scaling::fit(CurveForm::Power, &xi, &values).unwrap();
    for (found, expected) in [(fit.a, 2.0), (fit.b, 0.7), (fit.c, 1.5)] {
        assert!((found - expected).abs() < 1e-3, "{fit:?}");
    }
    assert_eq!(released_scaling::fit(CurveForm::Power, &xi[..2], &values[..2]), None);
    assert_eq!(released_scaling::fit(CurveForm::Power, &xi, &[f64::NAN; 7]), None);
}

/// Returns a small trial of an adaptive network with all analyses of this file.
fn analysed() -> TrialConfig {
    let kinds = [
        AnalysisKind::ActivationCurves,
        AnalysisKind::ShapeTraces,
        AnalysisKind::GainScaling,
        AnalysisKind::Fractional,
        AnalysisKind::Adaptation,
        AnalysisKind::ControllerPca,
    ];
    let analysis = |kind| Analysis {
        kind,
        epochs: Some(vec![-1, 1]),
        level: (kind != AnalysisKind::ActivationCurves).then(|| vec![0.0, 2.0, 5.0, 20.0]),
        repetitions: Some(4),
        samples: Some(30),
        ..Analysis::default()
    };
    TrialConfig { analyze: kinds.map(analysis).to_vec(), ..tiny(NetworkKind::Adaptive) }
}

#[test]
fn a_trial_with_analyses_fills_their_tables() {
    let (finish, _) = train(&TorchTrainer::default(), &analysed());
    let rows = finish.commit.rows;
    // Two epochs; 5 neurons, 4 strengths of which 3 above zero, 16 steps.
    assert_eq!(rows.activation_curves.len() % 101, 0);
    assert!((2 * 101..=2 * 5 * 101).contains(&rows.activation_curves.len()));
    assert_eq!(rows.shape_traces.len(), 2 * 4 * 16);
    assert_eq!(rows.shape_steps.len(), 2 * 4 * 2);
    assert_eq!(rows.gain_scaling.len(), 2 * 4);
    assert_eq!(rows.fractional_fits.len(), 2 * 2 * 2 * 2 * (1 + 3 + 5));
    assert_eq!(rows.adaptation.len(), 2 * 2 * 5 * 3 * 2);
    assert_eq!(rows.controller_pca.len(), 2 * 4 * 400);
    let all = rows.fractional_traces.iter().filter(|row| row.group == "all");
    assert_eq!(all.count(), 2 * 2 * 2 * 4 * (150 + 300));
}

#[test]
fn the_tables_of_a_trial_are_consistent() {
    let (finish, _) = train(&TorchTrainer::default(), &analysed());
    let rows = finish.commit.rows;
    for group in ["alpha_le_0", "alpha_gt_0"] {
        let sizes = rows.fractional_traces.iter().filter(|row| row.group == group);
        assert!(sizes.clone().all(|row| (1..=5).contains(&row.group_size)), "{group}");
    }
    for row in &rows.fractional_fits {
        assert_eq!(row.neuron.is_some(), row.scope == "per_neuron", "{row:?}");
        assert_eq!(row.xi.is_none(), row.scope == "all_xi", "{row:?}");
        let known = row.variant == Variant::Released || row.r2 >= 0.5;
        assert_eq!(row.order.is_nan(), !known, "{row:?}");
        assert!(!known || row.order.abs() <= 1.0 && row.alpha == -row.order, "{row:?}");
    }
    check_values(&rows);
}

fn check_values(rows: &Rows) {
    let corrected = |row: &&AdaptationRow| row.variant == Variant::Corrected;
    assert!(rows.adaptation.iter().filter(corrected).all(|row| row.index.abs() <= 1.0));
    assert!(rows.shape_traces.iter().all(|row| row.n_mean.is_finite() && row.n_std >= 0.0));
    assert!(rows.gain_scaling.iter().all(|row| row.n_mean > 0.0 && row.s_mean.abs() < 1.0));
    let fits = rows.gain_fits.iter().filter(|row| row.variant == Variant::Corrected);
    assert_eq!(fits.clone().count(), 2 * 2);
    for row in fits {
        let form = if row.quantity == "n" { "power" } else { "exponential" };
        assert_eq!((row.form.as_str(), row.pooled_seeds), (form, 1));
    }
}

#[test]
fn a_trial_that_stops_in_an_analysis_makes_it_again() {
    let torch = TorchTrainer::default();
    let mut config = analysed();
    config.analyze.retain(|analysis| analysis.kind == AnalysisKind::ShapeTraces);
    config.analyze[0].epochs = Some(vec![-1]);
    let (whole, _) = train(&torch, &config);
    for at in 0..6 {
        let RunOutcome::Stopped(first) = stop_at(&torch, &config, None, at).unwrap() else {
            panic!("not stopped")
        };
        let rest = torch.run(
            &config,
            Some(&first.checkpoint),
            &mut ScriptedSession::new(|_| NextAction::Continue),
        );
        let RunOutcome::Completed(finish) = rest.unwrap() else { panic!("not completed") };
        let rows = joined([&first, &finish.commit]);
        assert_eq!(rows.shape_traces, whole.commit.rows.shape_traces, "{at}");
    }
}
