//! The single steps of a network for who wants to watch, and the gradients of a loss by its states,
//! by whatever computes them.
//!
//! Kept apart from reading, which is for training: what analyses look at is large, so a sequence is
//! shown in pieces.

use rheo_kernels::{GainSaturation, OutputSelection};
use tch::{Result, TchError, Tensor, no_grad_guard};

use super::forward_pass::{flat, wanted};
use super::plan::{GradientRequest, SequenceInput, StateGradients};
use super::{LayerState, LayerStep, Network, Readout, RunConditions};
use crate::shape_stats::ShapeStats;

/// Steps whose traces are in memory at once while a pass is watched.
const WATCHED: i64 = 64;
/// Most numbers of states with inner ones that are in memory at once.
const MOST_ELEMENTS: i64 = 1 << 24;

/// What is seen of every step.
type StepVisitor<'a> = &'a mut dyn FnMut(&LayerStep) -> Result<()>;

/// Request for the steps of a pass that is watched.
#[derive(Clone, Copy)]
struct StepRequest {
    /// Outputs of every step.
    wanted: OutputSelection,
    /// Steps whose traces are in memory at once.
    at_once: i64,
}

impl Network {
    /// Shows every step of [`Network::run`] to `visit`, outside of any graph and without the inner
    /// states, which are seldom looked at and large; gives the last state, with its inner one.
    pub fn visit_steps(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
        visit: StepVisitor<'_>,
    ) -> Result<LayerState> {
        let wanted = OutputSelection { every_h: true, trace: true, ..OutputSelection::default() };
        let request = StepRequest { wanted, at_once: WATCHED };
        self.visit_in_chunks(SequenceInput { inputs, conditions }, request, stats, visit)
    }

    /// The same with the inner states.
    pub fn visit_states(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
        visit: StepVisitor<'_>,
    ) -> Result<LayerState> {
        let wanted = OutputSelection {
            every_h: true,
            trace: true,
            inner: true,
            ..OutputSelection::default()
        };
        let at_once = self.steps_at_once(inputs.size3()?.1)?;
        let request = StepRequest { wanted, at_once };
        self.visit_in_chunks(SequenceInput { inputs, conditions }, request, stats, visit)
    }

    /// How many steps of `batch` sequences have their states in memory at once where inner states
    /// are looked at.
    pub fn steps_at_once(&self, batch: i64) -> Result<i64> {
        let LayerState { h, inner } = self.rest(1)?;
        let each = h.numel() + inner.map_or(0, |inner| inner.numel());
        let each = i64::try_from(each).unwrap_or(i64::MAX).saturating_mul(batch).max(1);
        Ok((MOST_ELEMENTS / each).clamp(1, WATCHED))
    }

    fn visit_in_chunks(
        &self,
        input: SequenceInput<'_>,
        request: StepRequest,
        stats: &mut ShapeStats,
        visit: StepVisitor<'_>,
    ) -> Result<LayerState> {
        let _guard = no_grad_guard();
        let SequenceInput { inputs, mut conditions } = input;
        let StepRequest { wanted, at_once } = request;
        let Some(plan) = self.plan(conditions.shape_override)? else {
            return self.run(inputs, conditions, stats, visit);
        };
        let (steps, batch, _) = inputs.size3()?;
        let drive = conditions.drive;
        let mut first = 0;
        while first < steps {
            let count = at_once.min(steps - first);
            let inputs = inputs.f_narrow(0, first, count)?;
            let part = drive.map(|drive| steps_of(drive, first, count)).transpose()?;
            let now =
                RunConditions { drive: part.as_ref(), from: conditions.from.take(), ..conditions };
            let input = SequenceInput { inputs: &inputs, conditions: now };
            let output = self.pass(&plan, &input, wanted, stats)?;
            for t in 0..count {
                let h = output.h.f_get(t)?;
                let a = output.a.as_ref().map(|a| a.f_get(t)).transpose()?;
                let shape = match (&output.shape, plan.shape()) {
                    (Some(GainSaturation { n, s }), _) => {
                        Some(GainSaturation { n: n.f_get(t)?, s: s.f_get(t)? })
                    }
                    (None, shape) => shape,
                };
                let inner = match &output.inner {
                    Some(inner) => Some(inner.f_get(t)?),
                    // A controller that rests, if any.
                    None if wanted.inner => output.last.share().inner,
                    None => None,
                };
                visit(&LayerStep { state: LayerState { h, inner }, a, shape })?;
            }
            conditions.from = Some(output.last);
            first += count;
        }
        conditions.from.map_or_else(|| self.rest(batch), Ok)
    }

    /// The gradients of the loss that `loss` computes from the class scores for `inputs` [T, B, I], from
    /// rest, as [`Network::forward_with_tape_to`] gives them.
    pub fn gradients_by_states(
        &self,
        readout: Readout,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<StateGradients> {
        let (conditions, mut stats) = (RunConditions::default(), ShapeStats::counting());
        let Some(plan) = self.plan(None)? else {
            return self.differentiate(readout, inputs, loss);
        };
        let wanted = OutputSelection { tape: true, ..wanted(readout) };
        let input = SequenceInput { inputs, conditions };
        let output = self.pass(&plan, &input, wanted, &mut stats)?;
        let missing = || TchError::Shape("a pass without a tape has no gradients".to_owned());
        let tape = output.tape.ok_or_else(missing)?;
        let h = output.h.f_set_requires_grad(true)?;
        let loss = loss(&self.readout(&flat(&h)?)?)?;
        let grad_h = Tensor::f_run_backward(&[loss], &[&h], false, false)?.remove(0);
        let gradients =
            self.backward(tape, &grad_h, GradientRequest { inputs: false, states: true })?;
        gradients.states.ok_or_else(missing)
    }

    /// The same by automatic differentiation.
    fn differentiate(
        &self,
        readout: Readout,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<StateGradients> {
        let (mut hidden, mut inner) = (Vec::new(), Vec::new());
        let visit = &mut |step: &LayerStep| {
            hidden.push(step.state.h.shallow_clone());
            inner.extend(step.state.inner.as_ref().map(Tensor::shallow_clone));
            Ok(())
        };
        let last =
            self.run(inputs, RunConditions::default(), &mut ShapeStats::counting(), visit)?;
        let logits = match readout {
            Readout::Last => self.readout(&last.h)?,
            Readout::Every => self.readout(&Tensor::f_stack(&hidden, 0)?.f_flatten(0, 1)?)?,
        };
        let nodes: Vec<&Tensor> = hidden.iter().chain(&inner).collect();
        let gradients = Tensor::f_run_backward(&[loss(&logits)?], &nodes, false, false)?;
        let _guard = no_grad_guard();
        let (grad_h, grad_inner) = gradients.split_at(hidden.len());
        let inner = (!grad_inner.is_empty()).then(|| Tensor::f_stack(grad_inner, 0)).transpose()?;
        Ok(StateGradients { h: Tensor::f_stack(grad_h, 0)?, inner })
    }
}

/// `count` steps of a drive that broadcasts to [T, B, H], from the step `first` on.
pub(crate) fn steps_of(drive: &Tensor, first: i64, count: i64) -> Result<Tensor> {
    match drive.size().as_slice() {
        [1, _, _] | [_, _] | [_] | [] => Ok(drive.shallow_clone()),
        _ => drive.f_narrow(0, first, count),
    }
}
