//! A recurrent network: a recurrent layer with its neurons, and a linear readout.
//!
//! What distinguishes one kind of network from another is a `Layer`; a new kind is one more file
//! with a layer and one more arm in `layer`. Training, evaluation and analyses all run a network
//! through [`Network::run`], one loop over the steps of a sequence that lets its caller look at
//! every step.
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
    /// Inputs of the layer per step, I.
    pub inputs: u32,
    /// Classes, C.
    pub classes: u32,
    /// Which states are read out.
    pub readout: Readout,
    /// How the readout weights start.
    pub readout_init: ReadoutInit,
    /// How the input matrices start, unless the configuration says it.
    pub input_init: InputInit,
    /// Where the input is the number of a symbol: how many symbols there are. Each is shown to the
    /// layer as a learned vector of I numbers.
    pub embedding: Option<u32>,
}

/// The groups of parameters that a training recipe can treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterGroup {
    /// The connections between neurons and from the input.
    Recurrent,
    /// The controller of adaptive neurons.
    Controller,
    /// Gain and saturation.
    Shape,
    /// The readout.
    Readout,
}

/// A named tensor of a network.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The name in checkpoints, as in docs/science.md.
    pub name: &'static str,
    /// Its value; shares the storage with the network.
    pub tensor: &'a Tensor,
    /// Whether it is learned.
    pub trained: bool,
    /// Its group.
    pub group: ParameterGroup,
}

/// What a layer remembers from one step to the next.
#[derive(Debug)]
pub struct LayerState {
    /// What the neurons emit, h [B, H].
    pub h: Tensor,
    /// What nobody outside sees: the controllers' g [B * H, S] of adaptive networks, c [B, H] of
    /// `lstm`.
    pub inner: Option<Tensor>,
}

impl LayerState {
    /// The same state outside of the graph.
    pub fn detach(&self) -> Result<Self> {
        let inner = self.inner.as_ref().map(Tensor::f_detach).transpose()?;
        Ok(Self { h: self.h.f_detach()?, inner })
    }

    /// The same state, sharing its storage.
    #[must_use]
    pub fn share(&self) -> Self {
        let inner = self.inner.as_ref().map(Tensor::shallow_clone);
        Self { h: self.h.shallow_clone(), inner }
    }
}

/// One step of a layer.
#[derive(Debug)]
pub struct LayerStep {
    /// The state that it led to.
    pub state: LayerState,
    /// What the neurons received, a_t [B, H]; absent where a neuron has several gates.
    pub a: Option<Tensor>,
    /// The gain and the saturation that the neurons used, of neurons that have them: [1], [H] or
    /// [B, H].
    pub shape: Option<GainSaturation<Tensor>>,
}

impl LayerStep {
    /// The same step, sharing its storage.
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

/// Gain and saturation that neurons are made to have: [H] or [B, H].
#[derive(Debug)]
pub struct ShapeOverride {
    /// Gains.
    pub n: Tensor,
    /// Saturations.
    pub s: Tensor,
}

impl ShapeOverride {
    /// The gains and saturations of `shape` in the precision `kind`.
    pub fn new(shape: &NeuronShapes, kind: Kind) -> Result<Self> {
        let vector = |values: &[f64]| from_doubles(values, &[length(values.len())?], kind);
        Ok(Self { n: vector(&shape.n)?, s: vector(&shape.s)? })
    }
}

/// Under which conditions a network runs.
#[derive(Debug, Default)]
pub struct RunConditions<'a> {
    /// An extra current that broadcasts to [T, B, H].
    pub drive: Option<&'a Tensor>,
    /// Gain and saturation, where the neurons shall not have their own.
    pub shape_override: Option<&'a ShapeOverride>,
    /// The state before the first step; without it, rest: all zeros.
    pub from: Option<LayerState>,
}

impl<'a> RunConditions<'a> {
    /// From rest, under `drive`.
    pub fn driven(drive: Option<&'a Tensor>) -> Self {
        Self { drive, ..Self::default() }
    }
}

/// A recurrent layer: neurons, the connections between them and to the input.
trait Layer: Send {
    /// The parameters in the order in which they are drawn, counted and stored.
    fn parameters(&self) -> Vec<Parameter<'_>>;

    /// What reaches the neurons from outside at every step of `inputs` [T, B, I] under `drive`, which
    /// broadcasts to [T, B, H]: T tensors for [`RecurrentCell::step`].
    fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>>;

    /// The names of the matrices through which a state reaches the next one, each by its first H
    /// columns.
    fn recurrent(&self) -> &'static [&'static str];

    /// The names of the biases of neurons or gates: what they receive where there is no input.
    fn biases(&self) -> &'static [&'static str];

    /// The state of `batch` networks at rest.
    fn rest(&self, batch: i64) -> Result<LayerState>;

    /// The layer made ready for steps with the present weights.
    fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>>;

    /// The slopes of the neurons in a step; none where a neuron has several gates.
    fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>>;

    /// Gain and saturation of every neuron, if they do not depend on what the network sees.
    fn fixed_shape(&self) -> Result<Option<NeuronShapes>>;

    /// The layer as the fused kernels see it, unless they cannot compute it.
    fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>>;

    /// Gradients by the parameters, by name.
    fn named_gradients(&self, gradients: Gradients) -> Result<Vec<(&'static str, Tensor)>>;
}

/// A layer in motion.
pub trait RecurrentCell {
    /// Goes one step on from `state` with what reaches the neurons from outside, `external`.
    fn step(
        &self,
        external: &Tensor,
        state: &LayerState,
        stats: &mut ShapeStats,
    ) -> Result<LayerStep>;
}

/// A network with its weights.
pub struct Network {
    /// With the number of neurons that the network really has.
    config: config::Network,
    interface: Interface,
    kind: Kind,
    layer: Box<dyn Layer>,
    w_out: Tensor,
    b_out: Tensor,
    embedding: Option<Tensor>,
    n0: Option<f64>,
    backend: ExecutionBackend,
    /// Memory of the last training step, for the next.
    reusable: std::cell::Cell<Option<fused::ReusableTape>>,
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

    /// All parameters, readout and embedding last: the order in which they are drawn and stored.
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

    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&Tensor> {
        let mut parameters = self.parameters().into_iter();
        parameters.find(|parameter| parameter.name == name).map(|parameter| parameter.tensor)
    }

    /// The matrices through which a state reaches the next one, each by its first H columns.
    pub fn recurrent(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.layer.parameters();
        parameters.retain(|parameter| self.layer.recurrent().contains(&parameter.name));
        parameters
    }

    /// The names of the biases of neurons or gates: what they receive where there is no input.
    pub fn biases(&self) -> &'static [&'static str] {
        self.layer.biases()
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

    /// Another network of the same kind and size for the same task, with initial weights drawn from
    /// `rng`.
    pub fn redrawn(&self, rng: &mut TrialRng) -> Result<Self> {
        Self::new(&self.config, self.interface, self.kind, rng)
    }

    /// A network like this one but with other values, possibly of another number of inputs, for
    /// some parameters. It is not for training.
    pub fn with(&self, changes: &[(&str, Tensor)]) -> Result<Self> {
        let _guard = no_grad_guard();
        let change = |name| changes.iter().find(|(other, _)| *other == name).map(|(_, new)| new);
        let mut interface = self.interface;
        if let Some(w_xh) = change("w_xh") {
            interface.inputs = u32::try_from(w_xh.size2()?.1).unwrap_or(interface.inputs);
        }
        // What is drawn is overwritten.
        let mut rng = TrialRng::new(0, Purpose::Init);
        let mut copy = Self::new(&self.config, interface, self.kind, &mut rng)?;
        copy.set_backend(self.backend);
        for (new, old) in copy.parameters().into_iter().zip(self.parameters()) {
            let value = change(new.name).unwrap_or(old.tensor);
            new.tensor.shallow_clone().f_copy_(value)?;
        }
        Ok(copy)
    }

    /// What reaches the neurons from outside at every step of `inputs` [T, B, I] under `drive`,
    /// which broadcasts to [T, B, H]: T tensors for [`RecurrentCell::step`].
    pub fn external(&self, inputs: &Tensor, drive: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let drive = drive.map(|drive| self.on_device(drive)).transpose()?;
        self.layer.external(&self.embed_inputs(inputs)?, drive.as_ref())
    }

    /// What the layer is shown of `inputs` [T, B, I]: vectors in the place of symbols.
    fn embed_inputs(&self, inputs: &Tensor) -> Result<Tensor> {
        let inputs = self.on_device(inputs)?;
        match &self.embedding {
            None => Ok(inputs),
            Some(embedding) => Tensor::f_embedding(embedding, &symbols(&inputs)?, -1, false, false),
        }
    }

    /// The same values where the weights are.
    fn on_device(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.f_to_device(self.device())
    }

    /// The state of `batch` networks at rest.
    pub fn rest(&self, batch: i64) -> Result<LayerState> {
        self.layer.rest(batch)
    }

    /// The layer made ready for steps with the present weights.
    pub fn cell(
        &self,
        shape_override: Option<&ShapeOverride>,
        stats: &mut ShapeStats,
    ) -> Result<Box<dyn RecurrentCell + '_>> {
        self.layer.cell(shape_override, stats)
    }

    /// Reads `inputs` [T, B, I], shows every step to `visit` and gives the last state.
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

    /// The class scores [B, C] of states [B, H], on the processor.
    pub fn readout(&self, h: &Tensor) -> Result<Tensor> {
        h.f_linear(&self.w_out, Some(&self.b_out))?.f_to_device(Device::Cpu)
    }

    /// The slopes of the neurons in a step; none where a neuron has several gates.
    pub fn slopes(&self, step: &LayerStep) -> Result<Option<NeuronSlopes>> {
        self.layer.slopes(step)
    }

    /// Gain and saturation of every neuron, if they do not depend on what the network sees.
    pub fn fixed_shape(&self) -> Result<Option<NeuronShapes>> {
        self.layer.fixed_shape()
    }

    /// The initial gain, drawn or given, of networks that have one.
    pub fn n0(&self) -> Option<f64> {
        self.n0
    }

    /// What the single neurons do.
    pub fn kind(&self) -> NetworkKind {
        self.config.kind
    }

    /// The number of neurons, H.
    pub fn hidden(&self) -> u32 {
        self.config.hidden
    }

    /// The floating-point type of the weights.
    pub fn precision(&self) -> Kind {
        self.kind
    }
}

/// The symbols that `inputs` [T, B, 1] are the numbers of.
fn symbols(inputs: &Tensor) -> Result<Tensor> {
    inputs.f_squeeze_dim(-1)?.f_to_dtype(Kind::Int64, false, false)
}

/// The layer of a network of the configured kind.
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
