//! Scores of single samples, from which the scores of cells and conditions are summed. Sums are
//! taken sample by sample, so they do not depend on the batches.

use tch::{Kind, Reduction, Result, TchError, Tensor, no_grad_guard};

use crate::step::{Batch, Score};
use crate::tensor::{length, to_doubles};

/// Returns the score of every sample of `batch` in each of `cells` passes side by side: one list
/// per cell, in the order of the samples. `logits` are those of
/// [`crate::network::Network::logits`], for the samples of the first cell, then of the next.
pub fn scores(logits: &Tensor, batch: &Batch, cells: usize) -> Result<Vec<Vec<Score>>> {
    let _guard = no_grad_guard();
    let count = length(cells)?;
    let samples = i64::try_from(batch.samples)
        .map_err(|_| TchError::Shape(format!("too many samples: `{}`", batch.samples)))?;
    // Rows of the logits: steps that are read out, cells, samples.
    let steps = batch.targets.size1()? / samples.max(1);
    let scored = batch.scored / samples.max(1);
    let targets = batch.targets.f_reshape([steps, 1, samples])?;
    let targets = targets.f_expand([steps, count, samples], false)?.f_reshape([-1])?;
    let shape = [steps, count * samples];
    // -100 is the target that libtorch ignores by default; our targets are never negative.
    let loss = logits
        .f_cross_entropy_loss(&targets, None::<&Tensor>, Reduction::None, -100, 0.0)?
        .f_reshape(shape)?
        .f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
    let correct = logits
        .f_argmax(1, false)?
        .f_eq_tensor(&targets)?
        .f_reshape(shape)?
        .f_narrow(0, steps - scored, scored)?
        .f_sum_dim_intlist(0, false, Kind::Double)?;
    let (loss, correct) = (to_doubles(&loss)?, to_doubles(&correct)?);
    let score = |(&loss, &correct): (&f64, &f64)| Score {
        loss,
        correct: whole(correct),
        scored: scored.unsigned_abs(),
    };
    let all: Vec<Score> = loss.iter().zip(&correct).map(score).collect();
    let chunk = (all.len() / cells.max(1)).max(1);
    Ok(all.chunks(chunk).map(<[Score]>::to_vec).collect())
}

/// Converts a count from floating point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of steps are small and not negative"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn numbers(shape: [i64; 3]) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 1.7).sin().reshape(shape)
    }

    fn batch(targets: &[i64], samples: u64, scored: i64) -> Batch {
        let inputs = Tensor::zeros([1, 1, 1], (Kind::Double, Device::Cpu));
        Batch {
            inputs,
            drive: None,
            targets: Tensor::from_slice(targets),
            scored,
            samples,
            weight: samples,
            conditions: None,
            from_rest: true,
        }
    }

    #[test]
    fn a_sample_averages_its_loss_and_counts_scored_steps() {
        // Three steps, two cells of two samples, three classes; the last two steps are scored.
        let logits = numbers([3, 4, 3]);
        let targets = [0, 1, 2, 0, 1, 1];
        let found = scores(&logits.reshape([12, 3]), &batch(&targets, 2, 4), 2).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        for (column, score) in found.iter().flatten().enumerate() {
            let (mut loss, mut correct) = (0.0, 0);
            for step in 0..3 {
                let row = logits.get(step).get(i64::try_from(column).unwrap());
                let target = targets[usize::try_from(step).unwrap() * 2 + column % 2];
                loss -= row.log_softmax(0, Kind::Double).double_value(&[target]) / 3.0;
                correct += u64::from(step > 0 && row.argmax(0, false).int64_value(&[]) == target);
            }
            assert!((score.loss - loss).abs() < 1e-12, "{column}: {} {loss}", score.loss);
            assert_eq!((score.correct, score.scored), (correct, 2), "{column}");
        }
    }

    #[test]
    fn cells_are_scored_as_if_alone() {
        let logits = numbers([1, 6, 4]).reshape([6, 4]);
        let batch = batch(&[3, 0, 1], 3, 3);
        let together = scores(&logits, &batch, 2).unwrap();
        for (cell, expected) in together.iter().enumerate() {
            let own = logits.narrow(0, 3 * i64::try_from(cell).unwrap(), 3);
            assert_eq!(&scores(&own, &batch, 1).unwrap()[0], expected);
        }
    }
}
