//! Analyses of networks whose weights are chosen so that the result is known.

#![expect(clippy::float_cmp, reason = "values that pass through unchanged keep their bits")]

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{
    Analysis, AnalysisKind, Network as Config, NetworkKind, Precision, Protocol, RecurrentInit,
    Task as TaskConfig, TaskKind, TrialConfig,
};
use rheo_model::row::{FractionalFitRow, Rows, Variant};

use super::*;
use crate::Error;
use crate::network::Network;
use crate::task::{SampleLibrary, Task};

/// Returns a digits trial of 64 steps in double precision.
fn config(kind: NetworkKind) -> TrialConfig {
    let mut config = TrialConfig {
        task: TaskConfig {
            kind: TaskKind::Digits,
            side: 8,
            train_size: 10,
            validation_size: 10,
            test_size: 60,
            ..TaskConfig::default()
        },
        network: Config { kind, hidden: 6, controller: 4, ..Config::default() },
        seed: 3,
        ..TrialConfig::default()
    };
    config.training.precision = Precision::Float64;
    config
}

/// Returns a network of the trial with some weights replaced.
fn network(config: &TrialConfig, change: impl Fn(&str, &Tensor) -> Option<Tensor>) -> Network {
    let task = Task::load(config, &SampleLibrary::default()).unwrap();
    let mut rng = TrialRng::new(config.seed, Purpose::Init);
    let network = Network::new(&config.network, task.interface(), Kind::Double, &mut rng).unwrap();
    let parameters = network.parameters();
    let changes: Vec<(&str, Tensor)> = parameters
        .iter()
        .filter_map(|parameter| Some((parameter.name, change(parameter.name, parameter.tensor)?)))
        .collect();
    network.with(&changes).unwrap()
}

/// Replaces the named parameters by zeros.
fn without(names: &'static [&'static str]) -> impl Fn(&str, &Tensor) -> Option<Tensor> {
    move |name, tensor| names.contains(&name).then(|| tensor.zeros_like())
}

fn analyse(config: &TrialConfig, network: &Network, analysis: &Analysis) -> Rows {
    let task = Task::load(config, &SampleLibrary::default()).unwrap();
    let study =
        Study { config, analysis, epoch: 4, task: &task, network, initial: None, phase: "trained" };
    study.run(&mut || Ok(())).unwrap()
}

fn analysis(kind: AnalysisKind, level: &[f64]) -> Analysis {
    Analysis { kind, level: Some(level.to_vec()), ..Analysis::default() }
}

#[test]
fn windows_scale_with_the_sequence() {
    assert_eq!([0, 150, 200, 399].map(|step| scaled(step, 784)), [0, 150, 200, 399]);
    assert_eq!(scaled(200, 1024), 261);
    assert_eq!(scaled(784, 100), 100);
    assert_eq!(scaled(1, 392), 1);
}

#[test]
fn moments_of_batches_are_those_of_all() {
    let mut moments = RunningMoments::default();
    assert!(moments.mean().is_nan() && moments.deviation().is_nan());
    for batch in [vec![1e6, 1e6 + 1.0], vec![1e6 + 2.0], vec![1e6 + 3.0, 1e6 + 4.0, 1e6 + 5.0]] {
        moments.add(&Tensor::from_slice(&batch)).unwrap();
    }
    assert!((moments.mean() - 1e6 - 2.5).abs() < 1e-9, "{moments:?}");
    assert!((moments.deviation() - (35.0_f64 / 12.0).sqrt()).abs() < 1e-9, "{moments:?}");
}

#[test]
fn a_controller_without_readout_has_flat_shapes_under_any_drive() {
    let config = config(NetworkKind::Adaptive);
    let network = network(&config, without(&["w_gn", "w_gs"]));
    let n = network.parameter("b_gn").unwrap().double_value(&[0]);
    let flat = |value: f64, expected: f64| (value - expected).abs() < 1e-12;
    let rows = analyse(&config, &network, &analysis(AnalysisKind::ShapeTraces, &[0.0, 20.0]));
    assert_eq!((rows.shape_traces.len(), rows.shape_steps.len()), (2 * 64, 2 * 2));
    for row in &rows.shape_traces {
        assert!(flat(row.n_mean, n) && flat(row.s_mean, 0.0), "{row:?}");
        assert!(flat(row.n_std, 0.0) && flat(row.s_std, 0.0), "{row:?}");
    }
    for row in &rows.shape_steps {
        assert!([row.n_pre, row.n_onset, row.n_steady].iter().all(|&x| flat(x, n)), "{row:?}");
        assert!(row.s_tau.is_nan(), "{row:?}");
    }
    let rows = analyse(&config, &network, &analysis(AnalysisKind::GainScaling, &[0.0, 1.0, 9.0]));
    assert!(rows.gain_scaling.iter().all(|row| flat(row.n_mean, n)), "{:?}", rows.gain_scaling);
    assert!(rows.gain_fits.is_empty(), "two strengths above zero do not make a curve");
}

#[test]
fn shapes_follow_the_drive_only_while_it_is_on() {
    let config = config(NetworkKind::Adaptive);
    let network = network(&config, |_, _| None);
    let rows = analyse(&config, &network, &analysis(AnalysisKind::ShapeTraces, &[0.0, 5.0]));
    let (still, driven) = rows.shape_traces.split_at(64);
    // round(200 * 64 / 784) = 16: the drive is on for 16 < t < 32.
    for (a, b) in still.iter().zip(driven) {
        assert_eq!(a.t, b.t);
        match a.t {
            0..=16 => assert_eq!(a.n_mean.to_bits(), b.n_mean.to_bits(), "{}", a.t),
            17..32 => assert!((a.n_mean - b.n_mean).abs() > 1e-9, "{}", a.t),
            _ => {}
        }
    }
    let step = rows.shape_steps.iter().find(|row| row.xi > 0.0).unwrap();
    assert_eq!(step.n_onset.to_bits(), driven[17].n_mean.to_bits());
    // round(300 * 64 / 784) = 24 and round(380 * 64 / 784) = 31.
    let steady: f64 = driven[24..31].iter().map(|row| row.n_mean).sum::<f64>() / 7.0;
    assert!((step.n_steady - steady).abs() < 1e-12, "{step:?}");
}

#[test]
fn noise_of_strength_zero_leaves_the_shapes_as_they_are() {
    let config = config(NetworkKind::Adaptive);
    let network = network(&config, |_, _| None);
    let levels = [0.0, 1.0, 4.0, 16.0];
    let mut noisy = analysis(AnalysisKind::GainScaling, &levels);
    noisy.samples = Some(60);
    let mut still = analysis(AnalysisKind::ShapeTraces, &[0.0]);
    still.samples = Some(60);
    let scaling = analyse(&config, &network, &noisy);
    let traces = analyse(&config, &network, &still).shape_traces;
    // round(310 * 64 / 784) = 25 up to the end of the noise.
    let mean: f64 = traces[25..32].iter().map(|row| row.n_mean).sum::<f64>() / 7.0;
    let found: Vec<f64> = scaling.gain_scaling.iter().map(|row| row.n_mean).collect();
    assert!((found[0] - mean).abs() < 1e-12, "{found:?} {mean}");
    assert!(found[1..].iter().all(|n| (n - mean).abs() > 1e-6), "{found:?} {mean}");
    let fits = |variant| scaling.gain_fits.iter().filter(move |row| row.variant == variant);
    assert_eq!(fits(Variant::Corrected).count(), 2);
    for row in fits(Variant::Corrected) {
        assert!(row.b >= 0.01 && row.b <= 5.0 + 1e-9 && row.r2 <= 1.0, "{row:?}");
        let other = fits(Variant::Released).find(|other| other.quantity == row.quantity);
        if let Some(other) = other.filter(|other| (0.01..=5.0).contains(&other.b)) {
            assert!(row.rmse <= other.rmse + 1e-12, "{row:?} {other:?}");
        }
    }
}

fn fractional(protocol: Protocol, level: &[f64]) -> Analysis {
    let protocol = Some(vec![protocol]);
    Analysis { protocol, ..analysis(AnalysisKind::Fractional, level) }
}

fn fits<'a>(
    rows: &'a Rows,
    variant: Variant,
    connectivity: &'a str,
) -> impl Iterator<Item = &'a FractionalFitRow> {
    let fits = rows.fractional_fits.iter();
    fits.filter(move |row| row.variant == variant && row.connectivity == connectivity)
}

#[test]
fn memoryless_linear_neurons_have_order_zero() {
    let config = config(NetworkKind::Linear);
    let network = network(&config, without(&["w_hh"]));
    for (protocol, steps) in [(Protocol::Short, 150), (Protocol::Long, 300)] {
        let rows = analyse(&config, &network, &fractional(protocol, &[0.0, 10.0, 20.0]));
        for connectivity in ["isolated", "interacting"] {
            let found: Vec<_> = fits(&rows, Variant::Corrected, connectivity).collect();
            assert_eq!(found.len(), 1 + 2 + 6);
            for row in found {
                assert!(row.order.abs() < 0.02 && row.alpha.abs() < 0.02, "{row:?}");
                assert!((row.gain - 1.0).abs() < 0.03 && row.r2 > 0.99, "{row:?}");
            }
            let released: Vec<_> = fits(&rows, Variant::Released, connectivity).collect();
            assert_eq!(released.len(), 1 + 2 + 6);
            assert!(released[0].alpha.abs() < 0.05 && released[0].gain.is_nan(), "{released:?}");
        }
        let all = rows.fractional_traces.iter().filter(|row| row.group == "all");
        assert_eq!(all.clone().count(), 2 * 2 * 3 * steps);
        // With a gain of one, the derivative of order alpha reproduces the drive.
        for row in all.filter(|row| row.variant == Variant::Corrected && row.t > 5) {
            assert!((row.dalpha_h - row.drive).abs() < 2.0, "{row:?}");
        }
    }
}

#[test]
fn leaky_linear_neurons_integrate() {
    let config = config(NetworkKind::Linear);
    let leak = |name: &str, w: &Tensor| (name == "w_hh").then(|| w.eye_like() * 0.7);
    let rows = analyse(&config, &network(&config, leak), &fractional(Protocol::Short, &[10.0]));
    for row in fits(&rows, Variant::Corrected, "isolated") {
        assert!(row.order < -0.05 && row.alpha > 0.05, "{row:?}");
    }
    let groups = rows.fractional_traces.iter().filter(|row| row.variant == Variant::Corrected);
    for row in groups {
        assert!(row.group == "all" || row.group == "alpha_gt_0", "{row:?}");
        assert_eq!(row.group_size, 6, "{row:?}");
    }
}

trait EyeLike {
    fn eye_like(&self) -> Tensor;
}

impl EyeLike for Tensor {
    fn eye_like(&self) -> Tensor {
        Tensor::eye(self.size()[0], (self.kind(), self.device()))
    }
}

#[test]
fn isolated_neurons_are_independent() {
    let mut config = config(NetworkKind::Adaptive);
    config.network.recurrent_init = RecurrentInit::Normal;
    let one = network(&config, |_, _| None);
    // Other connections; each neuron's connection to itself is unchanged.
    let other =
        network(&config, |name, w| (name == "w_hh").then(|| w * 0.5 + w.diag(0).diag(0) * 0.5));
    let adaptation = analysis(AnalysisKind::Adaptation, &[1.0, 5.0]);
    let (one, other) = (analyse(&config, &one, &adaptation), analyse(&config, &other, &adaptation));
    assert_eq!(one.adaptation.len(), 2 * 6 * 3 * 2);
    assert!(one.adaptation.iter().all(|row| row.xi == 5.0 && row.index.is_finite()));
    for (a, b) in one.adaptation.iter().zip(&other.adaptation) {
        match a.connectivity.as_str() {
            "isolated" => assert!((a.index - b.index).abs() < 1e-9, "{a:?} {b:?}"),
            _ => assert!(a.index == 0.0 || (a.index - b.index).abs() > 1e-9, "{a:?} {b:?}"),
        }
    }
}

#[test]
fn memoryless_neurons_do_not_adapt() {
    let config = config(NetworkKind::Relu);
    let network = network(&config, without(&["w_hh"]));
    let rows = analyse(&config, &network, &analysis(AnalysisKind::Adaptation, &[30.0]));
    let corrected = rows.adaptation.iter().filter(|row| row.variant == Variant::Corrected);
    assert_eq!(corrected.clone().count(), 2 * 6 * 3);
    assert!(corrected.clone().all(|row| row.index.abs() < 0.01), "{:?}", rows.adaptation);
}

#[test]
fn controller_states_diverge_only_with_their_inputs() {
    let config = config(NetworkKind::Adaptive);
    let network = network(&config, |_, _| None);
    let rows = analyse(&config, &network, &analysis(AnalysisKind::ControllerPca, &[0.5, 3.0]));
    let (weak, strong) = rows.controller_pca.split_at(400);
    for (a, b) in weak.iter().zip(strong) {
        assert_eq!((a.t, a.input, b.input), (b.t, 0.5, 3.0));
        let apart = (a.pc1 - b.pc1).hypot(a.pc2 - b.pc2);
        if a.t <= 200 {
            assert!(apart < 1e-12, "{a:?} {b:?}");
        } else {
            assert!(apart > 1e-6, "{a:?} {b:?}");
        }
    }
    let row = &weak[0];
    assert!(row.explained1 >= row.explained2 && row.explained1 + row.explained2 <= 1.0 + 1e-12);
    assert!(row.explained2 > 0.0);
    // Scores are centred.
    let mean = rows.controller_pca.iter().map(|row| row.pc1).sum::<f64>() / 800.0;
    assert!(mean.abs() < 1e-12, "{mean}");
}

#[test]
fn curves_have_the_slopes_of_their_values() {
    let mut config = config(NetworkKind::Heterogeneous);
    config.network.n0_spread = 1.0;
    let network = network(&config, |_, _| None);
    let curves = Analysis { kind: AnalysisKind::ActivationCurves, ..Analysis::default() };
    let rows = analyse(&config, &network, &curves).activation_curves;
    assert_eq!(rows.len(), 6 * 101);
    for curve in rows.chunks(101) {
        assert_eq!((curve[0].x, curve[100].x), (-5.0, 5.0));
        assert!(curve.iter().all(|row| row.n == curve[0].n && row.slope.is_finite()));
        for three in curve.windows(3) {
            // Half of the squared step times the largest third derivative, which is at most n^2 /
            // 10.
            let slope = (three[2].value - three[0].value) / 0.2;
            assert!((slope - three[1].slope).abs() < 0.02 * three[1].n, "{three:?}");
        }
    }
}

#[test]
fn networks_that_an_analysis_does_not_fit_have_no_rows() {
    let driven = [
        AnalysisKind::ShapeTraces,
        AnalysisKind::GainScaling,
        AnalysisKind::ControllerPca,
        AnalysisKind::Fractional,
        AnalysisKind::Adaptation,
        AnalysisKind::ActivationCurves,
    ];
    for kind in driven {
        for cell in [NetworkKind::Lstm, NetworkKind::Gru] {
            let config = config(cell);
            let network = network(&config, |_, _| None);
            assert!(analyse(&config, &network, &analysis(kind, &[1.0])).is_empty(), "{kind:?}");
        }
    }
    for kind in &driven[..3] {
        let config = config(NetworkKind::Heterogeneous);
        let network = network(&config, |_, _| None);
        assert!(analyse(&config, &network, &analysis(*kind, &[1.0])).is_empty(), "{kind:?}");
    }
    let mut config = config(NetworkKind::Adaptive);
    config.task = TaskConfig { kind: TaskKind::Copy, one_hot: true, ..config.task };
    let network = network(&config, |_, _| None);
    for kind in [AnalysisKind::Fractional, AnalysisKind::Adaptation] {
        assert!(analyse(&config, &network, &analysis(kind, &[1.0])).is_empty(), "{kind:?}");
    }
}

#[test]
fn the_columns_of_a_text_are_sequences() {
    let mut config = config(NetworkKind::Adaptive);
    config.task = TaskConfig {
        kind: TaskKind::CharLm,
        length: 20_000,
        window: 30,
        eval_batch: 4,
        ..config.task
    };
    let network = network(&config, |_, _| None);
    let mut analysis = analysis(AnalysisKind::ShapeTraces, &[0.0, 3.0]);
    analysis.samples = Some(10);
    let rows = analyse(&config, &network, &analysis);
    assert_eq!(rows.shape_traces.len(), 2 * 30);
    assert!(rows.shape_traces.iter().all(|row| row.n_mean.is_finite() && row.n_std > 0.0));
    analysis.kind = AnalysisKind::GainScaling;
    let noisy = analyse(&config, &network, &analysis).gain_scaling;
    // round(310 * 30 / 784) = 12 up to 2 round(200 * 30 / 784) = 16.
    let mean = rows.shape_traces[12..16].iter().map(|row| row.n_mean).sum::<f64>() / 4.0;
    assert!((noisy[0].n_mean - mean).abs() < 1e-12, "{noisy:?} {mean}");
    assert!((noisy[1].n_mean - mean).abs() > 1e-6, "{noisy:?} {mean}");
}

#[test]
fn an_analysis_stops_on_request() {
    let mut config = config(NetworkKind::Adaptive);
    // The mean shapes for the curves are measured without a stop check for up to 250 sequences.
    config.task.test_size = 300;
    let network = network(&config, |_, _| None);
    let task = Task::load(&config, &SampleLibrary::default()).unwrap();
    for kind in [
        AnalysisKind::ShapeTraces,
        AnalysisKind::GainScaling,
        AnalysisKind::ControllerPca,
        AnalysisKind::Fractional,
        AnalysisKind::Adaptation,
        AnalysisKind::ActivationCurves,
    ] {
        let analysis = Analysis { kind, ..Analysis::default() };
        let study = Study {
            config: &config,
            analysis: &analysis,
            epoch: 0,
            task: &task,
            network: &network,
            initial: None,
            phase: "trained",
        };
        let stopped = study.run(&mut || Err(Error::Interrupted));
        assert!(matches!(stopped, Err(Error::Interrupted)), "{kind:?}");
    }
}
