//! Principal components of points, from the eigenvectors of their covariance.

use tch::{Kind, Result, Tensor};

use crate::tensor::to_doubles;

/// The leading principal components of N points in D dimensions.
#[derive(Debug)]
pub struct PrincipalComponents {
    /// Coordinates of the points along the components [N, K], double precision.
    pub scores: Tensor,
    /// Components [D, K]: unit vectors whose element of largest magnitude is positive.
    pub loadings: Tensor,
    /// Fraction of the variance along each component; NaN without variance.
    pub explained: Vec<f64>,
}

/// Returns the `count` leading components of `points` [N, D], or fewer in fewer dimensions. The
/// points are centred; the sign of a component is a convention (science reference, 7.8).
pub fn components(points: &Tensor, count: i64) -> Result<PrincipalComponents> {
    let points = points.f_to_dtype(Kind::Double, false, false)?;
    let (total, dimensions) = points.size2()?;
    let centred = points.f_sub(&points.f_mean_dim(0, true, Kind::Double)?)?;
    let covariance = centred.f_transpose(0, 1)?.f_matmul(&centred)?.f_div_scalar(total as f64)?;
    // Eigenvalues are in ascending order.
    let (variances, vectors) = covariance.f_linalg_eigh("L")?;
    let count = count.min(dimensions);
    let leading = vectors.f_narrow(1, dimensions - count, count)?.f_flip(1)?;
    let loadings = signed(&leading)?;
    let shares = variances.f_div(&variances.f_sum(Kind::Double)?)?.f_flip(0)?;
    Ok(PrincipalComponents {
        scores: centred.f_matmul(&loadings)?,
        loadings,
        explained: to_doubles(&shares.f_narrow(0, 0, count)?)?,
    })
}

/// Flips the columns of `vectors` [D, K] so that the element of largest magnitude is positive.
fn signed(vectors: &Tensor) -> Result<Tensor> {
    let largest = vectors.f_abs()?.f_argmax(0, true)?;
    vectors.f_mul(&vectors.f_gather(0, &largest, false)?.f_sign()?)
}
