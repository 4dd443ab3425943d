//! Checks of the analyses: epochs, repeated values, and windows of sequences.

use rheo_core::schema::FieldConflict;

use super::repeated;
use crate::config::{Analysis, LyapunovMode};

/// Checks for epochs that do not exist, and for values and kinds that appear twice.
pub(super) fn check_analyses(
    analyses: &[Analysis],
    epochs: u32,
    problems: &mut Vec<FieldConflict>,
) {
    for (index, analysis) in analyses.iter().enumerate() {
        let place = format!("analyze[{index}].epochs");
        for &epoch in analysis.epochs.iter().flatten() {
            if i64::from(epoch) >= i64::from(epochs) {
                problems.push(FieldConflict::new(
                    &[&place, "training.epochs"],
                    match epochs.checked_sub(1) {
                        Some(last) => {
                            format!("there is no epoch {epoch}: the epochs are 0 to {last}")
                        }
                        None => format!("there is no epoch {epoch}: nothing is trained"),
                    },
                    "write epochs from -1 (untrained) to the last, or delete the list",
                ));
            }
        }
        if let Some(epoch) = analysis.epochs.as_ref().and_then(|epochs| repeated(epochs)) {
            problems.push(FieldConflict::new(
                &[&place],
                format!("epoch {epoch} appears twice"),
                "delete one of the two",
            ));
        }
        for field in repeated_fields(analysis) {
            problems.push(FieldConflict::new(
                &[&format!("analyze[{index}].{field}")],
                "a value appears twice",
                "every value is analysed once: delete one of the two",
            ));
        }
        if analyses.iter().take(index).any(|other| other.kind == analysis.kind) {
            problems.push(FieldConflict::new(
                &[&format!("analyze[{index}]")],
                "an analysis of this kind appears twice",
                "give each kind once, with all its epochs",
            ));
        }
    }
}

/// Checks the windows of test sequences of `steps` steps.
pub(super) fn check_windows(analyses: &[Analysis], steps: u32, problems: &mut Vec<FieldConflict>) {
    for (index, analysis) in analyses.iter().enumerate() {
        let Some(window) = &analysis.window else { continue };
        let [place, mode] = ["window", "mode"].map(|field| format!("analyze[{index}].{field}"));
        let example = format!(
            "write the first counted step and the one after the last, such as `[0, {steps}]`"
        );
        let modes = analysis.mode.as_deref().unwrap_or_default();
        if !modes.contains(&LyapunovMode::Driven) {
            problems.push(FieldConflict::new(
                &[&place, &mode],
                format!("`{place}` has no effect without the mode `driven`"),
                "delete it, or add `driven` to `mode`",
            ));
        }
        match window.as_slice() {
            &[start, end] if start >= end => problems.push(FieldConflict::new(
                &[&place],
                format!("the window from {start} to {end} is empty"),
                example,
            )),
            &[_, end] if end > steps => problems.push(FieldConflict::new(
                &[&place, "task.kind"],
                format!("sequences of this task have {steps} steps, but the window ends at {end}"),
                example,
            )),
            &[_, _] => {}
            other => problems.push(FieldConflict::new(
                &[&place],
                format!("a window has 2 numbers, not {}", other.len()),
                example,
            )),
        }
    }
}

/// Returns the lists of an analysis that contain a value twice; their rows could not be told apart.
fn repeated_fields(analysis: &Analysis) -> impl Iterator<Item = &'static str> {
    fn again<T: PartialEq + Copy>(values: Option<&Vec<T>>) -> bool {
        values.is_some_and(|values| repeated(values).is_some())
    }
    let fields = [
        ("level", again(analysis.level.as_ref())),
        ("mode", again(analysis.mode.as_ref())),
        ("lengths", again(analysis.lengths.as_ref())),
        ("lags", again(analysis.lags.as_ref())),
        ("protocol", again(analysis.protocol.as_ref())),
    ];
    fields.into_iter().filter(|(_, is_repeated)| *is_repeated).map(|(field, _)| field)
}
