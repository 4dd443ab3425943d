//! A network over whole sequences, by whatever computes it: for training and without gradients.

use rheo_kernels::OutputSelection;
use rheo_model::config::Kernel;
use tch::{Device, Result, TchError, Tensor, no_grad_guard};

use super::plan::{Compute, ForwardOutput, Found, PassRequest, Plan, SequenceInput, Sought};
use super::{Conditions, Held, Network, Parameter, Readout, State, fused, operations, symbols};
use crate::gauge::Gauge;

/// A forward pass whose gradients can be taken.
pub struct Reading {
    /// The class scores, as [`Network::forward`] gives them.
    pub logits: Tensor,
    /// The state after the last step.
    pub last: State,
    /// Unless the graph of `logits` goes back to the parameters: where it ends, and what the
    /// gradients need to go on.
    tape: Option<(Tensor, Tape)>,
}

/// A forward pass of a layer whose gradients can be taken.
pub(super) enum Tape {
    /// By the kernels.
    Fused(fused::Reading),
    /// By operations of libtorch.
    Operations(operations::Reading),
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

    /// The class scores for `inputs` [T, B, I], and the last state: [B, C] where the last state is
    /// read out, else [T * B, C] with the steps outermost.
    pub fn forward(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<(Tensor, State)> {
        self.forward_to(self.interface.readout, inputs, conditions, gauge)
    }

    /// The class scores of [`Network::forward`] alone.
    pub fn logits(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<Tensor> {
        Ok(self.forward(inputs, conditions, gauge)?.0)
    }

    fn forward_to(
        &self,
        readout: Readout,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<(Tensor, State)> {
        let mut states = Vec::new();
        let last = self.run(inputs, conditions, gauge, &mut |step| {
            if readout == Readout::Every {
                states.push(step.state.h.shallow_clone());
            }
            Ok(())
        })?;
        let logits = match readout {
            Readout::Every => self.readout(&Tensor::f_stack(&states, 0)?.f_flatten(0, 1)?)?,
            Readout::Last => self.readout(&last.h)?,
        };
        Ok((logits, last))
    }

    /// The class scores and the last state of [`Network::forward`] for a training step, whose
    /// gradients [`Network::gradients`] takes.
    pub fn read(
        &self,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<Reading> {
        self.read_to(self.interface.readout, inputs, conditions, gauge)
    }

    /// The same with the scores of the last state alone, or of all.
    pub fn read_to(
        &self,
        readout: Readout,
        inputs: &Tensor,
        conditions: Conditions<'_>,
        gauge: &mut Gauge,
    ) -> Result<Reading> {
        let Some(plan) = self.plan(conditions.held)? else {
            let (logits, last) = self.forward_to(readout, inputs, conditions, gauge)?;
            return Ok(Reading { logits, last: last.detach()?, tape: None });
        };
        let wanted = OutputSelection { tape: true, ..wanted(readout) };
        let passed = self.pass(&plan, &SequenceInput { inputs, conditions }, wanted, gauge)?;
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
        let (input, wanted) =
            (SequenceInput { inputs, conditions }, wanted(self.interface.readout));
        let passed = self.pass(&plan, &input, wanted, gauge)?;
        Ok((self.readout(&flat(&passed.h)?)?, passed.last))
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
        let sought = Sought { inputs: self.embedding.is_some(), states: false };
        let by_layer = self.back(tape, &by_h, sought)?;
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
    pub(super) fn plan(&self, held: Option<&Held>) -> Result<Option<Plan>> {
        match self.compute.kernel {
            Kernel::Fused | Kernel::Libtorch => self.layer.plan(held),
            Kernel::Autograd => Ok(None),
        }
    }

    /// The gradients by what the layer has, from those by h as a pass gave it.
    pub(super) fn back(&self, tape: Tape, by_h: &Tensor, sought: Sought) -> Result<Found> {
        match tape {
            Tape::Fused(reading) => {
                let (found, spare) = reading.gradients(by_h, sought, &self.compute)?;
                self.spare.set(Some(spare));
                Ok(found)
            }
            Tape::Operations(reading) => reading.gradients(by_h, sought),
        }
    }

    pub(super) fn pass(
        &self,
        plan: &Plan,
        input: &SequenceInput<'_>,
        wanted: OutputSelection,
        gauge: &mut Gauge,
    ) -> Result<ForwardOutput<Tape>> {
        let _guard = no_grad_guard();
        let SequenceInput { inputs, conditions } = input;
        if let Some(gains) = &plan.gains {
            gauge.count_gains(gains)?;
        }
        let wanted = OutputSelection { moments: gauge.measures(), ..wanted };
        let inputs = self.shown(inputs)?;
        let drive = conditions.drive.map(|drive| self.here(drive)).transpose()?;
        let here = |state: &State| -> Result<State> {
            let inner = state.inner.as_ref().map(|inner| self.here(inner)).transpose()?;
            Ok(State { h: self.here(&state.h)?, inner })
        };
        let from = conditions.from.as_ref().map(here).transpose()?;
        let conditions = Conditions { drive: drive.as_ref(), held: conditions.held, from };
        let input = SequenceInput { inputs: &inputs, conditions };
        let mut passed = self.go(plan, &input, wanted, gauge)?;
        // Neurons whose shape is held have a controller all the same; it rests.
        if input.conditions.held.is_some() && passed.last.inner.is_none() {
            passed.last.inner = match &input.conditions.from {
                Some(from) => from.inner.as_ref().map(Tensor::shallow_clone),
                None => self.rest(inputs.size3()?.1)?.inner,
            };
        }
        Ok(passed)
    }

    /// Runs a layer over what it is shown, with everything where the weights are.
    pub(super) fn go(
        &self,
        plan: &Plan,
        input: &SequenceInput<'_>,
        wanted: OutputSelection,
        gauge: &mut Gauge,
    ) -> Result<ForwardOutput<Tape>> {
        if self.compute.kernel == Kernel::Libtorch {
            let passed = operations::pass(plan, input, wanted, &self.compute, gauge)?;
            return Ok(passed.map(Tape::Operations));
        }
        let reuse = if wanted.tape { self.spare.take() } else { None };
        let request = PassRequest { wanted, reuse };
        let passed = fused::pass(plan, input, request, &self.compute, gauge)?;
        Ok(passed.map(Tape::Fused))
    }
}

/// What a readout wants of a pass.
pub(super) fn wanted(readout: Readout) -> OutputSelection {
    OutputSelection { every_h: readout == Readout::Every, ..OutputSelection::default() }
}

/// States [B, H] as they are, or those of all steps [T, B, H] as [T * B, H].
pub(super) fn flat(h: &Tensor) -> Result<Tensor> {
    if h.dim() == 3 { h.f_flatten(0, 1) } else { Ok(h.shallow_clone()) }
}
