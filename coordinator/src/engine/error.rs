//! Why a call of the engine did not succeed.

use rheo_core::machine::Rejection;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state machine refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The disk refused; nothing happened, and the same call may succeed later.
    #[error("nothing could be stored: {0}")]
    Storage(String),
    /// The coordinator is stopping.
    #[error("the coordinator is stopping")]
    Stopping,
}
