//! Trials under every perturbation: their rows, groups against single cells, noise per sample, and
//! bit-identical resumption of perturbed training.

use rheo_model::config::{
    Augmentation, Evaluation, EvaluationKind, NetworkKind, Precision, ShapeMode, Task, TaskKind,
    TextSource, TrialConfig,
};
use rheo_model::row::{EvaluationRow, Rows};
use rheo_model::trainer::RunOutcome;
use rheo_train::TorchTrainer;

use crate::support::{stop_at, tiny, tiny_copy, train};

const KINDS: [EvaluationKind; 8] = [
    EvaluationKind::None,
    EvaluationKind::Sine,
    EvaluationKind::StepDrive,
    EvaluationKind::NoiseDrive,
    EvaluationKind::InputNoise,
    EvaluationKind::Contrast,
    EvaluationKind::Offset,
    EvaluationKind::Rotation,
];

fn rows(config: &TrialConfig) -> Rows {
    train(&TorchTrainer::default(), config).0.commit.rows
}

fn of(kind: EvaluationKind) -> Evaluation {
    Evaluation { kind, ..Evaluation::default() }
}

/// Returns a trial that evaluates all perturbations at the default grids.
fn all(kind: NetworkKind) -> TrialConfig {
    let mut config = tiny(kind);
    config.training.epochs = 1;
    config.training.precision = Precision::Float64;
    config.analyze.clear();
    config.evaluate = KINDS.map(of).into();
    config
}

/// Returns the key of a row within its trial.
fn key(row: &EvaluationRow) -> String {
    let EvaluationRow { perturbation, level, frequency, phase, from_step, .. } = row;
    let EvaluationRow { repetition, shape_mode, condition, .. } = row;
    format!(
        "{perturbation} {level} {frequency:?} {phase:?} {from_step} {repetition} {shape_mode} {condition:?}"
    )
}

#[test]
fn every_cell_of_the_default_grids_is_one_row() {
    let rows = rows(&all(NetworkKind::Adaptive)).evaluations;
    let count = |name: &str| rows.iter().filter(|row| row.perturbation == name).count();
    let counts = KINDS.map(|kind| count(kind.name()));
    assert_eq!(counts, [1, 27, 10, 24, 24, 14, 14, 6]);
    assert_eq!(rows.len(), 120);
    let mut keys: Vec<String> = rows.iter().map(key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 120);
    for row in &rows {
        assert_eq!((row.count, row.split.as_str(), row.condition), (300, "test", None));
        assert!(row.loss.is_finite() && (0.0..=1.0).contains(&row.accuracy), "{row:?}");
    }
}

#[test]
fn rows_hold_the_first_perturbed_step() {
    // T = 16: onset 4, half 8.
    let first = |row: &EvaluationRow| match (row.perturbation.as_str(), row.from_step) {
        ("step_drive", step) => step == 5,
        ("noise_drive", step) => step == 4,
        ("contrast" | "offset", step) => step == 0 || step == 8,
        (_, step) => step == 0,
    };
    let rows = rows(&all(NetworkKind::Relu)).evaluations;
    assert!(rows.iter().all(first));
    let late = rows.iter().filter(|row| row.from_step == 8).count();
    assert_eq!(late, 14);
}

#[test]
fn the_level_that_does_nothing_gives_the_unperturbed_scores() {
    for config in [all(NetworkKind::Adaptive), all(NetworkKind::Heterogeneous)] {
        let rows = rows(&config).evaluations;
        let mut neutral = 0;
        for row in &rows {
            let level = if row.perturbation == "contrast" { 1.0 } else { 0.0 };
            if row.level == level {
                neutral += 1;
                assert!((row.loss - rows[0].loss).abs() < 1e-12, "{row:?}");
                assert_eq!(row.accuracy, rows[0].accuracy, "{row:?}");
            } else {
                assert_ne!(row.loss, rows[0].loss, "{row:?}");
            }
        }
        assert_eq!(neutral, 1 + 3 + 1 + 3 + 3 + 2 + 2 + 1);
    }
}

#[test]
fn a_group_matches_its_cells_one_by_one() {
    let mut config = all(NetworkKind::Adaptive);
    let together = rows(&config).evaluations;
    let pick = |name: &str, level: f64| {
        let same = |row: &&EvaluationRow| row.perturbation == name && row.level == level;
        together.iter().filter(same).collect::<Vec<_>>()
    };
    for (kind, level) in [
        (EvaluationKind::Sine, 0.6),
        (EvaluationKind::StepDrive, 7.5),
        (EvaluationKind::NoiseDrive, 2.5),
        (EvaluationKind::InputNoise, 0.3),
        (EvaluationKind::Contrast, 1.5),
        (EvaluationKind::Offset, -0.25),
        (EvaluationKind::Rotation, 45.0),
    ] {
        config.evaluate = vec![Evaluation { level: Some(vec![level]), ..of(kind) }];
        let alone = rows(&config).evaluations;
        let expected = pick(kind.name(), level);
        assert_eq!(alone.len(), 1 + expected.len(), "{kind:?}");
        for (found, expected) in alone[1..].iter().zip(expected) {
            assert_eq!(key(found), key(expected));
            assert!((found.loss - expected.loss).abs() < 1e-12, "{found:?} {expected:?}");
            assert_eq!(found.accuracy, expected.accuracy, "{found:?}");
        }
    }
}

#[test]
fn repetitions_draw_anew_and_the_seed_of_the_noise_decides() {
    let mut config = all(NetworkKind::Homogeneous);
    let noise = |kind| Evaluation { level: Some(vec![1.0]), ..of(kind) };
    config.evaluate = vec![noise(EvaluationKind::NoiseDrive), noise(EvaluationKind::InputNoise)];
    let losses = |config: &TrialConfig| -> Vec<f64> {
        rows(config).evaluations.iter().map(|row| row.loss).collect()
    };
    let first = losses(&config);
    assert_eq!(first.len(), 7);
    for (place, loss) in first.iter().enumerate() {
        assert!(!first[..place].contains(loss), "{first:?}");
    }
    assert_eq!(losses(&config), first);
    config.seeds.noise = Some(99);
    let other = losses(&config);
    assert_eq!(other[0], first[0]);
    assert!(other[1..].iter().zip(&first[1..]).all(|(a, b)| a != b));
}

#[test]
fn a_sample_limit_evaluates_only_the_first_samples() {
    let mut config = all(NetworkKind::Relu);
    let few = |kind| Evaluation { samples: Some(37), level: Some(vec![0.0]), ..of(kind) };
    config.evaluate = vec![few(EvaluationKind::Offset), few(EvaluationKind::NoiseDrive)];
    config.task.test_size = 37;
    let small = rows(&config).evaluations;
    config.task.test_size = 300;
    let large = rows(&config).evaluations;
    assert_eq!(large[0].count, 300);
    assert_eq!(large.len(), 1 + 2 + 3);
    for (found, expected) in large[1..].iter().zip(&small[1..]) {
        assert_eq!(found.count, 37);
        assert_eq!((found.loss, found.accuracy), (expected.loss, expected.accuracy));
    }
}

/// Returns the rows of a trial that is stopped at every question and resumed.
fn in_pieces(config: &TrialConfig) -> Rows {
    let torch = TorchTrainer::default();
    let mut rows = Rows::default();
    let mut resume: Option<Vec<u8>> = None;
    loop {
        match stop_at(&torch, config, resume.as_deref(), 0).unwrap() {
            RunOutcome::Stopped(commit) => {
                rows.append(commit.rows);
                resume = Some(commit.checkpoint);
            }
            RunOutcome::Completed(finish) => {
                rows.append(finish.commit.rows);
                return rows;
            }
            other @ RunOutcome::Diverged { .. } => panic!("not completed: {other:?}"),
        }
    }
}

#[test]
fn an_evaluation_in_pieces_is_bit_identical() {
    let mut config = all(NetworkKind::Adaptive);
    config.evaluate = [
        (EvaluationKind::Sine, 0.5),
        (EvaluationKind::NoiseDrive, 2.0),
        (EvaluationKind::Rotation, 45.0),
    ]
    .map(|(kind, level)| Evaluation {
        level: Some(vec![0.0, level]),
        repetitions: 2,
        shape_mode: vec![ShapeMode::Own, ShapeMode::Frozen],
        ..of(kind)
    })
    .into();
    assert_eq!(in_pieces(&config), rows(&config));
}

#[test]
fn perturbed_training_is_bit_identical_in_pieces_and_differs_from_plain_training() {
    for (kind, level) in [
        (EvaluationKind::Sine, 0.5),
        (EvaluationKind::NoiseDrive, 1.0),
        (EvaluationKind::InputNoise, 0.5),
        (EvaluationKind::Rotation, 45.0),
    ] {
        let mut config = tiny(NetworkKind::Heterogeneous);
        config.evaluate.clear();
        let plain = rows(&config);
        config.training.augment = Augmentation { kind, probability: 0.5, level };
        let whole = rows(&config);
        assert_eq!(in_pieces(&config), whole, "{kind:?}");
        assert_ne!(whole.epochs[1].val_loss, plain.epochs[1].val_loss, "{kind:?}");
    }
    // Fresh samples have a stream of their own, so only the inputs change.
    let mut config = tiny_copy(NetworkKind::Homogeneous);
    config.training.augment = Augmentation { probability: 0.7, ..Augmentation::default() };
    assert_eq!(in_pieces(&config), rows(&config));
}

#[test]
fn without_a_probability_the_perturbation_of_training_changes_nothing() {
    let mut config = tiny(NetworkKind::Relu);
    let plain = rows(&config);
    config.training.augment =
        Augmentation { kind: EvaluationKind::InputNoise, probability: 0.0, level: 3.0 };
    config.seeds.augment = Some(5);
    assert_eq!(rows(&config), plain);
}

#[test]
fn scores_of_evidence_are_told_apart_by_coherence() {
    let mut config = all(NetworkKind::Adaptive);
    config.task = Task {
        kind: TaskKind::Evidence,
        train_size: 25,
        validation_size: 20,
        test_size: 300,
        ..Task::default()
    };
    config.evaluate =
        vec![Evaluation { level: Some(vec![0.0, 0.5]), ..of(EvaluationKind::StepDrive) }];
    let rows = rows(&config).evaluations;
    assert_eq!(rows.len(), 3 * 11);
    for cell in rows.chunks(11) {
        let (all, parts) = (&cell[0], &cell[1..]);
        assert_eq!((all.condition, all.count), (None, 300));
        let conditions: Vec<f64> = parts.iter().filter_map(|row| row.condition).collect();
        let positive = [0.032, 0.064, 0.128, 0.256, 0.512];
        let expected: Vec<f64> =
            positive.iter().rev().map(|c| -c).chain(positive.iter().copied()).collect();
        assert_eq!(conditions, expected);
        assert_eq!(parts.iter().map(|row| row.count).sum::<u64>(), 300);
        let sum = |value: fn(&EvaluationRow) -> f64| {
            parts.iter().map(|row| value(row) * row.count as f64).sum::<f64>() / 300.0
        };
        assert!((sum(|row| row.loss) - all.loss).abs() < 1e-12);
        assert!((sum(|row| row.accuracy) - all.accuracy).abs() < 1e-12);
    }
}

/// Returns a trial of a text without learning, so that windows of any length are read by the same
/// network.
fn text(window: u32) -> TrialConfig {
    let mut config = all(NetworkKind::Adaptive);
    config.task = Task {
        kind: TaskKind::CharLm,
        source: TextSource::Markov,
        length: 2000,
        window,
        eval_batch: 3,
        embedding: 4,
        ..Task::default()
    };
    config.training.optimizer.lr = 0.0;
    config.evaluate = [EvaluationKind::StepDrive, EvaluationKind::NoiseDrive]
        .map(|kind| Evaluation {
            level: Some(vec![0.0, 2.0]),
            repetitions: 1,
            shape_mode: vec![ShapeMode::Own, ShapeMode::Frozen],
            ..of(kind)
        })
        .into();
    config
}

#[test]
fn every_cell_reads_a_text_to_its_end() {
    let whole = rows(&text(20)).evaluations;
    assert_eq!(whole.len(), 1 + 2 * 2 * 2);
    // 200 symbols in three columns: 66 of each are predicted.
    assert!(whole.iter().all(|row| row.count == 198), "{whole:?}");
    assert!(whole.iter().all(|row| row.bpc == Some(row.loss / std::f64::consts::LN_2)));
    // States are carried, so the result does not depend on where a text is cut.
    let other = rows(&text(33)).evaluations;
    let undriven = |row: &&EvaluationRow| row.level == 0.0;
    for (a, b) in whole.iter().zip(&other).filter(|(a, _)| undriven(a)) {
        assert!((a.loss - b.loss).abs() < 1e-12, "{a:?} {b:?}");
    }
    // Cells side by side match cells one after the other.
    for (place, level) in [0.0, 2.0].into_iter().enumerate() {
        let mut config = text(20);
        for evaluation in &mut config.evaluate {
            evaluation.level = Some(vec![level]);
        }
        let alone = rows(&config).evaluations;
        let together: Vec<_> = whole[1..].iter().skip(place).step_by(2).collect();
        for (a, b) in alone[1..].iter().zip(together) {
            assert_eq!(key(a), key(b));
            assert!((a.loss - b.loss).abs() < 1e-12, "{a:?} {b:?}");
        }
    }
    assert_eq!(in_pieces(&text(20)).evaluations, whole);
}
