//! Gradients through time (science reference, section 7.3): the norm of the gradient with respect
//! to the state of each step, and the norm of the gradient of the recurrent weights as a function
//! of the sequence length.

#[cfg(test)]
mod tests;

use rheo_model::config::NetworkKind;
use rheo_model::row::{GradientRow, Rows, Variant};
use tch::{Kind, Reduction, Tensor, no_grad_guard};

use super::sequences::{MeanStd, SequenceBatch, TestSequences, moments, parts};
use super::{StopCheck, Study};
use crate::Error;
use crate::network::{Network, Readout, RunConditions};
use crate::shape_stats::ShapeStats;
use crate::tensor::{to_double, to_doubles};

/// Default number of test sequences for the recurrent weights.
const SAMPLES: u32 = 1000;
/// Sequences per batch. State gradients use one batch, weight gradients all.
const BATCH: usize = 100;
/// Lengths to which sequences are cut, as far as the sequence is that long.
const LENGTHS: [u32; 12] = [1, 10, 25, 50, 100, 200, 300, 400, 500, 600, 700, 784];
/// Maximum number of state elements in a backward pass. A larger batch is computed in parts; only
/// rounding changes.
const MOST_ELEMENTS: u64 = 1 << 27;

/// Returns one row per kind of gradient and step or length.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    // A copy, because parameters that are not trained have no gradient in the network itself.
    let network = study.network.with(&[])?;
    let mut gradients = states(study, &network, check_stop)?;
    gradients.extend(weights(study, &network, check_stop)?);
    Ok(Rows { gradients, ..Rows::default() })
}

/// Returns the rows `hidden` and, for adaptive networks, `controller`.
fn states(
    study: &Study<'_>,
    network: &Network,
    check_stop: StopCheck<'_>,
) -> Result<Vec<GradientRow>, Error> {
    let readout = study.task.interface().readout;
    let mut norms: [Vec<Vec<f64>>; 2] = [Vec::new(), Vec::new()];
    let mut count = 0;
    for part in parts(study, SAMPLES, at_once(network, study.task.steps())?)? {
        if count >= BATCH {
            break;
        }
        count += part.count;
        check_stop()?;
        let found = state_gradients(network, &part.load(study)?, readout)?;
        for (norms, found) in norms.iter_mut().zip(found) {
            norms.resize_with(found.len(), Vec::new);
            for (of_step, found) in norms.iter_mut().zip(&found) {
                of_step.extend(to_doubles(found)?);
            }
        }
    }
    let [hidden, controller] = &norms;
    let mut rows = Vec::new();
    for (kind, norms) in [("hidden", hidden), ("controller", controller)] {
        rows.extend((0..).zip(norms).map(|(t, norms)| row(study.epoch, kind, t, norms)));
    }
    Ok(rows)
}

/// Returns the rows `w_hh`.
fn weights(
    study: &Study<'_>,
    network: &Network,
    check_stop: StopCheck<'_>,
) -> Result<Vec<GradientRow>, Error> {
    let mut rows = Vec::new();
    for steps in lengths(study.analysis.lengths.as_deref(), study.task.steps()) {
        let parts = parts(study, SAMPLES, at_once(network, steps)?)?;
        let mut norms = Vec::new();
        for parts in batches(&parts) {
            let norm = of_batch(study, network, parts, steps, check_stop)?;
            norms.extend(norm);
        }
        if !norms.is_empty() {
            rows.push(row(study.epoch, "w_hh", steps, &norms));
        }
    }
    Ok(rows)
}

/// Groups the parts by batch; a batch ends with the part that fills it.
fn batches(parts: &[SequenceBatch]) -> Vec<&[SequenceBatch]> {
    let mut count = 0;
    let fills = |part: &SequenceBatch| {
        count += part.count;
        let is_full = count >= BATCH;
        if is_full {
            count = 0;
        }
        is_full
    };
    parts.split_inclusive(fills).collect()
}

/// Returns the norm of the gradient of one batch's mean loss with respect to the recurrent weights.
fn of_batch(
    study: &Study<'_>,
    network: &Network,
    parts: &[SequenceBatch],
    steps: u32,
    check_stop: StopCheck<'_>,
) -> Result<Option<f64>, Error> {
    let readout = study.task.interface().readout;
    let total: usize = parts.iter().map(|part| part.count).sum();
    let mut sum: Option<Tensor> = None;
    for part in parts {
        check_stop()?;
        let share = part.count as f64 / total as f64;
        let found = weight_gradients(network, &part.load(study)?, readout, steps)?;
        let found = found.f_mul_scalar(share)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&found)?,
            None => found,
        });
    }
    Ok(sum.map(|sum| to_double(&sum.f_norm()?)).transpose()?)
}

/// Returns the lengths to which sequences of `steps` steps are cut: the configured ones, or the
/// grid and the full length.
fn lengths(asked: Option<&[u32]>, steps: u32) -> Vec<u32> {
    let mut lengths =
        asked.map_or_else(|| [LENGTHS.as_slice(), &[steps]].concat(), <[u32]>::to_vec);
    lengths.retain(|&length| length <= steps);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// Returns the number of sequences of `steps` steps per backward pass: a divisor of the batch.
fn at_once(network: &Network, steps: u32) -> tch::Result<usize> {
    let rest = network.rest(1)?;
    let states = rest.h.numel() + rest.inner.map_or(0, |inner| inner.numel());
    let most = MOST_ELEMENTS / (states as u64 * u64::from(steps)).max(1);
    let fits = |size: &usize| BATCH.is_multiple_of(*size) && *size as u64 <= most;
    Ok((1..=BATCH).rev().find(fits).unwrap_or(1))
}

/// Returns the norms [B] of B dL/dh_t at each step t, and the same for the controllers of adaptive
/// networks, where L is the mean loss of `batch`. Each state is a node of the graph: influence that
/// bypasses the next state, through g or c, is not counted.
fn state_gradients(
    network: &Network,
    batch: &TestSequences,
    readout: Readout,
) -> tch::Result<[Vec<Tensor>; 2]> {
    let adapts = network.kind() == NetworkKind::Adaptive;
    let loss = |logits: &Tensor| cross_entropy(logits, &batch.targets);
    let found = network.gradients_by_states(readout, &batch.inputs, &loss)?;
    let _guard = no_grad_guard();
    let (_, samples, _) = found.h.size3()?;
    let norm = |gradient: &Tensor| {
        let each = gradient.f_to_dtype(Kind::Double, false, false)?.f_reshape([samples, -1])?;
        let squares = each.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?;
        squares.f_sqrt()?.f_mul_scalar(samples as f64)
    };
    let norms =
        |states: &Tensor| states.f_unbind(0)?.iter().map(norm).collect::<tch::Result<Vec<_>>>();
    let inner = found.inner.as_ref().filter(|_| adapts).map(norms).transpose()?;
    Ok([norms(&found.h)?, inner.unwrap_or_default()])
}

/// Returns the gradient of the mean loss of `batch`, cut to its first `steps` steps and scored at
/// the last of them, with respect to all recurrent weights, as one vector in double precision.
fn weight_gradients(
    network: &Network,
    batch: &TestSequences,
    readout: Readout,
    steps: u32,
) -> tch::Result<Tensor> {
    let inputs = batch.inputs.f_narrow(0, 0, steps.into())?;
    let samples = inputs.size3()?.1;
    let conditions = RunConditions::default();
    let mut stats = ShapeStats::counting();
    let pass = network.forward_with_tape_to(Readout::Last, &inputs, conditions, &mut stats)?;
    let targets = match readout {
        Readout::Last => batch.targets.shallow_clone(),
        // Steps are the outermost dimension.
        Readout::Every => batch.targets.f_narrow(0, (i64::from(steps) - 1) * samples, samples)?,
    };
    let loss = cross_entropy(&pass.logits, &targets)?;
    let gradients = network.gradients(&loss, pass, &inputs, &network.recurrent())?;
    let _guard = no_grad_guard();
    let hidden = i64::from(network.hidden());
    let flat = |gradient: &Tensor| {
        // The gates of an LSTM receive the state in their first H columns.
        let gradient = gradient.f_narrow(1, 0, hidden)?.f_to_dtype(Kind::Double, false, false)?;
        gradient.f_reshape([-1])
    };
    Tensor::f_cat(&gradients.iter().map(flat).collect::<tch::Result<Vec<_>>>()?, 0)
}

fn cross_entropy(logits: &Tensor, targets: &Tensor) -> tch::Result<Tensor> {
    // -100 is the target that libtorch ignores by default; our targets are never negative.
    logits.f_cross_entropy_loss(targets, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

fn row(epoch: i32, kind: &str, t: u32, norms: &[f64]) -> GradientRow {
    let MeanStd { mean: norm, std: norm_std } = moments(norms);
    let variant = Variant::Corrected;
    GradientRow { epoch, variant, kind: kind.to_owned(), t, norm, norm_std }
}
