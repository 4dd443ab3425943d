//! Initial values of parameters. They are drawn in double precision on the host, row-major,
//! parameter by parameter, so they depend neither on the device nor on the precision of the network
//! (science reference, section 3).

use rheo_core::rng::TrialRng;
use rheo_model::config::{self, BiasInit, InputInit, NetworkKind, RecurrentInit};
use tch::{Kind, Result, Tensor};

use crate::tensor::{from_doubles, length, to_double, to_doubles};

/// Bound of the uniform weights of language tasks.
const LANGUAGE: f64 = 0.1;

/// Initialization of the readout weights. The bias is uniform in +-1/sqrt(H) unless stated
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadoutInit {
    /// Uniform in +-1/sqrt(H).
    Uniform,
    /// Normal with variance 2 / (fan in + fan out).
    Xavier,
    /// Uniform in +-0.1, with a zero bias.
    Language,
}

/// Initial weights of a readout.
pub(super) struct ReadoutWeights {
    /// Weights [C, H].
    pub(super) w_out: Tensor,
    /// Bias [C].
    pub(super) b_out: Tensor,
}

/// Draws the parameters of one network.
pub(super) struct Initializer<'a> {
    rng: &'a mut TrialRng,
    kind: Kind,
    hidden: u32,
    recurrent: RecurrentInit,
    input: InputInit,
    controller_input: InputInit,
    zero_biases: bool,
}

impl<'a> Initializer<'a> {
    pub(super) fn new(
        config: &config::Network,
        input: InputInit,
        kind: Kind,
        rng: &'a mut TrialRng,
    ) -> Self {
        Self {
            rng,
            kind,
            hidden: config.hidden,
            recurrent: config.recurrent_init,
            input: config.input_init.unwrap_or(input),
            controller_input: config.input_init.unwrap_or(InputInit::Kaiming),
            zero_biases: config.bias_init == BiasInit::Zero || config.kind == NetworkKind::Adaptive,
        }
    }

    pub(super) fn hidden(&self) -> u32 {
        self.hidden
    }

    /// Draws a matrix [`size`, `size`] between units of the same kind.
    pub(super) fn recurrent(&mut self, size: u32) -> Result<Tensor> {
        let n = f64::from(size);
        let values = match self.recurrent {
            RecurrentInit::Henaff => {
                rotations(size, || self.rng.uniform(-std::f64::consts::PI, 0.0))
            }
            RecurrentInit::Cayley => {
                rotations(size, || self.rng.uniform(0.0, std::f64::consts::FRAC_PI_2))
            }
            RecurrentInit::Orthogonal => self.orthogonal(size)?,
            RecurrentInit::Xavier => self.normals(square(size), (1.0 / n).sqrt()),
            RecurrentInit::Kaiming => self.normals(square(size), (2.0 / n).sqrt()),
            RecurrentInit::Normal => {
                self.normals(square(size), (1.0 / f64::from(self.hidden)).sqrt())
            }
        };
        from_doubles(&values, &[i64::from(size), i64::from(size)], self.kind)
    }

    /// Draws a matrix [`rows`, `inputs`] from the input of the network.
    pub(super) fn input(&mut self, rows: u32, inputs: u32) -> Result<Tensor> {
        self.input_by(self.input, rows, inputs)
    }

    /// Draws a matrix [`rows`, 1] from the activation of a neuron to its controller.
    pub(super) fn controller_input(&mut self, rows: u32) -> Result<Tensor> {
        self.input_by(self.controller_input, rows, 1)
    }

    fn input_by(&mut self, init: InputInit, rows: u32, inputs: u32) -> Result<Tensor> {
        let variance = match init {
            InputInit::Kaiming => 2.0 / f64::from(inputs),
            InputInit::Xavier => 2.0 / (f64::from(inputs) + f64::from(rows)),
            InputInit::Normal => 1.0 / f64::from(self.hidden),
        };
        self.normal(rows, inputs, variance.sqrt())
    }

    /// Draws a bias of a recurrent layer: uniform in +-1/sqrt(`fan_in`), or zero if so configured.
    pub(super) fn bias(&mut self, size: u32, fan_in: u32) -> Result<Tensor> {
        if self.zero_biases {
            return self.constant(size, 0.0);
        }
        let bound = 1.0 / f64::from(fan_in).sqrt();
        let values = self.uniforms(size as usize, bound);
        from_doubles(&values, &[i64::from(size)], self.kind)
    }

    /// Draws a matrix [`rows`, `columns`] with variance `gain`^2 2 / (rows + columns).
    pub(super) fn xavier(&mut self, rows: u32, columns: u32, gain: f64) -> Result<Tensor> {
        let fans = f64::from(rows) + f64::from(columns);
        self.normal(rows, columns, gain * (2.0 / fans).sqrt())
    }

    /// Draws a vector around `mean`; draws nothing if the deviation is zero.
    pub(super) fn around(&mut self, size: u32, mean: f64, deviation: f64) -> Result<Tensor> {
        if deviation == 0.0 {
            return self.constant(size, mean);
        }
        let mut values = self.normals(size as usize, deviation);
        for value in &mut values {
            *value += mean;
        }
        from_doubles(&values, &[i64::from(size)], self.kind)
    }

    /// Draws a tensor with elements uniform in +-`bound`.
    pub(super) fn uniform(&mut self, size: &[u32], bound: f64) -> Result<Tensor> {
        let count = size.iter().map(|&side| side as usize).product();
        let values = self.uniforms(count, bound);
        let size: Vec<i64> = size.iter().map(|&side| i64::from(side)).collect();
        from_doubles(&values, &size, self.kind)
    }

    /// Draws the embedding vectors [`symbols`, `inputs`].
    pub(super) fn embedding(&mut self, symbols: u32, inputs: u32) -> Result<Tensor> {
        self.uniform(&[symbols, inputs], LANGUAGE)
    }

    /// Returns a vector of equal elements.
    pub(super) fn constant(&self, size: u32, value: f64) -> Result<Tensor> {
        from_doubles(&vec![value; size as usize], &[i64::from(size)], self.kind)
    }

    /// Draws the readout weights of `classes` classes.
    pub(super) fn readout(&mut self, classes: u32, init: ReadoutInit) -> Result<ReadoutWeights> {
        let bound = 1.0 / f64::from(self.hidden).sqrt();
        let w_out = match init {
            ReadoutInit::Uniform => {
                let values = self.uniforms(classes as usize * self.hidden as usize, bound);
                let shape = [i64::from(classes), i64::from(self.hidden)];
                from_doubles(&values, &shape, self.kind)?
            }
            ReadoutInit::Xavier => self.xavier(classes, self.hidden, 1.0)?,
            ReadoutInit::Language => {
                let w_out = self.uniform(&[classes, self.hidden], LANGUAGE)?;
                return Ok(ReadoutWeights { w_out, b_out: self.constant(classes, 0.0)? });
            }
        };
        let bias = self.uniforms(classes as usize, bound);
        let b_out = from_doubles(&bias, &[i64::from(classes)], self.kind)?;
        Ok(ReadoutWeights { w_out, b_out })
    }

    fn normal(&mut self, rows: u32, columns: u32, deviation: f64) -> Result<Tensor> {
        let values = self.normals(rows as usize * columns as usize, deviation);
        from_doubles(&values, &[i64::from(rows), i64::from(columns)], self.kind)
    }

    fn normals(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        (0..count).map(|_| deviation * self.rng.normal()).collect()
    }

    fn uniforms(&mut self, count: usize, bound: f64) -> Vec<f64> {
        (0..count).map(|_| self.rng.uniform(-bound, bound)).collect()
    }

    /// Draws a uniformly distributed rotation: Q of the QR decomposition of a normal matrix, its
    /// columns times the signs of the diagonal of R, column 0 negated if the determinant is
    /// negative.
    fn orthogonal(&mut self, size: u32) -> Result<Vec<f64>> {
        let normals = self.normals(square(size), 1.0);
        let shape = [i64::from(size), i64::from(size)];
        let matrix = from_doubles(&normals, &shape, Kind::Double)?;
        let (q, r) = Tensor::f_linalg_qr(&matrix, "reduced")?;
        let q = q.f_mul(&r.f_diagonal(0, 0, 1)?.f_sign()?)?;
        let negative = to_double(&Tensor::f_linalg_det(&q)?)? < 0.0;
        let mut values = to_doubles(&q)?;
        if negative {
            for value in values.iter_mut().step_by(size as usize) {
                *value = -*value;
            }
        }
        debug_assert_eq!(length(values.len())?, shape[0] * shape[1]);
        Ok(values)
    }
}

fn square(size: u32) -> usize {
    size as usize * size as usize
}

/// Returns the matrix of plane rotations block(v) = [[cos v, sin v], [-sin v, cos v]] on rows and
/// columns 2k, 2k + 1, with angles v from `angle`; an odd size ends with a 1.
fn rotations(size: u32, mut angle: impl FnMut() -> f64) -> Vec<f64> {
    let size = size as usize;
    let mut values = vec![0.0; size * size];
    for first in (0..size - size % 2).step_by(2) {
        let (sin, cos) = angle().sin_cos();
        values[first * size + first] = cos;
        values[first * size + first + 1] = sin;
        values[(first + 1) * size + first] = -sin;
        values[(first + 1) * size + first + 1] = cos;
    }
    if size % 2 == 1 {
        values[size * size - 1] = 1.0;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(config: &config::Network, seed: u64, size: u32) -> Vec<f64> {
        let mut rng = TrialRng::new(seed, rheo_core::rng::Purpose::Init);
        let mut init = Initializer::new(config, InputInit::Kaiming, Kind::Double, &mut rng);
        to_doubles(&init.recurrent(size).unwrap()).unwrap()
    }

    fn with(recurrent_init: RecurrentInit) -> config::Network {
        config::Network { recurrent_init, hidden: 300, ..config::Network::default() }
    }

    #[test]
    fn rotations_are_those_of_the_reference() {
        let oracles: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        for (name, angles) in [("henaff", "theta"), ("cayley", "phi")] {
            let oracle = &oracles["initialisers"][name];
            let list = |value: &serde_json::Value| -> Vec<f64> {
                serde_json::from_value(value.clone()).unwrap()
            };
            let mut angles = list(&oracle[angles]).into_iter();
            let gradients = rotations(5, || angles.next().unwrap());
            let rows = oracle["w"].as_array().unwrap();
            let expected: Vec<f64> = rows.iter().flat_map(list).collect();
            for (a, b) in gradients.iter().zip(&expected) {
                assert!((a - b).abs() <= 1e-9 * b.abs() + 1e-12, "{name}: {a}, not {b}");
            }
        }
    }

    #[test]
    fn rotations_and_orthogonal_matrices_are_rotations() {
        for how in [RecurrentInit::Henaff, RecurrentInit::Cayley, RecurrentInit::Orthogonal] {
            // Both signs of the first determinant occur among these seeds.
            for (seed, size) in [(1, 1), (2, 2), (3, 7), (4, 7), (5, 30), (6, 31)] {
                let w = Tensor::from_slice(&values(&with(how), seed, size));
                let w = w.view([i64::from(size), i64::from(size)]);
                let eye = Tensor::eye(i64::from(size), (Kind::Double, tch::Device::Cpu));
                let off = (w.transpose(0, 1).matmul(&w) - eye).abs().max().double_value(&[]);
                assert!(off < 1e-13, "{how:?} of size {size}: {off}");
                let det = Tensor::linalg_det(&w).double_value(&[]);
                assert!((det - 1.0).abs() < 1e-12, "{how:?} of size {size}: {det}");
            }
        }
    }

    #[test]
    fn normal_matrices_have_the_configured_variance() {
        let size = 200.0;
        let cases = [
            (RecurrentInit::Xavier, 1.0 / size),
            (RecurrentInit::Kaiming, 2.0 / size),
            (RecurrentInit::Normal, 1.0 / 300.0),
        ];
        for (how, expected) in cases {
            let values = values(&with(how), 1, 200);
            let count = values.len() as f64;
            let variance = values.iter().map(|w| w * w).sum::<f64>() / count;
            // Five standard errors.
            let slack = 5.0 * expected * (2.0 / count).sqrt();
            assert!((variance - expected).abs() < slack, "{how:?}: {variance}, not {expected}");
        }
    }

    #[test]
    fn angles_lie_in_the_range_of_the_initialiser() {
        for (how, low, high) in [
            (RecurrentInit::Henaff, -std::f64::consts::PI, 0.0),
            (RecurrentInit::Cayley, 0.0, std::f64::consts::FRAC_PI_2),
        ] {
            let size = 100;
            let w = values(&with(how), 9, size);
            for block in (0..size as usize).step_by(2) {
                let row = block * size as usize + block;
                let angle = w[row + 1].atan2(w[row]);
                assert!((low..=high).contains(&angle), "{how:?}: {angle}");
            }
        }
    }
}
