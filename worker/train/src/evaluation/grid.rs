//! Grids of the evaluation: expands configuration entries to distinct cells.

use rheo_model::config::{Evaluation, EvaluationKind, ShapeMode};

use super::{EvaluationCell, Perturbation};

/// Default grids of the science reference, section 6.
const SINE_LEVELS: [f64; 9] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0];
const SINE_FREQUENCIES: [f64; 3] = [0.5, 1.0, 2.0];
const STEP_LEVELS: [f64; 10] = [0.0, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0];
const NOISE_DRIVE_LEVELS: [f64; 8] = [0.0, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];
const INPUT_NOISE_LEVELS: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0];
const CONTRAST_LEVELS: [f64; 7] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0];
const OFFSET_LEVELS: [f64; 7] = [-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5];
const ROTATION_LEVELS: [f64; 6] = [0.0, 15.0, 30.0, 45.0, 60.0, 90.0];
const FROM: [f64; 2] = [0.0, 0.5];

/// Default number of test samples under neuron noise, which is slow to draw.
const NOISE_DRIVE_SAMPLES: u32 = 2000;

/// Returns the cells of the configured evaluations on a test set of `size` samples. The unperturbed
/// network comes first and sees all samples; duplicates are left out.
pub fn cells(evaluations: &[Evaluation], size: u64) -> Vec<EvaluationCell> {
    let is_clean = |evaluation: &&Evaluation| evaluation.kind == EvaluationKind::None;
    let clean = evaluations.iter().filter(is_clean);
    let perturbed = evaluations.iter().filter(|evaluation| !is_clean(evaluation));
    let always = Evaluation::default();
    let mut cells: Vec<EvaluationCell> = Vec::new();
    for evaluation in [&always].into_iter().chain(clean).chain(perturbed) {
        for cell in entry(evaluation, size) {
            if !cells.iter().any(|other| is_same(other, &cell)) {
                cells.push(cell);
            }
        }
    }
    cells
}

/// Whether two cells differ at most in the number of samples.
fn is_same(one: &EvaluationCell, other: &EvaluationCell) -> bool {
    (one.perturbation, one.repetition, one.shape_mode)
        == (other.perturbation, other.repetition, other.shape_mode)
}

/// Returns the cells of one entry; those of one repetition and shape mode are adjacent, because
/// they can share a pass.
fn entry(evaluation: &Evaluation, size: u64) -> Vec<EvaluationCell> {
    let samples = samples(evaluation, size);
    let mut cells = Vec::new();
    for &shape_mode in &evaluation.shape_mode {
        for repetition in 0..repetitions(evaluation) {
            let cell =
                |perturbation| EvaluationCell { perturbation, repetition, shape_mode, samples };
            cells.extend(perturbations(evaluation).into_iter().map(cell));
        }
    }
    // The network's own shape comes first, as the reference for the others.
    cells.sort_by_key(|cell| cell.shape_mode == ShapeMode::Frozen);
    cells
}

fn samples(evaluation: &Evaluation, size: u64) -> u64 {
    let most = match evaluation.kind {
        EvaluationKind::None => None,
        EvaluationKind::NoiseDrive => Some(evaluation.samples.unwrap_or(NOISE_DRIVE_SAMPLES)),
        _ => evaluation.samples,
    };
    most.map_or(size, |most| size.min(u64::from(most)))
}

fn repetitions(evaluation: &Evaluation) -> u32 {
    match evaluation.kind {
        EvaluationKind::NoiseDrive | EvaluationKind::InputNoise => evaluation.repetitions,
        _ => 1,
    }
}

fn perturbations(evaluation: &Evaluation) -> Vec<Perturbation> {
    let Evaluation { phase, mean, shared, .. } = *evaluation;
    let or = |list: &Option<Vec<f64>>, default: &[f64]| list.clone().unwrap_or(default.to_vec());
    let levels = |default: &[f64]| or(&evaluation.level, default);
    let from = || or(&evaluation.from, &FROM);
    match evaluation.kind {
        EvaluationKind::None => vec![Perturbation::None],
        EvaluationKind::Sine => {
            let frequencies = or(&evaluation.frequency, &SINE_FREQUENCIES);
            product(&levels(&SINE_LEVELS), &frequencies, |level, frequency| Perturbation::Sine {
                level,
                frequency,
                phase,
            })
        }
        EvaluationKind::StepDrive => {
            each(&levels(&STEP_LEVELS), |level| Perturbation::StepDrive { level })
        }
        EvaluationKind::NoiseDrive => each(&levels(&NOISE_DRIVE_LEVELS), |level| {
            Perturbation::NoiseDrive { level, mean, shared }
        }),
        EvaluationKind::InputNoise => {
            each(&levels(&INPUT_NOISE_LEVELS), |level| Perturbation::InputNoise { level })
        }
        EvaluationKind::Contrast => product(&levels(&CONTRAST_LEVELS), &from(), |level, from| {
            Perturbation::Contrast { level, from }
        }),
        EvaluationKind::Offset => product(&levels(&OFFSET_LEVELS), &from(), |level, from| {
            Perturbation::Offset { level, from }
        }),
        EvaluationKind::Rotation => {
            each(&levels(&ROTATION_LEVELS), |level| Perturbation::Rotation { level })
        }
    }
}

fn each(levels: &[f64], cell: impl Fn(f64) -> Perturbation) -> Vec<Perturbation> {
    levels.iter().map(|&level| cell(level)).collect()
}

/// Returns all pairs; the first list is the outer loop.
fn product(
    levels: &[f64],
    others: &[f64],
    cell: impl Fn(f64, f64) -> Perturbation,
) -> Vec<Perturbation> {
    let pairs = levels.iter().flat_map(|&level| others.iter().map(move |&other| (level, other)));
    pairs.map(|(level, other)| cell(level, other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: EvaluationKind) -> Evaluation {
        Evaluation { kind, ..Evaluation::default() }
    }

    #[test]
    fn without_lists_the_grids_are_those_of_the_reference() {
        // (kind, cells of a repetition, repetitions, samples of 10,000).
        let cases = [
            (EvaluationKind::Sine, 27, 1, 10_000),
            (EvaluationKind::StepDrive, 10, 1, 10_000),
            (EvaluationKind::NoiseDrive, 8, 3, 2000),
            (EvaluationKind::InputNoise, 8, 3, 10_000),
            (EvaluationKind::Contrast, 14, 1, 10_000),
            (EvaluationKind::Offset, 14, 1, 10_000),
            (EvaluationKind::Rotation, 6, 1, 10_000),
        ];
        for (kind, levels, repetitions, samples) in cases {
            let cells = cells(&[of(kind)], 10_000);
            assert_eq!(cells.len(), 1 + levels * repetitions, "{kind:?}");
            assert!(cells[1..].iter().all(|cell| cell.perturbation.kind() == kind));
            assert!(cells[1..].iter().all(|cell| cell.samples == samples), "{kind:?}");
            let last = cells.last().unwrap().repetition;
            assert_eq!(last as usize + 1, repetitions, "{kind:?}");
        }
    }

    #[test]
    fn the_unperturbed_network_comes_first_and_sees_every_sample() {
        let both = vec![ShapeMode::Frozen, ShapeMode::Own];
        let none =
            Evaluation { samples: Some(5), shape_mode: both.clone(), ..of(EvaluationKind::None) };
        let step = Evaluation {
            level: Some(vec![2.0, 1.0, 2.0]),
            samples: Some(7),
            shape_mode: both,
            ..of(EvaluationKind::StepDrive)
        };
        let cells = cells(&[step.clone(), none.clone(), step, none], 9);
        let found: Vec<(f64, ShapeMode, u64)> = cells
            .iter()
            .map(|cell| (cell.perturbation.level(), cell.shape_mode, cell.samples))
            .collect();
        let (own, frozen) = (ShapeMode::Own, ShapeMode::Frozen);
        let expected = [
            (0.0, own, 9),
            (0.0, frozen, 9),
            (2.0, own, 7),
            (1.0, own, 7),
            (2.0, frozen, 7),
            (1.0, frozen, 7),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn no_cell_has_more_samples_than_there_are() {
        let noise = Evaluation { samples: Some(50), ..of(EvaluationKind::InputNoise) };
        let cells = cells(&[noise, of(EvaluationKind::NoiseDrive)], 30);
        assert!(cells.iter().all(|cell| cell.samples == 30));
    }
}
