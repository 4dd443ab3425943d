//! Numbers of parameters, and the size at which two kinds of networks have equally many.

use rheo_model::config::{self, NetworkKind};
use tch::{Result, TchError};

use super::{Interface, adaptive, gru, lstm, plain};

/// Returns the number of neurons of a network: the configured one, or the one whose number of
/// parameters is closest to that of the kind to match. Fails if the closest one is off by more than
/// a tenth.
pub(super) fn hidden(config: &config::Network, interface: Interface) -> Result<u32> {
    let Some(other) = config.match_parameters_of else {
        return Ok(config.hidden);
    };
    let count =
        |kind, hidden| parameters(&config::Network { kind, hidden, ..config.clone() }, interface);
    let wanted = count(other, config.hidden);
    // The count grows with the number of neurons: take the last one at or below the target, or the
    // next.
    let (mut low, mut high) = (1_u32, 1 << 16);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if count(config.kind, middle) <= wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    let distance = |hidden| count(config.kind, hidden).abs_diff(wanted);
    let nearest = if distance(high) < distance(low) { high } else { low };
    if distance(nearest) > wanted / 10 {
        let (own, other) = (config.kind.name(), other.name());
        return Err(TchError::Shape(format!(
            "network.match_parameters_of: no `{own}` network has about the {wanted} parameters of \
             `{other}`; give it more neurons or fewer controller units"
        )));
    }
    Ok(nearest)
}

/// Returns the number of learned values of a network: the table of docs/science.md.
fn parameters(config: &config::Network, interface: Interface) -> u64 {
    let [h, i, c] = [config.hidden, interface.inputs, interface.classes].map(u64::from);
    let layer = match config.kind {
        NetworkKind::Relu
        | NetworkKind::Tanh
        | NetworkKind::Sigmoid
        | NetworkKind::Softplus
        | NetworkKind::Linear
        | NetworkKind::Modrelu
        | NetworkKind::Fixed
        | NetworkKind::Homogeneous
        | NetworkKind::Heterogeneous => plain::count(config, interface.inputs),
        NetworkKind::Adaptive => adaptive::count(config, interface.inputs),
        NetworkKind::Lstm => lstm::count(config, interface.inputs),
        NetworkKind::Gru => gru::count(config, interface.inputs),
    };
    let readout = c * h + c;
    let embedding = u64::from(interface.embedding.unwrap_or(0)) * i;
    layer + readout + embedding
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};
    use rheo_model::config::{AdaptedQuantity, InputInit};
    use tch::Kind;

    use super::*;
    use crate::network::{Network, Readout, ReadoutInit};

    #[test]
    fn the_formula_counts_the_learned_values() {
        let settings = [AdaptedQuantity::Both, AdaptedQuantity::Gain, AdaptedQuantity::Saturation]
            .into_iter()
            .flat_map(|adapts| [true, false].map(|learn_shape| (adapts, learn_shape)));
        for (adapts, learn_shape) in settings {
            for kind in NetworkKind::ALL {
                check(kind, adapts, learn_shape, None);
                check(kind, adapts, learn_shape, Some(5));
            }
        }
    }

    fn check(
        kind: NetworkKind,
        adapts: AdaptedQuantity,
        learn_shape: bool,
        embedding: Option<u32>,
    ) {
        let config = config::Network {
            kind,
            adapts,
            learn_shape,
            hidden: 7,
            controller: 4,
            ..config::Network::default()
        };
        let interface = Interface {
            inputs: 3,
            classes: 2,
            readout: Readout::Last,
            readout_init: ReadoutInit::Uniform,
            input_init: InputInit::Kaiming,
            embedding,
        };
        let mut rng = TrialRng::new(1, Purpose::Init);
        let network = Network::new(&config, interface, Kind::Float, &mut rng).unwrap();
        let gradients = parameters(&config, interface);
        assert_eq!(gradients, network.trained_count(), "{config:?}, {embedding:?}");
    }
}
