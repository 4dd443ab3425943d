//! The digits task: the ten digits, drawn with randomly deformed strokes (science reference,
//! section 4). Needs no download.
//!
//! Sample i of a split shows the digit i mod 10 and is a function of (seed, split, i): the same at
//! any set size, in any process.

use std::f64::consts::TAU;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config;

use super::images::{DigitSet, ImageSamples, ImageSplit, TaskImages, pool_sums, single};
use super::library::ImageKey;
use super::{SampleLibrary, Split, buffer, pooled_side};
use crate::Error;

/// A point of the unit square; y points down.
type Point = [f64; 2];

/// A piece of a stroke.
enum StrokePiece {
    /// A vertex.
    V(f64, f64),
    /// An arc: centre x and y, radius x and y, first and last angle in degrees.
    A(f64, f64, f64, f64, f64, f64),
}
use StrokePiece::{A, V};

/// Chords of equal angle that approximate an arc.
const CHORDS: u32 = 16;

/// Strokes of the digits 0 to 9; the pieces of a stroke are joined.
const GLYPHS: [&[&[StrokePiece]]; 10] = [
    &[&[A(0.5, 0.5, 0.22, 0.34, 0., 360.)]],
    &[&[V(0.36, 0.30), V(0.54, 0.16), V(0.54, 0.84)]],
    &[&[A(0.5, 0.34, 0.21, 0.18, 190., 400.), V(0.29, 0.84), V(0.73, 0.84)]],
    &[&[A(0.48, 0.33, 0.20, 0.17, 200., 450.), A(0.48, 0.67, 0.22, 0.17, 270., 520.)]],
    &[&[V(0.62, 0.84), V(0.62, 0.16), V(0.26, 0.62), V(0.76, 0.62)]],
    &[&[V(0.70, 0.16), V(0.34, 0.16), V(0.32, 0.48), A(0.48, 0.63, 0.22, 0.21, 225., 500.)]],
    &[&[A(0.5, 0.65, 0.20, 0.19, 0., 360.)], &[A(0.70, 0.62, 0.40, 0.46, 180., 250.)]],
    &[&[V(0.27, 0.16), V(0.73, 0.16), V(0.43, 0.84)]],
    &[&[A(0.5, 0.33, 0.17, 0.17, 0., 360.)], &[A(0.5, 0.67, 0.21, 0.17, 0., 360.)]],
    &[&[A(0.5, 0.35, 0.20, 0.19, 0., 360.)], &[A(0.30, 0.38, 0.40, 0.46, 0., 70.)]],
];

/// Loads the images of a digits task.
pub(super) fn load(task: &config::Task, library: &SampleLibrary) -> Result<TaskImages, Error> {
    let side = pooled_side(task, task.side)?;
    let part = |split, size| -> Result<ImageSplit, Error> {
        let set = DigitSet {
            split,
            size,
            side: task.side,
            pool: task.pool,
            deformation: task.deformation.to_bits(),
            seed: task.seed,
        };
        Ok(ImageSplit {
            samples: library.get(ImageKey::Digits(set), || set.generate())?,
            chosen: None,
        })
    };
    let steps = side * side;
    let order = if task.permute {
        TrialRng::new(task.permutation_seed, Purpose::Permutation).permutation(steps as usize)
    } else {
        (0..steps).collect()
    };
    let parts = [
        part(Split::Train, task.train_size)?,
        part(Split::Validation, task.validation_size)?,
        part(Split::Test, task.test_size)?,
    ];
    Ok(TaskImages { parts, order, side })
}

impl DigitSet {
    fn generate(self) -> Result<ImageSamples, Error> {
        let (side, pool) = (self.side as usize, self.pool as usize);
        let size = self.size as usize;
        let squares = (side / pool).pow(2);
        let mut pixels: Vec<f32> = buffer("the images of a split", squares * size)?;
        let labels = (0..self.size).map(digit_of).collect::<Vec<u8>>().into();
        let level = f64::from_bits(self.deformation);
        let mut canvas = Canvas::new(side);
        for (sample, image) in (0..self.size).zip(pixels.chunks_exact_mut(squares)) {
            let mut rng = TrialRng::stream(self.seed, self.split.stream(sample));
            let deformation = Deformation::draw(&mut rng, level);
            canvas.draw(digit_of(sample), &deformation);
            let area = (pool * pool) as f64;
            for (pixel, sum) in image.iter_mut().zip(pool_sums(&canvas.image(), side, pool)) {
                *pixel = single(sum / area);
            }
        }
        Ok(ImageSamples { pixels: pixels.into(), scale: 1.0, labels })
    }
}

/// Returns the digit of sample `index`.
fn digit_of(index: u32) -> u8 {
    (index % 10) as u8
}

/// Deformation of the strokes of one image.
#[derive(Debug, Clone)]
struct Deformation {
    /// Rotation in radians.
    theta: f64,
    shear: f64,
    scale: Point,
    shift: Point,
    /// Half the width of a stroke.
    radius: f64,
    /// Strength of the elastic waves.
    epsilon: f64,
    /// Per axis, waves of one and of two periods: amplitude, direction, phase.
    waves: [[[f64; 3]; 2]; 2],
}

impl Deformation {
    /// Draws a deformation of strength `level`; the order of the draws is part of the definition.
    fn draw(rng: &mut TrialRng, level: f64) -> Self {
        let mut symmetric = |bound: f64| bound * rng.uniform(-1.0, 1.0);
        let theta = symmetric(15.0 * level).to_radians();
        let shear = symmetric(0.2 * level);
        let scale = [0, 1].map(|_| 1.0 + level * rng.uniform(-0.25, 0.1));
        let shift = [0, 1].map(|_| 0.06 * level * rng.uniform(-1.0, 1.0));
        let radius = rng.uniform(0.03, 0.05);
        let mut wave = || [rng.normal(), rng.uniform(0.0, TAU), rng.uniform(0.0, TAU)];
        let waves = [[wave(), wave()], [wave(), wave()]];
        Self { theta, shear, scale, shift, radius, epsilon: 0.03 * level, waves }
    }

    fn apply(&self, p: Point) -> Point {
        let wave = |axis: usize| -> f64 {
            (1..)
                .zip(self.waves[axis])
                .map(|(k, [amplitude, direction, phase])| {
                    let along = p[0] * direction.cos() + p[1] * direction.sin();
                    let k = f64::from(k);
                    self.epsilon / k * amplitude * (TAU * k * along + phase).sin()
                })
                .sum()
        };
        let x = self.scale[0] * (p[0] + wave(0) - 0.5);
        let y = self.scale[1] * (p[1] + wave(1) - 0.5);
        let x = x + self.shear * y;
        let (sin, cos) = self.theta.sin_cos();
        [0.5 + cos * x - sin * y + self.shift[0], 0.5 + sin * x + cos * y + self.shift[1]]
    }
}

/// Returns the vertices of one stroke.
fn vertices(stroke: &[StrokePiece]) -> Vec<Point> {
    let mut points = Vec::new();
    for piece in stroke {
        match *piece {
            V(x, y) => points.push([x, y]),
            A(cx, cy, rx, ry, first, last) => points.extend((0..=CHORDS).map(|chord| {
                let share = f64::from(chord) / f64::from(CHORDS);
                let (sin, cos) = (first + (last - first) * share).to_radians().sin_cos();
                [cx + rx * cos, cy + ry * sin]
            })),
        }
    }
    points
}

/// Draws digits; reuses its memory.
struct Canvas {
    side: usize,
    strokes: Vec<Vec<Vec<Point>>>,
    /// Squared distance to the nearest segment per pixel, if one is close enough to matter.
    nearest: Vec<f64>,
    radius: f64,
}

impl Canvas {
    fn new(side: usize) -> Self {
        let strokes = GLYPHS
            .iter()
            .map(|strokes| strokes.iter().map(|stroke| vertices(stroke)).collect())
            .collect();
        Self { side, strokes, nearest: vec![f64::INFINITY; side * side], radius: 0.0 }
    }

    fn draw(&mut self, digit: u8, deformation: &Deformation) {
        self.nearest.fill(f64::INFINITY);
        self.radius = deformation.radius;
        let reach = self.radius + 0.5 / self.side as f64;
        for stroke in &self.strokes[usize::from(digit)] {
            let points: Vec<Point> = stroke.iter().map(|&p| deformation.apply(p)).collect();
            for ends in points.windows(2) {
                segment(&mut self.nearest, self.side, [ends[0], ends[1]], reach);
            }
        }
    }

    /// Returns row-major pixels in [0, 1]: 1 inside the strokes, falling to 0 over one pixel at the
    /// edge.
    fn image(&self) -> Vec<f64> {
        let side = self.side as f64;
        let pixel = |&square: &f64| (0.5 + (self.radius - square.sqrt()) * side).clamp(0.0, 1.0);
        self.nearest.iter().map(pixel).collect()
    }
}

/// Adds the segment between `ends` to all pixels within `reach` of it. Pixels further away are
/// black anyway and are not visited.
fn segment(nearest: &mut [f64], side: usize, ends: [Point; 2], reach: f64) {
    let [start, end] = ends;
    let along = [end[0] - start[0], end[1] - start[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let near = |axis: usize| {
        let low = start[axis].min(end[axis]) - reach;
        let high = start[axis].max(end[axis]) + reach;
        pixels_between(low, high, side)
    };
    for row in near(1) {
        for column in near(0) {
            let centre = |index: usize| (index as f64 + 0.5) / side as f64;
            let [x, y] = [centre(column) - start[0], centre(row) - start[1]];
            let share = (x * along[0] + y * along[1]) / length;
            let share = if length > 0.0 { share.clamp(0.0, 1.0) } else { 0.0 };
            let [x, y] = [x - share * along[0], y - share * along[1]];
            let cell = &mut nearest[row * side + column];
            *cell = cell.min(x * x + y * y);
        }
    }
}

/// Returns a range that includes all pixels whose centres lie between two coordinates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "negative and large coordinates saturate, as they should"
)]
fn pixels_between(low: f64, high: f64, side: usize) -> std::ops::Range<usize> {
    let [low, high] = [low, high].map(|coordinate| coordinate * side as f64);
    (low - 1.0) as usize..((high + 1.0) as usize).min(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle() -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        all["tasks"]["digits"].clone()
    }

    fn doubles(value: &serde_json::Value) -> Vec<f64> {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs() + 1e-12
    }

    fn image(side: usize, digit: u8, deformation: &Deformation) -> Vec<f64> {
        let mut canvas = Canvas::new(side);
        canvas.draw(digit, deformation);
        canvas.image()
    }

    #[test]
    fn plain_glyphs_have_the_pixel_sums_of_the_reference() {
        let plain = Deformation {
            theta: 0.0,
            shear: 0.0,
            scale: [1.0; 2],
            shift: [0.0; 2],
            radius: 0.04,
            epsilon: 0.0,
            waves: [[[0.0; 3]; 2]; 2],
        };
        for (side, sums) in [(28, "sum_28"), (14, "sum_14")] {
            for (digit, expected) in (0..).zip(doubles(&oracle()[sums])) {
                let sum: f64 = image(side, digit, &plain).iter().sum();
                assert!(close(sum, expected), "digit {digit}, side {side}: {sum}, not {expected}");
            }
        }
    }

    #[test]
    fn a_deformed_glyph_is_that_of_the_reference() {
        let given = &oracle()["deformed"];
        let number = |name: &str| given[name].as_f64().unwrap();
        let pair = |name: &str| <[f64; 2]>::try_from(doubles(&given[name])).unwrap();
        let waves = |axis: &str| -> [[f64; 3]; 2] {
            let waves = given["elastic_amplitude_angle_phase"][axis].clone();
            serde_json::from_value(waves).unwrap()
        };
        let deformation = Deformation {
            theta: number("theta"),
            shear: number("shear"),
            scale: pair("scale"),
            shift: pair("shift"),
            radius: number("radius"),
            epsilon: number("epsilon"),
            waves: [waves("x"), waves("y")],
        };
        let image = image(28, 3, &deformation);
        let sum: f64 = image.iter().sum();
        assert!(close(sum, number("sum")), "{sum}");
        for (found, expected) in image[14 * 28..].iter().zip(doubles(&given["row_14"])) {
            assert!(close(*found, expected), "{found}, not {expected}");
        }
    }

    #[test]
    fn a_sample_depends_only_on_seed_split_and_index() {
        let set = DigitSet {
            split: Split::Validation,
            size: 12,
            side: 14,
            pool: 2,
            deformation: 1.0f64.to_bits(),
            seed: 3,
        };
        let few = set.generate().unwrap();
        let many = DigitSet { size: 30, ..set }.generate().unwrap();
        let other = DigitSet { split: Split::Test, ..set }.generate().unwrap();
        assert_eq!(few.pixels[..], many.pixels[..few.pixels.len()]);
        assert_ne!(few.pixels[..], other.pixels[..]);
        assert_eq!(few.labels[..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        assert!(few.pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
    }

    #[test]
    fn pooling_averages_squares_of_pixels() {
        let image: Vec<f64> = (0..16).map(f64::from).collect();
        let means: Vec<f64> = pool_sums(&image, 4, 2).map(|sum| sum / 4.0).collect();
        assert_eq!(means, [2.5, 4.5, 10.5, 12.5]);
    }
}
