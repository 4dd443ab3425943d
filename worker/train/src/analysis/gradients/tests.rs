//! Gradients of the reference networks.

use rheo_model::config;

use super::*;
use crate::analysis::reference::{assert_close, drawn, inputs, network, numbers, oracles};
use crate::network::ParameterGroup;
use crate::tensor::length;

fn batch() -> TestSequences {
    TestSequences { inputs: inputs(4, 2), targets: Tensor::from_slice(&[0i64, 1]) }
}

const CASES: [&str; 7] = ["tanh", "modrelu", "gamma_hom", "gamma_het", "adaptive", "lstm", "gru"];

#[test]
fn gradients_by_states_have_the_reference_values() {
    for label in CASES {
        let found = state_gradients(&network(label), &batch(), Readout::Last).unwrap();
        let stacked = Tensor::stack(&found[0], 1);
        let expected = &oracles()["networks"]["cases"][label]["grad_h_norm_per_sample"];
        assert_close(label, &to_doubles(&stacked).unwrap(), &numbers(expected));
        assert_eq!(found[1].len(), if label == "adaptive" { 4 } else { 0 }, "{label}");
    }
}

#[test]
fn gradients_by_controllers_agree_with_finite_differences() {
    let network = network("adaptive");
    let batch = batch();
    let found = &state_gradients(&network, &batch, Readout::Last).unwrap()[1];
    // The loss as a function of g after the third step; g sets gain and saturation of that step and
    // enters the fourth.
    let run = |steps: [i64; 2], from| {
        let conditions = RunConditions { from, ..RunConditions::default() };
        let inputs = batch.inputs.narrow(0, steps[0], steps[1]);
        let mut a = None;
        let visit = &mut |step: &crate::network::LayerStep| {
            a = step.a.as_ref().map(Tensor::detach);
            Ok(())
        };
        let last = network.run(&inputs, conditions, &mut ShapeStats::counting(), visit).unwrap();
        (last, a.unwrap())
    };
    let (third, received) = run([0, 3], None);
    let g = third.inner.as_ref().unwrap().detach();
    let set = |g: &Tensor, name: [&str; 2]| {
        let [w, b] = name.map(|name| network.parameter(name).unwrap().detach());
        g.matmul(&w.transpose(0, 1)).view([2, 3]) + b
    };
    let loss = |g: Tensor| {
        let (n, s) = (set(&g, ["w_gn", "b_gn"]), set(&g, ["w_gs", "b_gs"]));
        let h = crate::gamma::GammaCurve::new(&n, &s, false).unwrap().apply(&received).unwrap();
        let from = Some(crate::network::LayerState { h, inner: Some(g) });
        let logits = network.readout(&run([3, 1], from).0.h).unwrap();
        cross_entropy(&logits, &batch.targets).unwrap().double_value(&[])
    };
    let mut squares = [0.0; 2];
    for (place, square) in (0i64..12).zip([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]) {
        let moved = |by: f64| {
            let moved = g.copy();
            let _ = moved.view(-1).get(place).g_add_scalar_(by);
            loss(moved)
        };
        squares[square] += ((moved(1e-6) - moved(-1e-6)) / 2e-6).powi(2);
    }
    let expected = squares.map(|square: f64| 2.0 * square.sqrt());
    for (found, expected) in to_doubles(&found[2]).unwrap().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-8, "{found}, not {expected}");
    }
}

#[test]
fn gradients_by_recurrent_weights_have_the_reference_values() {
    for label in &CASES[..5] {
        let network = network(label);
        let norm = |steps| {
            let found = weight_gradients(&network, &batch(), Readout::Last, steps).unwrap();
            found.norm().double_value(&[])
        };
        let found: Vec<f64> = (1..=4).map(norm).collect();
        let expected = &oracles()["networks"]["cases"][label]["grad_norm_w_hh_by_length"];
        assert_close(label, &found, &numbers(expected));
    }
}

#[test]
fn the_recurrent_weights_of_gates_count_together() {
    let oracles = oracles();
    let found = weight_gradients(&network("gru"), &batch(), Readout::Last, 4).unwrap();
    let norms = &oracles["networks"]["cases"]["gru"]["grad_norm"];
    let squares = ["w_hr", "w_hz", "w_hn"].map(|name| norms[name].as_f64().unwrap().powi(2));
    let expected = squares.iter().sum::<f64>().sqrt();
    assert_close("gru", &[found.norm().double_value(&[])], &[expected]);
    // In an LSTM, the columns that multiply the state: all but the last of four.
    let found = weight_gradients(&network("lstm"), &batch(), Readout::Last, 4).unwrap();
    let gradients = &oracles["networks"]["cases"]["lstm"]["grad"];
    let mut expected = Vec::new();
    for name in ["w_f", "w_i", "w_o", "w_g"] {
        for row in gradients[name].as_array().unwrap() {
            expected.extend(&numbers(row)[..3]);
        }
    }
    assert_close("lstm", &to_doubles(&found).unwrap(), &expected);
}

#[test]
fn every_kind_has_weights_from_state_to_state_and_biases() {
    for kind in NetworkKind::ALL {
        let config = config::Network { kind, hidden: 6, controller: 2, ..Default::default() };
        let network = drawn(&config, 1);
        let recurrent = network.recurrent();
        let sizes: Vec<Vec<i64>> = recurrent.iter().map(|matrix| matrix.tensor.size()).collect();
        assert!(!sizes.is_empty() && sizes.iter().all(|size| size[0] == 6 && size[1] >= 6));
        let gradient = weight_gradients(&network, &batch(), Readout::Last, 4).unwrap();
        assert_eq!(gradient.size(), [36 * length(sizes.len()).unwrap()], "{kind:?}");
        assert!(gradient.norm().double_value(&[]) > 0.0, "{kind:?}");
        // Every vector of the layer except the offsets of `modrelu`.
        let vectors = network.parameters().into_iter().filter(|parameter| {
            parameter.group == ParameterGroup::Recurrent && parameter.tensor.dim() == 1
        });
        let vectors = vectors.map(|parameter| parameter.name).filter(|name| *name != "b_mod");
        assert_eq!(vectors.collect::<Vec<_>>(), network.biases(), "{kind:?}");
    }
}

#[test]
fn a_loss_at_every_step_is_cut_with_the_sequence() {
    let network = network("gamma_het");
    // Targets of the steps: 0 1, 1 1, 1 0, 0 1; steps after the cut do not matter.
    let targets = Tensor::from_slice(&[0i64, 1, 1, 1, 1, 0, 0, 1]);
    let every = TestSequences { targets, ..batch() };
    let found = weight_gradients(&network, &every, Readout::Every, 3).unwrap();
    let last = TestSequences { targets: Tensor::from_slice(&[1i64, 0]), ..batch() };
    let expected = weight_gradients(&network, &last, Readout::Last, 3).unwrap();
    assert_eq!(to_doubles(&found).unwrap(), to_doubles(&expected).unwrap());
}

#[test]
fn lengths_are_those_of_the_grid_that_the_sequence_has() {
    assert_eq!(lengths(None, 784), LENGTHS);
    assert_eq!(lengths(None, 64), [1, 10, 25, 50, 64]);
    assert_eq!(lengths(Some(&[9, 3, 3, 70]), 64), [3, 9]);
}
