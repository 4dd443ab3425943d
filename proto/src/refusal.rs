//! Refusals on the wire: a gRPC status whose `google.rpc.ErrorInfo` carries a stable reason.
//!
//! | who sees it | status | reason |
//! |---|---|---|
//! | a worker whose lease is gone | FAILED_PRECONDITION | `STALE_ATTEMPT`: it drops the trial |
//! | a worker whose trial is of another state | FAILED_PRECONDITION | `FOREIGN_STATE`: it keeps its commits and leaves |
//! | a worker whose lease this journal never granted | FAILED_PRECONDITION | `UNKNOWN_LEASE`: it keeps its commits |
//! | a worker whose trial now has other values | FAILED_PRECONDITION | `CONFIGURATION_DIFFERS`: it keeps its commits |
//! | a worker that is not known | NOT_FOUND | `UNKNOWN_WORKER`: it joins and tries again |
//! | a client that names an unknown sweep, trial or fleet | NOT_FOUND | `UNKNOWN_SWEEP`, `UNKNOWN_TRIAL`, `UNKNOWN_FLEET` |
//! | a client whose sweep differs from the one of that name | ALREADY_EXISTS | `SWEEP_DIFFERS` |
//! | a client whose sweep file has errors | INVALID_ARGUMENT | `INVALID_SWEEP`, the errors as JSON |
//! | a client that deletes a sweep with running trials | FAILED_PRECONDITION | `SWEEP_BUSY` |
//! | anyone whose message is invalid | INVALID_ARGUMENT | `INVALID_ARGUMENT` |
//! | a worker whose rows do not match | INVALID_ARGUMENT | `INVALID_ROWS`, `ROWS_DIFFER`, `SEQUENCE_GAP` |
//! | a worker that reads a damaged checkpoint | DATA_LOSS | `CHECKPOINT_DAMAGED`, `CHECKPOINT_MISSING` |
//! | anyone, beyond a limit on their number | RESOURCE_EXHAUSTED | `FULL` |
//! | a client whose SQL cannot be run | INVALID_ARGUMENT | `INVALID_QUERY` |
//! | a client whose SQL exceeds its time or memory limit | RESOURCE_EXHAUSTED | `QUERY_LIMIT` |
//! | a client whose SQL fails on the data | INTERNAL | `QUERY_FAILED` |
//! | a client, while too many queries run and wait | RESOURCE_EXHAUSTED | `QUERIES_BUSY`: it retries |
//! | a client that asks for rows of a damaged part | DATA_LOSS | `RESULTS_DAMAGED` |
//! | anyone, while the disk fails | UNAVAILABLE | `STORAGE`: it retries |
//! | anyone without a token, or with a wrong one | UNAUTHENTICATED | `UNAUTHENTICATED` |
//! | a worker that calls a method of users | PERMISSION_DENIED | `PERMISSION_DENIED` |
//! | anyone who sends plaintext to a port with TLS | FAILED_PRECONDITION | `TLS_REQUIRED` |
//!
//! A client that cannot connect reports its own refusals in the same form:
//!
//! | cause | reason |
//! |---|---|
//! | the certificate of the coordinator is not trusted | `UNTRUSTED` |
//! | the coordinator does not speak TLS | `NO_TLS` |
//! | the address of the coordinator is invalid | `INVALID_ADDRESS` |
//! | a file with a CA or a token is unusable | `ACCESS_FILE` |
//!
//! Clients match on the reason, never on text.

mod reason;

use std::collections::HashMap;

use rheo_core::machine::Rejection;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use reason::Reason;

use crate::{InvalidMessage, truncate_with_size};

/// The `ErrorInfo` domain of the reasons.
const DOMAIN: &str = "rheobase";

/// The `ErrorInfo` metadata key of [`Refusal::detail`].
const DETAIL: &str = "detail";

/// The longest text of a refusal, in bytes.
const TEXT_LENGTH: usize = 2000;

/// The longest detail of a refusal, in bytes.
const DETAIL_LENGTH: usize = 4000;

/// The reasons that fail every call until a user changes address, CA or token.
const ACCESS: [Reason; 7] = [
    Reason::Unauthenticated,
    Reason::PermissionDenied,
    Reason::TlsRequired,
    Reason::Untrusted,
    Reason::NoTls,
    Reason::InvalidAddress,
    Reason::AccessFile,
];

/// The status for `reason`, with a text for people and an optional detail for programs.
pub fn status(reason: &Reason, text: impl Into<String>, detail: Option<String>) -> Status {
    // Both travel in headers, which clients limit to 16 KiB.
    let text = truncate_with_size(&text.into(), TEXT_LENGTH);
    let detail =
        detail.map(|detail| (DETAIL.to_owned(), truncate_with_size(&detail, DETAIL_LENGTH)));
    let metadata: HashMap<String, String> = detail.into_iter().collect();
    let details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    Status::with_error_details(reason.code(), text, details)
}

/// The status for a rejection of the state machine.
pub fn from_rejection(rejection: &Rejection) -> Status {
    let detail = match rejection {
        Rejection::SweepDiffers { diff, .. } => Some(diff.clone()),
        _ => None,
    };
    status(&rejection.into(), rejection.to_string(), detail)
}

impl From<InvalidMessage> for Status {
    fn from(invalid: InvalidMessage) -> Self {
        status(&Reason::InvalidArgument, invalid.to_string(), None)
    }
}

/// A refusal as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The stable reason; none if the server gave none, as when a connection breaks.
    pub reason: Option<Reason>,
    /// The text for people.
    pub text: String,
    /// The detail for programs: a diff, or the errors of a sweep file as JSON.
    pub detail: Option<String>,
    /// Whether the same call may succeed later.
    pub transient: bool,
}

impl Refusal {
    /// A permanent refusal that a client makes itself because it cannot connect.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason: Some(reason), text: text.into(), detail: None, transient: false }
    }

    /// A transient refusal: the coordinator cannot be reached now.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { reason: None, text: text.into(), detail: None, transient: true }
    }

    /// Whether the message belongs to another state, or to another history of this state. The
    /// sender then keeps its commits instead of dropping them.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self.reason,
            Some(Reason::ForeignState | Reason::UnknownLease | Reason::ConfigurationDiffers)
        )
    }

    /// Whether the address, the CA or the token is at fault.
    pub fn is_access(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| ACCESS.contains(reason))
    }

    /// Whether this is the reason of the refusal.
    pub fn has_reason(&self, reason: &Reason) -> bool {
        self.reason.as_ref() == Some(reason)
    }
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let detail = info.as_ref().and_then(|info| info.metadata.get(DETAIL).cloned());
        Self {
            reason: info.map(|info| Reason::parse(info.reason)),
            text: status.message().to_owned(),
            detail,
            transient: is_transient(status),
        }
    }
}

/// Whether the same call may succeed later: the coordinator is unavailable, busy or restarting.
pub fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::ResourceExhausted => {
            let info = status.get_details_error_info();
            info.is_none_or(|info| info.reason != Reason::QueryLimit.name())
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => true,
        // A connection that breaks during a call gives one of these, without a reason.
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
        assert!(refusal.has_reason(&Reason::SweepDiffers));
        assert_eq!(refusal.detail, Some(diff));
        assert!(!refusal.transient);
    }

    #[test]
    fn a_refusal_fits_into_headers() {
        let detail = Some("ü".repeat(100_000));
        let status = status(&Reason::InvalidSweep, "x".repeat(100_000), detail);
        let refusal = Refusal::from(&status);
        assert!(refusal.text.len() < 2100 && refusal.detail.unwrap().len() < 4100);
        assert!(refusal.text.ends_with("(100000 bytes)"), "{}", refusal.text);
    }

    #[test]
    fn access_refusals_are_not_transient() {
        for reason in ACCESS {
            let refusal = Refusal::from(&status(&reason, "no", None));
            assert!(refusal.is_access() && !refusal.transient, "{reason:?}");
            assert_eq!(refusal, Refusal::new(reason, "no"));
        }
        assert!(!Refusal::from(&status(&Reason::Storage, "disk full", None)).is_access());
        assert!(!Refusal::unavailable("nobody").is_access());
    }

    #[test]
    fn only_refusals_that_can_pass_are_transient() {
        assert!(is_transient(&status(&Reason::Storage, "disk full", None)));
        assert!(is_transient(&Status::unknown("connection reset")));
        assert!(is_transient(&status(&Reason::QueriesBusy, "4 run", None)));
        assert!(!is_transient(&status(&Reason::QueryLimit, "a day", None)));
        assert!(!is_transient(&status(&Reason::InvalidRows, "no such column", None)));
        assert!(!is_transient(&status(&Reason::QueryFailed, "", None)));
    }
}
