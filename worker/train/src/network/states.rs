//! Visits of single steps, and gradients of a loss with respect to the states, on any backend.
//!
//! Separate from `forward_pass`, which is for training: traces are large, so a sequence is visited
//! in chunks.

use rheo_kernels::{GainSaturation, OutputSelection};
use tch::{Result, TchError, Tensor, no_grad_guard};

use super::forward_pass::{flat, wanted};
use super::plan::{GradientRequest, SequenceInput, StateGradients};
use super::{LayerState, LayerStep, Network, Readout, RunConditions};
use crate::shape_stats::ShapeStats;

/// Maximum number of steps whose traces are in memory at once.
const WATCHED: i64 = 64;
/// Maximum number of state elements in memory at once, if inner states are included.
const MOST_ELEMENTS: i64 = 1 << 24;

/// Callback for each step.
type StepVisitor<'a> = &'a mut dyn FnMut(&LayerStep) -> Result<()>;

/// Request for a visit of all steps.
#[derive(Clone, Copy)]
struct StepRequest {
    /// Outputs of every step.
    wanted: OutputSelection,
    /// Steps whose traces are in memory at once.
    at_once: i64,
}

impl Network {
    /// Passes every step of [`Network::run`] to `visit`, without a graph and without inner states,
    /// which are large and rarely needed; returns the last state with its inner state.
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

    /// Like [`Network::visit_steps`], with the inner states.
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

    /// Returns the number of steps of `batch` sequences whose states, inner ones included, are in
    /// memory at once.
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
                    // A controller at rest, if any.
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

    /// Returns the gradients, with respect to the states, of the loss that `loss` computes from the
    /// class scores for `inputs` [T, B, I]. Starts at rest; the scores are those of
    /// [`Network::forward_with_tape_to`].
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

    /// Like [`Network::gradients_by_states`], by automatic differentiation.
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

/// Returns `count` steps of a drive that broadcasts to [T, B, H], from step `first` on.
pub(crate) fn steps_of(drive: &Tensor, first: i64, count: i64) -> Result<Tensor> {
    match drive.size().as_slice() {
        [1, _, _] | [_, _] | [_] | [] => Ok(drive.shallow_clone()),
        _ => drive.f_narrow(0, first, count),
    }
}
