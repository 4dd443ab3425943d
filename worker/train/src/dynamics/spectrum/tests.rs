//! Spectra of systems with known exponents.

use rheo_core::rng::Purpose;
use tch::Device;

use super::*;

/// The map z -> A z, for every copy.
struct LinearMap(Tensor);

impl DynamicalSystem for LinearMap {
    fn advance(&mut self) -> Result<()> {
        Ok(())
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        self.0.f_matmul(columns)
    }
}

/// The logistic map x -> r x (1 - x), one copy per element of the state [B].
struct LogisticMap {
    r: f64,
    x: Tensor,
}

impl DynamicalSystem for LogisticMap {
    fn advance(&mut self) -> Result<()> {
        self.x = &self.x * (1.0 - &self.x) * self.r;
        Ok(())
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        let slope: Tensor = (1.0 - &self.x * 2.0) * self.r;
        self.advance()?;
        columns.f_mul(&slope.view([-1, 1, 1]))
    }
}

/// The Henon map (x, y) -> (1 - a x^2 + y, b x) with a = 1.4 and b = 0.3 (Henon 1976).
struct HenonMap {
    x: Tensor,
    y: Tensor,
}

impl DynamicalSystem for HenonMap {
    fn advance(&mut self) -> Result<()> {
        let next = 1.0 - self.x.square() * 1.4 + &self.y;
        self.y = &self.x * 0.3;
        self.x = next;
        Ok(())
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        let (dx, dy) = (columns.select(1, 0), columns.select(1, 1));
        let next = self.x.unsqueeze(1) * &dx * -2.8 + &dy;
        self.advance()?;
        Tensor::f_stack(&[next, dx * 0.3], 1)
    }
}

fn rng() -> TrialRng {
    TrialRng::new(1, Purpose::Analysis)
}

/// Returns `copies` starting points in [`low`, `high`).
fn points(copies: usize, low: f64, high: f64) -> Tensor {
    let mut rng = TrialRng::new(2, Purpose::Analysis);
    Tensor::from_slice(&(0..copies).map(|_| rng.uniform(low, high)).collect::<Vec<f64>>())
}

/// Returns the mean of each exponent over the copies.
fn mean_exponents(
    system: &mut dyn DynamicalSystem,
    start: Tensor,
    discarded: u32,
    counted: u32,
) -> Vec<f64> {
    for _ in 0..discarded {
        system.advance().unwrap();
    }
    let mut spectrum = LyapunovSpectrum::new(start).unwrap();
    for _ in 0..100 {
        spectrum.align(system).unwrap();
    }
    for _ in 0..counted {
        spectrum.count(system).unwrap();
    }
    assert_eq!(spectrum.steps(), u64::from(counted));
    let copies = spectrum.exponents().unwrap();
    let count = copies.len() as f64;
    (0..copies[0].nats.len())
        .map(|i| copies.iter().map(|copy| copy.nats[i]).sum::<f64>() / count)
        .collect()
}

fn logistic(r: f64, copies: usize, counted: u32) -> f64 {
    let mut system = LogisticMap { r, x: points(copies, 0.1, 0.9) };
    let start = Tensor::ones([i64::try_from(copies).unwrap(), 1, 1], (Kind::Double, Device::Cpu));
    mean_exponents(&mut system, start, 500, counted)[0]
}

#[test]
fn a_linear_map_has_the_logarithms_of_its_eigenvalues() {
    // Triangular, so the eigenvalues are on the diagonal; one is negative.
    let matrix = Tensor::from_slice(&[1.5f64, 0.7, -0.2, 0.0, -0.5, 0.9, 0.0, 0.0, 0.1]);
    let mut system = LinearMap(matrix.view([3, 3]));
    let found = mean_exponents(&mut system, random_columns(1, 3, 3, &mut rng()).unwrap(), 0, 1000);
    for (found, value) in found.iter().zip([1.5f64, 0.5, 0.1]) {
        assert!((found - value.ln()).abs() < 1e-10, "{found}, not ln {value}");
    }
}

#[test]
fn the_logistic_map_at_4_has_the_exponent_ln_2() {
    let found = logistic(4.0, 20, 1000);
    assert!((found - 2f64.ln()).abs() < 1e-3, "{found}");
}

#[test]
fn the_logistic_map_at_3_9_has_the_time_average_of_its_slope() {
    // The exponent of a one-dimensional map is the mean of ln |F'| along an orbit; no QR needed.
    let (mut x, mut sum, count) = (0.3f64, 0.0, 4_000_000);
    for _ in 0..count {
        x = 3.9 * x * (1.0 - x);
        sum += (3.9 * (1.0 - 2.0 * x)).abs().ln();
    }
    let expected = sum / f64::from(count);
    let found = logistic(3.9, 250, 1000);
    assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
}

#[test]
fn the_henon_map_has_the_published_exponents() {
    let copies = 400;
    let mut system = HenonMap { x: points(copies, -0.1, 0.1), y: points(copies, -0.1, 0.1) };
    let start = random_columns(i64::try_from(copies).unwrap(), 2, 2, &mut rng()).unwrap();
    let found = mean_exponents(&mut system, start, 200, 1600);
    // Sprott 2003: 0.41922 and -1.62319; their sum is ln |det J| = ln b at every point.
    assert!((found[0] - 0.41922).abs() < 1e-3, "{found:?}");
    assert!((found[0] + found[1] - 0.3f64.ln()).abs() < 1e-9, "{found:?}");
}

#[test]
fn a_direction_that_is_lost_has_the_exponent_minus_infinity() {
    let matrix = Tensor::from_slice(&[2.0f64, 0.0, 0.0, 0.0]).view([2, 2]);
    let start = Tensor::eye(2, (Kind::Double, Device::Cpu)).unsqueeze(0);
    let mut spectrum = LyapunovSpectrum::new(start).unwrap();
    for _ in 0..3 {
        spectrum.count(&mut LinearMap(matrix.shallow_clone())).unwrap();
    }
    let found = &spectrum.exponents().unwrap()[0].nats;
    assert!((found[0] - 2f64.ln()).abs() < 1e-12, "{found:?}");
    assert_eq!(found[1..], [f64::NEG_INFINITY]);
}

#[test]
fn a_step_without_a_number_is_never_dropped_unless_asked() {
    let one = |value: f64| LinearMap(Tensor::from_slice(&[value]).view([1, 1]));
    let start = || Tensor::ones([1, 1, 1], (Kind::Double, Device::Cpu));
    let mut spectrum = LyapunovSpectrum::new(start()).unwrap();
    spectrum.count(&mut one(2.0)).unwrap();
    spectrum.count(&mut one(f64::NAN)).unwrap();
    assert!(spectrum.exponents().unwrap()[0].nats[0].is_nan());
    let skipping = &spectrum.exponents_skipping_nan().unwrap()[0];
    assert_eq!((skipping.nats[0], skipping.skipped_nan[0]), (2f64.ln(), 1));
}

#[test]
fn random_columns_are_orthonormal() {
    let q = random_columns(2, 7, 3, &mut rng()).unwrap();
    let eye = Tensor::eye(3, (Kind::Double, Device::Cpu));
    let off = (q.transpose(1, 2).matmul(&q) - eye).abs().max().double_value(&[]);
    assert!(off < 1e-14, "{off}");
}
