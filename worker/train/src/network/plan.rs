//! Types shared by all backends that run a layer over a whole sequence: the request, the layer, and
//! the results.

use rheo_kernels::{ComputeResources, GainSaturation, Isa, OutputSelection};
use rheo_model::config::{self, Kernel};
use tch::{Result, Tensor};

use super::activation::Activation;
use super::{LayerState, RunConditions};

/// Execution backend and its resources.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionBackend {
    /// Kernel.
    pub kernel: Kernel,
    /// Resources of the kernel.
    pub resources: ComputeResources,
}

impl ExecutionBackend {
    /// Returns the backend that a trial configures.
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

    /// Sets the number of threads for libtorch operations started by this thread: one beside the
    /// fused kernels, which leave little to do. The threads of OpenMP busy-wait for some
    /// milliseconds after their work, when the kernels need the processor.
    ///
    /// libtorch on OpenMP keeps this number per calling thread, so trials with different numbers
    /// can run side by side. Its first query in a thread takes the number that any thread set last,
    /// so query before setting.
    pub fn use_threads(&self) {
        let threads = match self.kernel {
            Kernel::Fused => 1,
            Kernel::Libtorch | Kernel::Autograd => self.resources.threads,
        };
        let _ = tch::get_num_threads();
        tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    }

    /// Returns the backend's name: an instruction set, `libtorch` or `autograd`.
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

/// Input of a layer over a sequence.
pub(super) struct SequenceInput<'a> {
    /// Inputs [T, B, I].
    pub(super) inputs: &'a Tensor,
    /// Drive, shape override, and the state before the first step.
    pub(super) conditions: RunConditions<'a>,
}

/// Request for a forward pass.
pub(super) struct PassRequest<T> {
    /// Outputs besides the last state.
    pub(super) wanted: OutputSelection,
    /// Memory of an earlier pass for reuse: a `T`.
    pub(super) reuse: Option<T>,
}

/// A layer in terms of the kernels.
pub(super) struct LayerPlan {
    pub(super) family: LayerFamily,
    /// Input weights [G H, I], recurrent weights [G H, H] and the sum of all biases [G H]; gates
    /// are stacked along the rows.
    pub(super) weights: [Tensor; 3],
    /// Other parameters of the family.
    pub(super) own: Vec<Tensor>,
    /// Gains of neurons that do not adapt, for the gain policy's counts.
    pub(super) gains: Option<Tensor>,
}

/// Families of layers that the kernels support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerFamily {
    /// Neurons without parameters.
    Activation(Activation),
    /// Neurons with b [H].
    Modrelu,
    /// Neurons with n [H] and s [H].
    Gamma,
    /// Neurons with u, bias, w, w_n, b_n, w_s and b_s.
    Adaptive,
    /// Gates f, i, o and the candidate; a drive is added to `driven`.
    Lstm { driven: &'static [usize] },
    /// Gates r, z and the candidate, with the bias of the candidate's recurrent part.
    Gru { is_driven: bool },
}

impl LayerFamily {
    /// Whether the layer has an inner state besides the neurons' output.
    pub(super) fn has_inner(self) -> bool {
        matches!(self, Self::Adaptive | Self::Lstm { .. })
    }
}

impl LayerPlan {
    /// Returns gain and saturation of neurons that do not adapt, each [H].
    pub(super) fn shape(&self) -> Option<GainSaturation<Tensor>> {
        match (self.family, self.own.as_slice()) {
            (LayerFamily::Gamma, [n, s]) => {
                Some(GainSaturation { n: n.shallow_clone(), s: s.shallow_clone() })
            }
            _ => None,
        }
    }

    /// Returns a layer of gain `n` and saturation `s`; none if these differ between samples.
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

/// Gradients of a loss with respect to the states after every step. Each state is a separate
/// variable: the gradient with respect to h holds the inner state of the same step constant, the
/// gradient with respect to the inner state includes its effect on h.
#[derive(Debug)]
pub struct StateGradients {
    /// With respect to h, [T, B, H].
    pub h: Tensor,
    /// With respect to the inner states, [T, ..] as in [`LayerState::inner`], for layers that have
    /// them.
    pub inner: Option<Tensor>,
}

/// Gradients in terms of the kernels, in the order of [`LayerPlan`].
pub(super) struct Gradients {
    pub(super) weights: [Tensor; 3],
    pub(super) own: Vec<Tensor>,
    /// With respect to the inputs [T, B, I], if requested.
    pub(super) inputs: Option<Tensor>,
    /// With respect to the states after every step, if requested.
    pub(super) states: Option<StateGradients>,
}

/// Gradients to compute besides those of the weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct GradientRequest {
    /// With respect to the inputs, if they are learned.
    pub(super) inputs: bool,
    /// With respect to the states after every step.
    pub(super) states: bool,
}

/// Output of a forward pass in tensors, with a tape of type `T` for the gradients.
pub(super) struct ForwardOutput<T> {
    /// h after every step [T, B, H], or after the last [B, H].
    pub(super) h: Tensor,
    /// The state after the last step.
    pub(super) last: LayerState,
    /// Weighted sums at every step [T, B, H], if requested and neurons have a single one.
    pub(super) a: Option<Tensor>,
    /// Gains and saturations of adaptive neurons at every step [T, B, H], if requested.
    pub(super) shape: Option<GainSaturation<Tensor>>,
    /// Inner states after every step, [T, ..] as in [`LayerState::inner`], if requested.
    pub(super) inner: Option<Tensor>,
    /// Tape for the gradients, if requested.
    pub(super) tape: Option<T>,
}

impl<T> ForwardOutput<T> {
    /// Converts the tape with `wrap`.
    pub(super) fn map<U>(self, wrap: impl FnOnce(T) -> U) -> ForwardOutput<U> {
        let Self { h, last, a, shape, inner, tape } = self;
        ForwardOutput { h, last, a, shape, inner, tape: tape.map(wrap) }
    }
}
