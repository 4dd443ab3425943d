//! Formats the phase and the best point of a sweep in words.

use rheo_core::machine::{BestPoint, SweepView};
use rheo_core::ranking::AggregateRule;
use rheo_core::sweep::SweepEndReason;

use super::{format, point};

/// Formats the phase, and the reason if the sweep ended before all its trials.
pub(super) fn phase(sweep: &SweepView) -> String {
    let name = sweep.phase.name();
    if sweep.idle {
        return "idle: no worker".to_owned();
    }
    match sweep.reason {
        None | Some(SweepEndReason::Exhausted | SweepEndReason::RunCap) => name.to_owned(),
        Some(reason) => format!("{name}: {}", reason.name()),
    }
}

/// Formats the value of the best point and the point itself.
pub(super) fn best_point(best: &BestPoint, rule: AggregateRule) -> String {
    let swept = point::short(&best.swept);
    let swept = if swept.is_empty() { swept } else { format!(": {swept}") };
    let mean = format::mean(&best.aggregate);
    let mean = match (rule, best.aggregate.value) {
        (AggregateRule::Mean, _) | (_, None) => mean,
        (rule, Some(value)) => format!("{} {}, mean {mean}", rule.name(), format::number(value)),
    };
    if best.seeds == 1 {
        return format!("{mean} (trial {}{swept})", best.trial);
    }
    format!("{mean} (point {}, {}/{} seeds{swept})", best.point, best.completed, best.seeds)
}
