//! Numbers of parameters, and the number of neurons at which two kinds have equally many.

use rheo_core::config::{self, Adapts, NetworkKind};
use tch::{Result, TchError};

use super::Interface;

/// The number of neurons of a network: the configured one, or the one at which the number of
/// parameters comes nearest to that of the kind it shall match. An error if even that is off by more
/// than a tenth.
pub(super) fn hidden(config: &config::Network, interface: Interface) -> Result<u32> {
    let Some(other) = config.match_parameters_of else {
        return Ok(config.hidden);
    };
    let count =
        |kind, hidden| parameters(&config::Network { kind, hidden, ..config.clone() }, interface);
    let wanted = count(other, config.hidden);
    // The count grows with the number of neurons: the last one that has no more, or the next.
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

/// How many numbers a network learns: the table of docs/science.md.
fn parameters(config: &config::Network, interface: Interface) -> u64 {
    let [h, s] = [config.hidden, config.controller].map(u64::from);
    let [i, c] = [interface.inputs, interface.classes].map(u64::from);
    let readout = c * h + c;
    let embedding = u64::from(interface.embedding.unwrap_or(0)) * i;
    let layer = match config.kind {
        NetworkKind::Lstm => 4 * (h * (h + i) + h),
        NetworkKind::Gru => 3 * (h * i + h + h * h + h),
        _ => h * i + h + h * h + h,
    };
    let shape = match config.kind {
        NetworkKind::Homogeneous if config.learns_shape() => 2,
        NetworkKind::Heterogeneous if config.learns_shape() => 2 * h,
        NetworkKind::Modrelu => h,
        // What does not adapt is a constant: a bias without weights.
        NetworkKind::Adaptive if config.adapts == Adapts::Both => s * s + 3 * s + 2 * s + 2,
        NetworkKind::Adaptive => s * s + 3 * s + s + 2,
        _ => 0,
    };
    layer + shape + readout + embedding
}
