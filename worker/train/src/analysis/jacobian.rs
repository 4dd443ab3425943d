//! Norms of the Jacobian dh_t / dh_(t-1) = diag(q_t) w_hh along test sequences, optionally also on
//! a grid of gains and saturations (science reference, section 7.2).

#[cfg(test)]
mod tests;

use rheo_model::row::{JacobianRow, Rows, Variant};
use tch::{Kind, Tensor, no_grad_guard};

use super::sequences::parts;
use super::{StopCheck, Study};
use crate::Error;
use crate::dynamics::norm::{self, IterationLimit, ROUNDS};
use crate::network::{GainSaturation, LayerStep, Network, RunConditions, ShapeOverride};
use crate::numerics::search::linspace;
use crate::shape_stats::ShapeStats;
use crate::tensor::{from_doubles, length, to_double};

/// Default number of test sequences.
const SAMPLES: u32 = 100;
/// Distance between measured steps.
const EVERY: u32 = 28;
/// Grid of gains and saturations: first, last, number.
const GAINS: (f64, f64, usize) = (1.0, 20.0, 20);
const SATURATIONS: (f64, f64, usize) = (0.0, 1.0, 10);
/// Sequences per batch.
const BATCH: usize = 50;

/// Returns one row for the path at fixed gain and saturation, for adaptive networks a second one
/// for the path through the controllers, and one per point of the grid if requested. Empty for
/// gated networks.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let Some(norms) = JacobianNorms::new(study)? else { return Ok(Rows::default()) };
    let mut jacobian = norms.measure(study, None, check_stop)?;
    if study.analysis.grid && study.network.kind().has_shape() {
        for n in linspace(GAINS.0, GAINS.1, GAINS.2) {
            for s in linspace(SATURATIONS.0, SATURATIONS.1, SATURATIONS.2) {
                jacobian.extend(norms.measure(study, Some(GainSaturation { n, s }), check_stop)?);
            }
        }
    }
    Ok(Rows { jacobian, ..Rows::default() })
}

/// Inputs of the norm computation.
struct JacobianNorms {
    /// w_hh [H, H], double precision.
    w_hh: Tensor,
    /// Start direction of the power iterations [H].
    start: Tensor,
}

/// Norm sums over steps and sequences.
struct NormSums {
    path: &'static str,
    count: f64,
    /// Spectral norm, infinity norm, and the norm of the released code.
    norms: [f64; 3],
}

impl JacobianNorms {
    fn new(study: &Study<'_>) -> tch::Result<Option<Self>> {
        let Some(w_hh) = study.network.parameter("w_hh") else { return Ok(None) };
        let mut rng = study.rng();
        let start: Vec<f64> = (0..study.network.hidden()).map(|_| rng.normal()).collect();
        Ok(Some(Self {
            w_hh: w_hh.f_to_dtype(Kind::Double, false, false)?,
            start: from_doubles(&start, &[length(start.len())?], Kind::Double)?,
        }))
    }

    /// Returns the mean norms over test sequences, with the network's own shapes or with one gain
    /// and saturation for all neurons.
    fn measure(
        &self,
        study: &Study<'_>,
        shape: Option<GainSaturation<f64>>,
        check_stop: StopCheck<'_>,
    ) -> Result<Vec<JacobianRow>, Error> {
        let network = study.network;
        let mut count = 0;
        let shape_override = match shape {
            Some(GainSaturation { n, s }) => {
                let vector = |value: f64| network.rest(1)?.h.f_squeeze()?.f_full_like(value);
                Some(ShapeOverride { n: vector(n)?, s: vector(s)? })
            }
            None => None,
        };
        let mut sums = Vec::new();
        let every = EVERY.min(study.task.steps().max(1));
        for part in parts(study, SAMPLES, BATCH)? {
            check_stop()?;
            let batch = part.load(study)?;
            count += part.count;
            let conditions = RunConditions {
                shape_override: shape_override.as_ref(),
                ..RunConditions::default()
            };
            let mut time = 0u32;
            let stats = &mut ShapeStats::counting();
            network.visit_states(&batch.inputs, conditions, stats, &mut |step| {
                time += 1;
                if time.is_multiple_of(every) {
                    self.add(&paths(network, step, shape_override.is_none())?, &mut sums)?;
                }
                Ok(())
            })?;
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(sums.iter().map(|sums| row(study.epoch, shape, sums, count)).collect())
    }

    /// Adds the norms for the slopes [B, H] of each path.
    fn add(&self, paths: &[(&'static str, Tensor)], sums: &mut Vec<NormSums>) -> tch::Result<()> {
        for (place, (path, q)) in paths.iter().enumerate() {
            if sums.len() <= place {
                sums.push(NormSums { path, count: 0.0, norms: [0.0; 3] });
            }
            let [spectral, infinity, released] = self.of(q, ROUNDS)?;
            let Some(sums) = sums.get_mut(place) else { continue };
            sums.count += q.size2()?.0 as f64;
            for (sum, norms) in sums.norms.iter_mut().zip([spectral, infinity, released]) {
                *sum += to_double(&norms.f_sum(Kind::Double)?)?;
            }
        }
        Ok(())
    }

    /// Returns the three norms [B] for slopes `q` [B, H].
    fn of(&self, q: &Tensor, rounds: IterationLimit) -> tch::Result<[Tensor; 3]> {
        Ok([
            norm::spectral(q, &self.w_hh, &self.start, rounds)?,
            norm::infinity(q, &self.w_hh)?,
            norm::released(q, &self.w_hh)?,
        ])
    }
}

/// Returns the slopes [B, H] of each path through a step, in double precision; `adapts` tells
/// whether the controllers were active.
fn paths(
    network: &Network,
    step: &LayerStep,
    adapts: bool,
) -> tch::Result<Vec<(&'static str, Tensor)>> {
    let Some(slopes) = network.slopes(step)? else { return Ok(Vec::new()) };
    let double = |tensor: &Tensor| tensor.f_to_dtype(Kind::Double, false, false);
    let x = double(&slopes.x)?.f_expand_as(&step.state.h)?;
    let mut paths = vec![("direct", x.shallow_clone())];
    let weights = ["u_ag", "w_gn", "w_gs"].map(|name| network.parameter(name).filter(|_| adapts));
    if let ([Some(u), Some(w_gn), Some(w_gs)], Some(GainSaturation { n, s }), Some(g)) =
        (weights, &slopes.shape, &step.state.inner)
    {
        // q_i = gamma_x + sum_k (gamma_n w_gn[k] + gamma_s w_gs[k]) (1 - g_ik^2) u_ag[k].
        let bend = double(g)?.f_square()?.f_rsub_scalar(1.0)?;
        let through = |w: &Tensor| {
            let weights = double(w)?.f_transpose(0, 1)?.f_mul(&double(u)?)?;
            bend.f_matmul(&weights)?.f_reshape_as(&x)
        };
        let by_n = double(n)?.f_mul(&through(w_gn)?)?;
        let by_s = double(s)?.f_mul(&through(w_gs)?)?;
        paths.push(("total", x.f_add(&by_n)?.f_add(&by_s)?));
    }
    Ok(paths)
}

fn row(
    epoch: i32,
    shape: Option<GainSaturation<f64>>,
    sums: &NormSums,
    samples: u32,
) -> JacobianRow {
    let [norm_spectral, norm_inf, norm_released] = sums.norms.map(|sum| sum / sums.count);
    JacobianRow {
        epoch,
        variant: Variant::Corrected,
        n: shape.map(|shape| shape.n),
        s: shape.map(|shape| shape.s),
        path: sums.path.to_owned(),
        norm_spectral,
        norm_inf,
        norm_released: (sums.path == "direct").then_some(norm_released),
        samples,
    }
}
