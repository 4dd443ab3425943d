//! Norms of J = diag(q) W without forming J, for many q at once (science reference, section 7.2).

use tch::{Result, Tensor};

/// Stopping rule of a power iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IterationLimit {
    /// Maximum number of rounds.
    pub most: u32,
    /// Relative change of the norms below which the iteration stops.
    pub change: f64,
}

/// Stopping rule of the science reference.
pub const ROUNDS: IterationLimit = IterationLimit { most: 100, change: 1e-6 };

/// Returns the spectral norms [B] of diag(q) `w` for slopes `q` [B, H] and `w` [H, H], by power
/// iteration on J^T J from the direction `start` [H]. The estimate approaches the norm from below,
/// faster the larger the gap between the first two singular values.
pub fn spectral(q: &Tensor, w: &Tensor, start: &Tensor, rounds: IterationLimit) -> Result<Tensor> {
    let transposed = w.f_transpose(0, 1)?;
    let squares = q.f_square()?;
    let mut direction = unit(&start.f_expand_as(q)?)?;
    let mut norms = q.f_new_zeros(q.size()[..1].to_vec(), (q.f_kind()?, q.device()))?;
    for _ in 0..rounds.most {
        let image = direction.f_matmul(&transposed)?;
        let back = squares.f_mul(&image)?.f_matmul(w)?;
        // |J v| and not sqrt |J^T J v|: the Rayleigh quotient converges twice as fast.
        let next = q.f_mul(&image)?.f_square()?.f_sum_dim_intlist(1, false, None)?.f_sqrt()?;
        direction = unit(&back)?;
        let change = next.f_sub(&norms)?.f_abs()?;
        let small = change.f_le_tensor(&next.f_mul_scalar(rounds.change)?)?;
        norms = next;
        if small.f_all()?.f_int64_value(&[])? == 1 {
            break;
        }
    }
    Ok(norms)
}

/// Returns the infinity norms [B] of diag(q) `w`: max_i |q_i| sum_j |w_ij|.
pub fn infinity(q: &Tensor, w: &Tensor) -> Result<Tensor> {
    let rows = w.f_abs()?.f_sum_dim_intlist(1, false, None)?;
    q.f_abs()?.f_mul(&rows)?.f_amax(1, false)
}

/// Returns the norm of the released code, [B]: max_j |sum_i q_i w_ij|, the infinity norm of a
/// vector.
pub fn released(q: &Tensor, w: &Tensor) -> Result<Tensor> {
    q.f_matmul(w)?.f_abs()?.f_amax(1, false)
}

/// Scales the rows of `vectors` [B, H] to unit length; a zero row stays zero.
fn unit(vectors: &Tensor) -> Result<Tensor> {
    let lengths = vectors.f_square()?.f_sum_dim_intlist(1, true, None)?.f_sqrt()?;
    let divisor = lengths.f_masked_fill(&lengths.f_eq(0.0)?, 1.0)?;
    vectors.f_div(&divisor)
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};
    use tch::Kind;

    use super::*;
    use crate::tensor::to_doubles;

    fn normals(shape: &[i64], seed: u64) -> Tensor {
        let mut rng = TrialRng::new(seed, Purpose::Analysis);
        let values: Vec<f64> = (0..shape.iter().product()).map(|_: i64| rng.normal()).collect();
        Tensor::from_slice(&values).view(shape)
    }

    /// Returns the matrices [B, H, H] that the functions never form.
    fn formed(q: &Tensor, w: &Tensor) -> Tensor {
        q.unsqueeze(2) * w
    }

    #[test]
    fn norms_agree_with_those_of_the_formed_matrix() {
        let (q, w, start) = (normals(&[6, 9], 1), normals(&[9, 9], 2), normals(&[9], 3));
        let (_, singular, _) = formed(&q, &w).svd(true, false);
        let singular = singular.amax(1, false);
        let found = spectral(&q, &w, &start, IterationLimit { most: 5000, change: 0.0 }).unwrap();
        let off = ((found - &singular) / singular).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{off}");
        let exact = formed(&q, &w).abs().sum_dim_intlist(2, false, Kind::Double).amax(1, false);
        let off = (infinity(&q, &w).unwrap() - exact).abs().max().double_value(&[]);
        assert!(off < 1e-13, "{off}");
    }

    #[test]
    fn a_rotation_leaves_the_largest_slope() {
        let (w, _) = Tensor::linalg_qr(&normals(&[8, 8], 4), "reduced");
        let q = normals(&[5, 8], 5);
        let found = spectral(&q, &w, &normals(&[8], 6), IterationLimit { most: 5000, change: 0.0 })
            .unwrap();
        let off = (found - q.abs().amax(1, false)).abs().max().double_value(&[]);
        assert!(off < 1e-10, "{off}");
    }

    #[test]
    fn no_slope_at_all_has_norm_zero() {
        let (q, w) = (Tensor::zeros([2, 4], tch::kind::DOUBLE_CPU), normals(&[4, 4], 7));
        let found = spectral(&q, &w, &normals(&[4], 8), ROUNDS).unwrap();
        assert_eq!(to_doubles(&found).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn norms_have_the_reference_values() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        let list = |value: &serde_json::Value| -> Vec<f64> {
            serde_json::from_value(value.clone()).unwrap()
        };
        let rows = oracles["networks"]["example_w_hh"].as_array().unwrap();
        let w = Tensor::from_slice(&rows.iter().flat_map(list).collect::<Vec<f64>>()).view([3, 3]);
        for (network, path) in
            [("gamma_het", "direct"), ("adaptive", "direct"), ("adaptive", "total")]
        {
            let oracle = &oracles["jacobian"][network];
            let q = Tensor::from_slice(&list(&oracle[format!("slope_{path}")])).unsqueeze(0);
            let start = normals(&[3], 9);
            let found = [
                ("spectral", spectral(&q, &w, &start, IterationLimit { most: 500, change: 0.0 })),
                ("inf", infinity(&q, &w)),
                ("released", released(&q, &w)),
            ];
            for (name, found) in found {
                let Some(expected) = oracle[path][name].as_f64() else { continue };
                let found = found.unwrap().double_value(&[0]);
                let off = (found - expected).abs();
                assert!(off <= 1e-9 * expected, "{network} {path} {name}: {found}");
            }
            // The usual rule stops once a round changes the norm by less than 1e-6.
            let usual = spectral(&q, &w, &start, ROUNDS).unwrap().double_value(&[0]);
            let expected = oracle[path]["spectral"].as_f64().unwrap();
            assert!((usual / expected - 1.0).abs() < 1e-5, "{network} {path}: {usual}");
        }
    }
}
