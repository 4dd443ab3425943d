//! The activation family gamma(x; n, s) = (1 - s) softplus(n x) / n + s sigma(n x) with its exact
//! derivatives, finite wherever they should be (Geadah et al. 2024; science reference, section 2).
//!
//! The derivatives are computed here instead of by automatic differentiation: those of the composed
//! formula cancel (the entropy form of the derivative with respect to n does not) and turn
//! infinities of unused branches into NaN. Rust code cannot define a derivative for libtorch. So a
//! value enters the graph as its own linearisation, `value + slope (x - detach x) + ...`, whose
//! brackets are exactly zero and whose derivatives are exactly the slopes.

use rheo_kernels::GainSaturation;
use tch::{Result, Tensor, no_grad_guard};

use crate::neuron_slopes::NeuronSlopes;

/// The smallest absolute gain that is used unchanged. A gain closer to zero is replaced by plus or
/// minus this value, and the derivative with respect to n is zero there: for s != 1 the curve
/// diverges like (1 - s) ln 2 / n, with opposite signs on both sides.
pub const GAIN_GUARD: f64 = 1e-3;

/// Limit of |n x|: exp(-700) is a normal double, so no product with it is infinity times zero;
/// single precision reaches zero long before.
const FAR: f64 = 700.0;

/// Prepared gains and saturations, for inputs that broadcast against them.
pub struct GammaCurve {
    gain: Tensor,
    saturation: Tensor,
    /// 1 - s.
    linear: Tensor,
    slopes: Option<SlopeFactors>,
    /// Number of gains that the guard replaced because they were too close to zero.
    pub guard_hits: u64,
    /// Number of gains below zero.
    pub negative_gains: u64,
}

/// Factors of the derivatives, besides gain and saturation.
struct SlopeFactors {
    /// s n.
    steep: Tensor,
    /// Derivatives with respect to n and s, unless both are constants.
    shape: Option<ShapeSlopes>,
}

struct ShapeSlopes {
    /// -(1 - s) / n^2, zero where the gain was replaced.
    entropy: Tensor,
    /// s, zero where the gain was replaced.
    saturation: Tensor,
    /// n - detach n: zero, with a path to n in the graph.
    gain_path: Tensor,
    /// s - detach s: zero, with a path to s in the graph.
    saturation_path: Tensor,
}

impl GammaCurve {
    /// Prepares the curves of gain `n` and saturation `s`, of equal shapes. `differentiable` tells
    /// whether derivatives with respect to the inputs are needed; those with respect to `n` and `s`
    /// are included if these require gradients.
    pub fn new(n: &Tensor, s: &Tensor, differentiable: bool) -> Result<Self> {
        // Detached tensors keep these computations out of the graph.
        let (gain, saturation) = (n.f_detach()?, s.f_detach()?);
        let paths = GainSaturation { n: n.f_sub(&gain)?, s: s.f_sub(&saturation)? };
        let guarded = GuardedGain::new(&gain)?;
        let linear = saturation.f_rsub_scalar(1.0)?;
        let slopes = if differentiable {
            let learned = paths.n.requires_grad();
            Some(SlopeFactors::new(&guarded, &linear, &saturation, learned.then_some(paths))?)
        } else {
            None
        };
        Ok(Self {
            gain: guarded.gain,
            saturation,
            linear,
            slopes,
            guard_hits: guarded.hits,
            negative_gains: guarded.negatives,
        })
    }

    /// Returns gamma(x; n, s), element by element.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let fixed = x.f_detach()?;
        let parts = GammaTerms::new(&fixed, &self.gain)?;
        let value = parts.value(&self.linear, &self.saturation)?;
        let Some(slopes) = &self.slopes else { return Ok(value) };
        let value =
            value.f_addcmul(&parts.grad_x(&self.linear, &slopes.steep)?, &x.f_sub(&fixed)?)?;
        let Some(shape) = &slopes.shape else { return Ok(value) };
        let grad_n = parts.grad_n(&fixed, &shape.entropy, &shape.saturation)?;
        let value = value.f_addcmul(&grad_n, &shape.gain_path)?;
        value.f_addcmul(&parts.grad_s, &shape.saturation_path)
    }
}

impl SlopeFactors {
    /// Returns the factors for `linear` = 1 - s and for s, with the paths of the graph to n and s,
    /// if any.
    fn new(
        guarded: &GuardedGain,
        linear: &Tensor,
        s: &Tensor,
        paths: Option<GainSaturation<Tensor>>,
    ) -> Result<Self> {
        let n = &guarded.gain;
        let shape = match paths {
            Some(paths) => Some(ShapeSlopes {
                // Two divisions, because n^2 may overflow.
                entropy: guarded.zero_inside(linear.f_neg()?.f_div_(n)?.f_div_(n)?)?,
                saturation: guarded.zero_inside(s.shallow_clone())?,
                gain_path: paths.n,
                saturation_path: paths.s,
            }),
            None => None,
        };
        Ok(Self { steep: s.f_mul(n)?, shape })
    }
}

/// A gain after the guard.
struct GuardedGain {
    gain: Tensor,
    /// Mask of the replaced gains, if any.
    inside: Option<Tensor>,
    hits: u64,
    negatives: u64,
}

impl GuardedGain {
    fn new(n: &Tensor) -> Result<Self> {
        // One cheap check suffices in ordinary runs, where all gains are well above zero.
        if n.f_min()?.f_double_value(&[])? >= GAIN_GUARD {
            return Ok(Self { gain: n.shallow_clone(), inside: None, hits: 0, negatives: 0 });
        }
        let inside = n.f_abs()?.f_lt(GAIN_GUARD)?;
        let below = n.f_lt(0.0)?;
        let nearest = n.f_full_like(GAIN_GUARD)?.f_masked_fill(&below, -GAIN_GUARD)?;
        Ok(Self {
            gain: nearest.f_where_self(&inside, n)?,
            hits: count(&inside)?,
            negatives: count(&below)?,
            inside: Some(inside),
        })
    }

    /// Returns `values` with zeros where the gain was replaced.
    fn zero_inside(&self, values: Tensor) -> Result<Tensor> {
        match &self.inside {
            Some(inside) => values.f_masked_fill(inside, 0.0),
            None => Ok(values),
        }
    }
}

/// Numbers of gains that the gain policy counts.
pub(crate) struct GainCounts {
    /// Gains that the guard replaced because they were too close to zero.
    pub(crate) guard_hits: u64,
    /// Gains below zero.
    pub(crate) negative_gains: u64,
}

/// Counts the gains `n`.
pub(crate) fn gain_counts(n: &Tensor) -> Result<GainCounts> {
    let guarded = GuardedGain::new(&n.f_detach()?)?;
    Ok(GainCounts { guard_hits: guarded.hits, negative_gains: guarded.negatives })
}

/// Returns the derivatives of gamma at `x` for gain `n` and saturation `s`, which broadcast against
/// `x`.
pub fn slopes(x: &Tensor, n: &Tensor, s: &Tensor) -> Result<NeuronSlopes> {
    let _guard = no_grad_guard();
    let guarded = GuardedGain::new(n)?;
    let parts = GammaTerms::new(x, &guarded.gain)?;
    let linear = s.f_rsub_scalar(1.0)?;
    let steep = s.f_mul(&guarded.gain)?;
    let entropy = linear.f_neg()?.f_div_(&guarded.gain)?.f_div_(&guarded.gain)?;
    let entropy = guarded.zero_inside(entropy)?;
    let saturation = guarded.zero_inside(s.shallow_clone())?;
    Ok(NeuronSlopes {
        x: parts.grad_x(&linear, &steep)?,
        shape: Some(GainSaturation { n: parts.grad_n(x, &entropy, &saturation)?, s: parts.grad_s }),
    })
}

/// sigma(x) sigma(-x), the derivative of the logistic function, without cancellation.
pub(crate) fn bell(x: &Tensor) -> Result<Tensor> {
    x.f_sigmoid()?.f_mul(&x.f_neg()?.f_sigmoid()?)
}

/// Returns the number of true elements of a Boolean tensor.
fn count(mask: &Tensor) -> Result<u64> {
    Ok(mask.f_sum(tch::Kind::Int64)?.f_int64_value(&[])?.unsigned_abs())
}

/// Terms shared by value and derivatives, with z = n x and m = min(|z|, 700).
struct GammaTerms {
    /// m.
    distance: Tensor,
    /// sigma(-m).
    small: Tensor,
    /// sigma(z) sigma(-z), without the cancellation of t (1 - t).
    bell: Tensor,
    /// log1p(exp(-m)), the excess of softplus over max(z, 0).
    tail: Tensor,
    /// sigma(z).
    sigmoid: Tensor,
    /// sigma(z) - softplus(z) / n: the derivative with respect to s.
    grad_s: Tensor,
    /// softplus(z) / n.
    soft: Tensor,
}

impl GammaTerms {
    fn new(x: &Tensor, n: &Tensor) -> Result<Self> {
        let z = x.f_mul(n)?;
        let positive = z.f_gt(0.0)?;
        let distance = z.f_abs()?.f_clamp_max_(FAR)?;
        let decay = distance.f_neg()?.f_exp_()?;
        let large = decay.f_add_scalar(1.0)?.f_reciprocal_()?;
        let small = decay.f_mul(&large)?;
        let tail = decay.f_log1p()?;
        let sigmoid = large.f_where_self(&positive, &small)?;
        // max(z, 0) / n is x or 0; neither overflows.
        let rectified = x.f_where_scalarother(&positive, 0.0)?;
        let soft = rectified.f_addcdiv(&tail, n)?;
        let grad_s = sigmoid.f_sub(&soft)?;
        let bell = small.f_mul(&large)?;
        Ok(Self { distance, small, bell, tail, sigmoid, grad_s, soft })
    }

    /// (1 - s) softplus(z) / n + s sigma(z). The form with a single product, soft + s (sigma -
    /// soft), would cancel where s is near 1 and x large.
    fn value(&self, linear: &Tensor, s: &Tensor) -> Result<Tensor> {
        self.soft.f_mul(linear)?.f_addcmul_(&self.sigmoid, s)
    }

    /// Derivative with respect to x: (1 - s) t + s n t (1 - t) with t = sigma(z).
    fn grad_x(&self, linear: &Tensor, steep: &Tensor) -> Result<Tensor> {
        self.sigmoid.f_mul(linear)?.f_addcmul_(&self.bell, steep)
    }

    /// Derivative with respect to n: -((1 - s) / n^2) Hb(t) + s x t (1 - t) with the binary entropy
    /// Hb(t) = m sigma(-m) + log1p(exp(-m)).
    fn grad_n(&self, x: &Tensor, entropy: &Tensor, saturation: &Tensor) -> Result<Tensor> {
        let binary = self.tail.f_addcmul(&self.distance, &self.small)?;
        let bell = self.bell.f_mul(x)?;
        binary.f_mul(entropy)?.f_addcmul_(&bell, saturation)
    }
}
