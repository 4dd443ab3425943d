//! Cholesky decomposition of symmetric positive definite matrices.
//!
//! Sums have a fixed order, so the results have the same bits on every processor. All inner loops are
//! products of contiguous rows. Complexity: O(n³).

/// A Cholesky factor L, lower triangular, with L Lᵀ the matrix.
#[derive(Debug)]
pub(super) struct Cholesky {
    size: usize,
    /// The rows of L, each padded to `size`.
    rows: Vec<f64>,
}

impl Cholesky {
    /// Decomposes the matrix of which `entry(i, j)` is called for j <= i; none if the matrix is not
    /// positive definite.
    pub(super) fn new(size: usize, entry: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut rows = vec![0.0; size * size];
        for i in 0..size {
            let (above, from_here) = rows.split_at_mut(i * size);
            let row = &mut from_here[..size];
            for j in 0..i {
                let other = &above[j * size..=j * size + j];
                row[j] = (entry(i, j) - dot(&row[..j], &other[..j])) / other[j];
            }
            let square = entry(i, i) - dot(&row[..i], &row[..i]);
            // Written so that NaN fails too.
            if !(square > 0.0 && square.is_finite()) {
                return None;
            }
            row[i] = square.sqrt();
        }
        Some(Self { size, rows })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.size..=i * self.size + i]
    }

    /// Returns element `i` of L x.
    #[cfg(test)]
    pub(super) fn product(&self, i: usize, x: &[f64]) -> f64 {
        dot(self.row(i), &x[..=i])
    }

    /// Returns half the logarithm of the determinant of the matrix.
    pub(super) fn half_log_determinant(&self) -> f64 {
        (0..self.size).map(|i| libm::log(self.row(i)[i])).sum()
    }

    /// Returns the solution x of L x = b.
    pub(super) fn solve_lower(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Vec::with_capacity(self.size);
        for (i, b) in b.iter().enumerate() {
            let row = self.row(i);
            x.push((b - dot(&row[..i], &x)) / row[i]);
        }
        x
    }

    /// Returns the solution x of Lᵀ x = b.
    pub(super) fn solve_upper(&self, mut b: Vec<f64>) -> Vec<f64> {
        for i in (0..self.size).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let value = b[i];
            for (b, l) in b.iter_mut().zip(&row[..i]) {
                *b -= l * value;
            }
        }
        b
    }

    /// Returns the lower triangle of the inverse of the matrix, in rows padded to the size.
    pub(super) fn inverse(&self) -> Vec<f64> {
        let size = self.size;
        // Row j holds column j of the inverse of L.
        let mut columns = vec![0.0; size * size];
        for (j, column) in columns.chunks_exact_mut(size.max(1)).enumerate() {
            column[j] = 1.0 / self.row(j)[j];
            for i in j + 1..size {
                let row = self.row(i);
                column[i] = -dot(&row[j..i], &column[j..i]) / row[i];
            }
        }
        let column = |j: usize, from: usize| &columns[j * size + from..(j + 1) * size];
        let mut inverse = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..=i {
                inverse[i * size + j] = dot(column(i, i), column(j, i));
            }
        }
        inverse
    }
}

/// Returns the inner product of two vectors of equal length, summed in eight lanes.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn solutions_and_inverse_fit_the_matrix(
            size in 1..20usize,
            numbers in prop::collection::vec(-1.0..1.0f64, 400),
        ) {
            // B Bᵀ + I is positive definite.
            let row = |i: usize| &numbers[i * 20..i * 20 + size];
            let entry = |i: usize, j: usize| dot(row(i), row(j)) + f64::from(u8::from(i == j));
            let factor = Cholesky::new(size, entry).unwrap();
            let b: Vec<f64> = (0..size).map(|i| i as f64 - 3.0).collect();
            let x = factor.solve_upper(factor.solve_lower(&b));
            let inverse = factor.inverse();
            let inverse = |i: usize, j: usize| inverse[i.max(j) * size + i.min(j)];
            for (i, b) in b.iter().enumerate() {
                let product: f64 = (0..size).map(|j| entry(i, j) * x[j]).sum();
                prop_assert!((product - b).abs() < 1e-9);
                for k in 0..size {
                    let product: f64 = (0..size).map(|j| entry(i, j) * inverse(j, k)).sum();
                    prop_assert!((product - f64::from(u8::from(i == k))).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_determinant_is_that_of_the_matrix() {
        let factor = Cholesky::new(2, |i, j| [[4.0, 0.0], [2.0, 3.0]][i][j]).unwrap();
        assert!((factor.half_log_determinant() - 0.5 * 8f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::new(2, |_, _| 1.0).is_none());
        assert!(Cholesky::new(1, |_, _| f64::NAN).is_none());
    }
}
