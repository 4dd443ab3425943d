//! Response of the controller of adaptive neurons to a step of its input: its states, projected on
//! their first two principal components (science reference, 7.8).

use rheo_model::row::{ControllerPcaRow, Rows, Variant};
use tch::{Kind, Result as TorchResult, Tensor, no_grad_guard};

use super::{StopCheck, Study};
use crate::Error;
use crate::numerics::principal::{PrincipalComponents, components};
use crate::numerics::search::linspace;
use crate::tensor::{from_doubles, to_doubles};

/// Steps of a run, and the last step without input.
const STEPS: u32 = 400;
const SILENT: u32 = 200;

/// Default number of repetitions to average over.
const REPETITIONS: u32 = 10;

/// Returns one row per input and step. All inputs share the initial states g_0 ~ N(0, I), one per
/// repetition, so that only the input differs.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let mut rows = Rows::default();
    let Some(units) = study.network.parameter("b_ag") else { return Ok(rows) };
    let default: Vec<f64> = linspace(-2.0, 2.0, 10).into_iter().map(f64::exp).collect();
    let inputs = study.levels(&default);
    let initial = initial(study, units.size1()?)?;
    let mut runs = Vec::new();
    for &input in &inputs {
        check_stop()?;
        let states = study.network.controllers(&received(input)?, &initial)?;
        runs.extend(states.map(|states| states.f_mean_dim(1, false, Kind::Double)).transpose()?);
    }
    let found = components(&Tensor::f_cat(&runs, 0)?, 2)?;
    rows.controller_pca = table(study.epoch, &inputs, &found)?;
    Ok(rows)
}

/// Draws the initial states [repetitions, S], repetition by repetition.
fn initial(study: &Study<'_>, units: i64) -> TorchResult<Tensor> {
    let repetitions = i64::from(study.analysis.repetitions.unwrap_or(REPETITIONS));
    let mut rng = study.rng();
    let values: Vec<f64> = (0..repetitions * units).map(|_| rng.normal()).collect();
    from_doubles(&values, &[repetitions, units], Kind::Double)
}

/// Returns one row per input and step. A controller of one unit has no second component; its value
/// is zero.
fn table(
    epoch: i32,
    inputs: &[f64],
    found: &PrincipalComponents,
) -> TorchResult<Vec<ControllerPcaRow>> {
    let scores = to_doubles(&found.scores)?;
    let count = found.explained.len();
    let explained = |component: usize| found.explained.get(component).copied().unwrap_or(0.0);
    let places = inputs.iter().flat_map(|&input| (0..STEPS).map(move |t| (input, t)));
    let row = |((input, t), scores): ((f64, u32), &[f64])| ControllerPcaRow {
        epoch,
        variant: Variant::Corrected,
        input,
        t,
        pc1: scores.first().copied().unwrap_or(0.0),
        pc2: scores.get(1).copied().unwrap_or(0.0),
        explained1: explained(0),
        explained2: explained(1),
    };
    Ok(places.zip(scores.chunks(count.max(1))).map(row).collect())
}

/// Returns the input of a neuron at each step: zero for t <= 200, then `input`.
fn received(input: f64) -> TorchResult<Tensor> {
    let values: Vec<f64> = (0..STEPS).map(|t| if t <= SILENT { 0.0 } else { input }).collect();
    Tensor::f_from_slice(&values)
}
