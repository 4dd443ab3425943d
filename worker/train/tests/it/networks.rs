//! Networks against the reference values, in double precision, and their gradients against finite
//! differences.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{self, AdaptedQuantity, InputInit, Network as Config, NetworkKind};
use rheo_train::ShapeStats;
use rheo_train::gamma::GammaCurve;
use rheo_train::network::{
    GainSaturation, Interface, LayerState, LayerStep, Network, Readout, ReadoutInit, RunConditions,
    ShapeOverride,
};
use rheo_train::optimizer::Optimizer;
use rheo_train::step::{self, Batch, StepInput, UpdateRecipe};
use serde_json::Value;
use tch::{Kind, Reduction, Tensor, no_grad};

use crate::initial::{initial, parameter};
use crate::support::{KINDS, assert_close, doubles, numbers, one_thread, oracles};

/// Returns a network of the reference; its case lists the deviations from the filling rule.
fn reference(kind: NetworkKind, case: &Value) -> Network {
    in_precision(Kind::Double, kind, case)
}

fn in_precision(precision: Kind, kind: NetworkKind, case: &Value) -> Network {
    one_thread();
    let config = Config { kind, hidden: 3, controller: 2, n0: Some(3.0), ..Config::default() };
    let interface = Interface {
        inputs: 1,
        classes: 2,
        readout: Readout::Last,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding: None,
    };
    let mut rng = TrialRng::new(0, Purpose::Init);
    let network = Network::new(&config, interface, precision, &mut rng).unwrap();
    let order = case["parameter_order"].as_array().unwrap();
    assert_eq!(order.len(), network.parameters().len());
    for (p, (entry, parameter)) in order.iter().zip(network.parameters()).enumerate() {
        let name = entry[0].as_str().unwrap();
        assert_eq!(parameter.name, name);
        let size: Vec<i64> = numbers(&entry[1]).iter().map(|&size| size as i64).collect();
        assert_eq!(parameter.tensor.size(), size, "{name}");
        let values = match case.get("set").and_then(|set| set.get(name)) {
            Some(given) => numbers(given),
            None => (0..parameter.tensor.numel())
                .map(|place| ((1 + 10 * p + place) as f64).powi(2).sin() / 2.0)
                .collect(),
        };
        let values = Tensor::from_slice(&values).view(size.as_slice());
        no_grad(|| parameter.tensor.shallow_clone().copy_(&values));
    }
    network
}

/// Returns x[b][t] = cos(b + 2t), T = 4, B = 2; the target of sample b is b.
fn reference_batch() -> Batch {
    let values: Vec<f64> =
        (0..4).flat_map(|t| (0..2).map(move |b| f64::from(b + 2 * t).cos())).collect();
    Batch {
        inputs: Tensor::from_slice(&values).view([4, 2, 1]),
        drive: None,
        targets: Tensor::from_slice(&[0i64, 1]),
        scored: 2,
        samples: 2,
        weight: 2,
        conditions: None,
        from_rest: true,
    }
}

const CASES: [(&str, NetworkKind); 7] = [
    ("tanh", NetworkKind::Tanh),
    ("modrelu", NetworkKind::Modrelu),
    ("gamma_hom", NetworkKind::Homogeneous),
    ("gamma_het", NetworkKind::Heterogeneous),
    ("adaptive", NetworkKind::Adaptive),
    ("lstm", NetworkKind::Lstm),
    ("gru", NetworkKind::Gru),
];

/// Returns the last step of a network of the reference: last state, gains and saturations.
fn last_step(network: &Network) -> (LayerStep, Tensor) {
    let inputs = reference_batch().inputs;
    let mut last = None;
    let mut visit = |step: &LayerStep| {
        let shape = step.shape.as_ref();
        let shape = shape.map(|shape| GainSaturation { n: shape.n.detach(), s: shape.s.detach() });
        last = Some(LayerStep { state: step.state.detach()?, a: None, shape });
        Ok(())
    };
    let logits =
        network.logits(&inputs, RunConditions::default(), &mut ShapeStats::counting()).unwrap();
    network
        .run(&inputs, RunConditions::default(), &mut ShapeStats::counting(), &mut visit)
        .unwrap();
    (last.unwrap(), logits)
}

#[test]
fn networks_end_in_the_states_of_the_reference() {
    let cases = oracles()["networks"]["cases"].clone();
    for (label, kind) in CASES {
        let case = &cases[label];
        let (step, logits) = last_step(&reference(kind, case));
        assert_close(label, &doubles(&step.state.h), &numbers(&case["h_final"]));
        assert_close(label, &doubles(&logits), &numbers(&case["logits"]));
        for (name, inner) in [("g_final", NetworkKind::Adaptive), ("c_final", NetworkKind::Lstm)] {
            if kind == inner {
                let found = doubles(step.state.inner.as_ref().unwrap());
                assert_close(name, &found, &numbers(&case[name]));
            }
        }
        if kind == NetworkKind::Adaptive {
            let GainSaturation { n, s } = step.shape.unwrap();
            assert_close("n", &doubles(&n), &numbers(&case["n_final"]));
            assert_close("s", &doubles(&s), &numbers(&case["s_final"]));
        }
    }
}

fn loss(network: &Network, batch: &Batch, drive: Option<&Tensor>) -> (Tensor, Tensor) {
    let logits = network
        .logits(&batch.inputs, RunConditions::driven(drive), &mut ShapeStats::counting())
        .unwrap();
    let loss =
        logits.cross_entropy_loss::<Tensor>(&batch.targets, None, Reduction::Mean, -100, 0.0);
    (logits, loss)
}

fn gradients(network: &Network, loss: &Tensor) -> Vec<Tensor> {
    Tensor::run_backward(&[loss], &network.trained(), false, false)
}

#[test]
fn networks_have_the_logits_losses_and_gradients_of_the_reference() {
    let cases = oracles()["networks"]["cases"].clone();
    for (label, kind) in CASES {
        let case = &cases[label];
        let network = reference(kind, case);
        let (logits, loss) = loss(&network, &reference_batch(), None);
        assert_close(label, &doubles(&logits), &numbers(&case["logits"]));
        assert_close(label, &doubles(&loss), &numbers(&case["loss"]));
        for (parameter, gradient) in network.parameters().iter().zip(gradients(&network, &loss)) {
            let name = parameter.name;
            assert_close(
                &format!("{label} {name}"),
                &doubles(&gradient),
                &numbers(&case["grad"][name]),
            );
        }
    }
}

#[test]
fn in_single_precision_the_reference_is_met_to_four_digits() {
    let cases = oracles()["networks"]["cases"].clone();
    let check = |what: &str, found: &[f64], expected: &Value| {
        for (a, b) in found.iter().zip(numbers(expected)) {
            // Where the terms of a gradient almost cancel, its rounding error is that of the terms.
            assert!((a - b).abs() <= 1e-4 * b.abs() + 1e-7, "{what}: {a}, not {b}");
        }
    };
    for (label, kind) in CASES {
        let case = &cases[label];
        let network = in_precision(Kind::Float, kind, case);
        let mut batch = reference_batch();
        batch.inputs = batch.inputs.to_kind(Kind::Float);
        let (logits, loss) = loss(&network, &batch, None);
        check(label, &doubles(&logits), &case["logits"]);
        check(label, &doubles(&loss), &case["loss"]);
        let run = network.run(
            &batch.inputs,
            RunConditions::default(),
            &mut ShapeStats::counting(),
            &mut |_| Ok(()),
        );
        check(label, &doubles(&run.unwrap().h), &case["h_final"]);
        for (parameter, gradient) in network.parameters().iter().zip(gradients(&network, &loss)) {
            let what = format!("{label} {}", parameter.name);
            check(&what, &doubles(&gradient), &case["grad"][parameter.name]);
        }
        let optimizer = config::Optimizer { lr: 0.01, ..config::Optimizer::default() };
        let mut adam = Optimizer::new(&optimizer, &network.parameters()).unwrap();
        let update = |_| {
            let (recipe, mut stats) = (UpdateRecipe::default(), ShapeStats::counting());
            let done = step::update(
                &network,
                &mut adam,
                StepInput { batch: &batch, from: None },
                &recipe,
                &mut stats,
            );
            done.unwrap().score.loss
        };
        let losses: Vec<f64> = (0..6).map(update).collect();
        check(label, &losses, &case["adam_losses"]);
    }
}

#[test]
fn driven_networks_have_the_losses_and_gradient_norms_of_the_reference() {
    let cases = oracles()["networks"]["cases"].clone();
    let driven_cases = ["gamma_het", "adaptive", "lstm", "gru"];
    for (label, kind) in CASES.iter().filter(|(label, _)| driven_cases.contains(label)) {
        let driven = &cases[format!("{label}_driven")];
        let network = reference(*kind, &cases[*label]);
        let drive = Tensor::from_slice(&numbers(&driven["drive"])).view([4, 1, 1]);
        let (logits, loss) = loss(&network, &reference_batch(), Some(&drive));
        assert_close(label, &doubles(&logits), &numbers(&driven["logits"]));
        assert_close(label, &doubles(&loss), &numbers(&driven["loss"]));
        let mut squares = 0.0;
        for (parameter, gradient) in network.parameters().iter().zip(gradients(&network, &loss)) {
            let norm = numbers(&driven["grad_norm"][parameter.name]);
            assert_close(&format!("{label} {}", parameter.name), &doubles(&gradient.norm()), &norm);
            squares += gradient.square().sum(Kind::Double).double_value(&[]);
        }
        assert_close(label, &[squares.sqrt()], &numbers(&driven["grad_norm_total"]));
        let inputs = reference_batch().inputs;
        let conditions = RunConditions::driven(Some(&drive));
        let last = network.run(&inputs, conditions, &mut ShapeStats::counting(), &mut |_| Ok(()));
        assert_close(label, &doubles(&last.unwrap().h), &numbers(&driven["h_final"]));
    }
}

#[test]
fn five_updates_of_adam_have_the_losses_of_the_reference() {
    let cases = oracles()["networks"]["cases"].clone();
    for (label, kind) in CASES {
        let network = reference(kind, &cases[label]);
        let optimizer = config::Optimizer { lr: 0.01, ..config::Optimizer::default() };
        let mut adam = Optimizer::new(&optimizer, &network.parameters()).unwrap();
        let mut losses = Vec::new();
        for update in 0..6 {
            let batch = reference_batch();
            let mut stats = ShapeStats::counting();
            let done = step::update(
                &network,
                &mut adam,
                StepInput { batch: &batch, from: None },
                &UpdateRecipe::default(),
                &mut stats,
            );
            let done = done.unwrap();
            losses.push(done.score.loss);
            if update == 0 {
                let norm = numbers(&cases[label]["grad_norm_total"]);
                assert_close(label, &[done.grad_norm.unwrap()], &norm);
            }
        }
        assert_close(label, &losses, &numbers(&cases[label]["adam_losses"]));
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for kind in KINDS {
        for (readout, embedding) in
            [(Readout::Last, None), (Readout::Every, None), (Readout::Every, Some(4))]
        {
            check_gradients(kind, readout, embedding);
        }
    }
}

fn check_gradients(kind: NetworkKind, readout: Readout, embedding: Option<u32>) {
    // Central differences with step 1e-6 have an error of about 1e-10.
    const STEP: f64 = 1e-6;
    one_thread();
    let config = Config { kind, hidden: 4, controller: 3, ..Config::default() };
    let interface = Interface {
        inputs: 2,
        classes: 3,
        readout,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding,
    };
    let mut rng = TrialRng::new(5, Purpose::Init);
    let network = Network::new(&config, interface, Kind::Double, &mut rng).unwrap();
    assert_eq!(network.parameter("embedding").is_some(), embedding.is_some());
    let inputs = match embedding {
        // Every symbol appears, some more than once.
        Some(symbols) => (0..5 * 2).map(|place| f64::from(place % symbols)).collect(),
        None => (0..5 * 2 * 2).map(|_| rng.normal()).collect::<Vec<f64>>(),
    };
    let rows = if readout == Readout::Last { 2 } else { 10 };
    let batch = Batch {
        inputs: Tensor::from_slice(&inputs).view([5, 2, -1]),
        drive: None,
        targets: Tensor::from_slice(&(0..rows).map(|row| row % 3).collect::<Vec<i64>>()),
        scored: rows,
        samples: 2,
        weight: 2,
        conditions: None,
        from_rest: true,
    };
    let exact = gradients(&network, &loss(&network, &batch, None).1);
    let trained = network.parameters().into_iter().filter(|parameter| parameter.trained);
    for (parameter, gradient) in trained.zip(&exact) {
        let flat = parameter.tensor.detach().view(-1);
        for (place, slope) in (0..).zip(doubles(gradient)) {
            let moved = |by: f64| {
                let _ = flat.get(place).g_add_scalar_(by);
                doubles(&loss(&network, &batch, None).1)[0]
            };
            let difference = moved(STEP) - moved(-2.0 * STEP);
            moved(STEP);
            let off = (difference / (2.0 * STEP) - slope).abs();
            assert!(off <= 1e-8, "{kind:?} {} [{place}]: {off}", parameter.name);
        }
    }
}

/// Gradient of the loss after the last of 5 steps with respect to the input of one of them, from a
/// state that is not rest: it passes through every step, neuron by neuron.
#[test]
fn gradients_of_every_step_agree_with_finite_differences() {
    const STEP: f64 = 1e-6;
    one_thread();
    for kind in KINDS {
        let config = Config { kind, hidden: 4, controller: 3, ..Config::default() };
        let mut rng = TrialRng::new(6, Purpose::Init);
        let network = Network::new(&config, interface(2, 3), Kind::Double, &mut rng).unwrap();
        let mut draw = |size: &[i64]| {
            let count = size.iter().product();
            let values: Vec<f64> = (0..count).map(|_| rng.normal()).collect();
            Tensor::from_slice(&values).view(size).set_requires_grad(true)
        };
        let rest = network.rest(2).unwrap();
        let mut leaves = vec![draw(&[5, 2, 2]), draw(&[5, 2, 4]), draw(&[2, 4])];
        leaves.extend(rest.inner.map(|inner| draw(&inner.size())));
        let loss = |leaves: &[Tensor]| {
            let from = LayerState {
                h: leaves[2].shallow_clone(),
                inner: leaves.get(3).map(Tensor::shallow_clone),
            };
            let conditions =
                RunConditions { drive: Some(&leaves[1]), shape_override: None, from: Some(from) };
            let logits =
                network.logits(&leaves[0], conditions, &mut ShapeStats::counting()).unwrap();
            logits.square().mean(Kind::Double)
        };
        let exact = Tensor::run_backward(&[loss(&leaves)], &leaves, false, false);
        for (which, gradient) in exact.iter().enumerate() {
            for (place, slope) in (0..).zip(doubles(gradient)) {
                let flat = leaves[which].detach().view(-1);
                let moved = |by: f64| {
                    let _ = flat.get(place).g_add_scalar_(by);
                    doubles(&loss(&leaves))[0]
                };
                let difference = moved(STEP) - moved(-2.0 * STEP);
                moved(STEP);
                let off = (difference / (2.0 * STEP) - slope).abs();
                assert!(off <= 1e-8, "{kind:?} leaf {which} [{place}]: {slope}, off by {off}");
            }
        }
    }
}

#[test]
fn slopes_are_the_derivatives_of_a_step() {
    one_thread();
    for kind in KINDS {
        let config = Config { kind, hidden: 4, controller: 3, ..Config::default() };
        let mut rng = TrialRng::new(8, Purpose::Init);
        let network = Network::new(&config, interface(1, 2), Kind::Double, &mut rng).unwrap();
        let mut stats = ShapeStats::counting();
        let cell = network.cell(None, &mut stats).unwrap();
        let values: Vec<f64> = (0..8).map(|_| rng.normal()).collect();
        let external = Tensor::from_slice(&values).view([2, 4]).set_requires_grad(true);
        if matches!(kind, NetworkKind::Lstm | NetworkKind::Gru) {
            continue;
        }
        let step = cell.step(&external, &network.rest(2).unwrap(), &mut stats).unwrap();
        let slopes = network.slopes(&step).unwrap().unwrap();
        if kind == NetworkKind::Adaptive {
            let GainSaturation { n: gain, s: saturation } = step.shape.unwrap();
            let leaves = [step.a.unwrap(), gain, saturation]
                .map(|tensor| tensor.detach().set_requires_grad(true));
            let [x, gain, saturation] = &leaves;
            let curve = GammaCurve::new(gain, saturation, true).unwrap();
            let emitted = curve.apply(x).unwrap().sum(Kind::Double);
            let exact = Tensor::run_backward(&[emitted], &leaves, false, false);
            let GainSaturation { n: by_n, s: by_s } = slopes.shape.unwrap();
            for (found, exact) in [&slopes.x, &by_n, &by_s].into_iter().zip(&exact) {
                assert_close("adaptive", &doubles(found), &doubles(exact));
            }
        } else {
            let h = step.state.h.sum(Kind::Double);
            let exact = Tensor::run_backward(&[h], &[&external], false, false);
            assert_close(kind.name(), &doubles(&slopes.x), &doubles(&exact[0]));
        }
    }
}

#[test]
fn a_held_shape_replaces_that_of_the_controller() {
    one_thread();
    let config = |kind| Config { kind, hidden: 3, controller: 2, ..Config::default() };
    let mut rng = TrialRng::new(1, Purpose::Init);
    let network =
        Network::new(&config(NetworkKind::Adaptive), interface(1, 2), Kind::Double, &mut rng)
            .unwrap();
    let shape_override = ShapeOverride {
        n: Tensor::from_slice(&[2.0, 3.0, 4.0]),
        s: Tensor::from_slice(&[0.1, 0.2, 0.3]),
    };
    let mut rng = TrialRng::new(2, Purpose::Init);
    let fixed =
        Network::new(&config(NetworkKind::Heterogeneous), interface(1, 2), Kind::Double, &mut rng)
            .unwrap();
    let mut changes: Vec<(&str, Tensor)> = Vec::new();
    for name in ["w_xh", "b_xh", "w_hh", "b_hh", "w_out", "b_out"] {
        changes.push((name, network.parameter(name).unwrap().detach()));
    }
    changes.push(("n", shape_override.n.shallow_clone()));
    changes.push(("s", shape_override.s.shallow_clone()));
    let fixed = fixed.with(&changes).unwrap();
    let inputs = reference_batch().inputs;
    let conditions =
        RunConditions { shape_override: Some(&shape_override), ..RunConditions::default() };
    let frozen = network.logits(&inputs, conditions, &mut ShapeStats::counting()).unwrap();
    let expected =
        fixed.logits(&inputs, RunConditions::default(), &mut ShapeStats::counting()).unwrap();
    assert_eq!(doubles(&frozen), doubles(&expected));
}

#[test]
fn quantities_that_do_not_adapt_are_constant() {
    for (adapts, still, moving) in
        [(AdaptedQuantity::Gain, "w_gs", "w_gn"), (AdaptedQuantity::Saturation, "w_gn", "w_gs")]
    {
        let config =
            |adapts| Config { kind: NetworkKind::Adaptive, adapts, hidden: 3, ..Config::default() };
        let (network, both) =
            (initial(&config(adapts), 1), initial(&config(AdaptedQuantity::Both), 1));
        assert!(parameter(&network, still).iter().all(|weight| *weight == 0.0));
        assert_eq!(parameter(&network, moving), parameter(&both, moving));
        assert_eq!(parameter(&network, "w_out"), parameter(&both, "w_out"));
        assert_eq!(network.trained_count() + 50, both.trained_count());
    }
}

pub(crate) fn interface(inputs: u32, classes: u32) -> Interface {
    Interface {
        inputs,
        classes,
        readout: Readout::Last,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding: None,
    }
}
