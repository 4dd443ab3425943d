//! Where the controller of adaptive neurons goes when its input steps up: its states in the plane
//! of their first two principal components (science reference, 7.8).

use rheo_core::row::{ControllerPcaRow, Rows, Variant};
use tch::{Kind, Result as TorchResult, Tensor, no_grad_guard};

use super::{Pause, Study};
use crate::Error;
use crate::network::Network;
use crate::numerics::principal::{Principal, components};
use crate::numerics::search::linspace;
use crate::tensor::{from_doubles, to_doubles};

/// Steps of a run, and the last one without input.
const STEPS: u32 = 400;
const SILENT: u32 = 200;

/// Repetitions that are averaged unless the configuration says it.
const REPETITIONS: u32 = 10;

/// One row per input and step. All inputs share the initial states g_0 ~ N(0, I), one per
/// repetition, so that what differs between them is their own doing.
pub(super) fn run(study: &Study<'_>, pause: Pause<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let mut rows = Rows::default();
    let Some(controller) = Controller::of(study.network)? else {
        return Ok(rows);
    };
    let default: Vec<f64> = linspace(-2.0, 2.0, 10).into_iter().map(f64::exp).collect();
    let inputs = study.levels(&default);
    let initial = initial(study, controller.units()?)?;
    let mut runs = Vec::new();
    for &input in &inputs {
        pause()?;
        runs.push(controller.run(input, &initial)?);
    }
    let found = components(&Tensor::f_cat(&runs, 0)?, 2)?;
    rows.controller_pca = table(study.epoch, &inputs, &found)?;
    Ok(rows)
}

/// The initial states [repetitions, S], drawn repetition by repetition.
fn initial(study: &Study<'_>, units: i64) -> TorchResult<Tensor> {
    let repetitions = i64::from(study.analysis.repetitions.unwrap_or(REPETITIONS));
    let mut rng = study.rng();
    let values: Vec<f64> = (0..repetitions * units).map(|_| rng.normal()).collect();
    from_doubles(&values, &[repetitions, units], Kind::Double)
}

/// One row per input and step. A controller of one unit has no second component: zeros.
fn table(epoch: i32, inputs: &[f64], found: &Principal) -> TorchResult<Vec<ControllerPcaRow>> {
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

/// A controller by itself, in double precision.
struct Controller {
    /// u_ag [S].
    from_neuron: Tensor,
    /// b_ag + b_gg [S].
    bias: Tensor,
    /// w_gg^T [S, S].
    feedback: Tensor,
}

impl Controller {
    /// The controller of a network whose neurons have one.
    fn of(network: &Network) -> TorchResult<Option<Self>> {
        let parts = ["u_ag", "b_ag", "w_gg", "b_gg"].map(|name| network.parameter(name));
        let [Some(u_ag), Some(b_ag), Some(w_gg), Some(b_gg)] = parts else {
            return Ok(None);
        };
        let double = |tensor: &Tensor| tensor.f_to_dtype(Kind::Double, false, false);
        Ok(Some(Self {
            from_neuron: double(u_ag)?.f_flatten(0, 1)?,
            bias: double(b_ag)?.f_add(&double(b_gg)?)?,
            feedback: double(w_gg)?.f_transpose(0, 1)?,
        }))
    }

    fn units(&self) -> TorchResult<i64> {
        self.bias.size1()
    }

    /// The states [steps, S], averaged over the repetitions that start in `initial` [R, S], while a
    /// is 0 for t <= 200 and then `input`.
    fn run(&self, input: f64, initial: &Tensor) -> TorchResult<Tensor> {
        let driven = self.bias.f_add(&self.from_neuron.f_mul_scalar(input)?)?;
        let mut g = initial.f_to_device(self.bias.device())?;
        let mut means = Vec::with_capacity(STEPS as usize);
        for t in 0..STEPS {
            let current = if t <= SILENT { &self.bias } else { &driven };
            g = current.f_addmm(&g, &self.feedback)?.f_tanh()?;
            means.push(g.f_mean_dim(0, false, Kind::Double)?);
        }
        Tensor::f_stack(&means, 0)
    }
}
