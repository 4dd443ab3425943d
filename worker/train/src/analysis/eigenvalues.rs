//! Eigenvalues of the recurrent matrix, and its distance from a rotation (science reference,
//! section 7.4).

use rheo_model::row::{EigenvalueRow, Rows, Variant};
use tch::{Kind, Tensor, no_grad_guard};

use super::{StopCheck, Study};
use crate::Error;
use crate::network::Network;
use crate::tensor::{to_double, to_doubles};

/// Returns one row per eigenvalue; empty for networks without a single recurrent matrix and for
/// matrices that are not finite. Before training, also returns the eigenvalues of the released
/// code, which belong to another matrix of the same distribution than the trained one.
pub(super) fn run(study: &Study<'_>, _pause: StopCheck<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let mut eigenvalues = rows(study, study.network, Variant::Corrected)?;
    if study.epoch < 0 && !eigenvalues.is_empty() {
        let another = study.network.redrawn(&mut study.rng())?;
        eigenvalues.extend(rows(study, &another, Variant::Released)?);
    }
    Ok(Rows { eigenvalues, ..Rows::default() })
}

/// Returns the rows of the recurrent matrix of `network`.
fn rows(study: &Study<'_>, network: &Network, variant: Variant) -> tch::Result<Vec<EigenvalueRow>> {
    let Some(w) = network.parameter("w_hh") else { return Ok(Vec::new()) };
    let w = w.f_to_dtype(Kind::Double, false, false)?;
    if w.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(Vec::new());
    }
    let spectrum = spectrum(&w)?;
    let spectral_radius = spectrum.first().map_or(0.0, Eigenvalue::modulus);
    let orthogonality = orthogonality(&w)?;
    let stage = if study.epoch < 0 { "init" } else { "trained" };
    let row = |(index, Eigenvalue { re, im })| EigenvalueRow {
        epoch: study.epoch,
        variant,
        stage: stage.to_owned(),
        index,
        re,
        im,
        spectral_radius,
        orthogonality,
    };
    Ok((0..).zip(spectrum).map(row).collect())
}

/// An eigenvalue of a matrix.
#[derive(Debug, Clone, Copy)]
struct Eigenvalue {
    /// Real part.
    re: f64,
    /// Imaginary part.
    im: f64,
}

impl Eigenvalue {
    /// Returns the absolute value.
    fn modulus(&self) -> f64 {
        self.re.hypot(self.im)
    }
}

/// Returns the eigenvalues of `w` [H, H], largest first.
fn spectrum(w: &Tensor) -> tch::Result<Vec<Eigenvalue>> {
    let parts = to_doubles(&w.f_linalg_eigvals()?.f_view_as_real()?)?;
    let (pairs, _) = parts.as_chunks::<2>();
    let mut values: Vec<Eigenvalue> = pairs.iter().map(|&[re, im]| Eigenvalue { re, im }).collect();
    // A stable sort, so that conjugate pairs, which libtorch returns side by side, stay together.
    values.sort_by(|a, b| b.modulus().total_cmp(&a.modulus()));
    Ok(values)
}

/// Returns the Frobenius norm of w^T w - I over sqrt(H) for `w` [H, H].
fn orthogonality(w: &Tensor) -> tch::Result<f64> {
    let (size, _) = w.size2()?;
    let eye = Tensor::f_eye(size, (Kind::Double, w.device()))?;
    let off = w.f_transpose(0, 1)?.f_matmul(w)?.f_sub(&eye)?;
    Ok(to_double(&off.f_norm()?)? / (size as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_matrix_has_its_eigenvalues() {
        // A rotation by 90 degrees times 2, and the eigenvalue -3.
        let w = [0.0f64, -2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, -3.0];
        let w = Tensor::from_slice(&w).view([3, 3]);
        let found = spectrum(&w).unwrap();
        let expected = [(-3.0, 0.0), (0.0, 2.0), (0.0, -2.0)];
        for (found, (re, im)) in found.iter().zip(expected) {
            let off = (found.re - re).hypot(found.im - im);
            assert!(off < 1e-12, "{found:?}, not {re} + {im} i");
        }
        // w^T w - I = diag(3, 3, 8).
        assert!((orthogonality(&w).unwrap() - (82f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
