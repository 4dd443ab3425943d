//! Errors of training, and their classification for the worker.
//!
//! Divergence is not an error: a loss that is not finite is a result.
use rheo_core::needs::Need;
use rheo_model::config::{Device, TrialConfig};
use rheo_model::networks;
use rheo_model::trainer;
use rustix::io::Errno;
use tch::TchError;

use crate::{checkpoint, task};

/// Reason why a trial cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch reported an error.
    #[error("libtorch: {}", first_line(.0))]
    Torch(TchError),
    /// Allocation of a host buffer failed.
    #[error("cannot allocate `{bytes}` bytes for {what}")]
    Memory {
        /// Content of the buffer.
        what: &'static str,
        /// Size in bytes.
        bytes: usize,
    },
    /// The trial needs a GPU that is not available.
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
    /// An analysis was interrupted because the trial has to stop.
    #[error("interrupted")]
    Interrupted,
}

// By hand: `#[from]` would print the message of libtorch twice, as message and as source.
impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}

/// libtorch appends a C++ backtrace to its messages.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Texts of libtorch for exhausted memory, on the host and on devices.
const OUT_OF_MEMORY: [&str; 4] =
    ["can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc"];

/// Texts of libtorch for a GPU that does not work.
const NO_GPU: [&str; 4] = ["CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS"];

/// System errors that concern the machine and not the file: no more threads, open files or memory.
const SYSTEM: [Errno; 4] = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];

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

impl Error {
    /// Classifies the error for a worker that runs the trial of `config`: as a fault of the worker
    /// or of the trial.
    pub(crate) fn in_trial(self, config: &TrialConfig) -> trainer::Error {
        match self.lacking(config) {
            Some(need) => trainer::Error::Unfit { need, message: chain(&self) },
            None => self.into(),
        }
    }

    /// Returns the need that the worker does not meet, if that is the cause.
    fn lacking(&self, config: &TrialConfig) -> Option<Need> {
        use task::Error as Data;
        let data = |is: fn(&Need) -> bool| networks::needs_of(config).into_iter().find(is);
        match self {
            Self::NoDevice => Some(Need::Device(Device::Cuda.name().to_owned())),
            Self::Torch(error) => {
                let text = error.to_string();
                let is_broken = NO_GPU.iter().any(|sign| text.contains(sign));
                let is_full = OUT_OF_MEMORY.iter().any(|sign| text.contains(sign));
                let on_gpu = config.resources.device == Device::Cuda;
                (on_gpu && is_broken && !is_full)
                    .then_some(Need::Device(Device::Cuda.name().to_owned()))
            }
            // No worker has what a contradictory configuration asks for.
            Self::Data(Data::Pool { .. } | Data::Seed { .. } | Data::ShortText { .. })
            | Self::Memory { .. }
            | Self::Checkpoint(_)
            | Self::Interrupted => None,
            Self::Data(Data::TooFew { .. }) => data(|need| matches!(need, Need::Samples { .. })),
            Self::Data(error) if is_of_the_system(error) => Some(Need::System),
            Self::Data(_) => data(|need| matches!(need, Need::Data { .. })),
        }
    }
}

/// Whether the system ran out of a resource, whatever the operation.
fn is_of_the_system(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>().and_then(Errno::from_io_error);
        if io.is_some_and(|errno| SYSTEM.contains(&errno)) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns the messages of an error and of its sources, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
