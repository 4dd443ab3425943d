//! A layer as the fused kernels see it: its weights copied out of tensors, a pass over a whole
//! sequence, and gradients copied back.
//!
//! Copying costs a few milliseconds where a pass takes hundreds, and keeps tensors and kernels apart:
//! nothing here borrows memory of libtorch.

use rheo_kernels::{
    AdaptiveLayer, BackwardRequest, CompiledReal, Controller, Drive, GainSaturation, Gru, Layer,
    Lstm, NeuronFunction, OutputSelection, PlainLayer, Sequence, SequenceDims, Tape, Weights,
};
use tch::kind::Element;
use tch::{Kind, Result, TchError, Tensor, no_grad_guard};

use super::State;
use super::activation::Activation;
use super::plan::{
    ByStates, Compute, Family, ForwardOutput, Found, PassRequest, Plan, SequenceInput, Sought,
};
use crate::gauge::Gauge;
use crate::tensor::length;

/// Memory of a training step that the next one may use.
pub(super) enum Spare {
    Single(Tape<f32>),
    Double(Tape<f64>),
}

/// A forward pass whose gradients can be taken.
pub(super) enum Reading {
    Single(Work<f32>),
    Double(Work<f64>),
}

/// Numbers that both libtorch and the kernels know.
pub(super) trait Number: CompiledReal + Element {}

impl Number for f32 {}
impl Number for f64 {}

/// A layer and what it reads, outside of tensors.
pub(super) struct Work<R> {
    family: Family,
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
    plan: &Plan,
    input: &SequenceInput<'_>,
    request: PassRequest<Spare>,
    compute: &Compute,
    gauge: &mut Gauge,
) -> Result<ForwardOutput<Reading>> {
    let PassRequest { wanted, reuse } = request;
    let [w_x, ..] = &plan.weights;
    if w_x.f_kind()? == Kind::Double {
        let reuse = reuse.and_then(|spare| match spare {
            Spare::Double(tape) => Some(tape),
            Spare::Single(_) => None,
        });
        let work = Work::<f64>::new(plan, input, wanted)?;
        return work.pass(PassRequest { wanted, reuse }, compute, gauge, Reading::Double);
    }
    let reuse = reuse.and_then(|spare| match spare {
        Spare::Single(tape) => Some(tape),
        Spare::Double(_) => None,
    });
    let work = Work::<f32>::new(plan, input, wanted)?;
    work.pass(PassRequest { wanted, reuse }, compute, gauge, Reading::Single)
}

impl Reading {
    /// The gradients of a loss, of which `by_h` is the gradient by h as the pass gave it.
    pub(super) fn gradients(
        self,
        by_h: &Tensor,
        sought: Sought,
        compute: &Compute,
    ) -> Result<(Found, Spare)> {
        let _guard = no_grad_guard();
        match self {
            Self::Single(work) => {
                let (found, tape) = work.gradients(by_h, sought, compute)?;
                Ok((found, Spare::Single(tape)))
            }
            Self::Double(work) => {
                let (found, tape) = work.gradients(by_h, sought, compute)?;
                Ok((found, Spare::Double(tape)))
            }
        }
    }
}

impl<R: Number> Work<R> {
    fn new(plan: &Plan, input: &SequenceInput<'_>, wanted: OutputSelection) -> Result<Self> {
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
            Some(State { h, inner }) => {
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
            Family::Activation(Activation::Relu) => plain(NeuronFunction::Relu),
            Family::Activation(Activation::Tanh) => plain(NeuronFunction::Tanh),
            Family::Activation(Activation::Sigmoid) => plain(NeuronFunction::Sigmoid),
            Family::Activation(Activation::Softplus) => plain(NeuronFunction::Softplus),
            Family::Activation(Activation::Linear) => plain(NeuronFunction::Linear),
            Family::Modrelu => plain(NeuronFunction::Modrelu { b: own(0) }),
            Family::Gamma => plain(NeuronFunction::Gamma { n: own(0), s: own(1) }),
            Family::Adaptive => {
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
            Family::Lstm { driven } => Layer::Lstm(Lstm { weights, driven }),
            Family::Gru { is_driven } => {
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
        compute: &Compute,
        gauge: &mut Gauge,
        reading: impl FnOnce(Self) -> Reading,
    ) -> Result<ForwardOutput<Reading>> {
        let PassRequest { wanted, reuse } = request;
        let (layer, sequence) = (self.layer(), self.sequence());
        let mut pass = layer.forward(&sequence, wanted, compute.resources, reuse);
        let SequenceDims { steps, batch, hidden, .. } = self.sizes;
        gauge.observe(&pass.observed, steps * batch)?;
        let per_step = [steps, batch, hidden];
        let traced =
            |values: &[R]| (!values.is_empty()).then(|| tensor(values, &per_step)).transpose();
        let shape = traced(&pass.trace.n)?.zip(traced(&pass.trace.s)?);
        let shape = shape.map(|(n, s)| GainSaturation { n, s });
        let h_size = if wanted.every_h { &per_step[..] } else { &per_step[1..] };
        self.tape = pass.tape.take();
        Ok(ForwardOutput {
            h: tensor(&pass.h, h_size)?,
            last: State {
                h: tensor(&pass.last.h, &[batch, hidden])?,
                inner: self.inner(&pass.last.inner, None)?,
            },
            a: traced(&pass.trace.a)?,
            shape,
            inner: self.inner(&pass.trace.inner, Some(steps))?,
            reading: self.tape.is_some().then(|| reading(self)),
        })
    }

    /// Inner states as [`State::inner`] has them, of so many steps or of one; none are none.
    fn inner(&self, values: &[R], steps: Option<usize>) -> Result<Option<Tensor>> {
        let SequenceDims { batch, hidden, .. } = self.sizes;
        let each = values.len() / (steps.unwrap_or(1) * batch * hidden).max(1);
        let size = match self.family {
            _ if values.is_empty() => return Ok(None),
            Family::Adaptive => [batch * hidden, each],
            _ => [batch, hidden],
        };
        let size: Vec<usize> = steps.into_iter().chain(size).collect();
        tensor(values, &size).map(Some)
    }

    fn gradients(
        mut self,
        by_h: &Tensor,
        sought: Sought,
        compute: &Compute,
    ) -> Result<(Found, Tape<R>)> {
        let by_h = values(by_h)?;
        let missing = || TchError::Shape("a pass without a tape has no gradients".to_owned());
        let mut tape = self.tape.take().ok_or_else(missing)?;
        let (wants_x, wants_states) = (sought.inputs, sought.states);
        let loss = BackwardRequest { grad_h: &by_h, every: self.every, wants_x, wants_states };
        let found = self.layer().backward(&self.sequence(), &mut tape, loss, compute.resources);
        let SequenceDims { steps, batch, inputs, hidden } = self.sizes;
        let rows = found.weights.bias.len();
        let states = || -> Result<ByStates> {
            let h = tensor(&found.h, &[steps, batch, hidden])?;
            Ok(ByStates { h, inner: self.inner(&found.inner, Some(steps))? })
        };
        let flat = |values: &Vec<R>| tensor(values, &[values.len()]);
        let states = wants_states.then(states).transpose()?;
        let found = Found {
            states,
            weights: [
                tensor(&found.weights.w_x, &[rows, inputs])?,
                tensor(&found.weights.w_h, &[rows, hidden])?,
                flat(&found.weights.bias)?,
            ],
            own: found.own.iter().map(flat).collect::<Result<_>>()?,
            inputs: wants_x.then(|| tensor(&found.x, &[steps, batch, inputs])).transpose()?,
        };
        Ok((found, tape))
    }
}

/// The values of a drive that broadcasts to [T, B, H], and how far apart those of successive steps,
/// samples and neurons are.
fn drive<R: Number>(drive: &Tensor) -> Result<(Vec<R>, [usize; 3])> {
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

/// The elements of a tensor, row-major.
fn values<R: Number>(tensor: &Tensor) -> Result<Vec<R>> {
    let tensor = tensor.f_to_dtype(R::KIND, false, false)?.f_contiguous()?;
    let mut values = vec![R::default(); tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

fn tensor<R: Number>(values: &[R], size: &[usize]) -> Result<Tensor> {
    let size = size.iter().map(|&size| length(size)).collect::<Result<Vec<_>>>()?;
    Tensor::f_from_slice(values)?.f_reshape(size)
}
