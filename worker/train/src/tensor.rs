//! Conversions between host values and tensors that tch offers only in panicking form.

use tch::{Kind, Result, TchError, Tensor};

use rheo_model::config::Precision;

/// Returns the element type of weights and activations.
pub(crate) fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::Float32 => Kind::Float,
        Precision::Float64 => Kind::Double,
    }
}

/// Returns a tensor of element type `kind` with `shape` and the given elements, row-major.
pub(crate) fn from_doubles(values: &[f64], shape: &[i64], kind: Kind) -> Result<Tensor> {
    Tensor::f_from_slice(values)?.f_reshape(shape)?.f_to_dtype(kind, false, false)
}

/// Returns the elements of a tensor, row-major.
pub(crate) fn to_doubles(tensor: &Tensor) -> Result<Vec<f64>> {
    let tensor = tensor.f_to_dtype(Kind::Double, false, false)?.f_contiguous()?;
    let mut values = vec![0.0; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

/// Returns the only element of a tensor.
pub(crate) fn to_double(tensor: &Tensor) -> Result<f64> {
    tensor.f_double_value(&[])
}

/// Converts a count to libtorch's integer type.
pub(crate) fn length(count: usize) -> Result<i64> {
    i64::try_from(count).map_err(|_| TchError::Shape(format!("too many elements: `{count}`")))
}
