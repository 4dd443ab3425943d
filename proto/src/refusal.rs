//! Refusals on the wire: a gRPC status whose `google.rpc.ErrorInfo` carries a stable reason.
//!
//! | who sees it | status | reason |
//! |---|---|---|
//! | a worker whose lease is gone | FAILED_PRECONDITION | `STALE_ATTEMPT`: it drops the trial |
//! | a worker that is not known | NOT_FOUND | `UNKNOWN_WORKER`: it joins and tries again |
//! | a client that names something unknown | NOT_FOUND | `UNKNOWN_SWEEP`, `UNKNOWN_TRIAL`, `UNKNOWN_FLEET` |
//! | a client whose sweep differs from the one of that name | ALREADY_EXISTS | `SWEEP_DIFFERS` |
//! | a client whose sweep file has mistakes | INVALID_ARGUMENT | `INVALID_SWEEP`, the mistakes as JSON |
//! | anyone whose message means nothing | INVALID_ARGUMENT | `INVALID_ARGUMENT` |
//! | a worker whose rows do not fit | INVALID_ARGUMENT | `INVALID_ROWS`, `ROWS_DIFFER`, `SEQUENCE_GAP` |
//! | a worker that reads a damaged checkpoint | DATA_LOSS | `CHECKPOINT_DAMAGED`, `CHECKPOINT_MISSING` |
//! | anyone, while the disk refuses | UNAVAILABLE | `STORAGE`: worth another try |
//!
//! Clients match on the reason, never on text.

use std::collections::HashMap;

use rheo_core::sweep::Rejection;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::Invalid;

/// The domain of the reasons.
const DOMAIN: &str = "rheobase";

/// The key under which a refusal carries more than its text.
const DETAIL: &str = "detail";

/// A reason that is not a [`Rejection`] of the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A message that means nothing.
    InvalidArgument,
    /// A sweep file with mistakes.
    InvalidSweep,
    /// Rows that do not have the schema of their table.
    InvalidRows,
    /// SQL that cannot be run.
    InvalidQuery,
    /// A checkpoint whose bytes are not those that were written.
    CheckpointDamaged,
    /// A checkpoint that is not there.
    CheckpointMissing,
    /// The disk refused; nothing was acknowledged.
    Storage,
    /// The coordinator is stopping.
    Stopping,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::InvalidSweep => "INVALID_SWEEP",
            Self::InvalidRows => "INVALID_ROWS",
            Self::InvalidQuery => "INVALID_QUERY",
            Self::CheckpointDamaged => "CHECKPOINT_DAMAGED",
            Self::CheckpointMissing => "CHECKPOINT_MISSING",
            Self::Storage => "STORAGE",
            Self::Stopping => "STOPPING",
        }
    }

    fn code(self) -> Code {
        match self {
            Self::InvalidArgument | Self::InvalidSweep | Self::InvalidRows | Self::InvalidQuery => {
                Code::InvalidArgument
            }
            Self::CheckpointDamaged | Self::CheckpointMissing => Code::DataLoss,
            Self::Storage | Self::Stopping => Code::Unavailable,
        }
    }
}

/// The status that tells `reason`, with a text for people and, where there is more to tell, a
/// detail for programs.
pub fn status(reason: Reason, text: impl Into<String>, detail: Option<String>) -> Status {
    with_reason(reason.code(), text.into(), reason.name(), detail)
}

/// The status that tells a rejection of the state machine.
pub fn from_rejection(rejection: &Rejection) -> Status {
    let code = match rejection {
        Rejection::UnknownSweep(_)
        | Rejection::UnknownTrial(_)
        | Rejection::UnknownWorker(_)
        | Rejection::UnknownFleet(_) => Code::NotFound,
        Rejection::SweepDiffers { .. } => Code::AlreadyExists,
        Rejection::StaleAttempt(_) | Rejection::SweepEnded(_) | Rejection::NotRetryable { .. } => {
            Code::FailedPrecondition
        }
        Rejection::SequenceGap { .. } | Rejection::RowsDiffer { .. } => Code::InvalidArgument,
    };
    let detail = match rejection {
        Rejection::SweepDiffers { diff, .. } => Some(diff.clone()),
        _ => None,
    };
    with_reason(code, rejection.to_string(), rejection.reason(), detail)
}

fn with_reason(code: Code, text: String, reason: &str, detail: Option<String>) -> Status {
    let metadata: HashMap<String, String> =
        detail.map(|detail| (DETAIL.to_owned(), detail)).into_iter().collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, text, details)
}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        status(Reason::InvalidArgument, invalid.to_string(), None)
    }
}

/// A refusal as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The stable reason; empty if the server gave none.
    pub reason: String,
    /// For people.
    pub text: String,
    /// For programs: a diff, or mistakes as JSON.
    pub detail: Option<String>,
    /// Whether the same call may succeed later.
    pub transient: bool,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let detail = info.as_ref().and_then(|info| info.metadata.get(DETAIL).cloned());
        Self {
            reason: info.map(|info| info.reason).unwrap_or_default(),
            text: status.message().to_owned(),
            detail,
            transient: is_transient(status),
        }
    }
}

/// Whether the same call may succeed later: the coordinator is away, busy or restarting.
pub fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => {
            true
        }
        // A connection that breaks during a call shows up as one of these, without a reason.
        Code::Cancelled | Code::Unknown | Code::Internal => {
            status.get_details_error_info().is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::id::SweepName;

    use super::*;

    #[test]
    fn a_reason_and_its_detail_survive_the_wire() {
        let sweep = SweepName::parse("demo").unwrap();
        let diff = "-lr: 1\n+lr: 2".to_owned();
        let status = from_rejection(&Rejection::SweepDiffers { sweep, diff: diff.clone() });
        let refusal = Refusal::from(&status);
        assert_eq!(refusal.reason, "SWEEP_DIFFERS");
        assert_eq!(refusal.detail, Some(diff));
        assert!(!refusal.transient);
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        assert!(is_transient(&status(Reason::Storage, "disk full", None)));
        assert!(is_transient(&Status::unknown("connection reset")));
        assert!(!is_transient(&status(Reason::InvalidRows, "no such column", None)));
        assert!(!is_transient(&with_reason(Code::Internal, String::new(), "BUG", None)));
    }
}
