//! Tests of the view `robustness`: the trapezoid mean of accuracy over levels, as a share of the clean accuracy.

use rheo_model::config::TaskKind;
use rheo_model::row::{EvaluationRow, Rows};

use super::{adaptive, ask, assert_numbers, end};
use crate::fixture::Fixture;

fn cell(perturbation: &str, level: f64, accuracy: f64) -> EvaluationRow {
    EvaluationRow {
        epoch: 24,
        split: "test".to_owned(),
        perturbation: perturbation.to_owned(),
        level,
        frequency: None,
        phase: None,
        from_step: 0,
        repetition: 0,
        shape_mode: "own".to_owned(),
        condition: None,
        count: 1000,
        accuracy,
        loss: 1.0,
        bpc: None,
        stderr: 0.01,
    }
}

/// A trial with these cells; the first is the clean one.
fn fixture(evaluations: Vec<EvaluationRow>) -> Fixture {
    let mut fixture = Fixture::new();
    let rows = Rows { evaluations, ..Rows::default() };
    end(&mut fixture, "demo", 0, &adaptive(TaskKind::Digits, 400), &rows);
    fixture
}

#[tokio::test]
async fn levels_are_weighted_by_distance_and_repetitions_averaged() {
    let mut cells = vec![cell("none", 0.0, 0.8)];
    // Unordered, with the middle level twice.
    for (level, repetition, accuracy) in
        [(1.0, 0, 0.2), (0.25, 0, 0.7), (0.0, 0, 0.8), (0.25, 1, 0.5)]
    {
        cells.push(EvaluationRow { repetition, ..cell("input_noise", level, accuracy) });
    }
    // The whole already includes every condition.
    cells.push(EvaluationRow { condition: Some(0.5), ..cell("input_noise", 0.5, 0.0) });
    cells.push(EvaluationRow { condition: Some(0.5), ..cell("none", 0.0, 0.1) });
    let fixture = fixture(cells);
    let sql = "SELECT perturbation, levels, lowest, highest, clean_accuracy, mean_accuracy, index \
               FROM robustness";
    let lines = ask(&fixture, sql).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0][..2], ["input_noise", "3"]);
    // .25 (.8 + .6) / 2 + .75 (.6 + .2) / 2; the mean of the three would be .533.
    let mean = 0.175 + 0.3;
    assert_eq!(lines[0][2..4], ["0.0", "1.0"]);
    assert_numbers(&lines[0][4..], &[0.8, mean, mean / 0.8], 1e-12);
}

#[tokio::test]
async fn each_onset_frequency_and_mode_has_its_own_curve() {
    let mut cells = vec![cell("none", 0.0, 0.8)];
    cells.push(EvaluationRow { shape_mode: "frozen".to_owned(), ..cell("none", 0.0, 0.5) });
    // Levels on both sides of the neutral level 1: the range is 1.5, not 1.
    for (from_step, low) in [(0, 0.4), (98, 0.6)] {
        for (level, accuracy) in [(0.5, low), (1.0, 0.8), (2.0, 0.4)] {
            cells.push(EvaluationRow { from_step, ..cell("contrast", level, accuracy) });
        }
    }
    for (frequency, shape_mode) in [(0.5, "own"), (2.0, "own"), (2.0, "frozen")] {
        for level in [0.0, 0.5] {
            let accuracy = if shape_mode == "own" { 0.8 - frequency * level / 4.0 } else { 0.5 };
            let (frequency, phase) = (Some(frequency), Some(0.0));
            let shape_mode = shape_mode.to_owned();
            let cell = cell("sine", level, accuracy);
            cells.push(EvaluationRow { frequency, phase, shape_mode, ..cell });
        }
    }
    let fixture = fixture(cells);
    let sql = "SELECT perturbation, frequency, from_step, shape_mode, index FROM robustness \
               ORDER BY perturbation, frequency, from_step, shape_mode DESC";
    let lines = ask(&fixture, sql).await;
    let contrast = |low: f64| (0.5 * (low + 0.8) / 2.0 + 1.0 * (0.8 + 0.4) / 2.0) / 1.5 / 0.8;
    let expected = [
        (["contrast", "", "0", "own"], contrast(0.4)),
        (["contrast", "", "98", "own"], contrast(0.6)),
        (["sine", "0.5", "0", "own"], (0.8 - 0.031_25) / 0.8),
        (["sine", "2.0", "0", "own"], (0.8 - 0.125) / 0.8),
        (["sine", "2.0", "0", "frozen"], 1.0),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (curve, index)) in lines.iter().zip(expected) {
        assert_eq!(line[..4], curve);
        assert_numbers(&line[4..], &[index], 1e-12);
    }
}

#[tokio::test]
async fn a_single_level_has_an_index_only_with_clean_accuracy() {
    let frozen = EvaluationRow { shape_mode: "frozen".to_owned(), ..cell("rotation", 45.0, 0.2) };
    let fixture = fixture(vec![cell("none", 0.0, 0.8), cell("rotation", 45.0, 0.2), frozen]);
    let sql = "SELECT shape_mode, levels, mean_accuracy, index FROM robustness ORDER BY shape_mode";
    let lines = ask(&fixture, sql).await;
    assert_eq!(lines, [["frozen", "1", "0.2", ""], ["own", "1", "0.2", "0.25"]]);
}
