//! The fused kernels against libtorch with automatic differentiation, for every kind of network and
//! odd sizes, and whole training runs with either.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{
    AdaptedQuantity, Device, GateDrive, InputInit, Kernel, Network as Config, NetworkKind,
    Resources,
};
use rheo_model::trainer::{NextAction, Trainer};
use rheo_train::network::{
    ExecutionBackend, GainSaturation, Interface, LayerState, LayerStep, Network, Readout,
    ReadoutInit, RunConditions, ShapeOverride,
};
use rheo_train::{ShapeStats, TorchTrainer};
use tch::{Kind, Reduction, Tensor, no_grad};

use crate::support::{KINDS, ScriptedSession, doubles, one_thread, tiny, tiny_copy, train};

/// A network with its input and run conditions.
struct Case {
    network: Network,
    inputs: Tensor,
    drive: Option<Tensor>,
    from: Option<LayerState>,
    targets: Tensor,
}

/// Returns deterministic pseudo-random numbers.
fn numbers(size: &[i64], seed: f64, kind: Kind) -> Tensor {
    let count = size.iter().product::<i64>();
    let values: Vec<f64> = (0..count).map(|i| ((i as f64 + seed) * 12.9898).sin()).collect();
    Tensor::from_slice(&values).view(size).to_kind(kind)
}

impl Case {
    /// Builds a case with sizes [H, B, T, I].
    fn new(config: &Config, size: [i64; 4], readout: Readout, kind: Kind) -> Self {
        one_thread();
        let [hidden, batch, steps, inputs] = size;
        let config = Config { hidden: hidden as u32, controller: 5, ..config.clone() };
        let interface = Interface {
            inputs: inputs as u32,
            classes: 4,
            readout,
            readout_init: ReadoutInit::Uniform,
            input_init: InputInit::Kaiming,
            embedding: None,
        };
        let mut rng = TrialRng::new(3, Purpose::Init);
        let network = Network::new(&config, interface, kind, &mut rng).unwrap();
        let rows = if readout == Readout::Every { steps * batch } else { batch };
        let targets: Vec<i64> = (0..rows).map(|row| row % 4).collect();
        Self {
            network,
            inputs: numbers(&[steps, batch, inputs], 1.0, kind),
            drive: None,
            from: None,
            targets: Tensor::from_slice(&targets),
        }
    }

    fn driven(mut self) -> Self {
        let (steps, batch, _) = self.inputs.size3().unwrap();
        let hidden = i64::from(self.network.hidden());
        let kind = self.network.precision();
        self.drive = Some(numbers(&[steps, batch, hidden], 2.0, kind));
        let rest = self.network.rest(batch).unwrap();
        let like = |tensor: &Tensor, seed| numbers(&tensor.size(), seed, kind) * 0.5;
        let inner = rest.inner.as_ref().map(|inner| like(inner, 5.0));
        self.from = Some(LayerState { h: like(&rest.h, 4.0), inner });
        self
    }

    fn conditions(&self) -> RunConditions<'_> {
        let from = self.from.as_ref().map(LayerState::share);
        RunConditions { from, ..RunConditions::driven(self.drive.as_ref()) }
    }

    fn backend(&mut self, kernel: Kernel, memory_mb: u32) {
        let resources = Resources { kernel, memory_mb, ..Resources::default() };
        self.network.set_backend(ExecutionBackend::new(&resources));
    }

    /// Returns scores, last state and gradients of all parameters.
    fn outcome(&self) -> Vec<(String, Vec<f64>)> {
        let mut stats = ShapeStats::counting();
        let pass =
            self.network.forward_with_tape(&self.inputs, self.conditions(), &mut stats).unwrap();
        let loss = pass.logits.cross_entropy_loss(
            &self.targets,
            None::<&Tensor>,
            Reduction::Mean,
            -100,
            0.0,
        );
        let mut found = vec![
            ("scores".to_owned(), doubles(&pass.logits)),
            ("h".to_owned(), doubles(&pass.last.h)),
        ];
        if let Some(inner) = &pass.last.inner {
            found.push(("inner".to_owned(), doubles(inner)));
        }
        let parameters: Vec<_> =
            self.network.parameters().into_iter().filter(|parameter| parameter.trained).collect();
        let gradients = self.network.gradients(&loss, pass, &self.inputs, &parameters).unwrap();
        for (parameter, gradient) in parameters.iter().zip(&gradients) {
            assert_eq!(gradient.size(), parameter.tensor.size(), "{}", parameter.name);
            found.push((parameter.name.to_owned(), doubles(gradient)));
        }
        found.push(("guard".to_owned(), vec![stats.guard_hits as f64]));
        found.push(("negative".to_owned(), vec![stats.negative_gains as f64]));
        found
    }
}

/// Asserts that numbers agree within `tolerance`, relative to the largest of their tensor.
#[track_caller]
fn assert_agree(
    what: &str,
    found: &[(String, Vec<f64>)],
    expected: &[(String, Vec<f64>)],
    tolerance: f64,
) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{what} {name}");
        let scale = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs();
            assert!(
                off <= tolerance * scale + 1e-3 * tolerance,
                "{what} {name}: {found}, not {expected}"
            );
        }
    }
}

/// Returns every kind, and the variants of kinds that have several.
fn configs() -> Vec<Config> {
    let of = |kind| Config { kind, ..Config::default() };
    let mut configs: Vec<Config> = KINDS.into_iter().map(of).collect();
    configs.push(Config { n0_spread: 0.5, s0_spread: 0.2, ..of(NetworkKind::Heterogeneous) });
    configs.push(Config { adapts: AdaptedQuantity::Gain, ..of(NetworkKind::Adaptive) });
    configs.push(Config { adapts: AdaptedQuantity::Saturation, ..of(NetworkKind::Adaptive) });
    for kind in [NetworkKind::Lstm, NetworkKind::Gru] {
        configs.push(Config { drive: GateDrive::Released, ..of(kind) });
    }
    configs
}

const SIZES: [[i64; 4]; 7] = [
    [1, 1, 1, 1],
    [3, 7, 2, 1],
    [17, 1, 100, 1],
    [129, 7, 2, 1],
    [3, 7, 100, 2],
    [17, 7, 1, 3],
    [129, 1, 2, 1],
];

fn check(kind: Kind, tolerance: f64) {
    for config in configs() {
        for size in SIZES {
            for readout in [Readout::Last, Readout::Every] {
                let mut case = Case::new(&config, size, readout, kind).driven();
                let what = format!("{} {size:?} {readout:?}", config.kind.name());
                check_kernels(&mut case, &what, tolerance);
            }
        }
    }
}

fn check_kernels(case: &mut Case, what: &str, tolerance: f64) {
    case.backend(Kernel::Autograd, 1);
    let expected = case.outcome();
    for kernel in [Kernel::Fused, Kernel::Libtorch] {
        for memory in [1, 1024] {
            case.backend(kernel, memory);
            let what = format!("{kernel:?} {what} {memory} MB");
            assert_agree(&what, &case.outcome(), &expected, tolerance);
        }
    }
}

#[test]
fn gradients_are_those_of_autograd_in_double_precision() {
    check(Kind::Double, 1e-9);
}

#[test]
fn gradients_are_those_of_autograd_in_single_precision() {
    check(Kind::Float, 1e-4);
}

#[test]
fn recomputation_for_lack_of_memory_is_bit_identical() {
    for config in configs() {
        let mut case = Case::new(&config, [40, 30, 100, 1], Readout::Every, Kind::Float).driven();
        case.backend(Kernel::Fused, 1024);
        let expected = case.outcome();
        assert_eq!(case.outcome(), expected, "{} again", config.kind.name());
        case.backend(Kernel::Fused, 1);
        assert_eq!(case.outcome(), expected, "{}", config.kind.name());
    }
}

#[test]
fn embeddings_learn_through_the_kernels() {
    for kind in KINDS {
        let config = Config { kind, hidden: 6, controller: 3, ..Config::default() };
        let interface = Interface {
            inputs: 4,
            classes: 5,
            readout: Readout::Every,
            readout_init: ReadoutInit::Language,
            input_init: InputInit::Kaiming,
            embedding: Some(5),
        };
        let mut rng = TrialRng::new(3, Purpose::Init);
        let network = Network::new(&config, interface, Kind::Double, &mut rng).unwrap();
        let symbols: Vec<f64> = (0..33).map(|i| f64::from(i * i % 5)).collect();
        let targets: Vec<i64> = (0..33).map(|i| i % 5).collect();
        let mut case = Case {
            network,
            inputs: Tensor::from_slice(&symbols).view([11, 3, 1]),
            drive: None,
            from: None,
            targets: Tensor::from_slice(&targets),
        };
        case.backend(Kernel::Autograd, 1);
        let expected = case.outcome();
        assert!(expected.iter().any(|(name, _)| name == "embedding"));
        for kernel in [Kernel::Fused, Kernel::Libtorch] {
            case.backend(kernel, 1);
            assert_agree(kind.name(), &case.outcome(), &expected, 1e-9);
        }
    }
}

#[test]
fn inference_and_visits_match_a_run() {
    for config in configs() {
        for shape_override in [false, true] {
            let case = Case::new(&config, [17, 7, 100, 1], Readout::Last, Kind::Double).driven();
            let network = &case.network;
            if shape_override && network.n0().is_none() {
                continue;
            }
            let given = ShapeOverride {
                n: numbers(&[17], 1.0, Kind::Double) + 3.0,
                s: numbers(&[17], 2.0, Kind::Double),
            };
            let conditions = || RunConditions {
                shape_override: shape_override.then_some(&given),
                ..case.conditions()
            };
            let (mut run, mut watched) = (Vec::new(), Vec::new());
            let mut stats = ShapeStats::counting();
            let last = no_grad(|| {
                network.run(&case.inputs, conditions(), &mut stats, &mut |step| {
                    run.push(seen(step));
                    Ok(())
                })
            });
            let last = last.unwrap();
            let end = network.visit_steps(&case.inputs, conditions(), &mut stats, &mut |step| {
                watched.push(seen(step));
                Ok(())
            });
            let end = end.unwrap();
            let (scores, inferred) = network.infer(&case.inputs, conditions(), &mut stats).unwrap();
            let what = config.kind.name();
            assert_eq!((run.len(), watched.len()), (100, 100), "{what}");
            for (watched, run) in watched.iter().zip(&run) {
                assert_agree(what, watched, run, 1e-10);
            }
            let expected = [("h".to_owned(), doubles(&last.h))];
            assert_agree(what, &[("h".to_owned(), doubles(&end.h))], &expected, 1e-10);
            assert_agree(what, &[("h".to_owned(), doubles(&inferred.h))], &expected, 1e-10);
            let expected = [("scores".to_owned(), doubles(&network.readout(&last.h).unwrap()))];
            assert_agree(what, &[("scores".to_owned(), doubles(&scores))], &expected, 1e-10);
            if let (Some(end), Some(last), false) = (&end.inner, &last.inner, shape_override) {
                let expected = [("inner".to_owned(), doubles(last))];
                assert_agree(what, &[("inner".to_owned(), doubles(end))], &expected, 1e-10);
            }
        }
    }
}

/// Returns the contents of a step except for its inner state.
fn seen(step: &LayerStep) -> Vec<(String, Vec<f64>)> {
    let h = &step.state.h;
    let mut seen = vec![("h".to_owned(), doubles(h))];
    if let Some(a) = &step.a {
        seen.push(("a".to_owned(), doubles(a)));
    }
    if let Some(GainSaturation { n, s }) = &step.shape {
        seen.push(("n".to_owned(), doubles(&n.expand_as(h))));
        seen.push(("s".to_owned(), doubles(&s.expand_as(h))));
    }
    seen
}

/// Checks that `look` returns the same numbers on every backend.
fn check_looks(case: &mut Case, what: &str, tolerance: f64, look: impl Fn(&Case) -> NamedNumbers) {
    case.backend(Kernel::Autograd, 1);
    let expected = look(case);
    for kernel in [Kernel::Fused, Kernel::Libtorch] {
        for memory in [1, 1024] {
            case.backend(kernel, memory);
            let found = look(case);
            assert_agree(&format!("{kernel:?} {what} {memory} MB"), &found, &expected, tolerance);
        }
    }
}

/// Numbers by name.
type NamedNumbers = Vec<(String, Vec<f64>)>;

/// Returns every step with its inner state, and the last state.
fn followed(case: &Case) -> NamedNumbers {
    let mut all = Vec::new();
    let mut stats = ShapeStats::counting();
    let mut visit = |step: &LayerStep| {
        all.extend(seen(step));
        all.extend(step.state.inner.as_ref().map(|g| ("inner".to_owned(), doubles(g))));
        Ok(())
    };
    let last =
        case.network.visit_states(&case.inputs, case.conditions(), &mut stats, &mut visit).unwrap();
    all.push(("last".to_owned(), doubles(&last.h)));
    all.extend(last.inner.as_ref().map(|inner| ("last inner".to_owned(), doubles(inner))));
    all
}

/// Returns the gradients of the loss with respect to all states.
fn by_states(case: &Case, readout: Readout) -> NamedNumbers {
    let loss = |logits: &Tensor| {
        let none = None::<&Tensor>;
        logits.f_cross_entropy_loss(&case.targets, none, Reduction::Mean, -100, 0.0)
    };
    let found = case.network.gradients_by_states(readout, &case.inputs, &loss).unwrap();
    let (steps, batch, _) = case.inputs.size3().unwrap();
    assert_eq!(found.h.size(), [steps, batch, case.network.hidden().into()]);
    let mut all = vec![("h".to_owned(), doubles(&found.h))];
    all.extend(found.inner.as_ref().map(|inner| ("inner".to_owned(), doubles(inner))));
    all
}

#[test]
fn visited_states_match_a_run_with_its_inner_states() {
    for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 1e-4)] {
        for config in configs() {
            for size in SIZES {
                let mut case = Case::new(&config, size, Readout::Last, kind).driven();
                check_looks(&mut case, &format!("{:?} {size:?}", config.kind), tolerance, followed);
            }
        }
    }
}

#[test]
fn gradients_by_states_are_those_of_autograd() {
    for (kind, tolerance) in [(Kind::Double, 1e-9), (Kind::Float, 1e-4)] {
        for config in configs() {
            for size in SIZES {
                for readout in [Readout::Last, Readout::Every] {
                    let mut case = Case::new(&config, size, readout, kind);
                    let what = format!("{:?} {size:?} {readout:?}", config.kind);
                    check_looks(&mut case, &what, tolerance, |case| by_states(case, readout));
                }
            }
        }
    }
}

#[test]
fn controllers_by_themselves_are_those_of_autograd() {
    for kind in KINDS {
        let config = Config { kind, ..Config::default() };
        for precision in [Kind::Double, Kind::Float] {
            let mut case = Case::new(&config, [3, 7, 2, 1], Readout::Last, precision);
            let (a, from) =
                (numbers(&[33], 6.0, Kind::Double), numbers(&[7, 5], 7.0, Kind::Double));
            check_looks(&mut case, kind.name(), 1e-9, |case| {
                let found = case.network.controllers(&a, &from).unwrap();
                assert_eq!(found.is_some(), kind == NetworkKind::Adaptive);
                let found = found.map(|states| {
                    assert_eq!(states.size(), [33, 7, 5]);
                    ("states".to_owned(), doubles(&states))
                });
                found.into_iter().collect()
            });
        }
    }
}

#[test]
fn training_goes_the_same_way_with_either_kernel() {
    let torch = TorchTrainer::default();
    for kind in KINDS {
        for base in [tiny(kind), tiny_copy(kind)] {
            let mut config = base;
            config.training.precision = rheo_model::config::Precision::Float64;
            let [fused, plain] = [Kernel::Fused, Kernel::Autograd].map(|kernel| {
                config.resources.kernel = kernel;
                train(&torch, &config).0
            });
            assert_eq!(plain.summary.kernel, "autograd");
            assert_ne!(fused.summary.kernel, "autograd");
            let pairs = fused.commit.rows.epochs.iter().zip(&plain.commit.rows.epochs);
            for (fused, plain) in pairs {
                for (fused, plain) in [
                    (fused.train_loss, plain.train_loss),
                    (fused.val_loss, plain.val_loss),
                    (fused.grad_norm, plain.grad_norm),
                    (fused.n_mean.unwrap_or(0.0), plain.n_mean.unwrap_or(0.0)),
                    (fused.s_std.unwrap_or(0.0), plain.s_std.unwrap_or(0.0)),
                ] {
                    let off = (fused - plain).abs();
                    assert!(off <= 1e-8 * plain.abs() + 1e-12, "{kind:?}: {fused}, not {plain}");
                }
            }
            let pairs = fused.commit.rows.evaluations.iter().zip(&plain.commit.rows.evaluations);
            for (fused, plain) in pairs {
                assert!((fused.loss - plain.loss).abs() <= 1e-8 * plain.loss, "{kind:?}");
                assert_eq!(fused.accuracy, plain.accuracy, "{kind:?}");
            }
        }
    }
}

#[test]
fn a_missing_gpu_is_refused_with_advice() {
    if tch::Cuda::is_available() {
        return;
    }
    let mut config = tiny(NetworkKind::Heterogeneous);
    config.resources.device = Device::Cuda;
    let mut session = ScriptedSession::new(|_| NextAction::Continue);
    let error = TorchTrainer::default().run(&config, None, &mut session).unwrap_err();
    assert!(error.to_string().contains("no CUDA device"), "{error}");
}

#[test]
fn gpu_training_goes_as_on_the_processor() {
    if !tch::Cuda::is_available() {
        println!("GPU: skipped, no device");
        return;
    }
    for kind in KINDS {
        let mut config = tiny(kind);
        config.training.precision = rheo_model::config::Precision::Float64;
        let cpu = train(&TorchTrainer::default(), &config).0;
        config.resources.device = Device::Cuda;
        let gpu = train(&TorchTrainer::default(), &config).0;
        assert_eq!(
            (gpu.summary.device.as_str(), gpu.summary.kernel.as_str()),
            ("cuda", "libtorch")
        );
        for (cpu, gpu) in cpu.commit.rows.epochs.iter().zip(&gpu.commit.rows.epochs) {
            assert!((cpu.train_loss - gpu.train_loss).abs() < 1e-8, "{kind:?}");
        }
    }
}
