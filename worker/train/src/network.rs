//! A recurrent network: a recurrent layer and a linear readout.
//!
//! Kinds of networks differ in their `Layer`; a new kind is one more file with a layer, and one
//! more arm in `layer`. Training, evaluation and analyses all run a network through
//! [`Network::run`], a loop over the steps of a sequence that passes each step to a visitor.
//!
//! Shapes: B samples, T steps, I inputs, H neurons, S controller units, C classes. A matrix
//! [out, in] acts as y = x W^T + b.

mod activation;
mod adaptive;
mod controllers;
mod forward_pass;
mod fused;
mod gru;
mod init;
mod lstm;
mod matching;
mod operations;
mod plain;
mod plan;
mod recurrence;
mod states;

use rheo_core::rng::{Purpose, TrialRng};
pub use rheo_kernels::GainSaturation;
use rheo_model::config::{self, InputInit, NetworkKind};
use tch::{Device, Kind, Result, Tensor, no_grad_guard};

pub use crate::neuron_slopes::NeuronSlopes;
use crate::shape_stats::{NeuronShapes, ShapeStats};
use crate::tensor::{from_doubles, length};
use activation::Activation;
pub use forward_pass::ForwardPass;
pub use init::ReadoutInit;
use init::{Initializer, ReadoutWeights};
pub use plan::{ExecutionBackend, StateGradients};
use plan::{Gradients, LayerPlan};
pub(crate) use states::steps_of;

/// States of the layer that are read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readout {
    /// The state after the last step.
    Last,
    /// The states after all steps.
    Every,
}

/// Properties of a network that the task determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Inputs of the layer per step, I.
    pub inputs: u32,
    /// Classes, C.
    pub classes: u32,
    /// States that are read out.
    pub readout: Readout,
    /// Initialization of the readout weights.
    pub readout_init: ReadoutInit,
    /// Initialization of the input matrices, unless configured.
    pub input_init: InputInit,
    /// Number of symbols, if the inputs are symbol indices; each symbol is embedded as a learned
    /// vector of I numbers.
    pub embedding: Option<u32>,
}

/// Group of parameters that a training recipe can treat separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterGroup {
    /// Connections between neurons and from the input.
    Recurrent,
    /// Controller of adaptive neurons.
    Controller,
    /// Gain and saturation.
    Shape,
    /// Readout.
    Readout,
}

/// A named tensor of a network.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Name in checkpoints, as in docs/science.md.
    pub name: &'static str,
    /// Value; shares its storage with the network.
    pub tensor: &'a Tensor,
    /// Whether the parameter is learned.
    pub trained: bool,
    /// Group.
    pub group: ParameterGroup,
}

/// State that a layer carries from one step to the next.
#[derive(Debug)]
pub struct LayerState {
    /// Output of the neurons, h [B, H].
    pub h: Tensor,
    /// Inner state, not visible to other layers: controller states g [B * H, S] of adaptive
    /// networks, c [B, H] of `lstm`.
    pub inner: Option<Tensor>,
}

impl LayerState {
    /// Returns the same state, detached from the graph.
    pub fn detach(&self) -> Result<Self> {
        let inner = self.inner.as_ref().map(Tensor::f_detach).transpose()?;
        Ok(Self { h: self.h.f_detach()?, inner })
    }

    /// Returns the same state, sharing its storage.
    #[must_use]
    pub fn share(&self) -> Self {
        let inner = self.inner.as_ref().map(Tensor::shallow_clone);
        Self { h: self.h.shallow_clone(), inner }
    }
}

/// One step of a layer.
#[derive(Debug)]
pub struct LayerStep {
    /// State after the step.
    pub state: LayerState,
    /// Weighted sums of the neurons, a_t [B, H]; absent for gated neurons.
    pub a: Option<Tensor>,
    /// Gain and saturation of the neurons, if they have any: [1], [H] or [B, H].
    pub shape: Option<GainSaturation<Tensor>>,
}

impl LayerStep {
    /// Returns the same step, sharing its storage.
    #[must_use]
    pub fn share(&self) -> Self {
        let shape = self
            .shape
            .as_ref()
            .map(|shape| GainSaturation { n: shape.n.shallow_clone(), s: shape.s.shallow_clone() });
        let a = self.a.as_ref().map(Tensor::shallow_clone);
        Self { state: self.state.share(), a, shape }
    }
}

/// Gain and saturation that replace the neurons' own: [H] or [B, H].
#[derive(Debug)]
pub struct ShapeOverride {
    /// Gains.
    pub n: Tensor,
    /// Saturations.
    pub s: Tensor,
}

impl ShapeOverride {
    /// Converts `shape` to the precision `kind`.
    pub fn new(shape: &NeuronShapes, kind: Kind) -> Result<Self> {
        let vector = |values: &[f64]| from_doubles(values, &[length(values.len())?], kind);
        Ok(Self { n: vector(&shape.n)?, s: vector(&shape.s)? })
    }
}

/// Conditions of a run.
#[derive(Debug, Default)]
pub struct RunConditions<'a> {
    /// Drive: an extra current that broadcasts to [T, B, H].
    pub drive: Option<&'a Tensor>,
    /// Gain and saturation that replace the neurons' own.
    pub shape_override: Option<&'a ShapeOverride>,
    /// State before the first step; zeros (rest) if none.
    pub from: Option<LayerState>,
}

impl<'a> RunConditions<'a> {
    /// Returns a run from rest under `drive`.
    pub fn driven(drive: Option<&'a Tensor>) -> Self {
        Self { drive, ..Self::default() }
    }
}

/// A recurrent layer: neurons, and the connections to them.
trait Layer: Send {
    /// Returns the parameters, in the order in which they are drawn, counted and stored.
    fn parameters(&self) -> Vec<Parameter<'_>>;

    /// Returns the external input of the neurons at each step, T tensors for
    /// [`RecurrentCell::step`], for `inputs` [T, B, I] and a drive that broadcasts to [T, B, H].
    fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>>;

    /// Returns the names of the recurrent matrices, whose first H columns multiply the state.
    fn recurrent(&self) -> &'static [&'static str];

    /// Returns the names of the biases of neurons or gates.
    fn biases(&self) -> &'static [&'static str];

    /// Returns the resting state of a batch of `batch` samples.
    fn rest(&self, batch: i64) -> Result<LayerState>;

    /// Prepares the layer for steps with the current weights.
    fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>>;

    /// Returns the slopes of the neurons in a step; none for gated neurons.
    fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>>;

    /// Returns gain and saturation of every neuron, if they do not depend on the input.
    fn fixed_shape(&self) -> Result<Option<NeuronShapes>>;

    /// Returns the layer as a plan for the kernels; none if they cannot compute it.
    fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>>;

    /// Returns the gradients of the parameters, by name.
    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>>;
}

/// A layer prepared for single steps.
pub trait RecurrentCell {
    /// Advances `state` by one step with the external input `external`.
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        stats: &mut ShapeStats,
    ) -> Result<LayerStep>;
}

/// A network with its weights.
pub struct Network {
    /// Configuration, with the actual number of neurons.
    config: config::Network,
    interface: Interface,
    kind: Kind,
    layer: Box<dyn Layer>,
    w_out: Tensor,
    b_out: Tensor,
    embedding: Option<Tensor>,
    n0: Option<f64>,
    backend: ExecutionBackend,
    /// Memory of the last training step, reused by the next.
    reusable: std::cell::Cell<Option<fused::ReusableTape>>,
}

impl Network {
    /// Returns a network with initial weights, drawn from `rng` in double precision on the host, in
    /// the order of the parameters, and then converted to `kind`.
    ///
    /// The u of n0 = 5 + 2 u is always drawn first, so that networks of the same seed have the same
    /// weights whether or not n0 is configured.
    pub fn new(
        config: &config::Network,
        interface: Interface,
        kind: Kind,
        rng: &mut TrialRng,
    ) -> Result<Self> {
        let hidden = matching::hidden(config, interface)?;
        let config = config::Network { hidden, match_parameters_of: None, ..config.clone() };
        let drawn = 5.0 + 2.0 * rng.unit();
        let n0 = config.n0.unwrap_or(drawn);
        let mut init = Initializer::new(&config, interface.input_init, kind, rng);
        let layer = layer(&config, interface.inputs, n0, &mut init)?;
        let ReadoutWeights { w_out, b_out } =
            init.readout(interface.classes, interface.readout_init)?;
        let embedding = match interface.embedding {
            Some(symbols) => Some(init.embedding(symbols, interface.inputs)?),
            None => None,
        };
        let n0 = config.kind.has_shape().then_some(n0);
        let backend = ExecutionBackend::default();
        let reusable = std::cell::Cell::default();
        let network =
            Self { config, interface, kind, layer, w_out, b_out, embedding, n0, backend, reusable };
        for tensor in network.trained() {
            let _ = tensor.f_set_requires_grad(true)?;
        }
        Ok(network)
    }

    /// Returns all parameters, readout and embedding last; this is the order in which they are
    /// drawn and stored.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.layer.parameters();
        let mut add = |name, tensor, group| {
            parameters.push(Parameter { name, tensor, trained: true, group });
        };
        add("w_out", &self.w_out, ParameterGroup::Readout);
        add("b_out", &self.b_out, ParameterGroup::Readout);
        if let Some(embedding) = &self.embedding {
            add("embedding", embedding, ParameterGroup::Recurrent);
        }
        parameters
    }

    /// Returns the parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&Tensor> {
        let mut parameters = self.parameters().into_iter();
        parameters.find(|parameter| parameter.name == name).map(|parameter| parameter.tensor)
    }

    /// Returns the recurrent matrices, whose first H columns multiply the state.
    pub fn recurrent(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.layer.parameters();
        parameters.retain(|parameter| self.layer.recurrent().contains(&parameter.name));
        parameters
    }

    /// Returns the names of the biases of neurons or gates.
    pub fn biases(&self) -> &'static [&'static str] {
        self.layer.biases()
    }

    /// Returns the learned parameters, in the same order.
    pub fn trained(&self) -> Vec<&Tensor> {
        self.parameters()
            .into_iter()
            .filter(|parameter| parameter.trained)
            .map(|parameter| parameter.tensor)
            .collect()
    }

    /// Returns the number of learned values.
    pub fn trained_count(&self) -> u64 {
        self.trained().iter().map(|tensor| tensor.numel() as u64).sum()
    }

    /// Returns another network of the same kind and size for the same task, with initial weights
    /// drawn from `rng`.
    pub fn redrawn(&self, rng: &mut TrialRng) -> Result<Self> {
        Self::new(&self.config, self.interface, self.kind, rng)
    }

    /// Returns a copy of this network with other values for some parameters, possibly for another
    /// number of inputs. Not for training.
    pub fn with(&self, changes: &[(&str, Tensor)]) -> Result<Self> {
        let _guard = no_grad_guard();
        let change = |name| changes.iter().find(|(other, _)| *other == name).map(|(_, new)| new);
        let mut interface = self.interface;
        if let Some(w_xh) = change("w_xh") {
            interface.inputs = u32::try_from(w_xh.size2()?.1).unwrap_or(interface.inputs);
        }
        // The drawn values are overwritten.
        let mut rng = TrialRng::new(0, Purpose::Init);
        let mut copy = Self::new(&self.config, interface, self.kind, &mut rng)?;
        copy.set_backend(self.backend);
        for (new, old) in copy.parameters().into_iter().zip(self.parameters()) {
            let value = change(new.name).unwrap_or(old.tensor);
            new.tensor.shallow_clone().f_copy_(value)?;
        }
        Ok(copy)
    }

    /// Returns the external input of the neurons at each step, T tensors for
    /// [`RecurrentCell::step`], for `inputs` [T, B, I] and a drive that broadcasts to [T, B, H].
    pub fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let drive = drive.map(|drive| self.on_device(drive)).transpose()?;
        self.layer.external(&self.embed_inputs(inputs)?, drive.as_ref())
    }

    /// Returns the layer's inputs for `inputs` [T, B, I]; symbols are replaced by their vectors.
    fn embed_inputs(&self, inputs: &Tensor) -> Result<Tensor> {
        let inputs = self.on_device(inputs)?;
        match &self.embedding {
            None => Ok(inputs),
            Some(embedding) => Tensor::f_embedding(embedding, &symbols(&inputs)?, -1, false, false),
        }
    }

    /// Copies a tensor to the device of the weights.
    fn on_device(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.f_to_device(self.device())
    }

    /// Returns the resting state of a batch of `batch` samples.
    pub fn rest(&self, batch: i64) -> Result<LayerState> {
        self.layer.rest(batch)
    }

    /// Prepares the layer for steps with the current weights.
    pub fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        self.layer.cell(shape_override, stats)
    }

    /// Runs the network over `inputs` [T, B, I], passes each step to `visit` and returns the last
    /// state.
    pub fn run(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
        visit: &mut dyn FnMut(&LayerStep) -> Result<()>,
    ) -> Result<LayerState> {
        let (_, batch, _) = inputs.size3()?;
        let external = self.external(inputs, conditions.drive)?;
        let cell = self.cell(conditions.shape_override, stats)?;
        let mut state = match conditions.from {
            Some(state) => state,
            None => self.rest(batch)?,
        };
        for external in &external {
            let step = cell.step(external, &state, stats)?;
            visit(&step)?;
            state = step.state;
        }
        Ok(state)
    }

    /// Returns the class scores [B, C] of states [B, H], on the CPU.
    pub fn readout(&self, h: &Tensor) -> Result<Tensor> {
        h.f_linear(&self.w_out, Some(&self.b_out))?.f_to_device(Device::Cpu)
    }

    /// Returns the slopes of the neurons in a step; none for gated neurons.
    pub fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        self.layer.slopes(step)
    }

    /// Returns gain and saturation of every neuron, if they do not depend on the input.
    pub fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        self.layer.fixed_shape()
    }

    /// Returns the initial gain, drawn or configured, if the network has one.
    pub fn n0(&self) -> Option<f64> {
        self.n0
    }

    /// Returns the kind of the network.
    pub fn kind(&self) -> NetworkKind {
        self.config.kind
    }

    /// Returns the number of neurons, H.
    pub fn hidden(&self) -> u32 {
        self.config.hidden
    }

    /// Returns the floating-point type of the weights.
    pub fn precision(&self) -> Kind {
        self.kind
    }
}

/// Returns the symbol indices in `inputs` [T, B, 1].
fn symbols(inputs: &Tensor) -> Result<Tensor> {
    inputs.f_squeeze_dim(-1)?.f_to_dtype(Kind::Int64, false, false)
}

/// Returns a layer of the configured kind.
fn layer(
    config: &config::Network,
    inputs: u32,
    n0: f64,
    init: &mut Initializer<'_>,
) -> Result<Box<dyn Layer>> {
    let plain =
        |activation, init: &mut Initializer<'_>| plain::PlainLayer::new(activation, inputs, init);
    Ok(match config.kind {
        NetworkKind::Relu => Box::new(plain(Activation::Relu, init)?),
        NetworkKind::Tanh => Box::new(plain(Activation::Tanh, init)?),
        NetworkKind::Sigmoid => Box::new(plain(Activation::Sigmoid, init)?),
        NetworkKind::Softplus => Box::new(plain(Activation::Softplus, init)?),
        NetworkKind::Linear => Box::new(plain(Activation::Linear, init)?),
        NetworkKind::Modrelu => Box::new(plain::PlainLayer::modrelu(inputs, init)?),
        NetworkKind::Fixed | NetworkKind::Homogeneous => {
            Box::new(plain::PlainLayer::homogeneous(config, inputs, n0, init)?)
        }
        NetworkKind::Heterogeneous => {
            Box::new(plain::PlainLayer::heterogeneous(config, inputs, n0, init)?)
        }
        NetworkKind::Adaptive => Box::new(adaptive::AdaptiveLayer::new(config, inputs, n0, init)?),
        NetworkKind::Lstm => Box::new(lstm::Lstm::new(config, inputs, init)?),
        NetworkKind::Gru => Box::new(gru::Gru::new(config, inputs, init)?),
    })
}
