//! Checks of the evaluations: each cell is evaluated once.

use rheo_core::schema::FieldConflict;

use super::repeated;
use crate::config::{Evaluation, ShapeMode};

/// Checks for cells that would be evaluated twice, since their rows could not be told apart.
pub(super) fn check_evaluations(evaluations: &[Evaluation], problems: &mut Vec<FieldConflict>) {
    for (index, one) in evaluations.iter().enumerate() {
        let lists = [("level", &one.level), ("frequency", &one.frequency), ("from", &one.from)];
        for (field, values) in lists {
            if let Some(value) = values.as_ref().and_then(|values| repeated(values)) {
                problems.push(FieldConflict::new(
                    &[&format!("evaluate[{index}].{field}")],
                    format!("`{value}` appears twice"),
                    "every level is evaluated once: delete one of the two",
                ));
            }
        }
        if repeated(&one.shape_mode).is_some() {
            problems.push(FieldConflict::new(
                &[&format!("evaluate[{index}].shape_mode")],
                "a mode appears twice",
                "delete one of the two",
            ));
        }
        let earlier = evaluations.iter().take(index).position(|other| overlap(one, other));
        if let Some(other) = earlier {
            problems.push(FieldConflict::new(
                &[&format!("evaluate[{index}]"), &format!("evaluate[{other}]")],
                format!("this entry repeats cells of entry {} of `evaluate`", other + 1),
                "merge the two entries, or give them different levels",
            ));
        }
    }
}

fn overlap(one: &Evaluation, other: &Evaluation) -> bool {
    fn meet(one: Option<&Vec<f64>>, other: Option<&Vec<f64>>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.iter().any(|value| other.contains(value)),
            // Without values it is the grid of the paper, whose extent is not known here; assume an
            // overlap.
            _ => true,
        }
    }
    let shared_mode = |mode: &ShapeMode| other.shape_mode.contains(mode);
    one.kind == other.kind
        && meet(one.level.as_ref(), other.level.as_ref())
        && meet(one.frequency.as_ref(), other.frequency.as_ref())
        && meet(one.from.as_ref(), other.from.as_ref())
        && one.shape_mode.iter().any(shared_mode)
        && (one.phase, one.mean, one.shared) == (other.phase, other.mean, other.shared)
}
