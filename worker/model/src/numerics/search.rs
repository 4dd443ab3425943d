//! Minimum of a function of one variable: the best point of a grid, refined between its neighbours
//! by golden section.

/// 1/phi, the fraction of a bracket that every golden section keeps.
const KEPT: f64 = 0.618_033_988_749_894_8;

/// Relative width to which brackets are narrowed. Values closer to a smooth minimum than about 1e-8
/// are equal in double precision.
const NARROW: f64 = 1e-10;

/// Returns `count` equally spaced values from `first` to `last`, inclusive.
pub fn linspace(first: f64, last: f64, count: usize) -> Vec<f64> {
    let steps = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|i| first + (last - first) * (i as f64 / steps)).collect()
}

/// Returns the index of the smallest of `values` that is a number; the first of several.
pub fn smallest(values: &[f64]) -> Option<usize> {
    let numbers = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
    numbers.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
}

/// Returns the argument that minimises `f` between the neighbours of `grid[place]`, or
/// `grid[place]` itself if `f` is nowhere smaller.
pub fn refine(grid: &[f64], place: usize, f: impl Fn(f64) -> f64) -> f64 {
    let best = grid[place];
    let low = grid[place.saturating_sub(1)];
    let high = grid[(place + 1).min(grid.len() - 1)];
    let found = golden_section(low, high, &f);
    // The function may have several minima between the neighbours.
    if f(found) < f(best) { found } else { best }
}

/// Returns a minimum of `f` between `low` and `high` by golden section.
fn golden_section(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let inner = |low: f64, high: f64| (high - KEPT * (high - low), low + KEPT * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (f(left), f(right));
    while high - low > NARROW * (1.0 + low.abs() + high.abs()) {
        if at_left < at_right {
            high = right;
            (right, at_right) = (left, at_left);
            left = inner(low, high).0;
            at_left = f(left);
        } else {
            low = left;
            (left, at_left) = (right, at_right);
            right = inner(low, high).1;
            at_right = f(right);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_linspace_are_exact() {
        assert_eq!(linspace(-1.0, 1.0, 5), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(linspace(3.0, 9.0, 1), [3.0]);
        assert_eq!(linspace(-1.0, 1.0, 201).last(), Some(&1.0));
        assert!(linspace(0.0, 1.0, 0).is_empty());
    }

    #[test]
    fn nan_is_never_smallest() {
        assert_eq!(smallest(&[f64::NAN, 3.0, 2.0, 2.0, -f64::NAN]), Some(2));
        assert_eq!(smallest(&[f64::NAN]), None);
    }

    #[test]
    fn a_minimum_is_found_between_grid_points_and_at_the_edges() {
        let grid = linspace(-1.0, 1.0, 21);
        for minimum in [-1.0, -0.734_5, 0.0, 0.25, 1.0] {
            let f = |x: f64| (x - minimum).powi(2);
            let values: Vec<f64> = grid.iter().map(|&x| f(x)).collect();
            let found = refine(&grid, smallest(&values).unwrap(), f);
            assert!((found - minimum).abs() < 1e-7, "{found}, not {minimum}");
        }
    }
}
