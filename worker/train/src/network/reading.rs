//! A network over whole sequences, by whatever computes it: for training, without gradients, and step
//! by step for who wants to watch.

use rheo_core::config::Kernel;
use rheo_kernels::Wanted;
use tch::{Device, Result, TchError, Tensor, no_grad_guard};

use super::plan::{self, Compute, Passed, Plan};
use super::{
    Conditions, Held, Network, Parameter, Readout, State, Step, fused, operations, symbols,
};
use crate::gauge::Gauge;

/// Steps whose traces are in memory at once while a pass is watched.
const WATCHED: usize = 64;

/// A forward pass whose gradients can be taken.
pub struct Reading {
    /// The class scores, as [`Network::forward`] gives them.
    pub logits: Tensor,
    /// The state after the last step.
    pub last: State,
    /// Unless the graph of `logits` goes back to the parameters: where it ends, and what the
    /// gradients need to go on.
    tape: Option<(Tensor, plan::Reading)>,
}

impl Network {
    /// Computes in another way from now on.
    pub fn compute_with(&mut self, compute: Compute) {
        self.compute = compute;
    }

    /// Moves the weights to another device. What runs there are operations of libtorch.
    pub fn move_to(&mut self, device: Device) -> Result<()> {
        let _guard = no_grad_guard();
        for parameter in self.parameters() {
            // Both handles are of one tensor; its storage is exchanged.
            parameter.tensor.shallow_clone().f_set_data(&parameter.tensor.f_to_device(device)?)?;
        }
        if device != Device::Cpu && self.compute.kernel == Kernel::Fused {
            self.compute.kernel = Kernel::Libtorch;
        }
        Ok(())
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.w_out.device()
    }

    /// With what it computes.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The class scores and the last state of [`Network::forward`] for a training step, whose
    /// gradients [`Network::gradients`] takes.
    pub fn read(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<Reading> {
        let Some(plan) = self.plan(conditions.held)? else {
            let (logits, last) = self.forward(inputs, conditions, gauge)?;
            return Ok(Reading { logits, last: last.detach()?, tape: None });
        };
        let wanted = Wanted { tape: true, ..self.wanted() };
        let passed = self.pass(&plan, (inputs, &conditions), wanted, gauge)?;
        let h = passed.h.f_set_requires_grad(true)?;
        let logits = self.readout(&flat(&h)?)?;
        let tape = passed.reading.map(|reading| (h, reading));
        Ok(Reading { logits, last: passed.last, tape })
    }

    /// The class scores and the last state of [`Network::forward`], outside of any graph.
    pub fn infer(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<(Tensor, State)> {
        let _guard = no_grad_guard();
        let Some(plan) = self.plan(conditions.held)? else {
            return self.forward(inputs, conditions, gauge);
        };
        let passed = self.pass(&plan, (inputs, &conditions), self.wanted(), gauge)?;
        Ok((self.readout(&flat(&passed.h)?)?, passed.last))
    }

    /// Shows every step of [`Network::run`] to `see`, outside of any graph and without the inner
    /// states, which are seldom looked at and large; gives the last state, with its inner one.
    pub fn watch(
        &self,
        inputs: &Tensor,
        mut conditions: Conditions<'_>,
        gauge: &mut Gauge,
        see: &mut dyn FnMut(&Step) -> Result<()>,
    ) -> Result<State> {
        let _guard = no_grad_guard();
        let Some(plan) = self.plan(conditions.held)? else {
            return self.run(inputs, conditions, gauge, see);
        };
        let (steps, batch, _) = inputs.size3()?;
        let drive = conditions.drive;
        for first in (0..steps).step_by(WATCHED) {
            let count = i64::try_from(WATCHED).unwrap_or(i64::MAX).min(steps - first);
            let inputs = inputs.f_narrow(0, first, count)?;
            let part = drive.map(|drive| steps_of(drive, first, count)).transpose()?;
            let now =
                Conditions { drive: part.as_ref(), from: conditions.from.take(), ..conditions };
            let wanted = Wanted { every_h: true, trace: true, ..Wanted::default() };
            let passed = self.pass(&plan, (&inputs, &now), wanted, gauge)?;
            for t in 0..count {
                let h = passed.h.f_get(t)?;
                let a = passed.a.as_ref().map(|a| a.f_get(t)).transpose()?;
                let shape = match (&passed.shape, plan.shape()) {
                    (Some((n, s)), _) => Some((n.f_get(t)?, s.f_get(t)?)),
                    (None, shape) => shape,
                };
                see(&Step { state: State { h, inner: None }, a, shape })?;
            }
            conditions.from = Some(passed.last);
        }
        conditions.from.map_or_else(|| self.rest(batch), Ok)
    }

    /// The gradients by `parameters` of a loss that was computed from the scores of `reading`.
    pub fn gradients(
        &self,
        loss: &Tensor,
        reading: Reading,
        inputs: &Tensor,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Tensor>> {
        let Some((h, tape)) = reading.tape else {
            let tensors: Vec<&Tensor> =
                parameters.iter().map(|parameter| parameter.tensor).collect();
            return Tensor::f_run_backward(&[loss], &tensors, false, false);
        };
        let ends = [&h, &self.w_out, &self.b_out];
        let mut found = Tensor::f_run_backward(&[loss], &ends, false, false)?.into_iter();
        let missing = || TchError::Shape("a gradient is missing".to_owned());
        let mut next = || found.next().ok_or_else(missing);
        let (by_h, w_out, b_out) = (next()?, next()?, next()?);
        let wants_inputs = self.embedding.is_some();
        let by_layer = match tape {
            plan::Reading::Fused(reading) => {
                let (found, spare) = reading.gradients(&by_h, wants_inputs, &self.compute)?;
                self.spare.set(Some(spare));
                found
            }
            plan::Reading::Operations(reading) => reading.gradients(&by_h, wants_inputs)?,
        };
        let mut named = vec![("w_out", w_out), ("b_out", b_out)];
        if let (Some(embedding), Some(by_inputs)) = (&self.embedding, &by_layer.inputs) {
            let (count, _) = embedding.size2()?;
            let symbols = symbols(&self.here(inputs)?)?;
            let gradient =
                Tensor::f_embedding_dense_backward(by_inputs, &symbols, count, -1, false)?;
            named.push(("embedding", gradient));
        }
        named.extend(self.layer.named(by_layer)?);
        let take = |parameter: &Parameter<'_>| {
            let mut all = named.iter();
            let gradient = all.find(|(name, _)| *name == parameter.name);
            gradient.map(|(_, gradient)| gradient.shallow_clone()).ok_or_else(missing)
        };
        parameters.iter().map(take).collect()
    }

    /// The layer as something else than automatic differentiation sees it, if that is to compute it
    /// and can.
    fn plan(&self, held: Option<&Held>) -> Result<Option<Plan>> {
        match self.compute.kernel {
            Kernel::Fused | Kernel::Libtorch => self.layer.plan(held),
            Kernel::Autograd => Ok(None),
        }
    }

    /// What the readout wants of a pass.
    fn wanted(&self) -> Wanted {
        Wanted { every_h: self.interface.readout == Readout::Every, ..Wanted::default() }
    }

    fn pass(
        &self,
        plan: &Plan,
        (inputs, conditions): (&Tensor, &Conditions<'_>),
        wanted: Wanted,
        gauge: &mut Gauge,
    ) -> Result<Passed> {
        let _guard = no_grad_guard();
        if let Some(gains) = &plan.gains {
            gauge.count_gains(gains)?;
        }
        let wanted = Wanted { moments: gauge.measures(), ..wanted };
        let inputs = self.shown(inputs)?;
        let drive = conditions.drive.map(|drive| self.here(drive)).transpose()?;
        let here = |state: &State| -> Result<State> {
            let inner = state.inner.as_ref().map(|inner| self.here(inner)).transpose()?;
            Ok(State { h: self.here(&state.h)?, inner })
        };
        let from = conditions.from.as_ref().map(here).transpose()?;
        let conditions = &Conditions { drive: drive.as_ref(), held: conditions.held, from };
        let read = (&inputs, conditions);
        let mut passed = if self.compute.kernel == Kernel::Libtorch {
            operations::pass(plan, read, wanted, &self.compute, gauge)?
        } else {
            let spare = if wanted.tape { self.spare.take() } else { None };
            fused::pass(plan, read, (wanted, spare), &self.compute, gauge)?
        };
        // Neurons whose shape is held have a controller all the same; it rests.
        if passed.last.inner.is_none() {
            let from = conditions.from.as_ref().and_then(|from| from.inner.as_ref());
            passed.last.inner = match from {
                Some(inner) => Some(inner.shallow_clone()),
                None => self.rest(inputs.size3()?.1)?.inner,
            };
        }
        Ok(passed)
    }
}

/// `count` steps of a drive that broadcasts to [T, B, H], from the step `first` on.
fn steps_of(drive: &Tensor, first: i64, count: i64) -> Result<Tensor> {
    match drive.size().as_slice() {
        [1, _, _] | [_, _] | [_] | [] => Ok(drive.shallow_clone()),
        _ => drive.f_narrow(0, first, count),
    }
}

/// States [B, H] as they are, or those of all steps [T, B, H] as [T * B, H].
fn flat(h: &Tensor) -> Result<Tensor> {
    if h.dim() == 3 { h.f_flatten(0, 1) } else { Ok(h.shallow_clone()) }
}
