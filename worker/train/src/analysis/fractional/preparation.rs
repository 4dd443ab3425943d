//! The network with a separate input for each neuron, and its responses to a pulse of the drive
//! (science reference, 7.7).
//!
//! w_xh becomes diag(w_xh), so neuron i receives w_xh[i] x_i. For isolated neurons w_hh also
//! becomes its diagonal.

use std::ops::Range;

use rheo_core::rng::TrialRng;
use rheo_model::config::Protocol;
use tch::{Kind, Result as TorchResult, Tensor, no_grad_guard};

use crate::Error;
use crate::analysis::{StopCheck, Study};
use crate::network::{Network, RunConditions};
use crate::shape_stats::ShapeStats;
use crate::task::buffer;
use crate::tensor::{from_doubles, to_doubles};

/// Default drive strengths.
pub(in crate::analysis) const LEVELS: [f64; 8] = [0.0, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];

/// Mean and standard deviation of the constant part x_i of the inputs.
const INPUT: (f64, f64) = (0.8, 0.1);

/// Standard deviation of the input noise, drawn at every step.
pub(in crate::analysis) const NOISE: f64 = 0.1;

/// Default number of repetitions to average over.
const REPETITIONS: u32 = 20;

/// Repetitions per batch.
const BATCH: u32 = 20;

/// Window of the drive, and window of the fits.
#[derive(Debug, Clone)]
pub(in crate::analysis) struct PulseSetup {
    /// Sequence length T.
    pub(in crate::analysis) steps: usize,
    /// Steps with the drive.
    pub(in crate::analysis) driven: Range<usize>,
    /// Steps of the fit window.
    pub(in crate::analysis) window: Range<usize>,
    /// Standard deviation of the input noise, drawn at every step.
    noise: f64,
}

impl PulseSetup {
    pub(in crate::analysis) fn new(protocol: Protocol, noise: f64) -> Self {
        match protocol {
            Protocol::Short => Self { steps: 150, driven: 51..101, window: 40..110, noise },
            Protocol::Long => Self { steps: 300, driven: 102..202, window: 80..220, noise },
        }
    }

    /// Returns `inside` on the steps `on`, else `outside`.
    pub(in crate::analysis) fn pulse(
        &self,
        on: &Range<usize>,
        inside: f64,
        outside: f64,
    ) -> Vec<f64> {
        (0..self.steps).map(|t| if on.contains(&t) { inside } else { outside }).collect()
    }

    /// Returns the drive of strength `xi` at each step.
    pub(in crate::analysis) fn drive(&self, xi: f64) -> Vec<f64> {
        self.pulse(&self.driven, xi, 0.0)
    }
}

/// Connections between neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analysis) enum Connectivity {
    /// Each neuron is connected to itself only.
    Isolated,
    /// All connections are kept.
    Interacting,
}

impl Connectivity {
    /// Returns the name in tables.
    pub(in crate::analysis) fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Interacting => "interacting",
        }
    }
}

/// Responses of a prepared network.
#[derive(Debug)]
pub(in crate::analysis) struct NetworkResponses {
    pub(in crate::analysis) connectivity: Connectivity,
    /// Output h, averaged over the repetitions: per strength and neuron T numbers.
    pub(in crate::analysis) responses: Vec<Vec<Vec<f64>>>,
}

/// Records the responses of the network of `study`, isolated and interacting, to drives of
/// strengths `levels`; returns nothing for networks with several inputs or with gated neurons.
///
/// All strengths and both connectivities use the same inputs, drawn repetition by repetition: x_i
/// of every neuron, then the noise by step and neuron.
pub(in crate::analysis) fn record(
    study: &Study<'_>,
    setup: &PulseSetup,
    levels: &[f64],
    check_stop: StopCheck<'_>,
) -> Result<Vec<NetworkResponses>, Error> {
    let _guard = no_grad_guard();
    let mut runs = Vec::new();
    for (connectivity, network) in prepare(study.network)? {
        let sums = levels.iter().map(|_| sums(study, setup)).collect::<TorchResult<Vec<_>>>()?;
        runs.push((connectivity, network, sums));
    }
    let repetitions = study.analysis.repetitions.unwrap_or(REPETITIONS);
    let mut rng = study.rng();
    for first in (0..repetitions).step_by(BATCH as usize) {
        if runs.is_empty() {
            break;
        }
        let inputs = inputs(study, setup, BATCH.min(repetitions - first), &mut rng)?;
        for (_, network, sums) in &mut runs {
            for (&xi, sum) in levels.iter().zip(sums) {
                check_stop()?;
                *sum = sum.f_add(&respond(network, setup, xi, &inputs)?)?;
            }
        }
    }
    let prepared = |(connectivity, _, sums): (_, _, Vec<Tensor>)| {
        let mean = |sum: &Tensor| traces(&sum.f_div_scalar(f64::from(repetitions))?);
        let responses = sums.iter().map(mean).collect::<TorchResult<_>>()?;
        Ok(NetworkResponses { connectivity, responses })
    };
    runs.into_iter().map(prepared).collect()
}

/// Returns the prepared networks, if the network can be prepared.
fn prepare(network: &Network) -> TorchResult<Vec<(Connectivity, Network)>> {
    let (Some(w_xh), Some(w_hh)) = (network.parameter("w_xh"), network.parameter("w_hh")) else {
        return Ok(Vec::new());
    };
    if w_xh.size2()?.1 != 1 || network.parameter("embedding").is_some() {
        return Ok(Vec::new());
    }
    let own_inputs = || w_xh.f_flatten(0, 1)?.f_diag(0);
    let alone = w_hh.f_diag(0)?.f_diag(0)?;
    Ok(vec![
        (Connectivity::Isolated, network.with(&[("w_xh", own_inputs()?), ("w_hh", alone)])?),
        (Connectivity::Interacting, network.with(&[("w_xh", own_inputs()?)])?),
    ])
}

/// Returns zeros [T, H].
fn sums(study: &Study<'_>, setup: &PulseSetup) -> TorchResult<Tensor> {
    let size = [crate::tensor::length(setup.steps)?, study.network.hidden().into()];
    Tensor::f_zeros(size, (Kind::Double, tch::Device::Cpu))
}

/// Draws the inputs [T, B, H] of the next `batch` repetitions.
fn inputs(
    study: &Study<'_>,
    setup: &PulseSetup,
    batch: u32,
    rng: &mut TrialRng,
) -> Result<Tensor, Error> {
    let (batch, hidden) = (batch as usize, study.network.hidden() as usize);
    let mut values = buffer("inputs", setup.steps * batch * hidden)?;
    for repetition in 0..batch {
        let mut constant: Vec<f64> = buffer("inputs", hidden)?;
        constant.fill_with(|| INPUT.0 + INPUT.1 * rng.normal());
        for step in 0..setup.steps {
            let first = (step * batch + repetition) * hidden;
            for (value, x) in values[first..first + hidden].iter_mut().zip(&constant) {
                *value = x + setup.noise * rng.normal();
            }
        }
    }
    let size = [setup.steps, batch, hidden].map(|size| crate::tensor::length(size).unwrap_or(0));
    Ok(from_doubles(&values, &size, study.network.precision())?)
}

/// Returns the sum of h over the repetitions at each step, [T, H].
fn respond(network: &Network, setup: &PulseSetup, xi: f64, inputs: &Tensor) -> TorchResult<Tensor> {
    let drive = setup.drive(xi);
    let drive = from_doubles(&drive, &[inputs.size3()?.0, 1, 1], network.precision())?;
    let mut sums = Vec::with_capacity(setup.steps);
    let mut visit = |step: &crate::network::LayerStep| {
        sums.push(step.state.h.f_sum_dim_intlist(0, false, Kind::Double)?);
        Ok(())
    };
    let conditions = RunConditions::driven(Some(&drive));
    network.visit_steps(inputs, conditions, &mut ShapeStats::counting(), &mut visit)?;
    Tensor::f_stack(&sums, 0)
}

/// Returns the columns of `responses` [T, H].
fn traces(responses: &Tensor) -> TorchResult<Vec<Vec<f64>>> {
    let steps = usize::try_from(responses.size2()?.0).unwrap_or(usize::MAX);
    let values = to_doubles(&responses.f_transpose(0, 1)?)?;
    Ok(values.chunks(steps.max(1)).map(<[f64]>::to_vec).collect())
}
