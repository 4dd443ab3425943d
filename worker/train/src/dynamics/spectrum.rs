//! Lyapunov exponents by repeated QR decomposition (Benettin et al. 1980; science reference,
//! section 7.1): Z = J_t Q_{t-1} = Q_t R_t with diag R > 0; an exponent is the mean of ln R_ii over
//! the counted steps.
//!
//! NaN stays in the mean, so that a diverging system does not look like a stable one. The number of
//! such steps is counted, too.

use rheo_core::rng::TrialRng;
use tch::{Kind, Result, Tensor};

use crate::tensor::{from_doubles, to_doubles};

/// B independent copies of a system z_t = F(z_{t-1}) with D coordinates, each with its own state.
pub trait DynamicalSystem {
    /// Advances every copy by one step.
    fn advance(&mut self) -> Result<()>;

    /// Advances every copy by one step and returns J_t times `columns` [B, D, k], where J_t = dF/dz
    /// at the state before the step.
    fn push(&mut self, columns: &Tensor) -> Result<Tensor>;
}

/// The first k exponents of B copies of a system, over the steps so far.
pub struct LyapunovSpectrum {
    /// Q [B, D, k]; orthonormal columns.
    columns: Tensor,
    /// Sums of ln R_ii [B, k] over the counted steps.
    sums: Tensor,
    /// The same sums without the steps at which ln R_ii is NaN.
    number_sums: Tensor,
    /// Numbers of steps in `number_sums`, [B, k].
    numbers: Tensor,
    steps: u64,
}

/// Exponents of one copy; the first is the largest in a generic run.
#[derive(Debug, Clone, PartialEq)]
pub struct LyapunovExponents {
    /// Exponents in nats per step.
    pub nats: Vec<f64>,
    /// Steps per exponent that were left out because ln R_ii is NaN.
    pub skipped_nan: Vec<u64>,
}

impl LyapunovSpectrum {
    /// Starts from the columns `start` [B, D, k], in double precision.
    pub fn new(start: Tensor) -> Result<Self> {
        let (batch, _, count) = start.size3()?;
        let zeros = || Tensor::f_zeros([batch, count], (Kind::Double, start.device()));
        let (sums, number_sums, numbers) = (zeros()?, zeros()?, zeros()?);
        Ok(Self { columns: start, sums, number_sums, numbers, steps: 0 })
    }

    /// Follows `system` for one step without counting it: the columns turn towards the
    /// fastest-growing directions.
    pub fn align(&mut self, system: &mut dyn DynamicalSystem) -> Result<()> {
        self.step(system).map(drop)
    }

    /// Follows `system` for one step and counts it.
    pub fn count(&mut self, system: &mut dyn DynamicalSystem) -> Result<()> {
        let growth = self.step(system)?;
        let number = growth.f_isnan()?.f_logical_not()?;
        let _ = self.sums.f_add_(&growth)?;
        let _ = self.number_sums.f_add_(&growth.f_where_scalarother(&number, 0.0)?)?;
        let _ = self.numbers.f_add_(&number)?;
        self.steps += 1;
        Ok(())
    }

    /// Returns the number of counted steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the exponents of every copy. One NaN step makes the exponent NaN; R_ii = 0 makes it
    /// minus infinity.
    pub fn exponents(&self) -> Result<Vec<LyapunovExponents>> {
        let mean = self.sums.f_div_scalar(self.steps as f64)?;
        self.per_copy(&mean, |_| 0)
    }

    /// Returns the exponents as the released code computes them: without NaN steps, which hides
    /// divergence.
    pub fn exponents_skipping_nan(&self) -> Result<Vec<LyapunovExponents>> {
        let mean = self.number_sums.f_div(&self.numbers)?;
        self.per_copy(&mean, |numbers| self.steps.saturating_sub(numbers))
    }

    fn per_copy(
        &self,
        mean: &Tensor,
        skipped: impl Fn(u64) -> u64,
    ) -> Result<Vec<LyapunovExponents>> {
        let mut copies = Vec::new();
        for (nats, numbers) in mean.f_unbind(0)?.iter().zip(self.numbers.f_unbind(0)?) {
            let counts = Vec::<i64>::try_from(numbers.f_to_dtype(Kind::Int64, false, false)?)?;
            let counts = counts.into_iter().map(i64::unsigned_abs);
            let skipped_nan = counts.map(&skipped).collect();
            copies.push(LyapunovExponents { nats: to_doubles(nats)?, skipped_nan });
        }
        Ok(copies)
    }

    /// Advances `system` and the columns; returns ln R_ii [B, k].
    fn step(&mut self, system: &mut dyn DynamicalSystem) -> Result<Tensor> {
        let pushed = system.push(&self.columns)?.f_to_dtype(Kind::Double, false, false)?;
        let (q, r) = Tensor::f_linalg_qr(&pushed, "reduced")?;
        let diagonal = r.f_diagonal(0, 1, 2)?;
        // Not `sign`, which would erase the column of a zero.
        let negative = diagonal.f_lt(0.0)?;
        let signs = diagonal.f_ones_like()?.f_masked_fill(&negative, -1.0)?;
        self.columns = q.f_mul(&signs.f_unsqueeze(1)?)?;
        diagonal.f_abs()?.f_log()
    }
}

/// Returns `copies` times the first `count` columns of a random orthogonal matrix: Q of the QR
/// decomposition of an N(0, 1) matrix [`dimension`, `count`].
pub fn random_columns(
    copies: i64,
    dimension: i64,
    count: i64,
    rng: &mut TrialRng,
) -> Result<Tensor> {
    let normals: Vec<f64> = (0..dimension * count).map(|_| rng.normal()).collect();
    let normals = from_doubles(&normals, &[dimension, count], Kind::Double)?;
    let (q, _) = Tensor::f_linalg_qr(&normals, "reduced")?;
    q.f_unsqueeze(0)?.f_repeat([copies, 1, 1])
}

#[cfg(test)]
mod tests;
