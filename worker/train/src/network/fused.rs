//! A layer in terms of the fused kernels: its weights copied out of tensors, a pass over a whole
//! sequence, and gradients copied back.
//!
//! Copying takes a few milliseconds, a pass hundreds. It keeps tensors and kernels apart: nothing
//! here borrows memory of libtorch.

use rheo_kernels::{
    AdaptiveLayer, BackwardRequest, CompiledReal, Controller, Drive, GainSaturation, Gru, Layer,
    Lstm, NeuronFunction, OutputSelection, PlainLayer, Sequence, SequenceDims, Tape, Weights,
};
use tch::kind::Element;
use tch::{Kind, Result, TchError, Tensor, no_grad_guard};

use super::LayerState;
use super::activation::Activation;
use super::plan::{
    ExecutionBackend, ForwardOutput, GradientRequest, Gradients, LayerFamily, LayerPlan,
    PassRequest, SequenceInput, StateGradients,
};
use crate::shape_stats::ShapeStats;
use crate::tensor::length;

/// Tape of a training step whose memory the next step may reuse.
pub(super) enum ReusableTape {
    Single(Tape<f32>),
    Double(Tape<f64>),
}

/// A forward pass with a tape for its gradients.
pub(super) enum FusedPass {
    Single(LayerRun<f32>),
    Double(LayerRun<f64>),
}

/// Floating-point types that both libtorch and the kernels support.
pub(super) trait KernelFloat: CompiledReal + Element {}

impl KernelFloat for f32 {}
impl KernelFloat for f64 {}

/// A layer with its input, outside of tensors.
pub(super) struct LayerRun<R> {
    family: LayerFamily,
    weights: [Vec<R>; 3],
    own: Vec<Vec<R>>,
    sizes: SequenceDims,
    x: Vec<R>,
    drive: Option<(Vec<R>, [usize; 3])>,
    from: Option<rheo_kernels::LayerState<R>>,
    every: bool,
    tape: Option<Tape<R>>,
}

/// Runs a layer of H neurons over inputs [T, B, I].
pub(super) fn pass(
    plan: &LayerPlan,
    input: &SequenceInput<'_>,
    request: PassRequest<ReusableTape>,
    backend: &ExecutionBackend,
    stats: &mut ShapeStats,
) -> Result<ForwardOutput<FusedPass>> {
    let PassRequest { wanted, reuse } = request;
    let [w_x, ..] = &plan.weights;
    if w_x.f_kind()? == Kind::Double {
        let reuse = reuse.and_then(|reusable| match reusable {
            ReusableTape::Double(tape) => Some(tape),
            ReusableTape::Single(_) => None,
        });
        let work = LayerRun::<f64>::new(plan, input, wanted)?;
        return work.pass(PassRequest { wanted, reuse }, backend, stats, FusedPass::Double);
    }
    let reuse = reuse.and_then(|reusable| match reusable {
        ReusableTape::Single(tape) => Some(tape),
        ReusableTape::Double(_) => None,
    });
    let work = LayerRun::<f32>::new(plan, input, wanted)?;
    work.pass(PassRequest { wanted, reuse }, backend, stats, FusedPass::Single)
}

impl FusedPass {
    /// Computes the gradients of a loss from `grad_h`, its gradient with respect to the h that the
    /// pass returned.
    pub(super) fn gradients(
        self,
        grad_h: &Tensor,
        request: GradientRequest,
        backend: &ExecutionBackend,
    ) -> Result<(Gradients, ReusableTape)> {
        let _guard = no_grad_guard();
        match self {
            Self::Single(work) => {
                let (gradients, tape) = work.gradients(grad_h, request, backend)?;
                Ok((gradients, ReusableTape::Single(tape)))
            }
            Self::Double(work) => {
                let (gradients, tape) = work.gradients(grad_h, request, backend)?;
                Ok((gradients, ReusableTape::Double(tape)))
            }
        }
    }
}

impl<R: KernelFloat> LayerRun<R> {
    fn new(plan: &LayerPlan, input: &SequenceInput<'_>, wanted: OutputSelection) -> Result<Self> {
        let SequenceInput { inputs, conditions } = input;
        let (steps, batch, width) = inputs.size3()?;
        let [w_x, w_h, bias] = &plan.weights;
        let (_, hidden) = w_h.size2()?;
        let sizes = SequenceDims {
            steps: count(steps)?,
            batch: count(batch)?,
            inputs: count(width)?,
            hidden: count(hidden)?,
        };
        let from = match &conditions.from {
            Some(LayerState { h, inner }) => {
                let inner = inner.as_ref().filter(|_| plan.family.has_inner());
                let inner = inner.map(values).transpose()?.unwrap_or_default();
                Some(rheo_kernels::LayerState { h: values(h)?, inner })
            }
            None => None,
        };
        Ok(Self {
            family: plan.family,
            weights: [values(w_x)?, values(w_h)?, values(bias)?],
            own: plan.own.iter().map(values).collect::<Result<_>>()?,
            sizes,
            x: values(inputs)?,
            drive: conditions.drive.map(drive).transpose()?,
            from,
            every: wanted.every_h,
            tape: None,
        })
    }

    fn layer(&self) -> Layer<'_, R> {
        let [w_x, w_h, bias] = &self.weights;
        let weights = Weights { w_x, w_h, bias };
        let own = |which: usize| self.own.get(which).map_or(&[][..], Vec::as_slice);
        let number = |which: usize| own(which).first().copied().unwrap_or_default();
        let plain = |neurons| Layer::Plain(PlainLayer { weights, neurons });
        match self.family {
            LayerFamily::Activation(Activation::Relu) => plain(NeuronFunction::Relu),
            LayerFamily::Activation(Activation::Tanh) => plain(NeuronFunction::Tanh),
            LayerFamily::Activation(Activation::Sigmoid) => plain(NeuronFunction::Sigmoid),
            LayerFamily::Activation(Activation::Softplus) => plain(NeuronFunction::Softplus),
            LayerFamily::Activation(Activation::Linear) => plain(NeuronFunction::Linear),
            LayerFamily::Modrelu => plain(NeuronFunction::Modrelu { b: own(0) }),
            LayerFamily::Gamma => plain(NeuronFunction::Gamma { n: own(0), s: own(1) }),
            LayerFamily::Adaptive => {
                let controller = Controller {
                    u: own(0),
                    bias: own(1),
                    w: own(2),
                    w_n: own(3),
                    b_n: number(4),
                    w_s: own(5),
                    b_s: number(6),
                };
                Layer::Adaptive(AdaptiveLayer { weights, controller })
            }
            LayerFamily::Lstm { driven } => Layer::Lstm(Lstm { weights, driven }),
            LayerFamily::Gru { is_driven } => {
                Layer::Gru(Gru { weights, candidate_bias: own(0), is_driven })
            }
        }
    }

    fn sequence(&self) -> Sequence<'_, R> {
        let drive = self.drive.as_ref();
        let drive = drive.map(|(values, strides)| Drive { values, strides: *strides });
        Sequence { sizes: self.sizes, x: &self.x, drive, from: self.from.as_ref() }
    }

    fn pass(
        mut self,
        request: PassRequest<Tape<R>>,
        backend: &ExecutionBackend,
        stats: &mut ShapeStats,
        wrap: impl FnOnce(Self) -> FusedPass,
    ) -> Result<ForwardOutput<FusedPass>> {
        let PassRequest { wanted, reuse } = request;
        let (layer, sequence) = (self.layer(), self.sequence());
        let mut pass = layer.forward(&sequence, wanted, backend.resources, reuse);
        let SequenceDims { steps, batch, hidden, .. } = self.sizes;
        stats.observe(&pass.observed, steps * batch)?;
        let per_step = [steps, batch, hidden];
        let traced =
            |values: &[R]| (!values.is_empty()).then(|| tensor(values, &per_step)).transpose();
        let shape = traced(&pass.trace.n)?.zip(traced(&pass.trace.s)?);
        let shape = shape.map(|(n, s)| GainSaturation { n, s });
        let h_size = if wanted.every_h { &per_step[..] } else { &per_step[1..] };
        self.tape = pass.tape.take();
        Ok(ForwardOutput {
            h: tensor(&pass.h, h_size)?,
            last: LayerState {
                h: tensor(&pass.last.h, &[batch, hidden])?,
                inner: self.inner(&pass.last.inner, None)?,
            },
            a: traced(&pass.trace.a)?,
            shape,
            inner: self.inner(&pass.trace.inner, Some(steps))?,
            tape: self.tape.is_some().then(|| wrap(self)),
        })
    }

    /// Returns inner states in the layout of [`LayerState::inner`], of `steps` steps or of one;
    /// none if there are none.
    fn inner(&self, values: &[R], steps: Option<usize>) -> Result<Option<Tensor>> {
        let SequenceDims { batch, hidden, .. } = self.sizes;
        let each = values.len() / (steps.unwrap_or(1) * batch * hidden).max(1);
        let size = match self.family {
            _ if values.is_empty() => return Ok(None),
            LayerFamily::Adaptive => [batch * hidden, each],
            _ => [batch, hidden],
        };
        let size: Vec<usize> = steps.into_iter().chain(size).collect();
        tensor(values, &size).map(Some)
    }

    fn gradients(
        mut self,
        grad_h: &Tensor,
        request: GradientRequest,
        backend: &ExecutionBackend,
    ) -> Result<(Gradients, Tape<R>)> {
        let grad_h = values(grad_h)?;
        let missing = || TchError::Shape("a pass without a tape has no gradients".to_owned());
        let mut tape = self.tape.take().ok_or_else(missing)?;
        let (wants_x, wants_states) = (request.inputs, request.states);
        let loss = BackwardRequest { grad_h: &grad_h, every: self.every, wants_x, wants_states };
        let gradients = self.layer().backward(&self.sequence(), &mut tape, loss, backend.resources);
        let SequenceDims { steps, batch, inputs, hidden } = self.sizes;
        let rows = gradients.weights.bias.len();
        let states = || -> Result<StateGradients> {
            let h = tensor(&gradients.h, &[steps, batch, hidden])?;
            Ok(StateGradients { h, inner: self.inner(&gradients.inner, Some(steps))? })
        };
        let flat = |values: &Vec<R>| tensor(values, &[values.len()]);
        let states = wants_states.then(states).transpose()?;
        let gradients = Gradients {
            states,
            weights: [
                tensor(&gradients.weights.w_x, &[rows, inputs])?,
                tensor(&gradients.weights.w_h, &[rows, hidden])?,
                flat(&gradients.weights.bias)?,
            ],
            own: gradients.own.iter().map(flat).collect::<Result<_>>()?,
            inputs: wants_x.then(|| tensor(&gradients.x, &[steps, batch, inputs])).transpose()?,
        };
        Ok((gradients, tape))
    }
}

/// Returns the distinct values of a drive that broadcasts to [T, B, H], with the strides of steps,
/// samples and neurons.
fn drive<R: KernelFloat>(drive: &Tensor) -> Result<(Vec<R>, [usize; 3])> {
    let size = drive.size();
    let mut strides = [0; 3];
    let mut stride = 1;
    for (place, size) in strides.iter_mut().rev().zip(size.iter().rev()) {
        let size = count(*size)?;
        *place = if size == 1 { 0 } else { stride };
        stride *= size;
    }
    Ok((values(drive)?, strides))
}

fn count(size: i64) -> Result<usize> {
    usize::try_from(size).map_err(|_| TchError::Shape(format!("not a size: `{size}`")))
}

/// Returns the elements of a tensor, row-major.
fn values<R: KernelFloat>(tensor: &Tensor) -> Result<Vec<R>> {
    let tensor = tensor.f_to_dtype(R::KIND, false, false)?.f_contiguous()?;
    let mut values = vec![R::default(); tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

fn tensor<R: KernelFloat>(values: &[R], size: &[usize]) -> Result<Tensor> {
    let size = size.iter().map(|&size| length(size)).collect::<Result<Vec<_>>>()?;
    Tensor::f_from_slice(values)?.f_reshape(size)
}
