//! Gain and saturation of adaptive neurons as functions of the noise strength, with fitted curves
//! (science reference, 7.5).
//!
//! The noise is that of the first repetition of the noise drive at evaluation: active for onset <=
//! t < 2 onset with onset = round(200 T / 784); all strengths share its draws. Values are averaged
//! from step round(310 T / 784) to the end of the noise, steps 310..399 of 784.

use std::ops::Range;

use rheo_model::row::{GainFitRow, GainScalingRow, Rows, Variant};
use tch::{Result as TorchResult, Tensor, no_grad_guard};

use super::driven::{RunningMoments, scaled};
use super::{StopCheck, Study};
use crate::Error;
use crate::network::{LayerStep, RunConditions};
use crate::numerics::scaling::{CurveForm, ScalingFit};
use crate::numerics::{released_scaling, scaling};
use crate::shape_stats::ShapeStats;
use crate::task::Split;

/// Default noise strengths.
const LEVELS: [f64; 8] = [0.0, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];

/// Default number of test sequences to average over.
const SAMPLES: u32 = 1000;

/// Returns one row per strength, and the curves fitted to n and s.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    if !study.is_adaptive() {
        return Ok(rows);
    }
    let levels = study.levels(&LEVELS);
    let measured = measure(study, &levels, check_stop)?;
    let (n, s): (Vec<f64>, Vec<f64>) = measured.iter().map(|[n, s]| (n.mean(), s.mean())).unzip();
    let row = |(&xi, (&n_mean, &s_mean))| GainScalingRow {
        epoch: study.epoch,
        variant: Variant::Corrected,
        xi,
        n_mean,
        s_mean,
    };
    rows.gain_scaling = levels.iter().zip(n.iter().zip(&s)).map(row).collect();
    for (quantity, form, values) in [("n", CurveForm::Power, &n), ("s", CurveForm::Exponential, &s)]
    {
        let corrected = scaling::fit(form, &levels, values);
        let released = released_scaling::fit(form, &levels, values);
        for (variant, fit) in [(Variant::Corrected, corrected), (Variant::Released, released)] {
            let row = |fit| fit_row(study.epoch, variant, quantity, form, fit);
            rows.gain_fits.extend(fit.map(row));
        }
    }
    Ok(rows)
}

fn fit_row(
    epoch: i32,
    variant: Variant,
    quantity: &str,
    form: CurveForm,
    fit: ScalingFit,
) -> GainFitRow {
    GainFitRow {
        epoch,
        variant,
        quantity: quantity.to_owned(),
        form: form.name().to_owned(),
        a: fit.a,
        b: fit.b,
        c: fit.c,
        rmse: fit.rmse,
        r2: fit.r2,
        // A trial has one seed; queries pool the rows of several trials.
        pooled_seeds: 1,
    }
}

/// Measures gain and saturation under noise of each strength.
fn measure(
    study: &Study<'_>,
    levels: &[f64],
    check_stop: StopCheck<'_>,
) -> Result<Vec<[RunningMoments; 2]>, Error> {
    let _guard = no_grad_guard();
    let steps = study.task.steps();
    let on = scaled(200, steps)..2 * scaled(200, steps);
    let counted = scaled(310, steps)..on.end;
    let mut measured = vec![<[RunningMoments; 2]>::default(); levels.len()];
    for samples in study.test_batches(SAMPLES) {
        let batch = study.task.batch(Split::Test, &samples)?;
        // Steps after the noise are not used.
        let inputs = batch.inputs.f_narrow(0, 0, on.end.into())?;
        let noise = study.neuron_noise(&samples, on.end - on.start)?;
        for (xi, moments) in levels.iter().zip(&mut measured) {
            check_stop()?;
            let drive = from(&noise.f_mul_scalar(*xi)?, on.start)?;
            let conditions = RunConditions::driven(Some(&drive));
            let mut visit = collect(moments, counted.clone());
            study.network.visit_steps(
                &inputs,
                conditions,
                &mut ShapeStats::counting(),
                &mut visit,
            )?;
        }
    }
    Ok(measured)
}

/// Returns `noise` [length, B, H] preceded by `silent` steps of zeros.
fn from(noise: &Tensor, silent: u32) -> TorchResult<Tensor> {
    let (_, batch, hidden) = noise.size3()?;
    let options = (noise.f_kind()?, noise.device());
    let zeros = Tensor::f_zeros([i64::from(silent), batch, hidden], options)?;
    Tensor::f_cat(&[&zeros, noise], 0)
}

/// Returns a visitor that adds gain and saturation at the steps `counted` to `moments`.
fn collect(
    moments: &mut [RunningMoments; 2],
    counted: Range<u32>,
) -> impl FnMut(&LayerStep) -> TorchResult<()> {
    let mut t = 0;
    move |step| {
        if let Some(shape) = step.shape.as_ref().filter(|_| counted.contains(&t)) {
            moments[0].add(&shape.n)?;
            moments[1].add(&shape.s)?;
        }
        t += 1;
        Ok(())
    }
}
