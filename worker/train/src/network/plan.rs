//! What is the same whatever computes a layer over a whole sequence: what is asked, what a layer
//! consists of, and what comes out.

use rheo_kernels::{ComputeResources, GainSaturation, Isa, OutputSelection};
use rheo_model::config::{self, Kernel};
use tch::{Result, Tensor};

use super::activation::Activation;
use super::{LayerState, RunConditions};

/// With what a network computes.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionBackend {
    /// Which kernel.
    pub kernel: Kernel,
    /// What it may use.
    pub resources: ComputeResources,
}

impl ExecutionBackend {
    /// As a trial asks for it.
    pub fn new(resources: &config::Resources) -> Self {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            kernel: resources.kernel,
            resources: ComputeResources {
                isa: Isa::detect(),
                threads: size(resources.threads),
                memory: size(resources.memory_mb).saturating_mul(1_000_000),
            },
        }
    }

    /// Has the operations of libtorch that this thread starts computed by as many threads as make
    /// sense: one beside the kernels, which leave little to do. The threads of OpenMP spin for some
    /// milliseconds after they have worked, where the kernels need the processor.
    ///
    /// libtorch on OpenMP keeps this number per calling thread, so trials with different numbers
    /// run side by side. Its first look in a thread takes the number that any thread set last;
    /// asking first gets that over with.
    pub fn use_threads(&self) {
        let threads = match self.kernel {
            Kernel::Fused => 1,
            Kernel::Libtorch | Kernel::Autograd => self.resources.threads,
        };
        let _ = tch::get_num_threads();
        tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    }

    /// What computes the network: an instruction set, `libtorch` or `autograd`.
    pub fn name(&self) -> &'static str {
        match self.kernel {
            Kernel::Fused => self.resources.isa.name(),
            Kernel::Libtorch => "libtorch",
            Kernel::Autograd => "autograd",
        }
    }
}

impl Default for ExecutionBackend {
    fn default() -> Self {
        Self::new(&config::Resources::default())
    }
}

/// The input of a layer over a sequence.
pub(super) struct SequenceInput<'a> {
    /// Inputs [T, B, I].
    pub(super) inputs: &'a Tensor,
    /// The drive, the held gains and saturations, and the state before the first step.
    pub(super) conditions: RunConditions<'a>,
}

/// Request for a forward pass.
pub(super) struct PassRequest<T> {
    /// Outputs that the pass gives besides the last state.
    pub(super) wanted: OutputSelection,
    /// Memory of an earlier pass that this one may use: a `T`.
    pub(super) reuse: Option<T>,
}

/// A layer in terms of the kernels.
pub(super) struct LayerPlan {
    pub(super) family: LayerFamily,
    /// From the input [G H, I], from the neurons [G H, H] and the sum of all biases [G H], of one
    /// gate above the other.
    pub(super) weights: [Tensor; 3],
    /// What the family has besides.
    pub(super) own: Vec<Tensor>,
    /// The gains of neurons that do not change them, as the gain policy counts them.
    pub(super) gains: Option<Tensor>,
}

/// Layers that the kernels know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerFamily {
    /// Neurons without parameters of their own.
    Activation(Activation),
    /// With b [H].
    Modrelu,
    /// With n [H] and s [H].
    Gamma,
    /// With u, bias, w, w_n, b_n, w_s and b_s.
    Adaptive,
    /// The gates f, i, o and the candidate; a drive is added to some.
    Lstm { driven: &'static [usize] },
    /// The gates r, z and the candidate, and the bias of the candidate's part that r multiplies.
    Gru { is_driven: bool },
}

impl LayerFamily {
    /// Whether a step hands on more than what the neurons emit.
    pub(super) fn has_inner(self) -> bool {
        matches!(self, Self::Adaptive | Self::Lstm { .. })
    }
}

impl LayerPlan {
    /// Gain and saturation of neurons that do not change them, each [H].
    pub(super) fn shape(&self) -> Option<GainSaturation<Tensor>> {
        match (self.family, self.own.as_slice()) {
            (LayerFamily::Gamma, [n, s]) => {
                Some(GainSaturation { n: n.shallow_clone(), s: s.shallow_clone() })
            }
            _ => None,
        }
    }

    /// Neurons of gain `n` and saturation `s`; none if these differ between samples.
    pub(super) fn gamma(
        weights: [Tensor; 3],
        n: &Tensor,
        s: &Tensor,
        hidden: i64,
    ) -> Result<Option<Self>> {
        if n.dim() > 1 || s.dim() > 1 {
            return Ok(None);
        }
        let per_neuron = |tensor: &Tensor| tensor.f_detach()?.f_expand([hidden], false);
        let own = vec![per_neuron(n)?, per_neuron(s)?];
        Ok(Some(Self { family: LayerFamily::Gamma, weights, own, gains: Some(n.shallow_clone()) }))
    }
}

/// The gradients of a loss by the states after every step. Each state is a variable of its own: that
/// by h is at constant inner state of the same step, that by the inner state counts what reaches h.
#[derive(Debug)]
pub struct StateGradients {
    /// By h, [T, B, H].
    pub h: Tensor,
    /// By the inner states, [T, ..] as in [`LayerState::inner`], of layers that have them.
    pub inner: Option<Tensor>,
}

/// Gradients in terms of the kernels, in the order of [`LayerPlan`].
pub(super) struct Gradients {
    pub(super) weights: [Tensor; 3],
    pub(super) own: Vec<Tensor>,
    /// By the inputs [T, B, I], if sought.
    pub(super) inputs: Option<Tensor>,
    /// By the states after every step, if sought.
    pub(super) states: Option<StateGradients>,
}

/// Which gradients are sought besides those by the weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct GradientRequest {
    /// By the inputs, where they are learned.
    pub(super) inputs: bool,
    /// By the states after every step.
    pub(super) states: bool,
}

/// Output of a forward pass in tensors, and what the gradients need: a `T`.
pub(super) struct ForwardOutput<T> {
    /// h after every step [T, B, H], or after the last [B, H].
    pub(super) h: Tensor,
    /// The state after the last step.
    pub(super) last: LayerState,
    /// What neurons received at every step [T, B, H], if wanted and they have one input.
    pub(super) a: Option<Tensor>,
    /// Gains and saturations of adaptive neurons at every step [T, B, H], if wanted.
    pub(super) shape: Option<GainSaturation<Tensor>>,
    /// The inner states after every step, [T, ..] as in [`LayerState::inner`], if wanted.
    pub(super) inner: Option<Tensor>,
    /// What the gradients need, if wanted.
    pub(super) tape: Option<T>,
}

impl<T> ForwardOutput<T> {
    /// The same with what the gradients need as `wrap` makes it of it.
    pub(super) fn map<U>(self, wrap: impl FnOnce(T) -> U) -> ForwardOutput<U> {
        let Self { h, last, a, shape, inner, tape } = self;
        ForwardOutput { h, last, a, shape, inner, tape: tape.map(wrap) }
    }
}
