//! Numbers of parameters, and the number of neurons at which two kinds have equally many.

use rheo_core::config::{self, NetworkKind};

use super::Interface;

/// The number of neurons of a network: the configured one, or the one at which the number of
/// parameters comes nearest to that of the kind it shall match.
pub(super) fn hidden(config: &config::Network, interface: Interface) -> u32 {
    let Some(other) = config.match_parameters_of else {
        return config.hidden;
    };
    let count = |kind, hidden| parameters(kind, hidden, config.controller, interface);
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
    if distance(high) < distance(low) { high } else { low }
}

/// How many numbers a network learns: the table of docs/science.md.
fn parameters(kind: NetworkKind, hidden: u32, controller: u32, interface: Interface) -> u64 {
    let [h, s] = [hidden, controller].map(u64::from);
    let [i, c] = [interface.inputs, interface.classes].map(u64::from);
    let readout = c * h + c;
    let embedding = u64::from(interface.embedding.unwrap_or(0)) * i;
    let layer = match kind {
        NetworkKind::Lstm => 4 * (h * (h + i) + h),
        NetworkKind::Gru => 3 * (h * i + h + h * h + h),
        _ => h * i + h + h * h + h,
    };
    let shape = match kind {
        NetworkKind::Homogeneous => 2,
        NetworkKind::Heterogeneous => 2 * h,
        NetworkKind::Modrelu => h,
        NetworkKind::Adaptive => s * s + 3 * s + 2 * (s + 1),
        _ => 0,
    };
    layer + shape + readout + embedding
}
