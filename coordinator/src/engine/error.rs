//! Errors of the engine.

use rheo_core::machine::Rejection;

/// A call of the engine did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state machine refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The journal could not be written; the command had no effect and may be retried.
    #[error("the journal cannot be written, so nothing was changed: {0}")]
    Storage(String),
    /// The coordinator is stopping.
    #[error("the coordinator is stopping")]
    Stopping,
}
