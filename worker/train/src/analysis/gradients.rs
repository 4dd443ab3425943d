//! How gradients travel through time (science reference, section 7.3): their norm with respect to the
//! states of every step, and that of the gradient of the recurrent weights against the length of the
//! sequences.

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

/// Test sequences for the recurrent weights, unless the analysis says how many.
const SAMPLES: u32 = 1000;
/// Sequences of a batch: the states are looked at in one, the weights in each.
const BATCH: usize = 100;
/// Numbers of steps to which sequences are cut, of those they have.
const LENGTHS: [u32; 12] = [1, 10, 25, 50, 100, 200, 300, 400, 500, 600, 700, 784];
/// Most elements of the states that a backward pass keeps at once; a batch with more is computed in
/// parts, which changes nothing but rounding.
const MOST_ELEMENTS: u64 = 1 << 27;

/// One row per kind of gradient and step or length.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    // A copy, because in the network itself what is not trained has no gradient.
    let network = study.network.with(&[])?;
    let mut gradients = states(study, &network, check_stop)?;
    gradients.extend(weights(study, &network, check_stop)?);
    Ok(Rows { gradients, ..Rows::default() })
}

/// Rows of `hidden` and, for adaptive networks, `controller`.
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

/// Rows of `w_hh`.
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

/// The parts of each batch in turn. A batch ends with the part that fills it.
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

/// The norm of the gradient of the mean loss of one batch by the recurrent weights.
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

/// The numbers of steps to which sequences of `steps` steps are cut: those that are asked for, or
/// those of the grid and all.
fn lengths(asked: Option<&[u32]>, steps: u32) -> Vec<u32> {
    let mut lengths =
        asked.map_or_else(|| [LENGTHS.as_slice(), &[steps]].concat(), <[u32]>::to_vec);
    lengths.retain(|&length| length <= steps);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// How many sequences of `steps` steps a backward pass takes at once: a divisor of the batch.
fn at_once(network: &Network, steps: u32) -> tch::Result<usize> {
    let rest = network.rest(1)?;
    let states = rest.h.numel() + rest.inner.map_or(0, |inner| inner.numel());
    let most = MOST_ELEMENTS / (states as u64 * u64::from(steps)).max(1);
    let fits = |size: &usize| BATCH.is_multiple_of(*size) && *size as u64 <= most;
    Ok((1..=BATCH).rev().find(fits).unwrap_or(1))
}

/// The norms [B] of B dL/dh_t at every step t, and the same for the controllers of adaptive networks,
/// where L is the mean loss of `batch`. What a state does past its successor, through g or c, is not
/// counted: a state is a node of the graph.
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

/// The gradient of the mean loss of `batch`, cut to its first `steps` steps and judged by the last of
/// them, by all recurrent weights: one long vector in double precision.
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
        // The steps are outermost.
        Readout::Every => batch.targets.f_narrow(0, (i64::from(steps) - 1) * samples, samples)?,
    };
    let loss = cross_entropy(&pass.logits, &targets)?;
    let gradients = network.gradients(&loss, pass, &inputs, &network.recurrent())?;
    let _guard = no_grad_guard();
    let hidden = i64::from(network.hidden());
    let flat = |gradient: &Tensor| {
        // The gates of an LSTM see the state in their first H columns.
        let gradient = gradient.f_narrow(1, 0, hidden)?.f_to_dtype(Kind::Double, false, false)?;
        gradient.f_reshape([-1])
    };
    Tensor::f_cat(&gradients.iter().map(flat).collect::<tch::Result<Vec<_>>>()?, 0)
}

fn cross_entropy(logits: &Tensor, targets: &Tensor) -> tch::Result<Tensor> {
    // -100 is the target that libtorch ignores by default; none of ours is negative.
    logits.f_cross_entropy_loss(targets, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

fn row(epoch: i32, kind: &str, t: u32, norms: &[f64]) -> GradientRow {
    let MeanStd { mean: norm, std: norm_std } = moments(norms);
    let variant = Variant::Corrected;
    GradientRow { epoch, variant, kind: kind.to_owned(), t, norm, norm_std }
}
