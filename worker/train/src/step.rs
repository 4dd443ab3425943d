//! One step over one batch: a training update, or a scored forward pass.

use tch::{Kind, Reduction, Result, Tensor, no_grad_guard};

use crate::network::{LayerState, Network, Parameter, ParameterGroup, RunConditions};
use crate::optimizer::Optimizer;
use crate::shape_stats::ShapeStats;
use crate::tensor::to_double;

/// Samples in the layout of a network.
#[derive(Debug)]
pub struct Batch {
    /// Inputs [T, B, I].
    pub inputs: Tensor,
    /// Drive, if any; broadcasts to [T, B, H].
    pub drive: Option<Tensor>,
    /// Target classes, one per row of the logits of [`Network::logits`].
    pub targets: Tensor,
    /// Number of rows, from the end, that count for the accuracy; the loss uses all.
    pub scored: i64,
    /// Number of samples, B; of a text, of columns.
    pub samples: u64,
    /// Weight of the batch in a mean over several: its samples; of a text, its symbols T B, so that
    /// a shorter last window counts for less.
    pub weight: u64,
    /// Condition of each sample, if the task has conditions: the signed coherence of evidence.
    pub conditions: Option<Vec<f64>>,
    /// Whether the network starts at rest, and not in the state after the previous batch.
    pub from_rest: bool,
}

/// Score of a network on one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Rows whose highest score is that of the target.
    pub correct: u64,
    /// Rows that count for the accuracy.
    pub scored: u64,
}

/// Result of a training update.
#[derive(Debug)]
pub struct Update {
    /// Score before the update.
    pub score: Score,
    /// 2-norm of the gradient over all learning parameters, before clipping; none if the loss is
    /// not finite. No update is made if either is not finite.
    pub grad_norm: Option<f64>,
    /// State after the last step, detached from the graph.
    pub last: LayerState,
}

/// Settings of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateRecipe {
    /// Parameters that learn.
    pub learned: LearnedParameters,
    /// Factor of the learning rates, from the schedule.
    pub factor: f64,
    /// Maximum 2-norm of the gradient; a larger gradient is scaled down to it.
    pub clip_norm: Option<f64>,
}

impl Default for UpdateRecipe {
    fn default() -> Self {
        Self { learned: LearnedParameters::default(), factor: 1.0, clip_norm: None }
    }
}

/// Parameters that learn; the others stay bit-identical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedParameters {
    /// Gain and saturation.
    pub shape: bool,
    /// All other parameters.
    pub others: bool,
}

impl Default for LearnedParameters {
    fn default() -> Self {
        Self { shape: true, others: true }
    }
}

impl LearnedParameters {
    fn has(self, group: ParameterGroup) -> bool {
        if group == ParameterGroup::Shape { self.shape } else { self.others }
    }
}

/// Input of one step.
#[derive(Debug)]
pub struct StepInput<'a> {
    /// Batch.
    pub batch: &'a Batch,
    /// Initial state of the network; rest if none.
    pub from: Option<LayerState>,
}

/// Updates `network` once with the gradient of its loss on `input`, unless loss or gradient is not
/// finite.
pub fn update(
    network: &Network,
    optimizer: &mut Optimizer,
    input: StepInput<'_>,
    recipe: &UpdateRecipe,
    stats: &mut ShapeStats,
) -> Result<Update> {
    let StepInput { batch, from } = input;
    let conditions = RunConditions { from, ..RunConditions::driven(batch.drive.as_ref()) };
    let pass = network.forward_with_tape(&batch.inputs, conditions, stats)?;
    let last = pass.last.share();
    let loss = cross_entropy(&pass.logits, &batch.targets)?;
    let score = score(&pass.logits, &loss, batch)?;
    if !score.loss.is_finite() {
        return Ok(Update { score, grad_norm: None, last });
    }
    let learns =
        |parameter: &Parameter<'_>| parameter.trained && recipe.learned.has(parameter.group);
    let parameters: Vec<Parameter<'_>> = network.parameters().into_iter().filter(learns).collect();
    if parameters.is_empty() {
        return Ok(Update { score, grad_norm: Some(0.0), last });
    }
    let gradients = network.gradients(&loss, pass, &batch.inputs, &parameters)?;
    let (gradients, grad_norm) = clipped(gradients, recipe.clip_norm)?;
    if grad_norm.is_finite() {
        optimizer.update(&parameters, &gradients, recipe.factor)?;
    }
    Ok(Update { score, grad_norm: Some(grad_norm), last })
}

/// Scores `network` on `input`; also returns the state after the last step.
pub fn evaluate(
    network: &Network,
    input: StepInput<'_>,
    stats: &mut ShapeStats,
) -> Result<(Score, LayerState)> {
    let _guard = no_grad_guard();
    let StepInput { batch, from } = input;
    let conditions = RunConditions { from, ..RunConditions::driven(batch.drive.as_ref()) };
    let (logits, last) = network.infer(&batch.inputs, conditions, stats)?;
    let loss = cross_entropy(&logits, &batch.targets)?;
    Ok((score(&logits, &loss, batch)?, last))
}

fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    // -100 is the target that libtorch ignores by default; our targets are never negative.
    logits.f_cross_entropy_loss(targets, None::<&Tensor>, Reduction::Mean, -100, 0.0)
}

fn score(logits: &Tensor, loss: &Tensor, batch: &Batch) -> Result<Score> {
    let _guard = no_grad_guard();
    let first = batch.targets.size1()? - batch.scored;
    let chosen = logits.f_narrow(0, first, batch.scored)?.f_argmax(1, false)?;
    let right = chosen.f_eq_tensor(&batch.targets.f_narrow(0, first, batch.scored)?)?;
    Ok(Score {
        loss: to_double(loss)?,
        correct: right.f_sum(Kind::Int64)?.f_int64_value(&[])?.unsigned_abs(),
        scored: batch.scored.unsigned_abs(),
    })
}

/// Scales gradients so that their joint 2-norm is at most `limit`; also returns the norm before.
///
/// Unlike PyTorch, which adds 1e-6 to the norm, this reaches the limit exactly. The squares of
/// large gradients can overflow in single precision. Clipped, such gradients are usable; unclipped,
/// they would overflow in the averages of the optimizer, too, so their norm stays infinite.
fn clipped(gradients: Vec<Tensor>, limit: Option<f64>) -> Result<(Vec<Tensor>, f64)> {
    let _guard = no_grad_guard();
    let mut found = norm(&gradients)?;
    let Some(limit) = limit else { return Ok((gradients, found)) };
    if found.is_infinite() {
        let double = |gradient: &Tensor| gradient.f_to_dtype(Kind::Double, false, false);
        found = norm(&gradients.iter().map(double).collect::<Result<Vec<_>>>()?)?;
    }
    if !found.is_finite() || found <= limit {
        return Ok((gradients, found));
    }
    // Not in place: parameters that are added to each other may share one gradient.
    let scale = |gradient: &Tensor| gradient.f_mul_scalar(limit / found);
    Ok((gradients.iter().map(scale).collect::<Result<_>>()?, found))
}

/// Returns the 2-norm over all elements of all tensors.
fn norm(tensors: &[Tensor]) -> Result<f64> {
    let norms = tensors.iter().map(Tensor::f_norm).collect::<Result<Vec<_>>>()?;
    to_double(&Tensor::f_stack(&norms, 0)?.f_norm()?)
}
