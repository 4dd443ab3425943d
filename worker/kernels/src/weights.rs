//! Connection weights of a layer, and their gradients.

use pulp::Simd;

use crate::Real;
use crate::dims::{GroupDims, LayerDims};
use crate::matrix::OuterSum;
use crate::product::WeightProduct;

/// Weights of a_t = w_x x_t + w_h h_{t-1} + bias; those of G gates are stacked along the rows.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a, R> {
    /// Input weights [G H, I].
    pub w_x: &'a [R],
    /// Recurrent weights [G H, H].
    pub w_h: &'a [R],
    /// Sum of all biases, [G H].
    pub bias: &'a [R],
}

impl<R: Real> Weights<'_, R> {
    /// Returns the product of the weights of `gates` gates with [h | x | 1].
    pub(crate) fn product<S: Simd>(&self, size: &GroupDims, gates: usize) -> WeightProduct<R> {
        let weight = |gate, neuron, k| self.get(gate * size.hidden + neuron, k, size);
        WeightProduct::new::<S>(size, 0..gates, true, weight)
    }

    /// Returns the weight of element k of [h | x | 1] in a row.
    pub(crate) fn get(&self, row: usize, k: usize, size: &GroupDims) -> R {
        let GroupDims { hidden, inputs, .. } = *size;
        if k < hidden {
            self.w_h[row * hidden + k]
        } else if k < hidden + inputs {
            self.w_x[row * inputs + k - hidden]
        } else {
            self.bias[row]
        }
    }
}

/// Gradients of [`Weights`].
#[derive(Debug, Clone, PartialEq)]
pub struct WeightGradients<R> {
    /// Gradient of the input weights [G H, I].
    pub w_x: Vec<R>,
    /// Gradient of the recurrent weights [G H, H].
    pub w_h: Vec<R>,
    /// Gradient of the biases [G H].
    pub bias: Vec<R>,
}

impl<R: Real> WeightGradients<R> {
    /// Collects the sums of the threads over [h | x | 1], or over [x | 1], for `gates` gates.
    pub(crate) fn collect<'a>(
        sums: &(impl Iterator<Item = &'a OuterSum<R>> + Clone),
        gates: usize,
        shape: LayerDims,
    ) -> Self {
        let LayerDims { hidden, padded, recurrent, inputs } = shape;
        let rows = || {
            (0..gates).flat_map(move |gate| (0..hidden).map(move |neuron| gate * padded + neuron))
        };
        let total = |row: usize, column: usize| {
            let mut sum = R::ZERO;
            sums.clone().for_each(|part| sum += part.get(row, column));
            sum
        };
        let all = |first: usize, count: usize| -> Vec<R> {
            rows()
                .flat_map(|row| (first..first + count).map(move |column| (row, column)))
                .map(|(row, column)| total(row, column))
                .collect()
        };
        Self {
            w_h: all(0, recurrent),
            w_x: all(recurrent, inputs),
            bias: all(recurrent + inputs, 1),
        }
    }
}
