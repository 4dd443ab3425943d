//! Initial values of every parameter of every kind of network, against their distributions (science
//! reference, section 3).

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{
    BiasInit, InputInit, Network as Config, NetworkKind, Task, TaskKind, TrialConfig,
};
use rheo_train::network::{Interface, Network, Readout, ReadoutInit};
use tch::Kind;

use crate::data::load;
use crate::support::{doubles, one_thread, tiny, tiny_copy};

/// Returns a network of ten classes and one input.
pub(crate) fn initial(config: &Config, seed: u64) -> Network {
    let interface = Interface {
        inputs: 1,
        classes: 10,
        readout: Readout::Last,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding: None,
    };
    let mut rng = TrialRng::new(seed, Purpose::Init);
    Network::new(config, interface, Kind::Float, &mut rng).unwrap()
}

pub(crate) fn parameter(network: &Network, name: &str) -> Vec<f64> {
    let parameters = network.parameters();
    doubles(parameters.iter().find(|parameter| parameter.name == name).unwrap().tensor)
}

#[test]
fn static_networks_of_a_seed_start_with_the_same_weights() {
    let config = |kind, n0| Config { kind, hidden: 6, n0, ..Config::default() };
    let networks = [
        initial(&config(NetworkKind::Homogeneous, None), 3),
        initial(&config(NetworkKind::Heterogeneous, Some(2.5)), 3),
        initial(&config(NetworkKind::Relu, None), 3),
    ];
    for name in ["w_xh", "b_xh", "w_hh", "b_hh", "w_out", "b_out"] {
        let first = parameter(&networks[0], name);
        assert!(networks.iter().all(|network| parameter(network, name) == first), "{name}");
    }
    let n0 = networks[0].n0().unwrap();
    assert!((5.0..7.0).contains(&n0));
    assert_eq!(networks[1].n0(), Some(2.5));
    assert_eq!(parameter(&networks[1], "n"), [2.5; 6]);
    assert_eq!(networks[2].n0(), None);
    assert_ne!(
        parameter(&initial(&config(NetworkKind::Relu, None), 4), "w_hh"),
        parameter(&networks[2], "w_hh")
    );
}

#[test]
fn biases_start_as_configured() {
    let config = |kind, bias_init| Config { kind, bias_init, hidden: 9, ..Config::default() };
    let paper = initial(&config(NetworkKind::Relu, BiasInit::Paper), 1);
    assert!(parameter(&paper, "b_xh").iter().all(|bias| *bias != 0.0 && bias.abs() <= 1.0));
    assert!(parameter(&paper, "b_hh").iter().all(|bias| *bias != 0.0 && bias.abs() <= 1.0 / 3.0));
    for network in [
        initial(&config(NetworkKind::Relu, BiasInit::Zero), 1),
        initial(&config(NetworkKind::Adaptive, BiasInit::Paper), 1),
    ] {
        assert_eq!(parameter(&network, "b_xh"), [0.0; 9]);
        assert_eq!(parameter(&network, "b_hh"), [0.0; 9]);
        assert!(parameter(&network, "b_out").iter().any(|bias| *bias != 0.0));
    }
}

/// Distribution of a parameter's elements.
#[derive(Debug, Clone, Copy)]
enum Distribution {
    /// Mean and variance.
    Normal(f64, f64),
    /// Within plus and minus this bound.
    Uniform(f64),
    /// Constant; nothing is drawn.
    Constant(f64),
}

/// Fails unless mean and variance of `values` lie within five standard errors of those of `law`.
#[track_caller]
fn assert_law(what: &str, values: &[f64], law: Distribution) {
    let count = values.len() as f64;
    // The fourth central moment is 3 variances squared for a normal distribution and 9/5 for a
    // uniform one.
    let (mean, variance, excess) = match law {
        Distribution::Constant(value) => {
            assert!(values.iter().all(|found| *found == value), "{what}: not all {value}");
            return;
        }
        Distribution::Normal(mean, variance) => (mean, variance, 2.0),
        Distribution::Uniform(bound) => {
            assert!(values.iter().all(|value| value.abs() <= bound), "{what}: beyond {bound}");
            (0.0, bound * bound / 3.0, 0.8)
        }
    };
    let found = values.iter().sum::<f64>() / count;
    let off = (found - mean).abs();
    assert!(off < 5.0 * (variance / count).sqrt(), "{what}: mean {found}, not {mean}");
    let found = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let slack = 5.0 * variance * (excess / count).sqrt();
    assert!((found - variance).abs() < slack, "{what}: variance {found}, not {variance}");
}

const HIDDEN: u32 = 300;
const UNITS: u32 = 400;
const INPUTS: u32 = 7;
const CLASSES: u32 = 11;
const SYMBOLS: u32 = 50;

fn drawn(config: &Config, interface: Interface) -> Network {
    one_thread();
    let mut rng = TrialRng::new(11, Purpose::Init);
    Network::new(config, interface, Kind::Double, &mut rng).unwrap()
}

fn usual() -> Interface {
    Interface {
        inputs: INPUTS,
        classes: CLASSES,
        readout: Readout::Last,
        readout_init: ReadoutInit::Uniform,
        input_init: InputInit::Kaiming,
        embedding: None,
    }
}

/// Returns the uniform distribution with bound 1 / sqrt(`fan_in`).
fn bound(fan_in: u32) -> Distribution {
    Distribution::Uniform(1.0 / f64::from(fan_in).sqrt())
}

/// Returns the normal distribution about 0 with variance `over` / `under`.
fn normal(over: f64, under: u32) -> Distribution {
    Distribution::Normal(0.0, over / f64::from(under))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn parameters_start_as_their_kind_has_it() {
    let gain = |gain: f64| normal(gain * gain * 2.0, 1 + UNITS);
    let cases: [(NetworkKind, &[(&str, Distribution)]); 5] = [
        (
            NetworkKind::Relu,
            &[
                ("w_xh", normal(2.0, INPUTS)),
                ("b_xh", bound(INPUTS)),
                ("b_hh", bound(HIDDEN)),
                ("w_out", bound(HIDDEN)),
                ("b_out", bound(HIDDEN)),
            ],
        ),
        (NetworkKind::Modrelu, &[("b_mod", Distribution::Uniform(0.01))]),
        (
            NetworkKind::Adaptive,
            &[
                ("w_xh", normal(2.0, INPUTS)),
                ("b_xh", Distribution::Constant(0.0)),
                ("b_hh", Distribution::Constant(0.0)),
                ("u_ag", normal(2.0, 1)),
                ("b_ag", Distribution::Constant(0.0)),
                ("b_gg", Distribution::Constant(0.0)),
                ("w_gn", gain(0.1)),
                ("b_gn", Distribution::Constant(6.5)),
                ("w_gs", gain(0.01)),
                ("b_gs", Distribution::Constant(0.25)),
            ],
        ),
        (
            NetworkKind::Lstm,
            &[
                ("w_f", normal(2.0, HIDDEN + HIDDEN + INPUTS)),
                ("w_i", normal(2.0, HIDDEN + HIDDEN + INPUTS)),
                ("w_o", normal(2.0, HIDDEN + HIDDEN + INPUTS)),
                ("w_g", normal(2.0, HIDDEN + HIDDEN + INPUTS)),
                ("b_f", bound(HIDDEN + INPUTS)),
                ("b_i", bound(HIDDEN + INPUTS)),
                ("b_o", bound(HIDDEN + INPUTS)),
                ("b_g", bound(HIDDEN + INPUTS)),
            ],
        ),
        (
            NetworkKind::Gru,
            &[
                ("w_ir", bound(INPUTS)),
                ("b_ir", bound(INPUTS)),
                ("w_hr", bound(HIDDEN)),
                ("b_hr", bound(HIDDEN)),
                ("w_iz", bound(INPUTS)),
                ("b_iz", bound(INPUTS)),
                ("w_hz", bound(HIDDEN)),
                ("b_hz", bound(HIDDEN)),
                ("w_in", bound(INPUTS)),
                ("b_in", bound(INPUTS)),
                ("w_hn", bound(HIDDEN)),
                ("b_hn", bound(HIDDEN)),
            ],
        ),
    ];
    for (kind, laws) in cases {
        let config = Config {
            kind,
            hidden: HIDDEN,
            controller: UNITS,
            n0: Some(6.5),
            s0: 0.25,
            ..Config::default()
        };
        let network = drawn(&config, usual());
        for (name, law) in laws {
            assert_law(&format!("{kind:?} {name}"), &parameter(&network, name), *law);
        }
    }
}

#[test]
fn input_matrices_start_as_configured_or_as_the_task_specifies() {
    use InputInit::{Kaiming, Normal, Xavier};
    let kaiming = |inputs: u32| normal(2.0, inputs);
    let xavier = |inputs: u32, rows: u32| normal(2.0, inputs + rows);
    // Configured initialization, that of the task, expected w_xh [H, I] and u_ag [S, 1]: the task
    // `copy` asks for Xavier, which does not apply to the controller.
    let cases = [
        (None, Kaiming, kaiming(INPUTS), kaiming(1)),
        (None, Xavier, xavier(INPUTS, HIDDEN), kaiming(1)),
        (Some(Kaiming), Xavier, kaiming(INPUTS), kaiming(1)),
        (Some(Xavier), Kaiming, xavier(INPUTS, HIDDEN), xavier(1, UNITS)),
        (Some(Normal), Xavier, normal(1.0, HIDDEN), normal(1.0, HIDDEN)),
    ];
    for (input_init, of_task, w_xh, u_ag) in cases {
        let config = Config {
            kind: NetworkKind::Adaptive,
            hidden: HIDDEN,
            controller: UNITS,
            input_init,
            ..Config::default()
        };
        let network = drawn(&config, Interface { input_init: of_task, ..usual() });
        let what = format!("{input_init:?} in a task with {of_task:?}");
        assert_law(&format!("w_xh, {what}"), &parameter(&network, "w_xh"), w_xh);
        assert_law(&format!("u_ag, {what}"), &parameter(&network, "u_ag"), u_ag);
    }
}

#[test]
fn the_task_specifies_the_initialization() {
    let of = |config: &TrialConfig| {
        let interface = load(config).interface();
        assert_eq!(config.input_init(), interface.input_init);
        (interface.input_init, interface.readout_init)
    };
    let kind = NetworkKind::Relu;
    assert_eq!(of(&tiny(kind)), (InputInit::Kaiming, ReadoutInit::Uniform));
    assert_eq!(of(&tiny_copy(kind)), (InputInit::Xavier, ReadoutInit::Xavier));
    let mut text = tiny(kind);
    text.task = Task { kind: TaskKind::CharLm, length: 1000, ..Task::default() };
    assert_eq!(of(&text), (InputInit::Kaiming, ReadoutInit::Language));
}

#[test]
fn readout_and_embedding_start_as_the_task_specifies() {
    let cases = [
        (ReadoutInit::Uniform, bound(HIDDEN), bound(HIDDEN)),
        (ReadoutInit::Xavier, normal(2.0, CLASSES + HIDDEN), bound(HIDDEN)),
        (ReadoutInit::Language, Distribution::Uniform(0.1), Distribution::Constant(0.0)),
    ];
    for (readout_init, w_out, b_out) in cases {
        let interface = Interface { readout_init, embedding: Some(SYMBOLS), ..usual() };
        let config = Config { kind: NetworkKind::Tanh, hidden: HIDDEN, ..Config::default() };
        let network = drawn(&config, interface);
        for (name, law) in
            [("w_out", w_out), ("b_out", b_out), ("embedding", Distribution::Uniform(0.1))]
        {
            assert_law(&format!("{readout_init:?} {name}"), &parameter(&network, name), law);
        }
    }
}

#[test]
fn gains_and_saturations_spread_about_their_start() {
    let cases = [
        (0.0, 0.0, Distribution::Constant(4.0), Distribution::Constant(0.5)),
        (1.5, 0.0, Distribution::Normal(4.0, 2.25), Distribution::Constant(0.5)),
        (0.0, 0.2, Distribution::Constant(4.0), Distribution::Normal(0.5, 0.04)),
        (1.5, 0.2, Distribution::Normal(4.0, 2.25), Distribution::Normal(0.5, 0.04)),
    ];
    for (n0_spread, s0_spread, n, s) in cases {
        let config = Config {
            kind: NetworkKind::Heterogeneous,
            hidden: HIDDEN,
            n0: Some(4.0),
            n0_spread,
            s0: 0.5,
            s0_spread,
            ..Config::default()
        };
        let network = drawn(&config, usual());
        let what = format!("spread {n0_spread} and {s0_spread}");
        assert_law(&format!("n, {what}"), &parameter(&network, "n"), n);
        assert_law(&format!("s, {what}"), &parameter(&network, "s"), s);
    }
}

#[test]
fn an_unset_gain_is_drawn_uniformly_between_five_and_seven() {
    let config = Config { kind: NetworkKind::Homogeneous, hidden: 1, ..Config::default() };
    let drawn = |seed| initial(&config, seed).n0().unwrap() - 6.0;
    let values: Vec<f64> = (0..400).map(drawn).collect();
    assert_law("n0 - 6", &values, Distribution::Uniform(1.0));
}
