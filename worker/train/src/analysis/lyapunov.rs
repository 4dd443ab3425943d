//! Lyapunov exponents of a network (science reference, section 7.1): without input, while it reads
//! test sequences, and without input but with gains and saturations fixed as a drive made them.

mod orbit;
mod tangent;
#[cfg(test)]
mod tests;

use rheo_model::config::LyapunovMode;
use rheo_model::row::{LyapunovRow, Rows, Variant};
use tch::{Tensor, no_grad, no_grad_guard};

use super::driven::scaled;
use super::sequences::{MeanStd, moments, parts};
use super::{Pause, Study};
use crate::Error;
use crate::dynamics::spectrum::{Exponents, Spectrum, System, random_columns};
use crate::evaluation::Perturbation;
use crate::gauge::Gauge;
use crate::network::{Conditions, GainSaturation, Held, Network, State};
use crate::task::Split;
use crate::tensor::{from_doubles, length};
use orbit::{Orbit, Outside, Variables};

/// Steps of a system without input before columns are followed.
const TRANSIENT: u32 = 200;
/// Steps that then turn the columns and are not counted.
const ALIGNMENT: u32 = 100;
/// What every neuron of a system without input emits at first.
const START: f64 = 0.5;
/// First counted step of a sequence of 784 steps.
const DRIVEN_FROM: u32 = 100;
/// Test sequences of `driven`.
const DRIVEN_SAMPLES: u32 = 20;
/// Test sequences over which gain and saturation are averaged: a batch of the paper.
const FROZEN_SAMPLES: u32 = 100;
/// Sequences that run at once.
const FROZEN_AT_ONCE: usize = 50;
/// Steps of a sequence of 784 steps at which gain and saturation are frozen.
const FROZEN_AT: [u32; 4] = [200, 250, 300, 350];
/// Strengths of the step drive, those of the perturbation of the same name.
const FROZEN_LEVELS: [f64; 10] = [0.0, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0];
/// Most elements of the columns of the sequences that are followed at once.
const MOST_ELEMENTS: i64 = 1 << 23;

/// One row per system and exponent.
pub(super) fn run(study: &Study<'_>, pause: Pause<'_>) -> Result<Rows, Error> {
    let modes = study.analysis.mode.as_deref().unwrap_or(&[LyapunovMode::Autonomous]);
    let mut lyapunov = Vec::new();
    for mode in modes {
        lyapunov.extend(match mode {
            LyapunovMode::Autonomous => autonomous(study, pause)?,
            LyapunovMode::Driven => driven(study, pause)?,
            LyapunovMode::Frozen => frozen(study, pause)?,
        });
    }
    Ok(Rows { lyapunov, ..Rows::default() })
}

/// What the rows of one system have in common.
struct Label<'a> {
    variant: Variant,
    mode: LyapunovMode,
    system: &'a str,
    shape_source: &'a str,
    xi: f64,
    at_step: Option<u32>,
    /// First counted step and the first that is not counted any more.
    window: [u32; 2],
}

/// A system without input, and how much of its way is not counted.
#[derive(Clone, Copy)]
struct Still<'a> {
    held: Option<&'a Held>,
    /// The constant drive.
    xi: f64,
    variables: Variables,
    /// Steps before columns are followed.
    transient: u32,
    /// Steps that turn the columns.
    alignment: u32,
}

impl Still<'_> {
    /// The counted steps of `study`.
    fn window(&self, study: &Study<'_>) -> [u32; 2] {
        let from = self.transient + self.alignment;
        [from, from.saturating_add(study.analysis.steps)]
    }
}

/// The network without input, by our formulas and by those of the released code, which follow h
/// alone and discard nothing.
fn autonomous(study: &Study<'_>, pause: Pause<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let label = |variant, system, still: &Still<'_>| Label {
        variant,
        mode: LyapunovMode::Autonomous,
        system,
        shape_source: "own",
        xi: 0.0,
        at_step: None,
        window: still.window(study),
    };
    let still = Still {
        held: None,
        xi: 0.0,
        variables: Variables::All,
        transient: TRANSIENT,
        alignment: ALIGNMENT,
    };
    let exponents = follow_still(study, still, pause)?.exponents()?;
    let corrected = label(Variant::Corrected, system(study.network)?, &still);
    let mut all = rows(study, &corrected, &exponents);
    if study.network.parameter("w_hh").is_some() {
        let still = Still { variables: Variables::Neurons, transient: 0, alignment: 0, ..still };
        let exponents = follow_still(study, still, pause)?.exponents_skipping_nan()?;
        all.extend(rows(study, &label(Variant::Released, "h", &still), &exponents));
    }
    Ok(all)
}

/// The network while it reads test sequences, at every strength of a step drive.
fn driven(study: &Study<'_>, pause: Pause<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let steps = study.task.steps();
    let window = match study.analysis.window.as_deref() {
        Some(&[start, end]) => [start, end],
        _ => [scaled(DRIVEN_FROM, steps), steps],
    };
    let mut all = Vec::new();
    for xi in study.levels(&[0.0]) {
        let exponents = follow_sequences(study, xi, window, pause)?;
        let label = Label {
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

/// An adaptive network whose gains and saturations are fixed as a step drive made them by some
/// step: `adaptive`; and beside each, as they were just before the drive: `fixed`.
fn frozen(study: &Study<'_>, pause: Pause<'_>) -> Result<Vec<LyapunovRow>, Error> {
    let mut all = Vec::new();
    let steps = study.task.steps();
    if !study.is_adaptive() || steps == 0 {
        return Ok(all);
    }
    let [a, b, c, d] = FROZEN_AT.map(|step| scaled(step, steps).min(steps - 1));
    let at = [a.saturating_sub(1), a, b, c, d];
    for xi in study.levels(&FROZEN_LEVELS) {
        let mut spectra = Vec::new();
        for held in &shapes_at(study, xi, &at, pause)? {
            let still = Still {
                held: Some(held),
                xi,
                variables: Variables::Neurons,
                transient: TRANSIENT,
                alignment: ALIGNMENT,
            };
            spectra.push((still.window(study), follow_still(study, still, pause)?.exponents()?));
        }
        let Some(((_, fixed), adaptive)) = spectra.split_first() else { continue };
        for (step, (window, exponents)) in at.iter().skip(1).zip(adaptive) {
            for (shape_source, exponents) in [("adaptive", exponents), ("fixed", fixed)] {
                let label = Label {
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

/// Follows a system without input for as many counted steps as are asked for.
fn follow_still(study: &Study<'_>, still: Still<'_>, pause: Pause<'_>) -> Result<Spectrum, Error> {
    let network = no_grad(|| without_input(study))?;
    let inputs = study.task.batch(Split::Test, &[0])?.inputs;
    let inputs = inputs.f_narrow(0, 0, 1)?.f_narrow(1, 0, 1)?.f_zeros_like()?;
    let drive = Tensor::f_full([1, 1, 1], still.xi, (network.precision(), inputs.device()))?;
    let outside = Outside::constant(inputs, Some(drive));
    let rest = network.rest(1)?;
    let state = State { h: rest.h.f_full_like(START)?, inner: rest.inner };
    let mut orbit = Orbit::new(&network, still.held, state, outside, still.variables)?;
    let mut spectrum = Spectrum::new(columns(study, still.variables, 1)?)?;
    for _ in 0..still.transient {
        pause()?;
        orbit.advance()?;
    }
    for _ in 0..still.alignment {
        pause()?;
        spectrum.align(&mut orbit)?;
    }
    for _ in 0..study.analysis.steps {
        pause()?;
        spectrum.count(&mut orbit)?;
    }
    Ok(spectrum)
}

/// Follows the network along test sequences under a step drive of strength `xi`; gives the
/// exponents of every sequence over the steps of the window [`from`, `end`).
fn follow_sequences(
    study: &Study<'_>,
    xi: f64,
    [from, end]: [u32; 2],
    pause: Pause<'_>,
) -> Result<Vec<Exponents>, Error> {
    let size = Variables::All.dimension(study.network)? * exponent_count(study, Variables::All)?;
    let at_once = usize::try_from(MOST_ELEMENTS / size.max(1)).unwrap_or(1).max(1);
    let mut exponents = Vec::new();
    for part in parts(study, DRIVEN_SAMPLES, at_once)? {
        let batch = part.load(study)?;
        let drive = drive(study, xi)?;
        let outside = Outside::sequence(batch.inputs, drive);
        let count = length(part.count)?;
        let rest = study.network.rest(count)?;
        let mut orbit = Orbit::new(study.network, None, rest, outside, Variables::All)?;
        let mut spectrum = Spectrum::new(columns(study, Variables::All, count)?)?;
        for step in 0..end {
            pause()?;
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

/// The gains and saturations of every neuron at steps `at` of a step drive of strength `xi`,
/// averaged over test sequences.
fn shapes_at(study: &Study<'_>, xi: f64, at: &[u32], pause: Pause<'_>) -> Result<Vec<Held>, Error> {
    let _guard = no_grad_guard();
    let mut count = 0;
    let drive = drive(study, xi)?;
    let mut sums: Vec<Option<GainSaturation<Tensor>>> = at.iter().map(|_| None).collect();
    for part in parts(study, FROZEN_SAMPLES, FROZEN_AT_ONCE)? {
        pause()?;
        let batch = part.load(study)?;
        count += part.count;
        let mut step = 0;
        let conditions = Conditions::driven(drive.as_ref());
        study.network.watch(&batch.inputs, conditions, &mut Gauge::counting(), &mut |seen| {
            let wanted = at.iter().zip(&mut sums).filter(|(at, _)| **at == step);
            for (_, sum) in wanted {
                let Some(shape) = &seen.shape else { continue };
                let total = |values: &Tensor| values.f_sum_dim_intlist(0, false, tch::Kind::Double);
                let (n, s) = (total(&shape.n)?, total(&shape.s)?);
                *sum = Some(match sum.take() {
                    Some(sum) => GainSaturation { n: sum.n.f_add(&n)?, s: sum.s.f_add(&s)? },
                    None => GainSaturation { n, s },
                });
            }
            step += 1;
            Ok(())
        })?;
    }
    let kind = study.network.precision();
    let mean = |sum: &Tensor| sum.f_div_scalar(count as f64)?.f_to_dtype(kind, false, false);
    let held = |sum: GainSaturation<Tensor>| Ok(Held { n: mean(&sum.n)?, s: mean(&sum.s)? });
    sums.into_iter().flatten().map(held).collect()
}

/// The network for x = 0: whatever a symbol would be shown as is zero, and unless the analysis wants
/// them so are the biases of the neurons and gates. Those of the controllers stay.
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

/// A step drive, unless it is 0.
fn drive(study: &Study<'_>, xi: f64) -> tch::Result<Option<Tensor>> {
    if xi == 0.0 {
        return Ok(None);
    }
    let steps = study.task.steps();
    let window = Perturbation::StepDrive { level: xi }.window(steps);
    let values: Vec<f64> = (0..steps).map(|t| if window.contains(&t) { xi } else { 0.0 }).collect();
    from_doubles(&values, &[i64::from(steps), 1, 1], study.network.precision()).map(Some)
}

/// How many exponents are wanted and exist.
fn exponent_count(study: &Study<'_>, variables: Variables) -> tch::Result<i64> {
    Ok(i64::from(study.analysis.exponents).min(variables.dimension(study.network)?))
}

/// The columns [B, D, k] with which every analysis starts, the same for each of `batch` copies.
fn columns(study: &Study<'_>, variables: Variables, batch: i64) -> tch::Result<Tensor> {
    let dimension = variables.dimension(study.network)?;
    random_columns(batch, dimension, exponent_count(study, variables)?, &mut study.rng())
}

/// The name of the system that all variables of a network make.
fn system(network: &Network) -> tch::Result<&'static str> {
    Ok(if network.rest(1)?.inner.is_some() { "joint" } else { "h" })
}

/// One row per exponent, averaged over the sequences.
fn rows(study: &Study<'_>, label: &Label<'_>, sequences: &[Exponents]) -> Vec<LyapunovRow> {
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
