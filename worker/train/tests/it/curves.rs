//! The activation family against the reference values, in double precision, and at its extremes.

use rheo_core::rng::{Purpose, TrialRng};
use rheo_train::gamma::{self, GAIN_GUARD, GammaCurve};
use rheo_train::network::GainSaturation;
use serde_json::Value;
use tch::{Kind, Tensor, no_grad};

use crate::support::{doubles, one_thread, oracles};

/// Returns value and derivatives with respect to x, n and s at every triple, as the graph computes
/// them.
fn differentiate(points: &[[f64; 3]], kind: Kind) -> [Vec<f64>; 4] {
    let leaf = |axis: usize| {
        let values: Vec<f64> = points.iter().map(|point| point[axis]).collect();
        Tensor::from_slice(&values).to_kind(kind).set_requires_grad(true)
    };
    one_thread();
    let (x, n, s) = (leaf(0), leaf(1), leaf(2));
    let value = GammaCurve::new(&n, &s, true).unwrap().apply(&x).unwrap();
    let slopes = Tensor::run_backward(&[value.sum(kind)], &[&x, &n, &s], false, false);
    [doubles(&value), doubles(&slopes[0]), doubles(&slopes[1]), doubles(&slopes[2])]
}

fn triples(points: &Value) -> Vec<[f64; 3]> {
    let point = |point: &Value| ["x", "n", "s"].map(|name| point[name].as_f64().unwrap());
    points.as_array().unwrap().iter().map(point).collect()
}

#[test]
fn the_curve_and_its_slopes_have_the_reference_values() {
    let oracles = oracles();
    for set in ["points", "guarded"] {
        let points = &oracles["activation"][set];
        let found = differentiate(&triples(points), Kind::Double);
        for (place, point) in points.as_array().unwrap().iter().enumerate() {
            for (values, name) in found.iter().zip(["value", "dx", "dn", "ds"]) {
                let expected = point[name].as_f64().unwrap();
                // The reference has 12 digits and needs no absolute tolerance.
                let off = (values[place] - expected).abs();
                assert!(off <= 1e-11 * expected.abs(), "{set} {place} {name}: {}", values[place]);
            }
        }
    }
}

#[test]
fn the_curve_and_its_slopes_are_finite_everywhere() {
    let mut rng = TrialRng::new(0, Purpose::Noise);
    for (kind, large) in [(Kind::Double, 300), (Kind::Float, 37)] {
        let mut magnitude = |sign: bool, most: i32| {
            let exponent = rng.uniform(-f64::from(most), f64::from(most));
            let value = 10f64.powf(exponent);
            if sign && rng.unit() < 0.5 { -value } else { value }
        };
        let mut points: Vec<[f64; 3]> = (0..100_000)
            .map(|i| {
                // Half of the points are ordinary, half have any magnitude.
                let most = if i % 2 == 0 { 1 } else { large };
                [magnitude(true, most), magnitude(true, most), magnitude(true, 0) * 1.5]
            })
            .collect();
        for x in [0.0, -0.0, 10f64.powi(large), -(10f64.powi(large))] {
            for n in [0.0, -0.0, GAIN_GUARD, -GAIN_GUARD, 1e-30, 10f64.powi(large)] {
                points.extend([0.0, 1.0, -0.05, 1.5].map(|s| [x, n, s]));
            }
        }
        let found = differentiate(&points, kind);
        for (values, what) in found.iter().zip(["value", "dx", "dn", "ds"]) {
            let odd = values.iter().position(|value| !value.is_finite());
            assert_eq!(odd.map(|i| points[i]), None, "{what} in {kind:?}");
        }
        let slopes = slopes(&points, kind);
        for ((found, slopes), what) in found[1..].iter().zip(&slopes).zip(["dx", "dn", "ds"]) {
            let is_same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs();
            let odd = slopes.iter().zip(found).position(|pair| !is_same(pair));
            assert_eq!(odd.map(|i| points[i]), None, "slope {what} in {kind:?}");
        }
    }
}

/// Returns the derivatives with respect to x, n and s of [`gamma::slopes`] at every triple.
fn slopes(points: &[[f64; 3]], kind: Kind) -> [Vec<f64>; 3] {
    let [x, n, s] = [0, 1, 2].map(|axis| {
        let values: Vec<f64> = points.iter().map(|point| point[axis]).collect();
        Tensor::from_slice(&values).to_kind(kind)
    });
    let slopes = gamma::slopes(&x, &n, &s).unwrap();
    let GainSaturation { n: by_n, s: by_s } = slopes.shape.unwrap();
    [doubles(&slopes.x), doubles(&by_n), doubles(&by_s)]
}

#[test]
fn without_gradients_the_curve_has_the_same_bits() {
    let values = |range: f64| Tensor::linspace(-range, range, 97, (Kind::Float, tch::Device::Cpu));
    let (x, n, s) = (values(4.0), values(7.0), values(0.8));
    let with = {
        let x = x.shallow_clone().set_requires_grad(true);
        GammaCurve::new(&n, &s, true).unwrap().apply(&x).unwrap()
    };
    let without = no_grad(|| GammaCurve::new(&n, &s, false).unwrap().apply(&x).unwrap());
    assert_eq!(doubles(&with), doubles(&without));
}

#[test]
fn gains_near_and_below_zero_are_counted() {
    let n = Tensor::from_slice(&[0.0, -0.0, 5e-4, -5e-4, GAIN_GUARD, -GAIN_GUARD, -3.0, 3.0]);
    let curve = GammaCurve::new(&n, &n.zeros_like(), false).unwrap();
    assert_eq!((curve.guard_hits, curve.negative_gains), (4, 3));
    let ordinary = GammaCurve::new(&n.ones_like(), &n, false).unwrap();
    assert_eq!((ordinary.guard_hits, ordinary.negative_gains), (0, 0));
}

#[test]
fn a_step_stays_below_one_far_out() {
    let x = [1e3, 1e6 + 0.3, 2e7];
    for kind in [Kind::Double, Kind::Float] {
        let points = x.map(|x| [x, 1.0, 1.0]);
        assert_eq!(differentiate(&points, kind)[0], [1.0; 3], "{kind:?}");
    }
}
