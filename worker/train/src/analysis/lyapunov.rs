//! Lyapunov exponents of a network (science reference, section 7.1): without input, while it reads
//! test sequences, and without input but with gains and saturations frozen as a drive set them.

mod orbit;
mod tangent;
#[cfg(test)]
mod tests;

use rheo_model::config::LyapunovMode;
use rheo_model::row::{LyapunovRow, Rows, Variant};
use tch::{Tensor, no_grad, no_grad_guard};

use super::driven::scaled;
use super::sequences::{MeanStd, moments, parts};
use super::{StopCheck, Study};
use crate::Error;
use crate::dynamics::spectrum::{
    DynamicalSystem, LyapunovExponents, LyapunovSpectrum, random_columns,
};
use crate::evaluation::Perturbation;
use crate::network::{GainSaturation, LayerState, Network, RunConditions, ShapeOverride};
use crate::shape_stats::ShapeStats;
use crate::task::Split;
use crate::tensor::{from_doubles, length};
use orbit::{ExternalInput, Orbit, TangentVariables};

/// Transient steps of a system without input before columns are followed.
const TRANSIENT: u32 = 200;
/// Alignment steps that turn the columns and are not counted.
const ALIGNMENT: u32 = 100;
/// Initial output of every neuron of a system without input.
const START: f64 = 0.5;
/// First counted step of a sequence of 784 steps.
const DRIVEN_FROM: u32 = 100;
/// Default number of test sequences of `driven`.
const DRIVEN_SAMPLES: u32 = 20;
/// Test sequences over which gain and saturation are averaged: one batch of the paper.
const FROZEN_SAMPLES: u32 = 100;
/// Sequences per batch.
const FROZEN_AT_ONCE: usize = 50;
/// Steps of a sequence of 784 steps at which gain and saturation are frozen.
const FROZEN_AT: [u32; 4] = [200, 250, 300, 350];
/// Strengths of the step drive, equal to those of the perturbation of the same name.
const FROZEN_LEVELS: [f64; 10] = [0.0, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0];
/// Maximum number of column elements of the sequences followed at once.
const MOST_ELEMENTS: i64 = 1 << 23;

/// Returns one row per system and exponent.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let modes = study.analysis.mode.as_deref().unwrap_or(&[LyapunovMode::Autonomous]);
    let mut lyapunov = Vec::new();
    for mode in modes {
        lyapunov.extend(match mode {
            LyapunovMode::Autonomous => autonomous(study, check_stop)?,
            LyapunovMode::Driven => driven(study, check_stop)?,
            LyapunovMode::Frozen => frozen(study, check_stop)?,
        });
    }
    Ok(Rows { lyapunov, ..Rows::default() })
}

/// Columns that the rows of one system share.
struct SystemLabel<'a> {
    variant: Variant,
    mode: LyapunovMode,
    system: &'a str,
    shape_source: &'a str,
    xi: f64,
    at_step: Option<u32>,
    /// First counted step, and the step after the last counted one.
    window: [u32; 2],
}

/// A system without input, and the number of steps before counting begins.
#[derive(Clone, Copy)]
struct AutonomousRun<'a> {
    shape_override: Option<&'a ShapeOverride>,
    /// Constant drive.
    xi: f64,
    variables: TangentVariables,
    /// Steps before columns are followed.
    transient: u32,
    /// Steps that turn the columns.
    alignment: u32,
}

impl AutonomousRun<'_> {
    /// Returns the window of counted steps.
    fn window(&self, study: &Study<'_>) -> [u32; 2] {
        let from = self.transient + self.alignment;
        [from, from.saturating_add(study.analysis.steps)]
    }
}

/// Computes the exponents of the network without input: with our formulas, and with those of the
/// released code, which follow only h and discard nothing.
fn autonomous(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let label = |variant, system, still: &AutonomousRun<'_>| SystemLabel {
        variant,
        mode: LyapunovMode::Autonomous,
        system,
        shape_source: "own",
        xi: 0.0,
        at_step: None,
        window: still.window(study),
    };
    let still = AutonomousRun {
        shape_override: None,
        xi: 0.0,
        variables: TangentVariables::All,
        transient: TRANSIENT,
        alignment: ALIGNMENT,
    };
    let exponents = follow_still(study, still, check_stop)?.exponents()?;
    let corrected = label(Variant::Corrected, system(study.network)?, &still);
    let mut all = rows(study, &corrected, &exponents);
    if study.network.parameter("w_hh").is_some() {
        let still = AutonomousRun {
            variables: TangentVariables::Neurons,
            transient: 0,
            alignment: 0,
            ..still
        };
        let exponents = follow_still(study, still, check_stop)?.exponents_skipping_nan()?;
        all.extend(rows(study, &label(Variant::Released, "h", &still), &exponents));
    }
    Ok(all)
}

/// Computes the exponents of the network while it reads test sequences, at each strength of a step
/// drive.
fn driven(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let steps = study.task.steps();
    let window = match study.analysis.window.as_deref() {
        Some(&[start, end]) => [start, end],
        _ => [scaled(DRIVEN_FROM, steps), steps],
    };
    let mut all = Vec::new();
    for xi in study.levels(&[0.0]) {
        let exponents = follow_sequences(study, xi, window, check_stop)?;
        let label = SystemLabel {
            variant: Variant::Corrected,
            mode: LyapunovMode::Driven,
            system: system(study.network)?,
            shape_source: "own",
            xi,
            at_step: None,
            window,
        };
        all.extend(rows(study, &label, &exponents));
    }
    Ok(all)
}

/// Computes the exponents of an adaptive network whose gains and saturations are frozen at some
/// step of a step drive (`adaptive`), and of the same network frozen just before the drive
/// (`fixed`).
fn frozen(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let mut all = Vec::new();
    let steps = study.task.steps();
    if !study.is_adaptive() || steps == 0 {
        return Ok(all);
    }
    let [a, b, c, d] = FROZEN_AT.map(|step| scaled(step, steps).min(steps - 1));
    let at = [a.saturating_sub(1), a, b, c, d];
    for xi in study.levels(&FROZEN_LEVELS) {
        let mut spectra = Vec::new();
        for shape_override in &shapes_at(study, xi, &at, check_stop)? {
            let still = AutonomousRun {
                shape_override: Some(shape_override),
                xi,
                variables: TangentVariables::Neurons,
                transient: TRANSIENT,
                alignment: ALIGNMENT,
            };
            spectra
                .push((still.window(study), follow_still(study, still, check_stop)?.exponents()?));
        }
        let Some(((_, fixed), adaptive)) = spectra.split_first() else { continue };
        for (step, (window, exponents)) in at.iter().skip(1).zip(adaptive) {
            for (shape_source, exponents) in [("adaptive", exponents), ("fixed", fixed)] {
                let label = SystemLabel {
                    variant: Variant::Corrected,
                    mode: LyapunovMode::Frozen,
                    system: "h",
                    shape_source,
                    xi,
                    at_step: Some(*step),
                    window: *window,
                };
                all.extend(rows(study, &label, exponents));
            }
        }
    }
    Ok(all)
}

/// Follows a system without input for the configured number of counted steps.
fn follow_still(
    study: &Study<'_>,
    still: AutonomousRun<'_>,
    check_stop: StopCheck<'_>,
) -> Result<LyapunovSpectrum, Error> {
    let network = no_grad(|| without_input(study))?;
    let inputs = study.task.batch(Split::Test, &[0])?.inputs;
    let inputs = inputs.f_narrow(0, 0, 1)?.f_narrow(1, 0, 1)?.f_zeros_like()?;
    let drive = Tensor::f_full([1, 1, 1], still.xi, (network.precision(), inputs.device()))?;
    let external_input = ExternalInput::constant(inputs, Some(drive));
    let rest = network.rest(1)?;
    let state = LayerState { h: rest.h.f_full_like(START)?, inner: rest.inner };
    let mut orbit =
        Orbit::new(&network, still.shape_override, state, external_input, still.variables)?;
    let mut spectrum = LyapunovSpectrum::new(columns(study, still.variables, 1)?)?;
    for _ in 0..still.transient {
        check_stop()?;
        orbit.advance()?;
    }
    for _ in 0..still.alignment {
        check_stop()?;
        spectrum.align(&mut orbit)?;
    }
    for _ in 0..study.analysis.steps {
        check_stop()?;
        spectrum.count(&mut orbit)?;
    }
    Ok(spectrum)
}

/// Follows the network along test sequences under a step drive of strength `xi`; returns the
/// exponents of each sequence over the window [`from`, `end`).
fn follow_sequences(
    study: &Study<'_>,
    xi: f64,
    [from, end]: [u32; 2],
    check_stop: StopCheck<'_>,
) -> Result<Vec<LyapunovExponents>, Error> {
    let size = TangentVariables::All.dimension(study.network)?
        * exponent_count(study, TangentVariables::All)?;
    let at_once = usize::try_from(MOST_ELEMENTS / size.max(1)).unwrap_or(1).max(1);
    let mut exponents = Vec::new();
    for part in parts(study, DRIVEN_SAMPLES, at_once)? {
        let batch = part.load(study)?;
        let drive = drive(study, xi)?;
        let external_input = ExternalInput::sequence(batch.inputs, drive);
        let count = length(part.count)?;
        let rest = study.network.rest(count)?;
        let mut orbit =
            Orbit::new(study.network, None, rest, external_input, TangentVariables::All)?;
        let mut spectrum = LyapunovSpectrum::new(columns(study, TangentVariables::All, count)?)?;
        for step in 0..end {
            check_stop()?;
            if step < from {
                spectrum.align(&mut orbit)?;
            } else {
                spectrum.count(&mut orbit)?;
            }
        }
        exponents.extend(spectrum.exponents()?);
    }
    Ok(exponents)
}

/// Returns the gains and saturations of every neuron at the steps `at` of a step drive of strength
/// `xi`, averaged over test sequences.
fn shapes_at(
    study: &Study<'_>,
    xi: f64,
    at: &[u32],
    check_stop: StopCheck<'_>,
) -> Result<Vec<ShapeOverride>, Error> {
    let _guard = no_grad_guard();
    let mut count = 0;
    let drive = drive(study, xi)?;
    let mut sums: Vec<Option<GainSaturation<Tensor>>> = at.iter().map(|_| None).collect();
    for part in parts(study, FROZEN_SAMPLES, FROZEN_AT_ONCE)? {
        check_stop()?;
        let batch = part.load(study)?;
        count += part.count;
        let mut step = 0;
        let conditions = RunConditions::driven(drive.as_ref());
        study.network.visit_steps(
            &batch.inputs,
            conditions,
            &mut ShapeStats::counting(),
            &mut |seen| {
                let wanted = at.iter().zip(&mut sums).filter(|(at, _)| **at == step);
                for (_, sum) in wanted {
                    let Some(shape) = &seen.shape else { continue };
                    let total =
                        |values: &Tensor| values.f_sum_dim_intlist(0, false, tch::Kind::Double);
                    let (n, s) = (total(&shape.n)?, total(&shape.s)?);
                    *sum = Some(match sum.take() {
                        Some(sum) => GainSaturation { n: sum.n.f_add(&n)?, s: sum.s.f_add(&s)? },
                        None => GainSaturation { n, s },
                    });
                }
                step += 1;
                Ok(())
            },
        )?;
    }
    let kind = study.network.precision();
    let mean = |sum: &Tensor| sum.f_div_scalar(count as f64)?.f_to_dtype(kind, false, false);
    let shape_override =
        |sum: GainSaturation<Tensor>| Ok(ShapeOverride { n: mean(&sum.n)?, s: mean(&sum.s)? });
    sums.into_iter().flatten().map(shape_override).collect()
}

/// Returns the network for x = 0: embeddings are zero, and so are the biases of neurons and gates
/// unless the analysis keeps them. The controllers' biases stay.
fn without_input(study: &Study<'_>) -> tch::Result<Network> {
    let mut changes = Vec::new();
    for parameter in study.network.parameters() {
        let is_bias = study.network.biases().contains(&parameter.name);
        if parameter.name == "embedding" || is_bias && !study.analysis.biases {
            changes.push((parameter.name, parameter.tensor.f_zeros_like()?));
        }
    }
    study.network.with(&changes)
}

/// Returns a step drive, unless it is 0.
fn drive(study: &Study<'_>, xi: f64) -> tch::Result<Option<Tensor>> {
    if xi == 0.0 {
        return Ok(None);
    }
    let steps = study.task.steps();
    let window = Perturbation::StepDrive { level: xi }.window(steps);
    let values: Vec<f64> = (0..steps).map(|t| if window.contains(&t) { xi } else { 0.0 }).collect();
    from_doubles(&values, &[i64::from(steps), 1, 1], study.network.precision()).map(Some)
}

/// Returns the number of exponents: as configured, but at most the number of variables.
fn exponent_count(study: &Study<'_>, variables: TangentVariables) -> tch::Result<i64> {
    Ok(i64::from(study.analysis.exponents).min(variables.dimension(study.network)?))
}

/// Returns the start columns [B, D, k] of every analysis, the same for each of `batch` copies.
fn columns(study: &Study<'_>, variables: TangentVariables, batch: i64) -> tch::Result<Tensor> {
    let dimension = variables.dimension(study.network)?;
    random_columns(batch, dimension, exponent_count(study, variables)?, &mut study.rng())
}

/// Returns the name of the system of all variables of a network.
fn system(network: &Network) -> tch::Result<&'static str> {
    Ok(if network.rest(1)?.inner.is_some() { "joint" } else { "h" })
}

/// Returns one row per exponent, averaged over the sequences.
fn rows(
    study: &Study<'_>,
    label: &SystemLabel<'_>,
    sequences: &[LyapunovExponents],
) -> Vec<LyapunovRow> {
    let count = sequences.first().map_or(0, |first| first.nats.len());
    (0..)
        .zip(0..count)
        .map(|(index, place)| {
            let of_each: Vec<f64> = sequences.iter().map(|each| each.nats[place]).collect();
            let MeanStd { mean: nats, std: std_nats } = moments(&of_each);
            LyapunovRow {
                epoch: study.epoch,
                variant: label.variant,
                mode: label.mode.name().to_owned(),
                system: label.system.to_owned(),
                shape_source: label.shape_source.to_owned(),
                xi: label.xi,
                at_step: label.at_step.and_then(|step| i32::try_from(step).ok()),
                window_start: label.window[0],
                window_end: label.window[1],
                index,
                nats,
                bits: nats / std::f64::consts::LN_2,
                std_nats,
                sequences: u32::try_from(sequences.len()).unwrap_or(u32::MAX),
                steps: label.window[1] - label.window[0],
                skipped_nan: sequences.iter().map(|each| each.skipped_nan[place]).sum(),
            }
        })
        .collect()
}
