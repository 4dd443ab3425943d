//! Gradients of the reference networks.

use super::*;
use crate::analysis::reference::{assert_close, inputs, network, numbers, oracles};

fn batch() -> Batch {
    let targets = Tensor::from_slice(&[0i64, 1]);
    Batch { inputs: inputs(4, 2), targets, scored: 2, samples: 2 }
}

const CASES: [&str; 7] = ["tanh", "modrelu", "gamma_hom", "gamma_het", "adaptive", "lstm", "gru"];

#[test]
fn gradients_by_states_have_the_reference_values() {
    for label in CASES {
        let found = by_states(&network(label), &batch(), Readout::Last).unwrap();
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
    let found = &by_states(&network, &batch, Readout::Last).unwrap()[1];
    // The loss as a function of g after the third step: only the fourth is left.
    let inputs = batch.inputs.narrow(0, 3, 1);
    let run = |inputs: &Tensor, from| {
        let conditions = Conditions { from, ..Conditions::default() };
        network.run(inputs, conditions, &mut Gauge::counting(), &mut |_| Ok(())).unwrap()
    };
    let third = run(&batch.inputs.narrow(0, 0, 3), None);
    let g = third.inner.as_ref().unwrap().detach();
    let loss = |g: Tensor| {
        let from = Some(crate::network::State { h: third.h.shallow_clone(), inner: Some(g) });
        let logits = network.readout(&run(&inputs, from).h).unwrap();
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
            let found = by_weights(&network, &batch(), Readout::Last, steps).unwrap();
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
    for (label, names) in [("gru", ["w_hr", "w_hz", "w_hn"].as_slice())] {
        let found = by_weights(&network(label), &batch(), Readout::Last, 4).unwrap();
        let norms = &oracles["networks"]["cases"][label]["grad_norm"];
        let squares = names.iter().map(|name| norms[name].as_f64().unwrap().powi(2));
        let expected = squares.sum::<f64>().sqrt();
        assert_close(label, &[found.norm().double_value(&[])], &[expected]);
    }
    // Of an LSTM, the columns that see the state: all but the last of four.
    let found = by_weights(&network("lstm"), &batch(), Readout::Last, 4).unwrap();
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
fn a_loss_at_every_step_is_cut_where_the_sequence_is() {
    let network = network("gamma_het");
    // Targets of the steps: 0 1, 1 1, 1 0, 0 1; what comes after the cut does not matter.
    let targets = Tensor::from_slice(&[0i64, 1, 1, 1, 1, 0, 0, 1]);
    let every = Batch { targets, ..batch() };
    let found = by_weights(&network, &every, Readout::Every, 3).unwrap();
    let last = Batch { targets: Tensor::from_slice(&[1i64, 0]), ..batch() };
    let expected = by_weights(&network, &last, Readout::Last, 3).unwrap();
    assert_eq!(to_doubles(&found).unwrap(), to_doubles(&expected).unwrap());
}

#[test]
fn lengths_are_those_of_the_grid_that_the_sequence_has() {
    assert_eq!(lengths(None, 784), LENGTHS);
    assert_eq!(lengths(None, 64), [1, 10, 25, 50, 64]);
    assert_eq!(lengths(Some(&[9, 3, 3, 70]), 64), [3, 9]);
}
