//! Contours on which the slope of gamma has a given value (science reference, sections 2 and 7.2).
//!
//! The slope is linear in the saturation, so the level set has one saturation per input and gain,
//! in closed form; no contour is traced on a grid.

/// gamma_x(x; n, s) = (1 - s) t + s n t (1 - t) with t = sigma(n x).
pub fn slope(x: f64, n: f64, s: f64) -> f64 {
    let SigmoidPair { value: t, rest } = sigmoids(n * x);
    (1.0 - s) * t + s * n * t * rest
}

/// Returns the saturation s at which gamma_x(x; n, s) = `slope`; none where the slope does not
/// depend on s, that is n (1 - t) = 1.
pub fn saturation(x: f64, n: f64, slope: f64) -> Option<f64> {
    let SigmoidPair { value: t, rest } = sigmoids(n * x);
    let by_s = t * (n * rest - 1.0);
    // slope - t, without cancellation where both are almost 1.
    let s = ((slope - 1.0) + rest) / by_s;
    s.is_finite().then_some(s)
}

/// The logistic function at a point, and its complement.
struct SigmoidPair {
    /// sigma(z).
    value: f64,
    /// 1 - sigma(z).
    rest: f64,
}

/// Computes sigma(z) and 1 - sigma(z) without taking a difference.
fn sigmoids(z: f64) -> SigmoidPair {
    let decay = (-z.abs()).exp();
    let (large, small) = (1.0 / (1.0 + decay), decay / (1.0 + decay));
    let (value, rest) = if z >= 0.0 { (large, small) } else { (small, large) };
    SigmoidPair { value, rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::search::linspace;

    fn oracles() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap()
    }

    #[test]
    fn slopes_have_the_reference_values() {
        for point in oracles()["activation"]["points"].as_array().unwrap() {
            let [x, n, s, dx] = ["x", "n", "s", "dx"].map(|name| point[name].as_f64().unwrap());
            let found = slope(x, n, s);
            assert!((found - dx).abs() <= 1e-11 * dx.abs(), "{point}: {found}");
        }
    }

    #[test]
    fn slopes_reach_their_suprema_and_no_further() {
        for bound in oracles()["slope_bound"].as_array().unwrap() {
            let [n, s, sup, sup_abs] =
                ["n", "s", "sup", "sup_abs"].map(|name| bound[name].as_f64().unwrap());
            let slopes: Vec<f64> =
                linspace(-60.0, 60.0, 400_001).into_iter().map(|z| slope(z / n, n, s)).collect();
            let most = slopes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let most_abs = slopes.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
            // The grid misses a smooth maximum by the square of its spacing; the reference has 12
            // digits.
            for (found, expected) in [(most, sup), (most_abs, sup_abs)] {
                assert!(found <= expected * (1.0 + 1e-11), "{bound}: {found}");
                assert!(found >= expected * (1.0 - 1e-6), "{bound}: {found}");
            }
        }
    }

    #[test]
    fn the_slope_at_the_solved_saturation_is_the_wanted_one() {
        for level in [1.0, 0.987] {
            for x in [0.9, 1.1, 1.5, 2.0, 3.0, 5.0, 30.0] {
                for n in linspace(2.0, 5.0, 100) {
                    let s = saturation(x, n, level).unwrap();
                    let found = slope(x, n, s);
                    assert!((found - level).abs() < 1e-12, "xi {x}, n {n}: {found}");
                }
            }
        }
    }

    #[test]
    fn far_out_the_saturation_equals_the_released_offset() {
        for n in linspace(2.0, 5.0, 7) {
            let released = saturation(30.0, n, 0.987).unwrap();
            assert!((released - 0.013).abs() < 1e-12, "{released}");
            assert!(saturation(30.0, n, 1.0).unwrap().abs() < 1e-12);
        }
    }

    #[test]
    fn no_solution_where_the_saturation_has_no_effect() {
        // n = 2 at x = 0: t = 1/2 and n (1 - t) = 1.
        assert_eq!(saturation(0.0, 2.0, 1.0), None);
    }
}
