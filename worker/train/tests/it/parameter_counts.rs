//! Numbers of parameters: those of the paper, and networks that match the number of another kind.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{AdaptedQuantity, Network as Config, NetworkKind};
use rheo_train::network::Network;
use tch::Kind;

use crate::initial::initial;
use crate::networks::interface;
use crate::support::{KINDS, oracles};

#[test]
fn networks_have_the_parameter_counts_of_the_paper() {
    let counts = &oracles()["parameter_counts"];
    let label = |kind| match kind {
        NetworkKind::Fixed => "gamma_fixed",
        NetworkKind::Homogeneous => "gamma_hom",
        NetworkKind::Heterogeneous => "gamma_het",
        kind => kind.name(),
    };
    for kind in KINDS {
        let network = initial(&Config { kind, hidden: 400, ..Config::default() }, 1);
        assert_eq!(network.trained_count(), counts[label(kind)].as_u64().unwrap(), "{kind:?}");
    }
    for kind in [NetworkKind::Homogeneous, NetworkKind::Heterogeneous] {
        let fixed = Config { kind, learn_shape: false, hidden: 400, ..Config::default() };
        let count = initial(&fixed, 1).trained_count();
        assert_eq!(count, counts["gamma_fixed"].as_u64().unwrap(), "{kind:?}");
    }
}

#[test]
fn networks_match_the_number_of_parameters_of_another_kind() {
    let matched = |kind, other| {
        let config =
            Config { kind, hidden: 400, match_parameters_of: Some(other), ..Config::default() };
        initial(&config, 1)
    };
    // The sizes of the reference, section 3.
    assert_eq!(matched(NetworkKind::Lstm, NetworkKind::Adaptive).hidden(), 203);
    assert_eq!(matched(NetworkKind::Gru, NetworkKind::Adaptive).hidden(), 233);
    assert_eq!(matched(NetworkKind::Tanh, NetworkKind::Relu).hidden(), 400);
    // A controller alone has more parameters than this.
    let small = Config {
        kind: NetworkKind::Adaptive,
        hidden: 12,
        match_parameters_of: Some(NetworkKind::Lstm),
        ..Config::default()
    };
    let mut rng = TrialRng::new(0, Purpose::Init);
    let refused = Network::new(&small, interface(1, 10), Kind::Float, &mut rng).err().unwrap();
    assert!(refused.to_string().contains("no `adaptive` network has about"), "{refused}");
    // Parameters that are not learned are not counted.
    let still = Config { learn_shape: false, hidden: 400, ..Config::default() };
    let other = Config { match_parameters_of: Some(NetworkKind::Fixed), ..still.clone() };
    assert_eq!(initial(&other, 1).hidden(), 400);
    let gain = Config { kind: NetworkKind::Adaptive, adapts: AdaptedQuantity::Gain, ..still };
    let other = Config { match_parameters_of: Some(NetworkKind::Adaptive), ..gain };
    assert_eq!(initial(&other, 1).hidden(), 400);
    for kind in KINDS {
        let found = matched(kind, NetworkKind::Adaptive);
        let wanted = 167_962_u64;
        let (h, count) = (found.hidden(), found.trained_count());
        for other in [h - 1, h + 1] {
            let config = Config { kind, hidden: other, ..Config::default() };
            let off = initial(&config, 1).trained_count().abs_diff(wanted);
            assert!(count.abs_diff(wanted) <= off, "{kind:?}: {h} or {other} neurons");
        }
    }
}
