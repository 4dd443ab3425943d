//! One step over one batch: a training update, or a forward pass that is scored.

use tch::{Kind, Reduction, Result, Tensor, no_grad_guard};

use crate::adam::Adam;
use crate::gauge::Gauge;
use crate::network::{Conditions, Network};
use crate::tensor::to_double;

/// Samples as a network sees them.
#[derive(Debug)]
pub struct Batch {
    /// Inputs [T, B, I].
    pub inputs: Tensor,
    /// Target classes, one per row of the logits of [`Network::logits`].
    pub targets: Tensor,
    /// How many of the rows, from the end, count for the accuracy; the loss takes all.
    pub scored: i64,
    /// Number of samples, B; of a text, of columns.
    pub samples: u64,
    /// What the batch weighs in a mean over several: its samples; of a text, its symbols, T B, so
    /// that a shorter last window counts for what it holds.
    pub weight: u64,
    /// The condition of every sample, where the task tells them apart: the signed coherence of
    /// evidence.
    pub conditions: Option<Vec<f64>>,
    /// Whether the states of the network start at rest, and not where the batch before left them.
    pub from_rest: bool,
}

/// How well a network did on one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Rows whose highest score is that of the target.
    pub correct: u64,
    /// Rows that count for the accuracy.
    pub scored: u64,
}

/// What a training update found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The score before the update.
    pub score: Score,
    /// 2-norm of the gradient over all parameters; absent where the loss is not finite and no
    /// update was made.
    pub grad_norm: Option<f64>,
}

/// Updates `network` once against the gradient of its loss on `batch`, unless that loss is not
/// finite.
pub fn update(
    network: &Network,
    adam: &mut Adam,
    batch: &Batch,
    gauge: &mut Gauge,
) -> Result<Update> {
    let logits = network.logits(&batch.inputs, Conditions::default(), gauge)?;
    let loss = cross_entropy(&logits, &batch.targets)?;
    let score = score(&logits, &loss, batch)?;
    if !score.loss.is_finite() {
        return Ok(Update { score, grad_norm: None });
    }
    let parameters = network.trained();
    let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
    let grad_norm = norm(&gradients)?;
    adam.update(&parameters, &gradients)?;
    Ok(Update { score, grad_norm: Some(grad_norm) })
}

/// Scores `network` on `batch` under the extra current `drive`.
pub fn evaluate(
    network: &Network,
    batch: &Batch,
    drive: Option<&Tensor>,
    gauge: &mut Gauge,
) -> Result<Score> {
    let _guard = no_grad_guard();
    let logits = network.logits(&batch.inputs, Conditions::driven(drive), gauge)?;
    let loss = cross_entropy(&logits, &batch.targets)?;
    score(&logits, &loss, batch)
}

fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    // -100 is the target that libtorch ignores by default; none of ours is negative.
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

/// The 2-norm over all elements of all tensors.
fn norm(tensors: &[Tensor]) -> Result<f64> {
    let _guard = no_grad_guard();
    let norms = tensors.iter().map(Tensor::f_norm).collect::<Result<Vec<_>>>()?;
    to_double(&Tensor::f_stack(&norms, 0)?.f_norm()?)
}
