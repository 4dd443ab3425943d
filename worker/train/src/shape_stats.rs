//! Statistics of the neurons' *shapes*, that is their gains and saturations, while a network runs:
//! counters of the gain policy, and moments over neurons, time and samples.
//!
//! Separate from the networks, because measuring does not change their results.

use rheo_kernels::GainStats;
use tch::{Device, Kind, Result, Tensor, no_grad_guard};

use crate::gamma::{self, GammaCurve};

/// Counters and, if requested, moments of the gains and saturations in forward passes.
#[derive(Debug)]
pub struct ShapeStats {
    /// Gains that the guard replaced because they were too close to zero.
    pub guard_hits: u64,
    /// Negative gains.
    pub negative_gains: u64,
    moments: Option<ShapeMoments>,
}

/// Sums over time and samples, one column per neuron.
#[derive(Debug)]
pub(crate) struct ShapeMoments {
    /// Sums of n, n^2, s and s^2, double precision [4, H].
    pub(crate) sums: Tensor,
    /// Number of (step, sample) pairs in each sum.
    pub(crate) count: u64,
}

impl ShapeStats {
    /// Returns statistics that only count, which is cheap enough for a training step.
    pub fn counting() -> Self {
        Self { guard_hits: 0, negative_gains: 0, moments: None }
    }

    /// Returns statistics that also sum up the gains and saturations of `hidden` neurons.
    pub(crate) fn measuring(hidden: u32) -> Result<Self> {
        let sums = Tensor::f_zeros([4, i64::from(hidden)], (Kind::Double, Device::Cpu))?;
        Ok(Self { moments: Some(ShapeMoments { sums, count: 0 }), ..Self::counting() })
    }

    /// Continues from earlier sums.
    pub(crate) fn resume_from(moments: ShapeMoments) -> Self {
        Self { moments: Some(moments), ..Self::counting() }
    }

    /// Returns the moments, if any were measured.
    pub(crate) fn moments(&self) -> Option<&ShapeMoments> {
        self.moments.as_ref().filter(|moments| moments.count > 0)
    }

    /// Adds the counts of one forward pass or one step of it.
    pub(crate) fn count(&mut self, curve: &GammaCurve) {
        self.guard_hits += curve.guard_hits;
        self.negative_gains += curve.negative_gains;
    }

    /// Counts gains that one forward pass uses at every step.
    pub(crate) fn count_gains(&mut self, n: &Tensor) -> Result<()> {
        let counts = gamma::gain_counts(n)?;
        self.guard_hits += counts.guard_hits;
        self.negative_gains += counts.negative_gains;
        Ok(())
    }

    /// Adds the statistics of a pass over `count` (step, sample) pairs.
    pub(crate) fn observe(&mut self, observed: &GainStats, count: usize) -> Result<()> {
        self.guard_hits += observed.guard_hits;
        self.negative_gains += observed.negative_gains;
        let Some(moments) = &mut self.moments else { return Ok(()) };
        if observed.moments.iter().all(|sums| !sums.is_empty()) {
            let sums = Tensor::f_from_slice(&observed.moments.concat())?;
            let _ = moments.sums.f_add_(&sums.f_reshape([4, -1])?)?;
            moments.count += count as u64;
        }
        Ok(())
    }

    /// Whether gains and saturations are summed up.
    pub(crate) fn measures(&self) -> bool {
        self.moments.is_some()
    }

    /// Adds the gains `n` and saturations `s`, both [B, H], of one step.
    pub(crate) fn measure(&mut self, n: &Tensor, s: &Tensor) -> Result<()> {
        let Some(moments) = &mut self.moments else {
            return Ok(());
        };
        let _guard = no_grad_guard();
        let n = n.f_to_dtype(Kind::Double, false, false)?;
        let s = s.f_to_dtype(Kind::Double, false, false)?;
        let columns = [
            n.f_sum_dim_intlist(0, false, Kind::Double)?,
            n.f_square()?.f_sum_dim_intlist(0, false, Kind::Double)?,
            s.f_sum_dim_intlist(0, false, Kind::Double)?,
            s.f_square()?.f_sum_dim_intlist(0, false, Kind::Double)?,
        ];
        let columns = Tensor::f_stack(&columns, 0)?.f_to_device(moments.sums.device())?;
        let _ = moments.sums.f_add_(&columns)?;
        moments.count += n.size().first().map_or(0, |batch| batch.unsigned_abs());
        Ok(())
    }
}

/// Gain and saturation of every neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct NeuronShapes {
    /// Gains.
    pub n: Vec<f64>,
    /// Saturations.
    pub s: Vec<f64>,
}

/// Mean and standard deviation of gain and saturation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShapeSpread {
    pub(crate) n_mean: f64,
    pub(crate) n_std: f64,
    pub(crate) s_mean: f64,
    pub(crate) s_std: f64,
}

impl ShapeMoments {
    /// Returns the mean of every neuron over time and samples.
    pub(crate) fn mean(&self) -> Result<NeuronShapes> {
        let count = self.count as f64;
        let [n, _, s, _] = self.rows()?;
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| sum / count).collect();
        Ok(NeuronShapes { n: mean(n), s: mean(s) })
    }

    /// Returns mean and standard deviation over neurons, time and samples.
    pub(crate) fn spread(&self) -> Result<ShapeSpread> {
        let [n, n2, s, s2] = self.rows()?;
        let count = self.count as f64 * n.len() as f64;
        let moments = |sums: &[f64], squares: &[f64]| {
            let mean = sums.iter().sum::<f64>() / count;
            let variance = squares.iter().sum::<f64>() / count - mean * mean;
            (mean, variance.max(0.0).sqrt())
        };
        let ((n_mean, n_std), (s_mean, s_std)) = (moments(&n, &n2), moments(&s, &s2));
        Ok(ShapeSpread { n_mean, n_std, s_mean, s_std })
    }

    fn rows(&self) -> Result<[Vec<f64>; 4]> {
        Ok([self.row(0)?, self.row(1)?, self.row(2)?, self.row(3)?])
    }

    fn row(&self, index: i64) -> Result<Vec<f64>> {
        crate::tensor::to_doubles(&self.sums.f_get(index)?)
    }
}

impl NeuronShapes {
    /// Returns mean and standard deviation over neurons.
    pub(crate) fn spread(&self) -> ShapeSpread {
        let moments = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        };
        let ((n_mean, n_std), (s_mean, s_std)) = (moments(&self.n), moments(&self.s));
        ShapeSpread { n_mean, n_std, s_mean, s_std }
    }
}
