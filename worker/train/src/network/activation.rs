//! Activation functions without parameters.

use tch::{Kind, Result, Tensor};

use crate::gamma;

/// A fixed activation function phi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// phi(a) = max(a, 0).
    Relu,
    /// phi(a) = tanh(a).
    Tanh,
    /// phi(a) = 1 / (1 + exp(-a)).
    Sigmoid,
    /// phi(a) = ln(1 + exp(a)).
    Softplus,
    /// phi(a) = a.
    Linear,
}

impl Activation {
    /// Returns phi(a).
    pub(super) fn apply(self, a: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => a.f_relu(),
            Self::Tanh => a.f_tanh(),
            Self::Sigmoid => a.f_sigmoid(),
            // libtorch's softplus is the identity above 20, an error of 2e-9; this form and its
            // derivative are exact.
            Self::Softplus => a.f_logaddexp(&Tensor::f_zeros_like(a)?),
            Self::Linear => Ok(a.shallow_clone()),
        }
    }

    /// Returns phi'(a).
    pub(super) fn slope(self, a: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => a.f_gt(0.0)?.f_to_dtype(a.f_kind()?, false, false),
            Self::Tanh => a.f_tanh()?.f_square()?.f_rsub_scalar(1.0),
            Self::Sigmoid => gamma::bell(a),
            Self::Softplus => a.f_sigmoid(),
            Self::Linear => a.f_ones_like(),
        }
    }
}

/// Returns sign(a) max(|a| + b, 0) with offsets b [H]; zero at a = 0.
pub(super) fn modrelu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.f_sign()?.f_mul(&a.f_abs()?.f_add(b)?.f_relu()?)
}

/// Returns the derivative of [`modrelu`] with respect to a.
pub(super) fn modrelu_slope(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let active = a.f_abs()?.f_add(b)?.f_gt(0.0)?;
    active.f_logical_and(&a.f_ne(0.0)?)?.f_to_dtype(kind(a)?, false, false)
}

fn kind(tensor: &Tensor) -> Result<Kind> {
    tensor.f_kind()
}
