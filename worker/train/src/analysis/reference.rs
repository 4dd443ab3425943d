//! Networks of the reference values, for tests of analyses.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{InputInit, Network as Config, NetworkKind};
use serde_json::Value;
use tch::{Kind, Tensor, no_grad};

use crate::network::{Interface, Network, Readout, ReadoutInit};

/// Returns the reference values.
pub(super) fn oracles() -> Value {
    serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap()
}

/// Returns all numbers in a value, row by row.
pub(super) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// Returns a network with classes and drawn weights, in double precision.
pub(super) fn drawn(config: &Config, seed: u64) -> Network {
    // More threads busy-wait, which starves other tests.
    let _ = tch::get_num_threads();
    tch::set_num_threads(1);
    let interface = Interface {
        inputs: 1,
        classes: 2,
        readout: Readout::Last,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding: None,
    };
    let mut rng = TrialRng::new(seed, Purpose::Init);
    Network::new(config, interface, Kind::Double, &mut rng).unwrap()
}

/// Returns the network of case `label`: three neurons, two controller units, weights by the filling
/// rule.
pub(super) fn network(label: &str) -> Network {
    let kind = match label {
        "tanh" => NetworkKind::Tanh,
        "modrelu" => NetworkKind::Modrelu,
        "gamma_hom" => NetworkKind::Homogeneous,
        "gamma_het" => NetworkKind::Heterogeneous,
        "adaptive" => NetworkKind::Adaptive,
        "lstm" => NetworkKind::Lstm,
        "gru" => NetworkKind::Gru,
        other => panic!("no case `{other}`"),
    };
    let case = &oracles()["networks"]["cases"][label];
    let config = Config { kind, hidden: 3, controller: 2, n0: Some(3.0), ..Config::default() };
    let network = drawn(&config, 0);
    let order = case["parameter_order"].as_array().unwrap();
    assert_eq!(order.len(), network.parameters().len());
    for (p, (entry, parameter)) in order.iter().zip(network.parameters()).enumerate() {
        assert_eq!(entry[0].as_str(), Some(parameter.name));
        let values = match case["set"].get(parameter.name) {
            Some(given) => numbers(given),
            None => (0..parameter.tensor.numel())
                .map(|place| ((1 + 10 * p + place) as f64).powi(2).sin() / 2.0)
                .collect(),
        };
        let values = Tensor::from_slice(&values).view_as(parameter.tensor);
        no_grad(|| parameter.tensor.shallow_clone().copy_(&values));
    }
    network
}

/// Returns x[b][t] = cos(b + 2 t) as [T, B, 1].
pub(super) fn inputs(steps: u32, batch: u32) -> Tensor {
    let values: Vec<f64> =
        (0..steps).flat_map(|t| (0..batch).map(move |b| f64::from(b + 2 * t).cos())).collect();
    Tensor::from_slice(&values).view([i64::from(steps), i64::from(batch), 1])
}

/// Compares with relative tolerance 1e-9 and absolute tolerance 1e-12, the precision of the
/// reference values.
#[track_caller]
pub(super) fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-9 * b.abs() + 1e-12, "{what}[{place}]: {a}, not {b}");
    }
}
