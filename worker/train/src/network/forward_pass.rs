//! A network over whole sequences, by whatever computes it: for training and without gradients.

use rheo_kernels::OutputSelection;
use rheo_model::config::Kernel;
use tch::{Device, Result, TchError, Tensor, no_grad_guard};

use super::plan::{
    ExecutionBackend, ForwardOutput, GradientRequest, Gradients, LayerPlan, PassRequest,
    SequenceInput,
};
use super::{
    LayerState, Network, Parameter, Readout, RunConditions, ShapeOverride, fused, operations,
    symbols,
};
use crate::shape_stats::ShapeStats;

/// A forward pass whose gradients can be taken.
pub struct ForwardPass {
    /// The class scores, as [`Network::forward`] gives them.
    pub logits: Tensor,
    /// The state after the last step.
    pub last: LayerState,
    /// Unless the graph of `logits` goes back to the parameters: where it ends, and what the
    /// gradients need to go on.
    tape: Option<(Tensor, Tape)>,
}

/// A forward pass of a layer whose gradients can be taken.
pub(super) enum Tape {
    /// By the kernels.
    Fused(fused::FusedPass),
    /// By operations of libtorch.
    Operations(operations::OperationsPass),
}

impl Network {
    /// Computes in another way from now on.
    pub fn set_backend(&mut self, backend: ExecutionBackend) {
        self.backend = backend;
    }

    /// Moves the weights to another device. What runs there are operations of libtorch.
    pub fn move_to(&mut self, device: Device) -> Result<()> {
        let _guard = no_grad_guard();
        for parameter in self.parameters() {
            // Both handles are of one tensor; its storage is exchanged.
            parameter.tensor.shallow_clone().f_set_data(&parameter.tensor.f_to_device(device)?)?;
        }
        if device != Device::Cpu && self.backend.kernel == Kernel::Fused {
            self.backend.kernel = Kernel::Libtorch;
        }
        Ok(())
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.w_out.device()
    }

    /// With what it computes.
    pub fn backend(&self) -> &ExecutionBackend {
        &self.backend
    }

    /// The class scores for `inputs` [T, B, I], and the last state: [B, C] where the last state is
    /// read out, else [T * B, C] with the steps outermost.
    pub fn forward(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<(Tensor, LayerState)> {
        self.forward_to(self.interface.readout, inputs, conditions, stats)
    }

    /// The class scores of [`Network::forward`] alone.
    pub fn logits(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<Tensor> {
        Ok(self.forward(inputs, conditions, stats)?.0)
    }

    fn forward_to(
        &self,
        readout: Readout,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<(Tensor, LayerState)> {
        let mut states = Vec::new();
        let last = self.run(inputs, conditions, stats, &mut |step| {
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
    pub fn forward_with_tape(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<ForwardPass> {
        self.forward_with_tape_to(self.interface.readout, inputs, conditions, stats)
    }

    /// The same with the scores of the last state alone, or of all.
    pub fn forward_with_tape_to(
        &self,
        readout: Readout,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<ForwardPass> {
        let Some(plan) = self.plan(conditions.shape_override)? else {
            let (logits, last) = self.forward_to(readout, inputs, conditions, stats)?;
            return Ok(ForwardPass { logits, last: last.detach()?, tape: None });
        };
        let wanted = OutputSelection { tape: true, ..wanted(readout) };
        let output = self.pass(&plan, &SequenceInput { inputs, conditions }, wanted, stats)?;
        let h = output.h.f_set_requires_grad(true)?;
        let logits = self.readout(&flat(&h)?)?;
        let tape = output.tape.map(|tape| (h, tape));
        Ok(ForwardPass { logits, last: output.last, tape })
    }

    /// The class scores and the last state of [`Network::forward`], outside of any graph.
    pub fn infer(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<(Tensor, LayerState)> {
        let _guard = no_grad_guard();
        let Some(plan) = self.plan(conditions.shape_override)? else {
            return self.forward(inputs, conditions, stats);
        };
        let (input, wanted) =
            (SequenceInput { inputs, conditions }, wanted(self.interface.readout));
        let output = self.pass(&plan, &input, wanted, stats)?;
        Ok((self.readout(&flat(&output.h)?)?, output.last))
    }

    /// The gradients by `parameters` of a loss that was computed from the scores of `reading`.
    pub fn gradients(
        &self,
        loss: &Tensor,
        pass: ForwardPass,
        inputs: &Tensor,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Tensor>> {
        let Some((h, tape)) = pass.tape else {
            let tensors: Vec<&Tensor> =
                parameters.iter().map(|parameter| parameter.tensor).collect();
            return Tensor::f_run_backward(&[loss], &tensors, false, false);
        };
        let ends = [&h, &self.w_out, &self.b_out];
        let mut gradients = Tensor::f_run_backward(&[loss], &ends, false, false)?.into_iter();
        let missing = || TchError::Shape("a gradient is missing".to_owned());
        let mut next = || gradients.next().ok_or_else(missing);
        let (grad_h, w_out, b_out) = (next()?, next()?, next()?);
        let request = GradientRequest { inputs: self.embedding.is_some(), states: false };
        let gradients = self.backward(tape, &grad_h, request)?;
        let mut named_gradients = vec![("w_out", w_out), ("b_out", b_out)];
        if let (Some(embedding), Some(grad_inputs)) = (&self.embedding, &gradients.inputs) {
            let (count, _) = embedding.size2()?;
            let symbols = symbols(&self.on_device(inputs)?)?;
            let gradient =
                Tensor::f_embedding_dense_backward(grad_inputs, &symbols, count, -1, false)?;
            named_gradients.push(("embedding", gradient));
        }
        named_gradients.extend(self.layer.named_gradients(gradients)?);
        let take = |parameter: &Parameter<'_>| {
            let mut all = named_gradients.iter();
            let gradient = all.find(|(name, _)| *name == parameter.name);
            gradient.map(|(_, gradient)| gradient.shallow_clone()).ok_or_else(missing)
        };
        parameters.iter().map(take).collect()
    }

    /// The layer as something else than automatic differentiation sees it, if that is to compute it
    /// and can.
    pub(super) fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        match self.backend.kernel {
            Kernel::Fused | Kernel::Libtorch => self.layer.plan(shape_override),
            Kernel::Autograd => Ok(None),
        }
    }

    /// The gradients by what the layer has, from those by h as a pass gave it.
    pub(super) fn backward(
        &self,
        tape: Tape,
        grad_h: &Tensor,
        request: GradientRequest,
    ) -> Result<Gradients> {
        match tape {
            Tape::Fused(pass) => {
                let (gradients, reusable) = pass.gradients(grad_h, request, &self.backend)?;
                self.reusable.set(Some(reusable));
                Ok(gradients)
            }
            Tape::Operations(pass) => pass.gradients(grad_h, request),
        }
    }

    pub(super) fn pass(
        &self,
        plan: &LayerPlan,
        input: &SequenceInput<'_>,
        wanted: OutputSelection,
        stats: &mut ShapeStats,
    ) -> Result<ForwardOutput<Tape>> {
        let _guard = no_grad_guard();
        let SequenceInput { inputs, conditions } = input;
        if let Some(gains) = &plan.gains {
            stats.count_gains(gains)?;
        }
        let wanted = OutputSelection { moments: stats.measures(), ..wanted };
        let inputs = self.embed_inputs(inputs)?;
        let drive = conditions.drive.map(|drive| self.on_device(drive)).transpose()?;
        let on_device = |state: &LayerState| -> Result<LayerState> {
            let inner = state.inner.as_ref().map(|inner| self.on_device(inner)).transpose()?;
            Ok(LayerState { h: self.on_device(&state.h)?, inner })
        };
        let from = conditions.from.as_ref().map(on_device).transpose()?;
        let conditions = RunConditions {
            drive: drive.as_ref(),
            shape_override: conditions.shape_override,
            from,
        };
        let input = SequenceInput { inputs: &inputs, conditions };
        let mut output = self.run_layer(plan, &input, wanted, stats)?;
        // Neurons whose shape is held have a controller all the same; it rests.
        if input.conditions.shape_override.is_some() && output.last.inner.is_none() {
            output.last.inner = match &input.conditions.from {
                Some(from) => from.inner.as_ref().map(Tensor::shallow_clone),
                None => self.rest(inputs.size3()?.1)?.inner,
            };
        }
        Ok(output)
    }

    /// Runs a layer over what it is shown, with everything where the weights are.
    pub(super) fn run_layer(
        &self,
        plan: &LayerPlan,
        input: &SequenceInput<'_>,
        wanted: OutputSelection,
        stats: &mut ShapeStats,
    ) -> Result<ForwardOutput<Tape>> {
        if self.backend.kernel == Kernel::Libtorch {
            let output = operations::pass(plan, input, wanted, &self.backend, stats)?;
            return Ok(output.map(Tape::Operations));
        }
        let reuse = if wanted.tape { self.reusable.take() } else { None };
        let request = PassRequest { wanted, reuse };
        let output = fused::pass(plan, input, request, &self.backend, stats)?;
        Ok(output.map(Tape::Fused))
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
