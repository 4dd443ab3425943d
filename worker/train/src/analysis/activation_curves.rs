//! The curves gamma(x; n, s) of the neurons, as in the first figure (science reference, section 8).

use rheo_model::row::{ActivationCurveRow, Rows, Variant};
use tch::{Tensor, no_grad_guard};

use super::{StopCheck, Study, shapes};
use crate::Error;
use crate::gamma::{self, GammaCurve};
use crate::network::GainSaturation;
use crate::numerics::search::linspace;
use crate::shape_stats::NeuronShapes;
use crate::tensor::to_doubles;

/// Maximum number of curves per network.
const CURVES: usize = 100;

/// Number of points per curve, and the ends of the range of x.
const POINTS: usize = 101;
const FARTHEST: f64 = 5.0;

/// Returns one row per curve and point; adaptive neurons are drawn with their mean gain and
/// saturation.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let _guard = no_grad_guard();
    let mut rows = Rows::default();
    let Some(shape) = shapes::measure(study.network, study.task, check_stop)? else {
        return Ok(rows);
    };
    let x = linspace(-FARTHEST, FARTHEST, POINTS);
    for GainSaturation { n, s } in evenly(&distinct(&shape), CURVES) {
        let CurveSamples { values, slopes } = curve(&x, n, s)?;
        let row = |(&x, (value, slope))| ActivationCurveRow {
            epoch: study.epoch,
            variant: Variant::Corrected,
            n,
            s,
            x,
            value,
            slope,
        };
        rows.activation_curves.extend(x.iter().zip(values.into_iter().zip(slopes)).map(row));
    }
    Ok(rows)
}

/// Returns the distinct pairs of gain and saturation, in the order of the neurons.
fn distinct(shape: &NeuronShapes) -> Vec<GainSaturation<f64>> {
    let mut pairs = Vec::new();
    for (&n, &s) in shape.n.iter().zip(&shape.s) {
        let pair = GainSaturation { n, s };
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    pairs
}

/// Returns all `items`, or `most` of them at equal distances, including the first.
fn evenly<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let count = items.len().min(most);
    (0..count).map(|i| items[i * items.len() / count]).collect()
}

/// Values and slopes of gamma at some points.
struct CurveSamples {
    /// Value at each point.
    values: Vec<f64>,
    /// Slope at each point.
    slopes: Vec<f64>,
}

/// Evaluates gamma at each point of `x`.
fn curve(x: &[f64], n: f64, s: f64) -> tch::Result<CurveSamples> {
    let scalar = |value: f64| Tensor::f_from_slice(&[value]);
    let (x, n, s) = (Tensor::f_from_slice(x)?, scalar(n)?, scalar(s)?);
    let values = GammaCurve::new(&n, &s, false)?.apply(&x)?;
    let slopes = gamma::slopes(&x, &n, &s)?.x;
    Ok(CurveSamples { values: to_doubles(&values)?, slopes: to_doubles(&slopes)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_shapes_are_thinned_out_evenly() {
        let items: Vec<usize> = (0..250).collect();
        let chosen = evenly(&items, 100);
        assert_eq!(chosen.len(), 100);
        assert_eq!(&chosen[..4], &[0, 2, 5, 7]);
        assert!(chosen.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))));
        assert_eq!(evenly(&items[..7], 100), &items[..7]);
        assert!(evenly(&items[..0], 100).is_empty());
    }

    #[test]
    fn equal_shapes_are_one_curve() {
        let shape = NeuronShapes { n: vec![2.0, 3.0, 2.0, 2.0], s: vec![0.0, 0.0, 0.0, 0.5] };
        let expected = [(2.0, 0.0), (3.0, 0.0), (2.0, 0.5)];
        assert_eq!(distinct(&shape), expected.map(|(n, s)| GainSaturation { n, s }));
    }
}
