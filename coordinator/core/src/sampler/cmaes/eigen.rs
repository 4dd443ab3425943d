//! Eigenvalues of symmetric matrices by Jacobi rotations.
//!
//! The rotations have a fixed order, so the results have the same bits on every processor. Reference:
//! Golub G H, Van Loan C F (2013), Matrix computations, section 8.5. Complexity: O(n³) for each of
//! some ten rounds.

/// The largest number of rounds; some ten suffice for any matrix.
const MAX_ROUNDS: usize = 50;

/// The decomposition of a symmetric matrix into eigenvalues and orthonormal eigenvectors.
#[derive(Debug, Clone)]
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// The eigenvectors, one after the other.
    pub(super) vectors: Vec<Vec<f64>>,
}

impl Eigen {
    /// Decomposes a symmetric matrix, given by its rows.
    pub(super) fn new(mut matrix: Vec<Vec<f64>>) -> Self {
        let size = matrix.len();
        let unit = |at: usize| (0..size).map(|i| if i == at { 1.0 } else { 0.0 }).collect();
        let mut vectors: Vec<Vec<f64>> = (0..size).map(unit).collect();
        for _ in 0..MAX_ROUNDS {
            let mut rotated = false;
            for p in 0..size {
                for q in p + 1..size {
                    rotated |= rotate(&mut matrix, &mut vectors, p, q);
                }
            }
            if !rotated {
                break;
            }
        }
        Self { values: (0..size).map(|i| matrix[i][i]).collect(), vectors }
    }
}

/// Makes the element (p, q) zero by a rotation; returns false if it is negligible already.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) -> bool {
    let off = matrix[p][q];
    if off.abs() <= f64::EPSILON * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
        return false;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (t * t + 1.0).sqrt();
    let sine = t * cosine;
    let turn = |a: &mut f64, b: &mut f64| {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    };
    for row in &mut *matrix {
        let (left, right) = row.split_at_mut(q);
        turn(&mut left[p], &mut right[0]);
    }
    for rows in [matrix, vectors] {
        let (above, below) = rows.split_at_mut(q);
        for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
            turn(a, b);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn eigenvectors_are_orthonormal_and_give_the_matrix_again(
            size in 1..7usize,
            entries in prop::collection::vec(-1.0..1.0f64, 49),
        ) {
            // B Bᵀ is symmetric and positive.
            let entry = |i: usize, j: usize| -> f64 {
                (0..size).map(|k| entries[i * 7 + k] * entries[j * 7 + k]).sum()
            };
            let rows = |i| (0..size).map(|j| entry(i, j)).collect::<Vec<f64>>();
            let matrix: Vec<Vec<f64>> = (0..size).map(rows).collect();
            let eigen = Eigen::new(matrix.clone());
            for (i, j) in (0..size * size).map(|cell| (cell / size, cell % size)) {
                    let again: f64 = (0..size)
                        .map(|k| eigen.values[k] * eigen.vectors[k][i] * eigen.vectors[k][j])
                        .sum();
                    prop_assert!((again - matrix[i][j]).abs() < 1e-12);
                    let product: f64 =
                        (0..size).map(|k| eigen.vectors[i][k] * eigen.vectors[j][k]).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    prop_assert!((product - expected).abs() < 1e-12);
            }
        }
    }
}
