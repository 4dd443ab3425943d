//! Minimization of smooth functions in a box by the limited-memory BFGS method.
//!
//! Directions are those of Nocedal J, Wright S J (2006), Numerical Optimization, 2nd ed., algorithm
//! 7.4. Variables that press against a bound are held there (gradient projection), and steps halve
//! until the function falls enough (Armijo). One step costs O(variables) beside the function.

use std::collections::VecDeque;

use super::linear::dot;

/// The number of earlier steps from which curvature is estimated.
const MEMORY: usize = 8;

/// The largest number of halvings of a step.
const MAX_HALVINGS: usize = 12;

/// The share of the predicted fall that a step must reach.
const SUFFICIENT: f64 = 1e-4;

/// A function value with its gradient; none where the function is not defined.
pub(super) type Slope = Option<(f64, Vec<f64>)>;

/// The limits of a minimization.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest number of steps.
    pub(super) steps: usize,
    /// The longest move of a variable in a step.
    pub(super) reach: f64,
    /// The fall in a step below which the search ends.
    pub(super) tolerance: f64,
}

/// Returns the lowest point found from `start` and its value; none if the function is not defined at
/// `start`.
pub(super) fn minimize(
    mut function: impl FnMut(&[f64]) -> Slope,
    start: Vec<f64>,
    bounds: &[(f64, f64)],
    limits: Limits,
) -> Option<(Vec<f64>, f64)> {
    let mut sample = Sample::new(&mut function, start)?;
    let mut curvature = Curvature::default();
    for _ in 0..limits.steps {
        let direction = direction(&curvature, &sample, bounds, limits.reach);
        let Some(next) = line_search(&mut function, &sample, &direction, bounds) else {
            if curvature.steps.is_empty() {
                break;
            }
            // Curvature from afar may mislead: try once more along the gradient.
            curvature.steps.clear();
            continue;
        };
        let fall = sample.value - next.value;
        let change = difference(&next.gradient, &sample.gradient);
        curvature.push(difference(&next.at, &sample.at), change);
        sample = next;
        if fall < limits.tolerance {
            break;
        }
    }
    Some((sample.at, sample.value))
}

/// The function at one point.
struct Sample {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl Sample {
    fn new(function: &mut impl FnMut(&[f64]) -> Slope, at: Vec<f64>) -> Option<Self> {
        function(&at).map(|(value, gradient)| Self { at, value, gradient })
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Returns a direction of descent that leaves the box in no variable at a bound.
fn direction(
    curvature: &Curvature,
    Sample { at, gradient, .. }: &Sample,
    bounds: &[(f64, f64)],
    reach: f64,
) -> Vec<f64> {
    let is_held = |i: usize| {
        let (low, high) = bounds[i];
        (at[i] <= low && gradient[i] > 0.0) || (at[i] >= high && gradient[i] < 0.0)
    };
    let free = |vector: Vec<f64>| -> Vec<f64> {
        vector.into_iter().enumerate().map(|(i, x)| if is_held(i) { 0.0 } else { x }).collect()
    };
    let projected = free(gradient.clone());
    let mut direction = free(curvature.newton_direction(&projected));
    if dot(&direction, &projected) >= 0.0 {
        direction = projected.iter().map(|g| -g).collect();
    }
    let longest = direction.iter().fold(0.0, |longest: f64, d| longest.max(d.abs()));
    if longest > reach {
        for d in &mut direction {
            *d *= reach / longest;
        }
    }
    direction
}

/// Returns the first point along `direction` at which the function has fallen enough.
fn line_search(
    function: &mut impl FnMut(&[f64]) -> Slope,
    sample: &Sample,
    direction: &[f64],
    bounds: &[(f64, f64)],
) -> Option<Sample> {
    let mut step = 1.0;
    for _ in 0..MAX_HALVINGS {
        let moved = sample.at.iter().zip(direction).zip(bounds);
        let next: Vec<f64> =
            moved.map(|((x, d), (low, high))| (x + step * d).clamp(*low, *high)).collect();
        let predicted = dot(&sample.gradient, &difference(&next, &sample.at));
        if predicted >= 0.0 {
            return None;
        }
        if let Some(next) = Sample::new(function, next)
            && next.value <= sample.value + SUFFICIENT * predicted
        {
            return Some(next);
        }
        step *= 0.5;
    }
    None
}

/// The latest steps and the changes of the gradient along them, the latest first.
#[derive(Default)]
struct Curvature {
    steps: VecDeque<(Vec<f64>, Vec<f64>)>,
}

impl Curvature {
    fn push(&mut self, step: Vec<f64>, change: Vec<f64>) {
        if dot(&step, &change) > 1e-10 * dot(&change, &change) {
            self.steps.push_front((step, change));
            self.steps.truncate(MEMORY);
        }
    }

    /// Returns the direction to the minimum of the quadratic model (two-loop recursion).
    fn newton_direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let add = |direction: &mut [f64], factor: f64, vector: &[f64]| {
            for (d, v) in direction.iter_mut().zip(vector) {
                *d += factor * v;
            }
        };
        let mut factors = Vec::with_capacity(self.steps.len());
        for (step, change) in &self.steps {
            let factor = dot(step, &direction) / dot(step, change);
            add(&mut direction, -factor, change);
            factors.push(factor);
        }
        if let Some((step, change)) = self.steps.front() {
            let scale = dot(step, change) / dot(change, change);
            for d in &mut direction {
                *d *= scale;
            }
        }
        for ((step, change), factor) in self.steps.iter().zip(factors).rev() {
            let back = dot(change, &direction) / dot(step, change);
            add(&mut direction, factor - back, step);
        }
        direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { steps: 200, reach: 1.0, tolerance: 1e-14 };

    /// The function of Rosenbrock with its gradient.
    #[expect(clippy::unnecessary_wraps, reason = "the type of a slope")]
    fn rosenbrock(at: &[f64]) -> Slope {
        let (x, y) = (at[0], at[1]);
        let (a, b) = (1.0 - x, y - x * x);
        Some((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x * b, 200.0 * b]))
    }

    #[test]
    fn a_curved_valley_is_followed_to_its_minimum() {
        let bounds = [(-5.0, 5.0); 2];
        let (at, value) = minimize(rosenbrock, vec![-1.2, 1.0], &bounds, LIMITS).unwrap();
        assert!(value < 1e-10 && (at[0] - 1.0).abs() < 1e-4, "{at:?} {value}");
    }

    #[test]
    fn a_minimum_outside_the_box_is_replaced_by_one_on_its_border() {
        // Along x = 0.5, the lowest y is 0.25.
        let bounds = [(-5.0, 0.5), (-5.0, 5.0)];
        let (at, _) = minimize(rosenbrock, vec![-1.2, 1.0], &bounds, LIMITS).unwrap();
        assert!((at[0] - 0.5).abs() < 1e-6 && (at[1] - 0.25).abs() < 1e-4, "{at:?}");
    }

    #[test]
    fn a_step_to_where_the_function_is_not_defined_is_shortened() {
        let logarithm =
            |at: &[f64]| (at[0] > 0.0).then(|| (at[0] - at[0].ln(), vec![1.0 - 1.0 / at[0]]));
        let (at, _) = minimize(logarithm, vec![3.0], &[(-5.0, 5.0)], LIMITS).unwrap();
        assert!((at[0] - 1.0).abs() < 1e-5, "{at:?}");
        assert!(minimize(logarithm, vec![-1.0], &[(-5.0, 5.0)], LIMITS).is_none());
    }
}
