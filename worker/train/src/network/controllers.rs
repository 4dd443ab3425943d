//! Controllers of adaptive neurons on their own, on any backend: a layer of one isolated neuron,
//! with one controller per row of the batch.

use rheo_kernels::OutputSelection;
use rheo_model::config::Kernel;
use tch::{Kind, Result, TchError, Tensor, no_grad_guard};

use super::plan::{LayerFamily, LayerPlan, SequenceInput};
use super::{LayerState, Network, RunConditions};
use crate::shape_stats::ShapeStats;

impl Network {
    /// Returns the states [T, N, S] of N controllers that start from `from` [N, S] while their
    /// neurons receive `a` [T], in double precision; none for networks without controllers.
    pub fn controllers(&self, a: &Tensor, from: &Tensor) -> Result<Option<Tensor>> {
        let _guard = no_grad_guard();
        let Some(plan) = self.layer.plan(None)?.filter(|plan| plan.family == LayerFamily::Adaptive)
        else {
            return Ok(None);
        };
        let double = |tensor: &Tensor| {
            self.on_device(&tensor.f_detach()?.f_to_dtype(Kind::Double, false, false)?)
        };
        let own = plan.own.iter().map(double).collect::<Result<Vec<_>>>()?;
        let (a, from) = (double(a)?, double(from)?);
        if self.backend().kernel == Kernel::Autograd {
            return step_by_step(&own, &a, from).map(Some);
        }
        let (steps, (count, _)) = (a.size1()?, from.size2()?);
        let zeros = |size: &[i64]| a.f_new_zeros(size, (Kind::Double, a.device()));
        let weights = [zeros(&[1, 1])?, zeros(&[1, 1])?, zeros(&[1])?];
        let plan = LayerPlan { family: LayerFamily::Adaptive, weights, own, gains: None };
        let drive = a.f_reshape([steps, 1, 1])?;
        let from = LayerState { h: zeros(&[count, 1])?, inner: Some(from) };
        let conditions = RunConditions { from: Some(from), ..RunConditions::driven(Some(&drive)) };
        let inputs = zeros(&[steps, count, 1])?;
        let input = SequenceInput { inputs: &inputs, conditions };
        let wanted = OutputSelection { inner: true, ..OutputSelection::default() };
        Ok(self.run_layer(&plan, &input, wanted, &mut ShapeStats::counting())?.inner)
    }
}

/// Reference implementation, one operation after the other.
fn step_by_step(own: &[Tensor], a: &Tensor, from: Tensor) -> Result<Tensor> {
    let [u, bias, w, ..] = own else {
        return Err(TchError::Shape("a controller has weights".to_owned()));
    };
    let (u, feedback) = (u.f_flatten(0, -1)?, w.f_transpose(0, 1)?);
    let mut g = from;
    let mut states = Vec::new();
    for a in a.f_unbind(0)? {
        g = bias.f_add(&u.f_mul(&a)?)?.f_addmm(&g, &feedback)?.f_tanh()?;
        states.push(g.shallow_clone());
    }
    Tensor::f_stack(&states, 0)
}
