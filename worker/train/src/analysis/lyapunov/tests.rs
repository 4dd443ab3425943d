//! Exponents of the reference networks, Jacobians against their explicit matrices, and systems with
//! known exponents.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{self, NetworkKind, RecurrentInit};
use tch::{Device, Kind};

use super::*;
use crate::analysis::reference::{assert_close, drawn, inputs, network, numbers, oracles};
use crate::tensor::to_doubles;

/// Returns the identity as columns of one system of `size` variables.
fn identity(size: i64) -> Tensor {
    Tensor::eye(size, (Kind::Double, Device::Cpu)).unsqueeze(0)
}

/// Returns all exponents over `steps` steps, without discarding any.
fn exponents(mut orbit: Orbit<'_>, size: i64, steps: u32) -> Vec<f64> {
    let mut spectrum = LyapunovSpectrum::new(identity(size)).unwrap();
    for _ in 0..steps {
        spectrum.count(&mut orbit).unwrap();
    }
    spectrum.exponents().unwrap().remove(0).nats
}

/// Returns zero input for one network.
fn silence() -> ExternalInput {
    ExternalInput::constant(inputs(1, 1).zeros_like(), None)
}

fn sequence(steps: u32) -> ExternalInput {
    ExternalInput::sequence(inputs(steps, 1), None)
}

/// Starts `network` from rest and follows all its variables.
fn orbit(network: &Network, external_input: ExternalInput) -> Orbit<'_> {
    Orbit::new(network, None, network.rest(1).unwrap(), external_input, TangentVariables::All)
        .unwrap()
}

fn without_biases(network: &Network) -> Network {
    let zeros = Tensor::zeros([network.hidden().into()], (Kind::Double, Device::Cpu));
    network.with(&[("b_xh", zeros.shallow_clone()), ("b_hh", zeros)]).unwrap()
}

#[test]
fn exponents_have_the_reference_values() {
    for case in oracles()["lyapunov"]["cases"].as_array().unwrap() {
        let network = start(case);
        let steps = u32::try_from(case["steps"].as_u64().unwrap()).unwrap();
        let expected = numbers(&case["exponents"]);
        let size = i64::try_from(expected.len()).unwrap();
        assert_eq!(TangentVariables::All.dimension(&network).unwrap(), size);
        let is_driven = case["input"].as_str().unwrap().contains("cos");
        let external_input = if is_driven { sequence(steps) } else { silence() };
        let mut state = network.rest(1).unwrap();
        state.h = Tensor::from_slice(&numbers(&case["h0"])).unsqueeze(0);
        let orbit =
            Orbit::new(&network, None, state, external_input, TangentVariables::All).unwrap();
        let found = exponents(orbit, size, steps);
        let name = &case["name"];
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-8, "{name}: {found}, not {expected}");
        }
        let sum: f64 = found.iter().sum();
        assert!((sum - case["sum"].as_f64().unwrap()).abs() < 1e-8, "{name}: {sum}");
    }
}

/// Returns the network of a case.
fn start(case: &serde_json::Value) -> Network {
    let network = network(case["network"].as_str().unwrap());
    if case["main_bias"] == false { without_biases(&network) } else { network }
}

#[test]
fn exponents_without_input_tend_to_those_of_the_fixed_point() {
    let oracles = oracles();
    let cases = oracles["lyapunov"]["cases"].as_array().unwrap();
    let cases = cases.iter().filter(|case| case["limit"].is_array());
    let mut count = 0;
    for case in cases {
        count += 1;
        let network = start(case);
        let expected = numbers(&case["limit"]);
        let size = i64::try_from(expected.len()).unwrap();
        let mut state = network.rest(1).unwrap();
        state.h = Tensor::from_slice(&numbers(&case["h0"])).unsqueeze(0);
        for steps in [400, 4000] {
            let external_input = silence();
            let orbit =
                Orbit::new(&network, None, state.share(), external_input, TangentVariables::All)
                    .unwrap();
            // The transient and the alignment contribute equally to all steps; after 400 steps this
            // is up to 8.3 / 400.
            let bound = 10.0 / f64::from(steps);
            for (found, expected) in exponents(orbit, size, steps).iter().zip(&expected) {
                let off = (found - expected).abs();
                assert!(off < bound, "{} after {steps}: {found}, not {expected}", case["name"]);
            }
        }
    }
    assert_eq!(count, 2);
}

#[test]
fn the_joint_jacobian_is_that_of_the_reference() {
    let network = network("adaptive");
    let mut orbit = orbit(&network, sequence(4));
    for _ in 0..3 {
        orbit.advance().unwrap();
    }
    let found = orbit.push(&identity(9)).unwrap();
    let expected = numbers(&oracles()["jacobian"]["adaptive"]["joint"]);
    assert_close("joint", &to_doubles(&found).unwrap(), &expected);
}

#[test]
fn pushed_columns_agree_with_finite_differences() {
    for label in ["tanh", "modrelu", "gamma_hom", "gamma_het", "adaptive", "lstm", "gru"] {
        let network = network(label);
        let batch = 2;
        let size = TangentVariables::All.dimension(&network).unwrap();
        let external_input = ExternalInput::sequence(inputs(5, 2), None);
        let rest = network.rest(batch).unwrap();
        let mut orbit =
            Orbit::new(&network, None, rest, external_input, TangentVariables::All).unwrap();
        for _ in 0..3 {
            orbit.advance().unwrap();
        }
        let z = flat(orbit.state(), batch);
        let pushed = orbit.push(&identity(size).repeat([batch, 1, 1])).unwrap();
        for column in 0..size {
            let moved = |by: f64| {
                let z = z.copy();
                let _ = z.select(1, column).g_add_scalar_(by);
                let from = unflat(&z, &network);
                let external_input = ExternalInput::constant(inputs(5, 2).narrow(0, 3, 1), None);
                let mut orbit =
                    Orbit::new(&network, None, from, external_input, TangentVariables::All)
                        .unwrap();
                orbit.advance().unwrap();
                flat(orbit.state(), batch)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let off = (pushed.select(2, column) - expected).abs().max().double_value(&[]);
            assert!(off < 1e-8, "{label}, column {column}: {off}");
        }
    }
}

/// Returns a state as [B, D].
fn flat(state: &LayerState, batch: i64) -> Tensor {
    let mut parts = vec![state.h.detach()];
    parts.extend(state.inner.as_ref().map(|inner| inner.detach().view([batch, -1])));
    Tensor::cat(&parts, 1)
}

fn unflat(z: &Tensor, network: &Network) -> LayerState {
    let (batch, size) = z.size2().unwrap();
    let hidden = i64::from(network.hidden());
    let rest = network.rest(batch).unwrap();
    let inner = rest.inner.map(|inner| z.narrow(1, hidden, size - hidden).reshape_as(&inner));
    LayerState { h: z.narrow(1, 0, hidden), inner }
}

#[test]
fn a_scaled_rotation_has_the_logarithm_of_the_scale() {
    for scale in [0.8f64, 1.0] {
        let config = config::Network {
            kind: NetworkKind::Linear,
            hidden: 6,
            recurrent_init: RecurrentInit::Orthogonal,
            ..config::Network::default()
        };
        let network = drawn(&config, 3);
        let w = network.parameter("w_hh").unwrap().detach() * scale;
        let network = network.with(&[("w_hh", w)]).unwrap();
        for exponent in exponents(orbit(&network, sequence(50)), 6, 50) {
            assert!((exponent - scale.ln()).abs() < 1e-12, "{exponent}, not ln {scale}");
        }
    }
}

#[test]
fn a_controller_that_moves_nothing_adds_its_own_exponents() {
    let adaptive = network("adaptive");
    let nothing = Tensor::zeros([1, 2], (Kind::Double, Device::Cpu));
    let adaptive = adaptive.with(&[("w_gn", nothing.shallow_clone()), ("w_gs", nothing)]).unwrap();
    // The same neurons with the remaining gain and saturation, b_gn and b_gs.
    let neurons = network("gamma_het");
    let of = |name| adaptive.parameter(name).unwrap().detach();
    let changes = ["w_xh", "b_xh", "w_hh", "b_hh"].map(|name| (name, of(name)));
    let shape = [("n", of("b_gn").expand([3], false)), ("s", of("b_gs").expand([3], false))];
    let changes: Vec<_> = changes.into_iter().chain(shape).collect();
    let neurons = neurons.with(&changes).unwrap();
    let joint = sorted(exponents(orbit(&adaptive, silence()), 9, 3000));
    let mut parts = exponents(orbit(&neurons, silence()), 3, 3000);
    parts.extend(controllers(&adaptive, 3000));
    for (joint, part) in joint.iter().zip(sorted(parts)) {
        // Both converge as one over the number of steps.
        assert!((joint - part).abs() < 5e-3, "{joint}, not {part}");
    }
}

/// Returns the exponents of the controllers of neurons without external input.
fn controllers(network: &Network, steps: u32) -> Vec<f64> {
    struct Controllers<'a>(Orbit<'a>, Tensor);
    impl DynamicalSystem for Controllers<'_> {
        fn advance(&mut self) -> tch::Result<()> {
            self.0.advance()
        }

        fn push(&mut self, columns: &Tensor) -> tch::Result<Tensor> {
            self.0.advance()?;
            let g = self.0.state().inner.as_ref().unwrap();
            let bend = g.square().f_rsub_scalar(1.0)?.unsqueeze(2);
            let pushed = self.1.matmul(&columns.reshape([3, 2, 6])) * bend;
            Ok(pushed.reshape([1, 6, 6]))
        }
    }
    let w_gg = network.parameter("w_gg").unwrap().detach();
    let mut system = Controllers(orbit(network, silence()), w_gg);
    let mut spectrum = LyapunovSpectrum::new(identity(6)).unwrap();
    for _ in 0..steps {
        spectrum.count(&mut system).unwrap();
    }
    spectrum.exponents().unwrap().remove(0).nats
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[test]
fn rotations_in_the_linear_range_of_the_curve_neither_grow_nor_shrink() {
    // At the fixed point a = h = 10 the slope sigma(10 n) is exactly 1, and gamma(a) = a this far
    // above zero.
    for n0 in [5.0, 50.0] {
        let config = config::Network {
            kind: NetworkKind::Homogeneous,
            hidden: 12,
            n0: Some(n0),
            recurrent_init: RecurrentInit::Orthogonal,
            ..config::Network::default()
        };
        let network = drawn(&config, 4);
        let fixed = Tensor::full([12], 10.0, (Kind::Double, Device::Cpu));
        let w_hh = network.parameter("w_hh").unwrap().detach();
        let b_hh = &fixed - w_hh.mv(&fixed);
        let changes = [("b_xh", fixed.zeros_like()), ("b_hh", b_hh)];
        let network = network.with(&changes).unwrap();
        let from = || LayerState { h: fixed.unsqueeze(0), inner: None };
        let set_out =
            || Orbit::new(&network, None, from(), silence(), TangentVariables::All).unwrap();
        let mut orbit = set_out();
        for _ in 0..300 {
            orbit.advance().unwrap();
            let off = (&orbit.state().h - &fixed).abs().max().double_value(&[]);
            assert!(off < 1e-10, "n0 {n0}: {off} from the fixed point");
        }
        for exponent in exponents(set_out(), 12, 300) {
            assert!(exponent.abs() < 1e-10, "n0 {n0}: {exponent}");
        }
    }
}

#[test]
fn rectified_rotations_contract() {
    // For s = 0, n > 0 and an orthogonal w_hh every slope is below 1.
    let config = config::Network {
        kind: NetworkKind::Homogeneous,
        hidden: 8,
        n0: Some(5.0),
        ..config::Network::default()
    };
    let network = drawn(&config, 1);
    for exponent in exponents(orbit(&network, sequence(200)), 8, 200) {
        assert!(exponent < 0.0, "{exponent}");
    }
}

#[test]
fn large_random_networks_have_exponents_of_the_published_order() {
    let oracle = &oracles()["lyapunov_random"];
    for (row, n) in numbers(&oracle["n"]).into_iter().enumerate() {
        for (column, s) in numbers(&oracle["s"]).into_iter().enumerate() {
            let bits = largest_in_bits(n, s);
            let published = oracle["mean"][row][column].as_f64().unwrap();
            // The published values belong to another draw of the matrix, so only sign and order of
            // magnitude are compared; near zero even the averaged draws disagree on the sign.
            if published.abs() < 0.01 {
                assert!(bits.abs() < 0.03, "n {n}, s {s}: {bits}, published {published}");
                continue;
            }
            let ratio = bits / published;
            assert!((0.4..2.5).contains(&ratio), "n {n}, s {s}: {bits}, published {published}");
        }
    }
}

/// Returns the largest exponent in bits over 500 steps from h = .5 of 400 neurons with gain `n` and
/// saturation `s`.
fn largest_in_bits(n: f64, s: f64) -> f64 {
    let config = config::Network {
        kind: NetworkKind::Fixed,
        hidden: 400,
        n0: Some(n),
        s0: s,
        ..config::Network::default()
    };
    let network = without_biases(&drawn(&config, 7));
    let mut state = network.rest(1).unwrap();
    state.h = state.h.full_like(START);
    let external_input = silence();
    let mut orbit =
        Orbit::new(&network, None, state, external_input, TangentVariables::Neurons).unwrap();
    let mut rng = TrialRng::new(7, Purpose::Analysis);
    let mut spectrum = LyapunovSpectrum::new(random_columns(1, 400, 1, &mut rng).unwrap()).unwrap();
    for _ in 0..500 {
        spectrum.count(&mut orbit).unwrap();
    }
    spectrum.exponents().unwrap()[0].nats[0] / std::f64::consts::LN_2
}
