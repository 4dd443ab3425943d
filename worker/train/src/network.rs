//! A recurrent network: a recurrent layer with its neurons, and a linear readout.
//!
//! What distinguishes one kind of network from another is a `Layer`; a new kind is one more file
//! with a layer and one more arm in `layer`. A layer sees a whole sequence at once, so that the
//! loop over steps inside it can give way to a faster kernel without anyone noticing.
//!
//! Shapes: B samples, T steps, I inputs, H neurons, S controller units, C classes. A matrix
//! [out, in] acts as y = x W^T + b. States are zero at the start of a sequence.

mod adaptive;
mod init;
mod plain;
mod recurrence;

use rheo_core::config::{self, InputInit, NetworkKind};
use rheo_core::rng::TrialRng;
use tch::{Kind, Result, Tensor};

use crate::gauge::{Gauge, Shape};
use init::Init;
pub use init::ReadoutInit;

/// Which states of the layer the readout sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readout {
    /// The state after the last step.
    Last,
    /// The states after all steps.
    Every,
}

/// What the task determines about a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Inputs per step, I.
    pub inputs: u32,
    /// Classes, C.
    pub classes: u32,
    /// Which states are read out.
    pub readout: Readout,
    /// How the readout weights start.
    pub readout_init: ReadoutInit,
    /// How the input matrices start, unless the configuration says it.
    pub input_init: InputInit,
}

/// A named tensor of a network.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The name in checkpoints, as in section 3 of the science reference.
    pub name: &'static str,
    /// Its value; shares the storage with the network.
    pub tensor: &'a Tensor,
    /// Whether it is learned.
    pub trained: bool,
}

/// A recurrent layer: neurons, the connections between them and to the input.
trait Layer: Send {
    /// The parameters in the order in which they are drawn, counted and stored.
    fn parameters(&self) -> Vec<Parameter<'_>>;

    /// Runs the layer over `inputs` [T, B, I] with the extra current `drive`, which broadcasts to
    /// [T, B, H], and gives the states that `readout` wants: [B, H] or [T, B, H].
    fn forward(
        &self,
        inputs: &Tensor,
        drive: Option<&Tensor>,
        readout: Readout,
        gauge: &mut Gauge,
    ) -> Result<Tensor>;

    /// Gain and saturation of every neuron, if they do not depend on what the network sees.
    fn fixed_shape(&self) -> Result<Option<Shape>>;
}

/// A network with its weights.
pub struct Network {
    layer: Box<dyn Layer>,
    w_out: Tensor,
    b_out: Tensor,
    readout: Readout,
    n0: Option<f64>,
}

impl Network {
    /// A network with initial weights, drawn from `rng` in double precision on the host, in the
    /// order of the parameters, and then converted to `kind`.
    ///
    /// The u of n0 = 5 + 2 u is drawn first and always, so that networks of the same seed have the
    /// same weights whether or not n0 is given.
    pub fn new(
        config: &config::Network,
        interface: Interface,
        kind: Kind,
        rng: &mut TrialRng,
    ) -> Result<Self> {
        let drawn = 5.0 + 2.0 * rng.unit();
        let n0 = config.n0.unwrap_or(drawn);
        let mut init = Init::new(config, interface.input_init, kind, rng);
        let layer = layer(config, interface.inputs, n0, &mut init)?;
        let (w_out, b_out) = init.readout(interface.classes, interface.readout_init)?;
        for parameter in layer.parameters().into_iter().filter(|parameter| parameter.trained) {
            let _ = parameter.tensor.f_set_requires_grad(true)?;
        }
        let w_out = w_out.f_set_requires_grad(true)?;
        let b_out = b_out.f_set_requires_grad(true)?;
        let n0 = config.kind.has_shape().then_some(n0);
        Ok(Self { layer, w_out, b_out, readout: interface.readout, n0 })
    }

    /// All parameters, the readout last: the order in which they are drawn and stored.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.layer.parameters();
        parameters.push(Parameter { name: "w_out", tensor: &self.w_out, trained: true });
        parameters.push(Parameter { name: "b_out", tensor: &self.b_out, trained: true });
        parameters
    }

    /// The learned parameters, in the same order.
    pub fn trained(&self) -> Vec<&Tensor> {
        self.parameters()
            .into_iter()
            .filter(|parameter| parameter.trained)
            .map(|parameter| parameter.tensor)
            .collect()
    }

    /// How many numbers are learned.
    pub fn trained_count(&self) -> u64 {
        self.trained().iter().map(|tensor| tensor.numel() as u64).sum()
    }

    /// The class scores for `inputs` [T, B, I] under `drive`, which broadcasts to [T, B, H]:
    /// [B, C] where the last state is read out, else [T * B, C] with the steps outermost.
    pub fn logits(
        &self,
        inputs: &Tensor,
        drive: Option<&Tensor>,
        gauge: &mut Gauge,
    ) -> Result<Tensor> {
        let states = self.layer.forward(inputs, drive, self.readout, gauge)?;
        let states = match self.readout {
            Readout::Last => states,
            Readout::Every => states.f_flatten(0, 1)?,
        };
        states.f_linear(&self.w_out, Some(&self.b_out))
    }

    /// Gain and saturation of every neuron, if they do not depend on what the network sees.
    pub fn fixed_shape(&self) -> Result<Option<Shape>> {
        self.layer.fixed_shape()
    }

    /// The initial gain, drawn or given, of networks that have one.
    pub fn n0(&self) -> Option<f64> {
        self.n0
    }
}

/// The layer of a network of the configured kind.
fn layer(
    config: &config::Network,
    inputs: u32,
    n0: f64,
    init: &mut Init<'_>,
) -> Result<Box<dyn Layer>> {
    Ok(match config.kind {
        NetworkKind::Relu => Box::new(plain::Plain::relu(inputs, init)?),
        NetworkKind::Fixed | NetworkKind::Homogeneous => {
            Box::new(plain::Plain::homogeneous(config, inputs, n0, init)?)
        }
        NetworkKind::Heterogeneous => {
            Box::new(plain::Plain::heterogeneous(config, inputs, n0, init)?)
        }
        NetworkKind::Adaptive => Box::new(adaptive::Adaptive::new(config, inputs, n0, init)?),
        _ => return Err(tch::TchError::Shape("unfinished".to_owned())),
    })
}
