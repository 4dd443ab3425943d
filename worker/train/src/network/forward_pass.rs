//! Forward passes of a network over whole sequences, on any backend, for training and for
//! inference.

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

/// A forward pass with a tape for its gradients.
pub struct ForwardPass {
    /// Class scores, as [`Network::forward`] returns them.
    pub logits: Tensor,
    /// The state after the last step.
    pub last: LayerState,
    /// End of the graph of `logits` and the tape behind it; none if the graph reaches the
    /// parameters.
    tape: Option<(Tensor, Tape)>,
}

/// Tape of a layer, by backend.
pub(super) enum Tape {
    /// Of the fused kernels.
    Fused(fused::FusedPass),
    /// Of operations of libtorch.
    Operations(operations::OperationsPass),
}

impl Network {
    /// Sets the execution backend.
    pub fn set_backend(&mut self, backend: ExecutionBackend) {
        self.backend = backend;
    }

    /// Moves the weights to another device. On a GPU the backend is operations of libtorch.
    pub fn move_to(&mut self, device: Device) -> Result<()> {
        let _guard = no_grad_guard();
        for parameter in self.parameters() {
            // Both handles refer to one tensor, whose storage is replaced.
            parameter.tensor.shallow_clone().f_set_data(&parameter.tensor.f_to_device(device)?)?;
        }
        if device != Device::Cpu && self.backend.kernel == Kernel::Fused {
            self.backend.kernel = Kernel::Libtorch;
        }
        Ok(())
    }

    /// Returns the device of the weights.
    pub fn device(&self) -> Device {
        self.w_out.device()
    }

    /// Returns the execution backend.
    pub fn backend(&self) -> &ExecutionBackend {
        &self.backend
    }

    /// Returns the class scores for `inputs` [T, B, I] and the last state. Scores are [B, C] if the
    /// last state is read out, else [T * B, C] with the steps outermost.
    pub fn forward(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<(Tensor, LayerState)> {
        self.forward_to(self.interface.readout, inputs, conditions, stats)
    }

    /// Returns only the class scores of [`Network::forward`].
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

    /// Runs [`Network::forward`] with a tape for [`Network::gradients`].
    pub fn forward_with_tape(
        &self,
        inputs: &Tensor,
        conditions: RunConditions<'_>,
        stats: &mut ShapeStats,
    ) -> Result<ForwardPass> {
        self.forward_with_tape_to(self.interface.readout, inputs, conditions, stats)
    }

    /// Runs [`Network::forward_with_tape`] with the given readout.
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

    /// Runs [`Network::forward`] without a graph.
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

    /// Returns the gradients of `parameters` for a loss that was computed from the scores of
    /// `pass`.
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

    /// Returns the plan of the layer, unless automatic differentiation is to compute it or the
    /// kernels cannot.
    pub(super) fn plan(&self, shape_override: Option<&ShapeOverride>) -> Result<Option<LayerPlan>> {
        match self.backend.kernel {
            Kernel::Fused | Kernel::Libtorch => self.layer.plan(shape_override),
            Kernel::Autograd => Ok(None),
        }
    }

    /// Computes the gradients of the layer's parameters from `grad_h`, the gradient with respect to
    /// the h that the pass returned.
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
        // Neurons under a shape override still have a controller; it stays at rest.
        if input.conditions.shape_override.is_some() && output.last.inner.is_none() {
            output.last.inner = match &input.conditions.from {
                Some(from) => from.inner.as_ref().map(Tensor::shallow_clone),
                None => self.rest(inputs.size3()?.1)?.inner,
            };
        }
        Ok(output)
    }

    /// Runs the layer; all tensors must be on the device of the weights.
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

/// Returns the outputs that a readout needs.
pub(super) fn wanted(readout: Readout) -> OutputSelection {
    OutputSelection { every_h: readout == Readout::Every, ..OutputSelection::default() }
}

/// Flattens the states of all steps [T, B, H] to [T * B, H]; returns states [B, H] unchanged.
pub(super) fn flat(h: &Tensor) -> Result<Tensor> {
    if h.dim() == 3 { h.f_flatten(0, 1) } else { Ok(h.shallow_clone()) }
}
