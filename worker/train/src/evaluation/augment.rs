//! Perturbation of training batches (science reference, section 5): some batches are perturbed as
//! at evaluation.

use rheo_core::rng::TrialRng;
use rheo_model::config::{Augmentation, EvaluationKind};
use tch::{Result, Tensor};

use super::{NoiseSource, Perturbation, PerturbationContext, PerturbedBatch, perturb};

/// Maximum frequency of the sine, in cycles per sequence; the minimum is 0.
const HIGHEST_FREQUENCY: f64 = 2.0;

/// Perturbs batches as configured. Its output is a function of the position in its random stream.
pub struct Augmenter {
    augment: Augmentation,
    rng: TrialRng,
}

impl Augmenter {
    /// Returns an augmenter with random numbers from `rng`.
    pub fn new(augment: &Augmentation, rng: TrialRng) -> Self {
        Self { augment: augment.clone(), rng }
    }

    /// Returns the position of the random stream between two batches.
    pub fn position(&self) -> u128 {
        self.rng.position()
    }

    /// Continues from a stream position.
    pub fn resume(&mut self, position: u128) {
        self.rng.seek(position);
    }

    /// Returns the perturbed batch of `inputs` [T, B, I], or nothing if the batch stays unchanged.
    /// Draws one uniform number per batch, perturbed or not, unless the probability is zero, then
    /// the numbers of the perturbation.
    pub fn perturb(
        &mut self,
        inputs: &Tensor,
        data: &PerturbationContext<'_>,
    ) -> Result<Option<PerturbedBatch>> {
        let probability = self.augment.probability;
        if probability <= 0.0 || self.rng.unit() >= probability {
            return Ok(None);
        }
        let perturbation = match self.draw() {
            Perturbation::None => return Ok(None),
            other => other,
        };
        perturb(&[perturbation], inputs, data, &mut NoiseSource::Stream(&mut self.rng)).map(Some)
    }

    /// Draws the perturbation of the next batch.
    fn draw(&mut self) -> Perturbation {
        let level = self.augment.level;
        match self.augment.kind {
            EvaluationKind::None => Perturbation::None,
            EvaluationKind::Sine => {
                let frequency = self.rng.uniform(0.0, HIGHEST_FREQUENCY);
                Perturbation::Sine { level, frequency, phase: 0.0 }
            }
            EvaluationKind::StepDrive => Perturbation::StepDrive { level },
            EvaluationKind::NoiseDrive => {
                Perturbation::NoiseDrive { level, mean: 0.0, shared: false }
            }
            EvaluationKind::InputNoise => Perturbation::InputNoise { level },
            EvaluationKind::Contrast => Perturbation::Contrast { level, from: 0.0 },
            EvaluationKind::Offset => Perturbation::Offset { level, from: 0.0 },
            EvaluationKind::Rotation => Perturbation::Rotation { level },
        }
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::Purpose;
    use tch::{Device, Kind};

    use super::*;
    use crate::tensor::to_doubles;

    const DATA: PerturbationContext<'_> =
        PerturbationContext { steps: 9, mean: 0.25, side: Some(3), order: None, hidden: 2 };

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

    fn rng() -> TrialRng {
        TrialRng::new(5, Purpose::Augment)
    }

    fn augmenter(kind: EvaluationKind, probability: f64) -> Augmenter {
        Augmenter::new(&Augmentation { kind, probability, level: 0.5 }, rng())
    }

    fn inputs() -> Tensor {
        let values = Tensor::arange(18, (Kind::Double, Device::Cpu));
        (values / 18.0).reshape([9, 2, 1])
    }

    #[test]
    fn unperturbed_batches_draw_one_number_and_probability_zero_none() {
        let mut never = augmenter(EvaluationKind::Sine, 0.0);
        assert!(never.perturb(&inputs(), &DATA).unwrap().is_none());
        assert_eq!(never.position(), rng().position());
        let mut rarely = augmenter(EvaluationKind::Sine, 1e-12);
        assert!(rarely.perturb(&inputs(), &DATA).unwrap().is_none());
        let mut expected = rng();
        expected.unit();
        assert_eq!(rarely.position(), expected.position());
    }

    #[test]
    fn the_sine_has_a_frequency_of_its_own_in_every_batch() {
        let mut always = augmenter(EvaluationKind::Sine, 1.0);
        let mut expected = rng();
        for _ in 0..3 {
            expected.unit();
            let frequency = expected.uniform(0.0, 2.0);
            let found = always.perturb(&inputs(), &DATA).unwrap().unwrap();
            let sine = Perturbation::Sine { level: 0.5, frequency, phase: 0.0 };
            let source = &mut NoiseSource::Stream(&mut expected);
            let wanted = perturb(&[sine], &inputs(), &DATA, source).unwrap();
            assert_eq!(found.inputs, wanted.inputs);
        }
        assert_eq!(always.position(), expected.position());
    }

    #[test]
    fn the_share_of_perturbed_batches_is_the_probability() {
        let mut sometimes = augmenter(EvaluationKind::Offset, 0.3);
        let batches = 2000;
        let perturbed =
            (0..batches).filter(|_| sometimes.perturb(&inputs(), &DATA).unwrap().is_some()).count();
        // Five standard errors.
        let error = 5.0 * (0.3 * 0.7 / f64::from(batches)).sqrt();
        let share = perturbed as f64 / f64::from(batches);
        assert!((share - 0.3).abs() < error, "{share}");
    }

    /// Returns inputs and drive.
    fn numbers(perturbed: Option<PerturbedBatch>) -> Option<(Vec<f64>, Option<Vec<f64>>)> {
        let PerturbedBatch { inputs, drive } = perturbed?;
        let drive = drive.map(|drive| to_doubles(&drive).unwrap());
        Some((to_doubles(&inputs).unwrap(), drive))
    }

    #[test]
    fn every_kind_resumes_where_it_stood() {
        for kind in KINDS {
            let mut whole = augmenter(kind, 0.5);
            for _ in 0..5 {
                let mut rest = augmenter(kind, 0.5);
                rest.resume(whole.position());
                let expected = numbers(whole.perturb(&inputs(), &DATA).unwrap());
                assert_eq!(numbers(rest.perturb(&inputs(), &DATA).unwrap()), expected, "{kind:?}");
                assert!(kind != EvaluationKind::None || expected.is_none());
            }
        }
    }

    #[test]
    fn every_kind_changes_the_batch() {
        for kind in KINDS.into_iter().skip(1) {
            let found = augmenter(kind, 1.0).perturb(&inputs(), &DATA).unwrap().unwrap();
            let driven = found
                .drive
                .is_some_and(|drive| drive.abs().sum(Kind::Double).double_value(&[]) > 0.0);
            assert!(driven || found.inputs != inputs(), "{kind:?}");
        }
    }
}
