//! Rotation of images that are read pixel by pixel (science reference, section 6): bilinear
//! interpolation about the centre, zero outside, as a table of indices and weights that acts on
//! sequences in any pixel order.

use tch::{Kind, Result, TchError, Tensor};

use crate::tensor::{from_doubles, length};

/// The four pixels around a point.
const CORNERS: [(i64, i64); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// A rotation of sequences in one pixel order.
#[derive(Debug)]
pub struct Rotation {
    /// Step [T] of the source pixel, for each of the four corners.
    steps: Vec<Tensor>,
    /// Weight at each step, [T, 1, 1], for each of the four corners.
    weights: Vec<Tensor>,
}

impl Rotation {
    /// Returns the counter-clockwise rotation by `degrees` of images of `side` x `side` pixels;
    /// step t shows pixel `order[t]`, counted row by row.
    pub fn new(degrees: f64, side: u32, order: &[u32], kind: Kind) -> Result<Self> {
        let places = places(side, order)?;
        let Direction { cos, sin } = direction(degrees);
        let middle = (f64::from(side) - 1.0) / 2.0;
        let mut steps = vec![Vec::with_capacity(order.len()); CORNERS.len()];
        let mut weights = vec![Vec::with_capacity(order.len()); CORNERS.len()];
        for &pixel in order {
            let (dx, dy) = (f64::from(pixel % side) - middle, f64::from(pixel / side) - middle);
            let column = middle + cos * dx - sin * dy;
            let row = middle + sin * dx + cos * dy;
            for (corner, (step, weight)) in corners(row, column, side, &places).enumerate() {
                steps[corner].push(step);
                weights[corner].push(weight);
            }
        }
        let shape = [length(order.len())?, 1, 1];
        let weights = weights.iter().map(|weights| from_doubles(weights, &shape, kind));
        let steps = steps.iter().map(|steps| Tensor::f_from_slice(steps));
        Ok(Self { steps: steps.collect::<Result<_>>()?, weights: weights.collect::<Result<_>>()? })
    }

    /// Returns the rotated images of `inputs` [T, B, I].
    pub fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        let device = inputs.device();
        let mut turned = inputs.f_zeros_like()?;
        for (steps, weights) in self.steps.iter().zip(&self.weights) {
            let corner = inputs.f_index_select(0, &steps.f_to_device(device)?)?;
            let _ = turned.f_add_(&corner.f_mul(&weights.f_to_device(device)?)?)?;
        }
        Ok(turned)
    }
}

/// Returns the step of each pixel.
fn places(side: u32, order: &[u32]) -> Result<Vec<i64>> {
    let refusal = || TchError::Shape(format!("no order of {side} by {side} pixels"));
    if u64::from(side) * u64::from(side) != order.len() as u64 {
        return Err(refusal());
    }
    let mut places = vec![0; order.len()];
    for (step, &pixel) in (0..).zip(order) {
        *places.get_mut(pixel as usize).ok_or_else(refusal)? = step;
    }
    Ok(places)
}

/// Cosine and sine of an angle.
struct Direction {
    /// Cosine.
    cos: f64,
    /// Sine.
    sin: f64,
}

/// Returns the direction of an angle; exact for quarter turns, which move every pixel onto another
/// one.
fn direction(degrees: f64) -> Direction {
    let rest = degrees.rem_euclid(360.0);
    for (quarter, cos, sin) in
        [(0.0, 1.0, 0.0), (90.0, 0.0, 1.0), (180.0, -1.0, 0.0), (270.0, 0.0, -1.0)]
    {
        if (rest - quarter).abs() == 0.0 {
            return Direction { cos, sin };
        }
    }
    let radians = degrees.to_radians();
    Direction { cos: radians.cos(), sin: radians.sin() }
}

/// Returns step and weight of the four pixels around a point; weight zero outside of the image.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a turned point stays within half a diagonal of the middle of the image"
)]
fn corners(
    row: f64,
    column: f64,
    side: u32,
    places: &[i64],
) -> impl Iterator<Item = (i64, f64)> + '_ {
    let (top, left) = (row.floor(), column.floor());
    let (down, right) = (row - top, column - left);
    let side = i64::from(side);
    CORNERS.into_iter().map(move |(below, beside)| {
        let (r, c) = (top as i64 + below, left as i64 + beside);
        let inside = (0..side).contains(&r) && (0..side).contains(&c);
        let place = usize::try_from(r * side + c).ok().filter(|_| inside);
        let share = |next: i64, distance: f64| if next == 1 { distance } else { 1.0 - distance };
        match place.and_then(|place| places.get(place)) {
            Some(&step) => (step, share(below, down) * share(beside, right)),
            None => (0, 0.0),
        }
    })
}

#[cfg(test)]
mod tests {
    use rheo_core::rng::{Purpose, TrialRng};

    use super::*;
    use crate::tensor::to_doubles;

    /// Returns two images of a side, as a function of image, row and column.
    fn images(side: u32, order: &[u32], pixel: impl Fn(u32, u32, u32) -> f64) -> Tensor {
        let values = order.iter().flat_map(|p| [0, 1].map(|b| pixel(b, p / side, p % side)));
        let shape = [i64::from(side * side), 2, 1];
        from_doubles(&values.collect::<Vec<_>>(), &shape, Kind::Double).unwrap()
    }

    fn any(b: u32, row: u32, column: u32) -> f64 {
        f64::from(1 + 100 * b + 10 * row + column).sin()
    }

    fn turned(degrees: f64, side: u32, order: &[u32], inputs: &Tensor) -> Tensor {
        Rotation::new(degrees, side, order, Kind::Double).unwrap().apply(inputs).unwrap()
    }

    #[test]
    fn a_quarter_turn_moves_pixels_as_in_the_reference() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        let rule = &oracles["perturbations"]["rotation"]["rule"];
        assert_eq!(rule, "90 degrees: out[r][c] = in[c][P-1-r]");
        let mut rng = TrialRng::new(1, Purpose::Permutation);
        for side in [1, 2, 5, 8] {
            let pixels = usize::try_from(side * side).unwrap();
            for order in [(0..side * side).collect(), rng.permutation(pixels)] {
                let inputs = images(side, &order, any);
                for degrees in [90.0, 450.0, -270.0] {
                    let expected = images(side, &order, |b, r, c| any(b, c, side - 1 - r));
                    assert_eq!(turned(degrees, side, &order, &inputs), expected, "side {side}");
                }
                assert_eq!(turned(0.0, side, &order, &inputs), inputs, "side {side}");
            }
        }
    }

    #[test]
    fn four_quarter_turns_are_none_and_two_reverse_the_image() {
        let order: Vec<u32> = (0..36).collect();
        let inputs = images(6, &order, any);
        let half = turned(180.0, 6, &order, &inputs);
        assert_eq!(half, inputs.flip([0]));
        assert_eq!(turned(270.0, 6, &order, &turned(90.0, 6, &order, &inputs)), inputs);
    }

    #[test]
    fn a_plane_stays_a_plane_where_the_source_lies_inside() {
        // Bilinear interpolation is exact for linear functions.
        let (side, degrees) = (9, 30.0f64);
        let order: Vec<u32> = (0..side * side).rev().collect();
        let plane = |row: f64, column: f64| 2.0 + 0.5 * row - 0.25 * column;
        let inputs = images(side, &order, |_, r, c| plane(f64::from(r), f64::from(c)));
        let found = to_doubles(&turned(degrees, side, &order, &inputs)).unwrap();
        let (sin, cos) = degrees.to_radians().sin_cos();
        let mut inside = 0;
        for (step, &pixel) in order.iter().enumerate() {
            let (dx, dy) = (f64::from(pixel % side) - 4.0, f64::from(pixel / side) - 4.0);
            let (column, row) = (4.0 + cos * dx - sin * dy, 4.0 + sin * dx + cos * dy);
            if (0.0..=8.0).contains(&row) && (0.0..=8.0).contains(&column) {
                inside += 1;
                let expected = plane(row, column);
                assert!((found[2 * step] - expected).abs() < 1e-12, "{step}: {expected}");
            }
        }
        assert!(inside > 40, "{inside}");
    }

    #[test]
    fn pixels_from_outside_are_zero() {
        let order: Vec<u32> = (0..64).collect();
        let ones = images(8, &order, |_, _, _| 1.0);
        let found = to_doubles(&turned(45.0, 8, &order, &ones)).unwrap();
        // The corners of a rotated square lie outside of it.
        let corners = [0, 7, 56, 63].map(|corner| found[2 * corner]);
        assert_eq!(corners.to_vec(), vec![0.0; 4]);
        assert!((found[2 * 27] - 1.0).abs() < 1e-12);
        assert!(found.iter().all(|value| (-1e-12..1.0 + 1e-12).contains(value)));
    }

    #[test]
    fn an_invalid_pixel_order_is_refused() {
        for order in [vec![0, 1, 2], vec![0, 1, 2, 4]] {
            assert!(Rotation::new(45.0, 2, &order, Kind::Double).is_err(), "{order:?}");
        }
    }
}
