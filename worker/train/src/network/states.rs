//! The single steps of a network for who wants to watch, and the gradients of a loss by its states,
//! by whatever computes them.
//!
//! Kept apart from reading, which is for training: what analyses look at is large, so a sequence is
//! shown in pieces.

use rheo_kernels::{GainSaturation, OutputSelection};
use tch::{Result, TchError, Tensor, no_grad_guard};

use super::plan::{ByStates, SequenceInput, Sought};
use super::reading::{flat, wanted};
use super::{Conditions, Network, Readout, State, Step};
use crate::gauge::Gauge;

/// Steps whose traces are in memory at once while a pass is watched.
const WATCHED: i64 = 64;
/// Most numbers of states with inner ones that are in memory at once.
const MOST_ELEMENTS: i64 = 1 << 24;

/// What is seen of every step.
type See<'a> = &'a mut dyn FnMut(&Step) -> Result<()>;

/// Request for the steps of a pass that is watched.
#[derive(Clone, Copy)]
struct StepRequest {
    /// Outputs of every step.
    wanted: OutputSelection,
    /// Steps whose traces are in memory at once.
    at_once: i64,
}

impl Network {
    /// Shows every step of [`Network::run`] to `see`, outside of any graph and without the inner
    /// states, which are seldom looked at and large; gives the last state, with its inner one.
    pub fn watch(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
        see: See<'_>,
    ) -> Result<State> {
        let wanted = OutputSelection { every_h: true, trace: true, ..OutputSelection::default() };
        let request = StepRequest { wanted, at_once: WATCHED };
        self.show(SequenceInput { inputs, conditions }, request, gauge, see)
    }

    /// The same with the inner states.
    pub fn follow(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
        see: See<'_>,
    ) -> Result<State> {
        let wanted = OutputSelection {
            every_h: true,
            trace: true,
            inner: true,
            ..OutputSelection::default()
        };
        let at_once = self.steps_at_once(inputs.size3()?.1)?;
        let request = StepRequest { wanted, at_once };
        self.show(SequenceInput { inputs, conditions }, request, gauge, see)
    }

    /// How many steps of `batch` sequences have their states in memory at once where inner states
    /// are looked at.
    pub fn steps_at_once(&self, batch: i64) -> Result<i64> {
        let State { h, inner } = self.rest(1)?;
        let each = h.numel() + inner.map_or(0, |inner| inner.numel());
        let each = i64::try_from(each).unwrap_or(i64::MAX).saturating_mul(batch).max(1);
        Ok((MOST_ELEMENTS / each).clamp(1, WATCHED))
    }

    fn show(
        &self,
        input: SequenceInput<'_>,
        request: StepRequest,
        gauge: &mut Gauge,
        see: See<'_>,
    ) -> Result<State> {
        let _guard = no_grad_guard();
        let SequenceInput { inputs, mut conditions } = input;
        let StepRequest { wanted, at_once } = request;
        let Some(plan) = self.plan(conditions.held)? else {
            return self.run(inputs, conditions, gauge, see);
        };
        let (steps, batch, _) = inputs.size3()?;
        let drive = conditions.drive;
        let mut first = 0;
        while first < steps {
            let count = at_once.min(steps - first);
            let inputs = inputs.f_narrow(0, first, count)?;
            let part = drive.map(|drive| steps_of(drive, first, count)).transpose()?;
            let now =
                Conditions { drive: part.as_ref(), from: conditions.from.take(), ..conditions };
            let input = SequenceInput { inputs: &inputs, conditions: now };
            let passed = self.pass(&plan, &input, wanted, gauge)?;
            for t in 0..count {
                let h = passed.h.f_get(t)?;
                let a = passed.a.as_ref().map(|a| a.f_get(t)).transpose()?;
                let shape = match (&passed.shape, plan.shape()) {
                    (Some(GainSaturation { n, s }), _) => {
                        Some(GainSaturation { n: n.f_get(t)?, s: s.f_get(t)? })
                    }
                    (None, shape) => shape,
                };
                let inner = match &passed.inner {
                    Some(inner) => Some(inner.f_get(t)?),
                    // A controller that rests, if any.
                    None if wanted.inner => passed.last.share().inner,
                    None => None,
                };
                see(&Step { state: State { h, inner }, a, shape })?;
            }
            conditions.from = Some(passed.last);
            first += count;
        }
        conditions.from.map_or_else(|| self.rest(batch), Ok)
    }

    /// The gradients of the loss that `loss` computes from the class scores for `inputs` [T, B, I], from
    /// rest, as [`Network::read_to`] gives them.
    pub fn gradients_by_states(
        &self,
        readout: Readout,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<ByStates> {
        let (conditions, mut gauge) = (Conditions::default(), Gauge::counting());
        let Some(plan) = self.plan(None)? else {
            return self.differentiate(readout, inputs, loss);
        };
        let wanted = OutputSelection { tape: true, ..wanted(readout) };
        let input = SequenceInput { inputs, conditions };
        let passed = self.pass(&plan, &input, wanted, &mut gauge)?;
        let missing = || TchError::Shape("a pass without a tape has no gradients".to_owned());
        let tape = passed.reading.ok_or_else(missing)?;
        let h = passed.h.f_set_requires_grad(true)?;
        let loss = loss(&self.readout(&flat(&h)?)?)?;
        let by_h = Tensor::f_run_backward(&[loss], &[&h], false, false)?.remove(0);
        let found = self.back(tape, &by_h, Sought { inputs: false, states: true })?;
        found.states.ok_or_else(missing)
    }

    /// The same by automatic differentiation.
    fn differentiate(
        &self,
        readout: Readout,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<ByStates> {
        let (mut hidden, mut inner) = (Vec::new(), Vec::new());
        let see = &mut |step: &Step| {
            hidden.push(step.state.h.shallow_clone());
            inner.extend(step.state.inner.as_ref().map(Tensor::shallow_clone));
            Ok(())
        };
        let last = self.run(inputs, Conditions::default(), &mut Gauge::counting(), see)?;
        let logits = match readout {
            Readout::Last => self.readout(&last.h)?,
            Readout::Every => self.readout(&Tensor::f_stack(&hidden, 0)?.f_flatten(0, 1)?)?,
        };
        let nodes: Vec<&Tensor> = hidden.iter().chain(&inner).collect();
        let found = Tensor::f_run_backward(&[loss(&logits)?], &nodes, false, false)?;
        let _guard = no_grad_guard();
        let (by_h, by_inner) = found.split_at(hidden.len());
        let inner = (!by_inner.is_empty()).then(|| Tensor::f_stack(by_inner, 0)).transpose()?;
        Ok(ByStates { h: Tensor::f_stack(by_h, 0)?, inner })
    }
}

/// `count` steps of a drive that broadcasts to [T, B, H], from the step `first` on.
pub(crate) fn steps_of(drive: &Tensor, first: i64, count: i64) -> Result<Tensor> {
    match drive.size().as_slice() {
        [1, _, _] | [_, _] | [_] | [] => Ok(drive.shallow_clone()),
        _ => drive.f_narrow(0, first, count),
    }
}
