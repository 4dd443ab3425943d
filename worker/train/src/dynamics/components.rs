//! Principal components of many states, without storing the states.

use tch::{Device, Kind, Result, Tensor};

/// Components whose variance is below this fraction of the largest are rounding errors; scaled to
/// unit variance they would look like coordinates.
const NOISE: f64 = 1e-12;

/// Running sums over states, in double precision.
pub struct StateMoments {
    count: f64,
    /// Sums [H].
    sum: Tensor,
    /// Sums of products [H, H].
    products: Tensor,
}

/// First principal components of some states.
pub struct StateComponents {
    /// Mean state [H].
    mean: Tensor,
    /// Directions [H, C], each divided by the standard deviation along it.
    axes: Tensor,
}

impl StateMoments {
    /// Returns zero sums for states with `size` elements.
    pub fn new(size: i64, device: Device) -> Result<Self> {
        let sum = Tensor::f_zeros([size], (Kind::Double, device))?;
        let products = Tensor::f_zeros([size, size], (Kind::Double, device))?;
        Ok(Self { count: 0.0, sum, products })
    }

    /// Adds `states` [N, H].
    pub fn add(&mut self, states: &Tensor) -> Result<()> {
        let states = states.f_to_dtype(Kind::Double, false, false)?;
        let (count, _) = states.size2()?;
        let _ = self.sum.f_add_(&states.f_sum_dim_intlist(0, false, Kind::Double)?)?;
        let _ = self.products.f_addmm_(&states.f_transpose(0, 1)?, &states)?;
        self.count += count as f64;
        Ok(())
    }

    /// Returns the standard deviation of each element [H]; 1 for a constant element.
    pub fn deviations(&self) -> Result<Tensor> {
        let mean = self.sum.f_div_scalar(self.count)?;
        let squares = self.products.f_diagonal(0, 0, 1)?.f_div_scalar(self.count)?;
        let variances = squares.f_sub(&mean.f_square()?)?;
        // Rounding errors of a constant scale with its square.
        let still = variances.f_le_tensor(&squares.f_mul_scalar(NOISE)?)?;
        variances.f_masked_fill(&still, 1.0)?.f_sqrt()
    }

    /// Returns the directions of the largest variance, at most `count`, without those that are only
    /// rounding; none if a state was not finite.
    pub fn components(&self, count: i64) -> Result<StateComponents> {
        let mean = self.sum.f_div_scalar(self.count)?;
        let outer = mean.f_outer(&mean)?;
        let covariance = self.products.f_div_scalar(self.count)?.f_sub(&outer)?;
        if covariance.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            let axes = covariance.f_narrow(1, 0, 0)?;
            return Ok(StateComponents { mean, axes });
        }
        // Eigenvalues are in ascending order.
        let (variances, axes) = covariance.f_linalg_eigh("L")?;
        let (variances, axes) = (variances.f_flip([0])?, axes.f_flip([1])?);
        let variances = crate::tensor::to_doubles(&variances)?;
        let largest = variances.first().copied().unwrap_or(0.0);
        let real = (0..count)
            .zip(&variances)
            .take_while(|(_, variance)| **variance > NOISE * largest)
            .count();
        let deviations: Vec<f64> = variances.iter().take(real).map(|v| v.sqrt()).collect();
        let real = crate::tensor::length(real)?;
        let deviations = Tensor::f_from_slice(&deviations)?.f_to_device(axes.device())?;
        Ok(StateComponents { mean, axes: axes.f_narrow(1, 0, real)?.f_div(&deviations)? })
    }
}

impl StateComponents {
    /// Returns the number of components.
    pub fn count(&self) -> Result<i64> {
        self.axes.size2().map(|(_, count)| count)
    }

    /// Returns the coordinates [N, C] of `states` [N, H], each with standard deviation 1 over the
    /// states that the components were computed from.
    pub fn scores(&self, states: &Tensor) -> Result<Tensor> {
        let states = states.f_to_dtype(Kind::Double, false, false)?;
        states.f_sub(&self.mean)?.f_matmul(&self.axes)
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};

    use super::*;
    use crate::tensor::to_doubles;

    /// Returns 500 states of 4 elements that lie in a plane away from the origin.
    fn states() -> Tensor {
        let mut rng = TrialRng::new(1, Purpose::Analysis);
        let values: Vec<f64> = (0..500)
            .flat_map(|_| {
                let (u, v) = (3.0 * rng.normal(), rng.normal());
                [u + v + 1.0, u - v, 2.0 * v - 5.0, u]
            })
            .collect();
        Tensor::from_slice(&values).view([500, 4])
    }

    fn moments(parts: &[Tensor]) -> StateMoments {
        let mut moments = StateMoments::new(4, Device::Cpu).unwrap();
        for part in parts {
            moments.add(part).unwrap();
        }
        moments
    }

    #[test]
    fn scores_are_centred_and_uncorrelated_with_unit_variance() {
        let states = states();
        let components =
            moments(&[states.narrow(0, 0, 123), states.narrow(0, 123, 377)]).components(2).unwrap();
        let scores = components.scores(&states).unwrap();
        assert!(scores.mean_dim(0, false, Kind::Double).abs().max().double_value(&[]) < 1e-12);
        let covariance = scores.transpose(0, 1).matmul(&scores) / 500.0;
        let eye = Tensor::eye(2, (Kind::Double, Device::Cpu));
        let off = (covariance - eye).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{off}");
    }

    #[test]
    fn the_first_component_has_the_largest_variance() {
        let states = states();
        let found = moments(&[states.shallow_clone()]).components(1).unwrap().scores(&states);
        let centred = &states - states.mean_dim(0, true, Kind::Double);
        let (u, _, _) = centred.svd(true, true);
        // A score is a left singular vector at unit variance, up to its sign.
        let (found, first) = (found.unwrap().select(1, 0), u.select(1, 0) * 500f64.sqrt());
        let overlap = (found * first).mean(Kind::Double).abs().double_value(&[]);
        assert!((overlap - 1.0).abs() < 1e-10, "{overlap}");
    }

    #[test]
    fn only_varying_elements_have_a_deviation() {
        let values = [1.0f64, 0.1, 3.0, 0.1, 1.0, 0.1, 3.0, 0.1];
        let mut moments = StateMoments::new(2, Device::Cpu).unwrap();
        moments.add(&Tensor::from_slice(&values).view([4, 2])).unwrap();
        assert_eq!(to_doubles(&moments.deviations().unwrap()).unwrap(), [1.0, 1.0]);
        moments.add(&Tensor::from_slice(&[2.0f64, 0.1]).view([1, 2])).unwrap();
        let found = to_doubles(&moments.deviations().unwrap()).unwrap();
        assert!((found[0] - 0.8f64.sqrt()).abs() < 1e-15 && found[1..] == [1.0], "{found:?}");
    }

    #[test]
    fn rounding_is_no_component() {
        let components = moments(&[states()]).components(3).unwrap();
        assert_eq!(components.count().unwrap(), 2);
        let infinite = moments(&[Tensor::full([9, 4], f64::INFINITY, (Kind::Double, Device::Cpu))]);
        assert_eq!(infinite.components(3).unwrap().count().unwrap(), 0);
        let nothing = moments(&[Tensor::ones([9, 4], (Kind::Double, Device::Cpu))]);
        let none = nothing.components(3).unwrap();
        assert_eq!(none.count().unwrap(), 0);
        assert!(to_doubles(&none.scores(&states()).unwrap()).unwrap().is_empty());
    }
}
