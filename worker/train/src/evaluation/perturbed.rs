//! Inputs and currents under perturbations: the samples of a batch once per perturbation of a pass,
//! side by side.

use std::f64::consts::TAU;
use std::ops::Range;

use tch::{Kind, Result, TchError, Tensor};

use super::{NoiseKind, NoiseSource, Perturbation, Rotation};
use crate::tensor::{from_doubles, length};

/// Properties of task and network that perturbations need.
#[derive(Debug, Clone, Copy)]
pub struct PerturbationContext<'a> {
    /// Sequence length T, which scales windows and waves; a batch may have fewer steps.
    pub steps: u32,
    /// Mean of the training inputs.
    pub mean: f64,
    /// Side of the image in pixels, for image tasks.
    pub side: Option<u32>,
    /// Pixel index at each step, counted row by row; row by row if none.
    pub order: Option<&'a [u32]>,
    /// Neurons, H.
    pub hidden: u32,
}

/// N perturbations of one batch: the first one with all B samples, then the next.
#[derive(Debug)]
pub struct PerturbedBatch {
    /// Inputs [T, N B, I].
    pub inputs: Tensor,
    /// Drive [T, N B, H], or [T, N B, 1] if it is the same for all neurons.
    pub drive: Option<Tensor>,
}

/// Applies each of `perturbations` to the samples `inputs` [T, B, I]. The perturbations must need
/// the same noise, if any, which is drawn from `source` once.
pub fn perturb(
    perturbations: &[Perturbation],
    inputs: &Tensor,
    data: &PerturbationContext<'_>,
    source: &mut NoiseSource<'_>,
) -> Result<PerturbedBatch> {
    let noise = noise(perturbations, inputs, data, source)?;
    let each = |perturbation: &Perturbation| perturbation.inputs(inputs, data, noise.as_ref());
    let columns = perturbations.iter().map(each).collect::<Result<Vec<_>>>()?;
    Ok(PerturbedBatch {
        inputs: Tensor::f_cat(&columns, 1)?,
        drive: drive(perturbations, inputs, data, noise.as_ref())?,
    })
}

/// Draws the shared noise: [T, B, I] for inputs, [window length, B, H or 1] for neurons.
fn noise(
    perturbations: &[Perturbation],
    inputs: &Tensor,
    data: &PerturbationContext<'_>,
    source: &mut NoiseSource<'_>,
) -> Result<Option<Tensor>> {
    let Some(first) = perturbations.first() else { return Ok(None) };
    let Some(noise) = first.noise() else { return Ok(None) };
    debug_assert!(perturbations.iter().all(|other| other.noise() == Some(noise)));
    let (_, batch, width) = inputs.size3()?;
    let width = match noise {
        NoiseKind::Inputs => width,
        NoiseKind::Neurons => data.hidden.into(),
        NoiseKind::Shared => 1,
    };
    let size = [first.seen(inputs, data)?.len(), place(batch)?, place(width)?];
    let noise = source.normals(size, inputs.f_kind()?)?;
    noise.f_to_device(inputs.device()).map(Some)
}

/// Returns the drive of all perturbations, if any has one.
fn drive(
    perturbations: &[Perturbation],
    inputs: &Tensor,
    data: &PerturbationContext<'_>,
    noise: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let is_drive = |perturbation: &Perturbation| {
        matches!(perturbation, Perturbation::StepDrive { .. } | Perturbation::NoiseDrive { .. })
    };
    if !perturbations.iter().any(is_drive) {
        return Ok(None);
    }
    let (steps, batch, _) = inputs.size3()?;
    let width = match noise {
        Some(noise) => noise.size3()?.2,
        None => 1,
    };
    let columns = length(perturbations.len())? * batch;
    let options = (inputs.f_kind()?, inputs.device());
    let drive = Tensor::f_zeros([steps, columns, width], options)?;
    for (index, perturbation) in perturbations.iter().enumerate() {
        let window = perturbation.seen(inputs, data)?;
        let part = drive.f_narrow(0, window.start.into(), length(window.len())?)?;
        let mut part = part.f_narrow(1, length(index)? * batch, batch)?;
        match (perturbation, noise) {
            (Perturbation::StepDrive { level }, _) => drop(part.f_fill_(*level)?),
            (Perturbation::NoiseDrive { level, mean, .. }, Some(noise)) => {
                part.f_copy_(&noise.f_mul_scalar(*level)?.f_add_scalar(*mean)?)?;
            }
            _ => {}
        }
    }
    Ok(Some(drive))
}

impl Perturbation {
    /// Returns the perturbed `inputs` [T, B, I].
    fn inputs(
        &self,
        inputs: &Tensor,
        data: &PerturbationContext<'_>,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        match (*self, noise) {
            (Self::Sine { level, frequency, phase }, _) => {
                let steps = f64::from(data.steps);
                let wave = |t: u32| (TAU * frequency * f64::from(t) / steps + phase).sin();
                inputs.f_mul(&per_step(inputs, |t| 1.0 + level * wave(t))?)
            }
            (Self::InputNoise { level }, Some(noise)) => inputs.f_add(&noise.f_mul_scalar(level)?),
            (Self::Contrast { level, .. }, _) => {
                // mu + c (x - mu), in a form that leaves steps outside the window bit-identical.
                let factor = self.within(inputs, data, level, 1.0)?;
                let shift = self.within(inputs, data, data.mean * (1.0 - level), 0.0)?;
                inputs.f_mul(&factor)?.f_add(&shift)
            }
            (Self::Offset { level, .. }, _) => {
                inputs.f_add(&self.within(inputs, data, level, 0.0)?)
            }
            (Self::Rotation { level }, _) => data.rotation(level, inputs.f_kind()?)?.apply(inputs),
            (Self::None | Self::StepDrive { .. } | Self::NoiseDrive { .. }, _) => {
                Ok(inputs.shallow_clone())
            }
            (Self::InputNoise { .. }, None) => {
                Err(TchError::Shape("noise of the input was not drawn".to_owned()))
            }
        }
    }

    /// Returns one value for the steps of the window and another for the rest, [T, 1, 1].
    fn within(
        &self,
        inputs: &Tensor,
        data: &PerturbationContext<'_>,
        inside: f64,
        outside: f64,
    ) -> Result<Tensor> {
        let window = self.window(data.steps);
        per_step(inputs, |t| if window.contains(&t) { inside } else { outside })
    }

    /// Returns the steps of the window that `inputs` [T, B, I] contain.
    fn seen(&self, inputs: &Tensor, data: &PerturbationContext<'_>) -> Result<Range<u32>> {
        let steps = count(inputs.size3()?.0)?;
        let window = self.window(data.steps);
        Ok(window.start.min(steps)..window.end.min(steps))
    }
}

impl PerturbationContext<'_> {
    /// Returns the rotation of the task's images by `degrees`.
    pub fn rotation(&self, degrees: f64, kind: Kind) -> Result<Rotation> {
        let Some(side) = self.side else {
            return Err(TchError::Shape("a rotation needs images".to_owned()));
        };
        match self.order {
            Some(order) => Rotation::new(degrees, side, order, kind),
            None => Rotation::new(degrees, side, &(0..side * side).collect::<Vec<_>>(), kind),
        }
    }
}

/// Returns a value for each step of `inputs`, [T, 1, 1].
fn per_step(inputs: &Tensor, value: impl Fn(u32) -> f64) -> Result<Tensor> {
    let (steps, _, _) = inputs.size3()?;
    let values: Vec<f64> = (0..count(steps)?).map(value).collect();
    from_doubles(&values, &[steps, 1, 1], inputs.f_kind()?)?.f_to_device(inputs.device())
}

fn count(steps: i64) -> Result<u32> {
    u32::try_from(steps).map_err(|_| TchError::Shape(format!("too many steps: `{steps}`")))
}

fn place(count: i64) -> Result<usize> {
    usize::try_from(count).map_err(|_| TchError::Shape(format!("not a size: `{count}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::to_doubles;

    const DATA: PerturbationContext<'_> =
        PerturbationContext { steps: 784, mean: 0.25, side: None, order: None, hidden: 3 };

    fn oracle() -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        all["perturbations"].clone()
    }

    fn inputs(steps: u32, batch: u32) -> Tensor {
        let values: Vec<f64> = (0..steps * batch).map(|i| f64::from(i).sin()).collect();
        from_doubles(&values, &[steps.into(), batch.into(), 1], Kind::Double).unwrap()
    }

    fn samples(first: u64) -> NoiseSource<'static> {
        NoiseSource::Samples { seed: 1, repetition: 0, first }
    }

    fn of(steps: u32) -> PerturbationContext<'static> {
        PerturbationContext { steps, ..DATA }
    }

    fn apply(
        perturbation: Perturbation,
        inputs: &Tensor,
        data: &PerturbationContext<'_>,
    ) -> PerturbedBatch {
        perturb(&[perturbation], inputs, data, &mut samples(0)).unwrap()
    }

    fn each() -> Vec<Vec<Perturbation>> {
        let both = |of: fn(f64) -> Perturbation| vec![of(0.5), of(2.0)];
        vec![
            vec![Perturbation::None],
            both(|level| Perturbation::Sine { level, frequency: 1.0, phase: 0.3 }),
            both(|level| Perturbation::StepDrive { level }),
            both(|level| Perturbation::NoiseDrive { level, mean: 0.1, shared: false }),
            both(|level| Perturbation::NoiseDrive { level, mean: level, shared: true }),
            both(|level| Perturbation::InputNoise { level }),
            both(|level| Perturbation::Contrast { level, from: level / 4.0 }),
            both(|level| Perturbation::Offset { level, from: 0.5 }),
            both(|level| Perturbation::Rotation { level: 20.0 * level }),
        ]
    }

    #[test]
    fn the_sine_has_the_factors_of_the_reference() {
        let oracle = &oracle()["sine"];
        let number = |name: &str| oracle[name].as_f64().unwrap();
        let sine = Perturbation::Sine {
            level: number("amplitude"),
            frequency: number("frequency"),
            phase: number("phase"),
        };
        let ones = inputs(784, 1).ones_like();
        let factors = to_doubles(&apply(sine, &ones, &DATA).inputs).unwrap();
        let times: Vec<usize> = serde_json::from_value(oracle["t"].clone()).unwrap();
        for (t, expected) in times.into_iter().zip(oracle["factor"].as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!((factors[t] - expected).abs() <= 1e-9 * expected, "{t}: {}", factors[t]);
        }
    }

    #[test]
    fn contrast_and_offset_have_the_values_of_the_reference() {
        let oracle = &oracle()["contrast"];
        let number = |name: &str| oracle[name].as_f64().unwrap();
        let list = |name| serde_json::from_value::<Vec<f64>>(oracle[name].clone()).unwrap();
        let contrast = Perturbation::Contrast { level: number("c"), from: 0.0 };
        let offset = Perturbation::Offset { level: number("o"), from: 0.0 };
        let data = PerturbationContext { mean: number("mean"), ..of(3) };
        let inputs = from_doubles(&list("x"), &[3, 1, 1], Kind::Double).unwrap();
        let found = apply(offset, &apply(contrast, &inputs, &data).inputs, &data);
        for (found, expected) in to_doubles(&found.inputs).unwrap().iter().zip(list("value")) {
            assert!((found - expected).abs() <= 1e-9 * expected, "{found}, not {expected}");
        }
    }

    #[test]
    fn steps_before_the_window_are_unchanged() {
        let plain = inputs(7, 2);
        for perturbation in [
            Perturbation::Contrast { level: 0.5, from: 0.5 },
            Perturbation::Offset { level: 0.5, from: 0.5 },
        ] {
            let found = apply(perturbation, &plain, &of(7)).inputs;
            // Half of seven steps has passed at step 4.
            assert_eq!(found.narrow(0, 0, 4), plain.narrow(0, 0, 4), "{perturbation:?}");
            let changed = found.ne_tensor(&plain).narrow(0, 4, 3);
            assert_eq!(changed.count_nonzero(None).int64_value(&[]), 6, "{perturbation:?}");
        }
    }

    #[test]
    fn drives_are_zero_outside_of_their_windows() {
        let plain = inputs(784, 2);
        let step = apply(Perturbation::StepDrive { level: 2.5 }, &plain, &DATA).drive.unwrap();
        assert_eq!(step.size(), [784, 2, 1]);
        let expected: Vec<f64> =
            (0..784).map(|t| if (201..400).contains(&t) { 2.5 } else { 0.0 }).collect();
        assert_eq!(to_doubles(&step.narrow(1, 1, 1)).unwrap(), expected);
        let noise = Perturbation::NoiseDrive { level: 2.0, mean: 5.0, shared: false };
        let noise = apply(noise, &plain, &DATA).drive.unwrap();
        assert_eq!(noise.size(), [784, 2, 3]);
        let driven = to_doubles(&noise.abs().sum_dim_intlist([1i64, 2].as_slice(), false, None));
        for (t, value) in driven.unwrap().into_iter().enumerate() {
            assert_eq!(value != 0.0, (200..400).contains(&t), "step {t}");
        }
        // 1,200 numbers: five standard errors of their mean and of their variance.
        let inside = noise.narrow(0, 200, 200);
        let mean = inside.mean(None).double_value(&[]);
        let deviation = inside.std(true).double_value(&[]);
        assert!((mean - 5.0).abs() < 5.0 * 2.0 / 1200f64.sqrt(), "{mean}");
        assert!((deviation - 2.0).abs() < 5.0 * 2.0 / 2400f64.sqrt(), "{deviation}");
    }

    #[test]
    fn shared_noise_is_the_same_for_all_neurons_and_no_samples() {
        let noise = Perturbation::NoiseDrive { level: 1.0, mean: 0.0, shared: true };
        let drive = apply(noise, &inputs(40, 2), &of(40)).drive.unwrap();
        assert_eq!(drive.size(), [40, 2, 1]);
        let differ = drive.narrow(1, 0, 1).ne_tensor(&drive.narrow(1, 1, 1));
        let window = i64::try_from(noise.window(40).len()).unwrap();
        assert_eq!(differ.count_nonzero(None).int64_value(&[]), window);
    }

    #[test]
    fn batched_perturbations_match_single_ones() {
        let order: Vec<u32> = (0..36).rev().collect();
        let data = PerturbationContext { side: Some(6), order: Some(&order), ..of(36) };
        let plain = inputs(36, 4);
        for group in each() {
            let together = perturb(&group, &plain, &data, &mut samples(0)).unwrap();
            let apart: Vec<PerturbedBatch> =
                group.iter().map(|one| apply(*one, &plain, &data)).collect();
            let inputs: Vec<&Tensor> = apart.iter().map(|one| &one.inputs).collect();
            assert_eq!(together.inputs, Tensor::cat(&inputs, 1), "{group:?}");
            let drives: Vec<&Tensor> = apart.iter().filter_map(|one| one.drive.as_ref()).collect();
            match together.drive {
                Some(drive) => assert_eq!(drive, Tensor::cat(&drives, 1), "{group:?}"),
                None => assert!(drives.is_empty(), "{group:?}"),
            }
        }
    }

    #[test]
    fn a_sample_is_perturbed_in_the_same_way_in_any_batch() {
        let data = PerturbationContext { side: Some(6), ..of(36) };
        let plain = inputs(36, 4);
        for perturbation in each().into_iter().flatten() {
            let whole = apply(perturbation, &plain, &data);
            for (first, batch) in [(0, 1), (1, 2), (3, 1)] {
                let part = plain.narrow(1, first, batch);
                let mut source = samples(first.unsigned_abs());
                let part = perturb(&[perturbation], &part, &data, &mut source).unwrap();
                let cut = |whole: &Tensor| whole.narrow(1, first, batch);
                assert_eq!(part.inputs, cut(&whole.inputs), "{perturbation:?}");
                assert_eq!(part.drive, whole.drive.as_ref().map(cut), "{perturbation:?}");
            }
        }
    }

    #[test]
    fn level_scales_the_noise_and_zero_changes_nothing() {
        let plain = inputs(40, 2);
        let noise = |level| Perturbation::NoiseDrive { level, mean: 0.0, shared: false };
        let drive = |level| apply(noise(level), &plain, &of(40)).drive.unwrap();
        assert_eq!(drive(4.0), drive(1.0) * 4.0);
        assert_eq!(drive(0.0), drive(1.0).zeros_like());
        for perturbation in [
            Perturbation::Sine { level: 0.0, frequency: 2.0, phase: 1.0 },
            Perturbation::InputNoise { level: 0.0 },
            Perturbation::Contrast { level: 1.0, from: 0.0 },
            Perturbation::Offset { level: 0.0, from: 0.0 },
        ] {
            assert_eq!(apply(perturbation, &plain, &of(40)).inputs, plain, "{perturbation:?}");
        }
    }

    #[test]
    fn a_shorter_batch_has_the_windows_of_a_whole_sequence() {
        let whole = inputs(40, 2);
        let part = whole.narrow(0, 0, 15);
        for perturbation in [
            Perturbation::Sine { level: 0.5, frequency: 1.0, phase: 0.0 },
            Perturbation::StepDrive { level: 1.0 },
            Perturbation::NoiseDrive { level: 1.0, mean: 0.0, shared: true },
            Perturbation::Offset { level: 1.0, from: 0.25 },
            Perturbation::Contrast { level: 2.0, from: 0.5 },
        ] {
            let (whole, part) =
                (apply(perturbation, &whole, &of(40)), apply(perturbation, &part, &of(40)));
            let cut = |whole: &Tensor| whole.narrow(0, 0, 15);
            assert_eq!(part.inputs, cut(&whole.inputs), "{perturbation:?}");
            assert_eq!(part.drive, whole.drive.as_ref().map(cut), "{perturbation:?}");
        }
    }

    #[test]
    fn a_rotation_without_images_is_refused() {
        let rotation = Perturbation::Rotation { level: 45.0 };
        assert!(perturb(&[rotation], &inputs(36, 1), &of(36), &mut samples(0)).is_err());
        let data = PerturbationContext { side: Some(5), ..of(36) };
        assert!(perturb(&[rotation], &inputs(36, 1), &data, &mut samples(0)).is_err());
    }
}
