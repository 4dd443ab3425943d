//! Gain and saturation of every neuron (science reference, section 7.10); for adaptive networks the
//! mean over time on unperturbed test data.

use rheo_model::row::{Rows, ShapeRow};
use tch::no_grad_guard;

use super::{StopCheck, Study};
use crate::Error;
use crate::network::{Network, RunConditions};
use crate::shape_stats::{NeuronShapes, ShapeMoments, ShapeStats};
use crate::task::{Split, Task};

/// Test samples over which the shapes of adaptive neurons are averaged. More samples hardly change
/// the mean and would cost as much as an evaluation.
const SAMPLES: u64 = 500;

/// Windows of a text over which shapes are averaged.
const WINDOWS: u64 = 20;

/// Samples per batch.
const BATCH: u32 = 250;

/// Returns one row per neuron.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let measured = match study.initial {
        // The shapes were just measured.
        Some(initial) if study.epoch < 0 => Some(initial.clone()),
        _ => measure(study.network, study.task, check_stop)?,
    };
    let Some(shape) = measured else { return Ok(Rows::default()) };
    let initial = study.initial.unwrap_or(&shape);
    let now = shape.n.iter().zip(&shape.s);
    let before = initial.n.iter().zip(&initial.s);
    let row = |(neuron, ((&n, &s), (&n_init, &s_init)))| ShapeRow {
        epoch: study.epoch,
        phase: study.phase.to_owned(),
        neuron,
        n,
        s,
        n_init,
        s_init,
    };
    let shapes = (0..).zip(now.zip(before)).map(row).collect();
    Ok(Rows { shapes, ..Rows::default() })
}

/// Returns the gain and saturation of every neuron, for networks whose neurons have them.
pub(crate) fn measure(
    network: &Network,
    task: &Task,
    check_stop: StopCheck<'_>,
) -> Result<Option<NeuronShapes>, Error> {
    if !network.kind().has_shape() {
        return Ok(None);
    }
    if let Some(shape) = network.fixed_shape()? {
        return Ok(Some(shape));
    }
    let _guard = no_grad_guard();
    let mut stats = ShapeStats::measuring(network.hidden())?;
    // For a text, windows that each start at rest.
    let windows = task.windows(Split::Test).map(|windows| (windows.min(WINDOWS), 1));
    let (units, batch) = windows.unwrap_or((task.size(Split::Test).min(SAMPLES), BATCH));
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    for first in (0..units).step_by(batch as usize) {
        if first > 0 {
            check_stop()?;
        }
        let samples: Vec<u32> = (first..units.min(first + batch)).collect();
        let batch = task.batch(Split::Test, &samples)?;
        let _ = network.infer(&batch.inputs, RunConditions::default(), &mut stats)?;
    }
    Ok(stats.moments().map(ShapeMoments::mean).transpose()?)
}
