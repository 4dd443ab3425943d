//! Mutual information between the state and earlier inputs (science reference, section 7.9).

use rheo_model::row::{MutualInformationRow, Rows, Variant};
use tch::{Kind, Tensor, no_grad_guard};

use super::sequences::{MeanStd, SequenceBatch, moments, parts};
use super::{StopCheck, Study};
use crate::Error;
use crate::dynamics::components::{StateComponents, StateMoments};
use crate::dynamics::information::{PointSet, mutual_information};
use crate::network::RunConditions;
use crate::shape_stats::ShapeStats;
use crate::tensor::{length, to_doubles};

/// Default number of test sequences.
const SAMPLES: u32 = 100;
/// Default lags: number of steps by which the input is older than the state.
const LAGS: [u32; 6] = [0, 1, 2, 5, 10, 20];
/// Principal components of the state in use.
const COMPONENTS: i64 = 3;
/// Sequences per batch.
const BATCH: usize = 20;

/// Returns one row per lag, and one by the formula of the released code.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let all = parts(study, SAMPLES, BATCH)?;
    let Some(scales) = UnitScales::new(study, &all, check_stop)? else {
        return Ok(Rows::default());
    };
    let lags = study.analysis.lags.as_deref().unwrap_or(&LAGS);
    let mut found =
        InformationEstimates { lags: vec![Vec::new(); lags.len()], released: Vec::new() };
    for part in &all {
        let Trajectories { inputs, states } = sequences(study, part)?;
        for place in 0..length(part.count)? {
            check_stop()?;
            let (inputs, states) = (inputs.f_select(1, place)?, states.f_select(1, place)?);
            found.add(study, lags, &scales, [&inputs, &states])?;
        }
    }
    let dimension = u32::try_from(scales.states.count()?).unwrap_or(u32::MAX);
    Ok(Rows { mutual_information: found.rows(study, lags, dimension), ..Rows::default() })
}

/// Scales that give all coordinates of inputs and states a standard deviation of 1 over the
/// sequences; the estimator compares distances between inputs with distances between states.
struct UnitScales {
    /// Standard deviation of each input [I].
    inputs: Tensor,
    /// First principal components of the state.
    states: StateComponents,
}

impl UnitScales {
    /// Measures all sequences; returns nothing if there are none.
    fn new(
        study: &Study<'_>,
        all: &[SequenceBatch],
        check_stop: StopCheck<'_>,
    ) -> Result<Option<Self>, Error> {
        let mut seen: Option<[StateMoments; 2]> = None;
        for part in all {
            check_stop()?;
            let Trajectories { inputs, states } = sequences(study, part)?;
            let (inputs, states) = (inputs.f_flatten(0, 1)?, states.f_flatten(0, 1)?);
            let empty = |tensor: &Tensor| StateMoments::new(tensor.size2()?.1, tensor.device());
            let mut moments = match seen {
                Some(moments) => moments,
                None => [empty(&inputs)?, empty(&states)?],
            };
            moments[0].add(&inputs)?;
            moments[1].add(&states)?;
            seen = Some(moments);
        }
        let Some([inputs, states]) = seen else { return Ok(None) };
        let states = states.components(COMPONENTS)?;
        Ok(Some(Self { inputs: inputs.deviations()?, states }))
    }
}

/// Estimates, one per sequence.
struct InformationEstimates {
    /// Estimates per lag.
    lags: Vec<Vec<f64>>,
    /// Estimates by the formula of the released code.
    released: Vec<f64>,
}

impl InformationEstimates {
    /// Adds the estimates of the sequence with inputs [T, I] and states [T, H].
    fn add(
        &mut self,
        study: &Study<'_>,
        lags: &[u32],
        scales: &UnitScales,
        [inputs, states]: [&Tensor; 2],
    ) -> Result<(), Error> {
        let k = study.analysis.neighbours as usize;
        if scales.states.count()? > 0 {
            let x = SequenceCoordinates::new(&inputs.f_div(&scales.inputs)?)?;
            let y = SequenceCoordinates::new(&scales.states.scores(states)?)?;
            for (found, &lag) in self.lags.iter_mut().zip(lags) {
                let (steps, lag) = (y.points().len(), lag as usize);
                let earlier = x.points().range(0, steps.saturating_sub(lag));
                let later = y.points().range(lag, steps);
                found.extend(mutual_information(earlier, later, k));
            }
        }
        let x = SequenceCoordinates::new(&in_place(study, inputs)?)?;
        let y = SequenceCoordinates::new(states)?;
        self.released.extend(mutual_information(x.points(), y.points(), k));
        Ok(())
    }

    fn rows(&self, study: &Study<'_>, lags: &[u32], dimension: u32) -> Vec<MutualInformationRow> {
        let row = |variant, lag, dimension, found: &Vec<f64>| {
            let MeanStd { mean: nats, std } = moments(found);
            let sequences = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let epoch = study.epoch;
            MutualInformationRow { epoch, variant, lag, dimension, nats, std, sequences }
        };
        let corrected = lags.iter().zip(&self.lags).filter(|(_, found)| !found.is_empty());
        let mut rows: Vec<_> =
            corrected.map(|(lag, found)| row(Variant::Corrected, *lag, dimension, found)).collect();
        if !self.released.is_empty() {
            rows.push(row(Variant::Released, 0, study.network.hidden(), &self.released));
        }
        rows
    }
}

/// Points of one sequence, on the host.
struct SequenceCoordinates {
    values: Vec<f64>,
    dimension: usize,
}

impl SequenceCoordinates {
    /// Copies the rows of `tensor` [T, C].
    fn new(tensor: &Tensor) -> Result<Self, Error> {
        let dimension = usize::try_from(tensor.size2()?.1).unwrap_or(0);
        Ok(Self { values: to_doubles(tensor)?, dimension })
    }

    fn points(&self) -> PointSet<'_> {
        PointSet { values: &self.values, dimension: self.dimension }
    }
}

/// Some test sequences, and the states of the network while it reads them.
struct Trajectories {
    /// Inputs of the layer [T, B, I].
    inputs: Tensor,
    /// States [T, B, H].
    states: Tensor,
}

/// Runs the network over one batch of test sequences.
fn sequences(study: &Study<'_>, part: &SequenceBatch) -> Result<Trajectories, Error> {
    let inputs = part.load(study)?.inputs;
    let mut states = Vec::new();
    study.network.visit_steps(
        &inputs,
        RunConditions::default(),
        &mut ShapeStats::counting(),
        &mut |step| {
            states.push(step.state.h.shallow_clone());
            Ok(())
        },
    )?;
    let inputs = match study.network.parameter("embedding") {
        Some(embedding) => {
            let symbols = inputs.f_squeeze_dim(-1)?.f_to_dtype(Kind::Int64, false, false)?;
            Tensor::f_embedding(embedding, &symbols, -1, false, false)?
        }
        None => inputs,
    };
    Ok(Trajectories { inputs, states: Tensor::f_stack(&states, 0)? })
}

/// Returns the inputs [T, I] in the order before the task's permutation; the released code pairs
/// these with the states by mistake.
fn in_place(study: &Study<'_>, inputs: &Tensor) -> Result<Tensor, Error> {
    let Some(order) = study.task.order() else { return Ok(inputs.shallow_clone()) };
    let order: Vec<i64> = order.iter().map(|&step| i64::from(step)).collect();
    // x_t = pixel[order[t]], so step t belongs at index order[t].
    let index = Tensor::f_from_slice(&order)?;
    Ok(inputs.f_index_copy(0, &index, inputs)?)
}
