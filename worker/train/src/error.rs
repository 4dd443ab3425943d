//! What can go wrong while a trial is trained, and what it means to the worker.
//!
//! Divergence is not here: a loss that is not finite is a result.

use rheo_core::trainer;
use tch::TchError;

use crate::{checkpoint, task};

/// Why a trial could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(.0))]
    Torch(TchError),
    /// A buffer of the host could not be had.
    #[error("no memory for {what}: `{bytes}` bytes")]
    Memory {
        /// What it was to hold.
        what: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The trial asks for a GPU.
    #[error(
        "resources.device: no CUDA device here, or a libtorch without CUDA: use `cpu`, or build the \
         worker with a LIBTORCH that has it"
    )]
    NoDevice,
    /// The data of the task cannot be used.
    #[error(transparent)]
    Data(#[from] task::Error),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// An analysis was given up because the trial has to stop.
    #[error("interrupted")]
    Interrupted,
}

// By hand: with `#[from]` the text of libtorch would be printed twice, as message and as source.
impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}

/// libtorch appends a C++ backtrace to its messages.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// How libtorch says that memory ran out, on the host and on devices.
const OUT_OF_MEMORY: [&str; 4] =
    ["can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc"];

impl From<Error> for trainer::Error {
    fn from(error: Error) -> Self {
        let text = chain(&error);
        match error {
            Error::Checkpoint(_) => Self::Checkpoint(text),
            Error::Memory { .. } => Self::OutOfMemory(text),
            Error::Torch(_) if OUT_OF_MEMORY.iter().any(|sign| text.contains(sign)) => {
                Self::OutOfMemory(text)
            }
            Error::Torch(_) | Error::NoDevice | Error::Data(_) | Error::Interrupted => {
                Self::Other(text)
            }
        }
    }
}

/// The messages of an error and of its sources, the outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn an_allocation_that_libtorch_refuses_is_out_of_memory() {
        let refused = Tensor::f_zeros([1 << 58], (Kind::Double, Device::Cpu)).unwrap_err();
        let error = trainer::Error::from(Error::from(refused));
        assert!(matches!(error, trainer::Error::OutOfMemory(_)), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }

    #[test]
    fn a_buffer_that_the_system_refuses_is_out_of_memory() {
        let refused = task::buffer::<f64>("a test", usize::MAX / 16).unwrap_err();
        let error = trainer::Error::from(refused);
        assert!(matches!(error, trainer::Error::OutOfMemory(_)), "{error}");
    }

    #[test]
    fn any_other_refusal_is_an_error_with_one_line() {
        let refused = Tensor::from_slice(&[1.0, 2.0]).f_reshape([3]).unwrap_err();
        let error = trainer::Error::from(Error::from(refused));
        assert!(matches!(error, trainer::Error::Other(_)), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(error.to_string().starts_with("libtorch: "), "{error}");
    }
}
