//! Refusals on the wire: a gRPC status whose `google.rpc.ErrorInfo` carries a stable reason.
//!
//! | who sees it | status | reason |
//! |---|---|---|
//! | a worker whose lease is gone | FAILED_PRECONDITION | `STALE_ATTEMPT`: it drops the trial |
//! | a worker whose trial is of another state | FAILED_PRECONDITION | `FOREIGN_STATE`: it keeps its commits and leaves |
//! | a worker whose lease this journal never granted | FAILED_PRECONDITION | `UNKNOWN_LEASE`: it keeps its commits |
//! | a worker whose trial now has other values | FAILED_PRECONDITION | `CONFIGURATION_DIFFERS`: it keeps its commits |
//! | a worker that is not known | NOT_FOUND | `UNKNOWN_WORKER`: it joins and tries again |
//! | a client that names something unknown | NOT_FOUND | `UNKNOWN_SWEEP`, `UNKNOWN_TRIAL`, `UNKNOWN_FLEET` |
//! | a client whose sweep differs from the one of that name | ALREADY_EXISTS | `SWEEP_DIFFERS` |
//! | a client whose sweep file has mistakes | INVALID_ARGUMENT | `INVALID_SWEEP`, the mistakes as JSON |
//! | a client that deletes a sweep that workers train | FAILED_PRECONDITION | `SWEEP_BUSY` |
//! | anyone whose message means nothing | INVALID_ARGUMENT | `INVALID_ARGUMENT` |
//! | a worker whose rows do not fit | INVALID_ARGUMENT | `INVALID_ROWS`, `ROWS_DIFFER`, `SEQUENCE_GAP` |
//! | a worker that reads a damaged checkpoint | DATA_LOSS | `CHECKPOINT_DAMAGED`, `CHECKPOINT_MISSING` |
//! | anyone who would be one too many | RESOURCE_EXHAUSTED | `FULL` |
//! | a client whose SQL cannot be run | INVALID_ARGUMENT | `INVALID_QUERY` |
//! | a client whose SQL needs more time or memory than it may have | RESOURCE_EXHAUSTED | `QUERY_LIMIT` |
//! | a client whose SQL fails on the data | INTERNAL | `QUERY_FAILED` |
//! | a client, while too many queries run and wait | RESOURCE_EXHAUSTED | `QUERIES_BUSY`: worth another try |
//! | a client that asks for rows of a damaged part | DATA_LOSS | `RESULTS_DAMAGED` |
//! | anyone, while the disk refuses | UNAVAILABLE | `STORAGE`: worth another try |
//! | anyone without a token, or with a wrong one | UNAUTHENTICATED | `UNAUTHENTICATED` |
//! | a worker that asks for what only people may do | PERMISSION_DENIED | `PERMISSION_DENIED` |
//! | anyone who speaks plaintext to a port with TLS | FAILED_PRECONDITION | `TLS_REQUIRED` |
//!
//! A client that cannot even ask says so in the same form, without a server:
//!
//! | what is wrong | reason |
//! |---|---|
//! | the certificate of the coordinator | `UNTRUSTED` |
//! | it speaks no TLS | `NO_TLS` |
//! | its address | `INVALID_ADDRESS` |
//! | a file with a CA or a token | `ACCESS_FILE` |
//!
//! Clients match on the reason, never on text.

mod reason;

use std::collections::HashMap;

use rheo_core::machine::Rejection;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use reason::Reason;

use crate::{InvalidMessage, truncate_with_size};

/// The domain of the reasons.
const DOMAIN: &str = "rheobase";

/// The key under which a refusal carries more than its text.
const DETAIL: &str = "detail";

/// The most bytes of a text for people.
const TEXT_LENGTH: usize = 2000;

/// The most bytes of a detail for programs.
const DETAIL_LENGTH: usize = 4000;

/// The reasons for which nothing can be asked at all until a person has changed something.
const ACCESS: [Reason; 7] = [
    Reason::Unauthenticated,
    Reason::PermissionDenied,
    Reason::TlsRequired,
    Reason::Untrusted,
    Reason::NoTls,
    Reason::InvalidAddress,
    Reason::AccessFile,
];

/// The status that tells `reason`, with a text for people and, where there is more to tell, a
/// detail for programs.
pub fn status(reason: &Reason, text: impl Into<String>, detail: Option<String>) -> Status {
    // Both travel in headers, of which clients take 16 KiB.
    let text = truncate_with_size(&text.into(), TEXT_LENGTH);
    let detail =
        detail.map(|detail| (DETAIL.to_owned(), truncate_with_size(&detail, DETAIL_LENGTH)));
    let metadata: HashMap<String, String> = detail.into_iter().collect();
    let details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    Status::with_error_details(reason.code(), text, details)
}

/// The status that tells a rejection of the state machine.
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
    /// For people.
    pub text: String,
    /// For programs: a diff, or mistakes as JSON.
    pub detail: Option<String>,
    /// Whether the same call may succeed later.
    pub transient: bool,
}

impl Refusal {
    /// A refusal for good that a client makes itself, because it cannot ask.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason: Some(reason), text: text.into(), detail: None, transient: false }
    }

    /// A coordinator that cannot be asked now.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { reason: None, text: text.into(), detail: None, transient: true }
    }

    /// Whether what was said is about another state, or another history of this one: it is not
    /// wrong, but belongs elsewhere, and whoever has it keeps it.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self.reason,
            Some(Reason::ForeignState | Reason::UnknownLease | Reason::ConfigurationDiffers)
        )
    }

    /// Whether address, trust or token are what is wrong.
    pub fn is_access(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| ACCESS.contains(reason))
    }

    /// Whether `reason` is the reason.
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
        assert!(refusal.has_reason(&Reason::SweepDiffers));
        assert_eq!(refusal.detail, Some(diff));
        assert!(!refusal.transient);
    }

    #[test]
    fn a_refusal_fits_into_headers_whatever_was_sent() {
        let detail = Some("ü".repeat(100_000));
        let status = status(&Reason::InvalidSweep, "x".repeat(100_000), detail);
        let refusal = Refusal::from(&status);
        assert!(refusal.text.len() < 2100 && refusal.detail.unwrap().len() < 4100);
        assert!(refusal.text.ends_with("(100000 bytes)"), "{}", refusal.text);
    }

    #[test]
    fn who_is_not_let_in_need_not_try_again() {
        for reason in ACCESS {
            let refusal = Refusal::from(&status(&reason, "no", None));
            assert!(refusal.is_access() && !refusal.transient, "{reason:?}");
            assert_eq!(refusal, Refusal::new(reason, "no"));
        }
        assert!(!Refusal::from(&status(&Reason::Storage, "disk full", None)).is_access());
        assert!(!Refusal::unavailable("nobody").is_access());
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        assert!(is_transient(&status(&Reason::Storage, "disk full", None)));
        assert!(is_transient(&Status::unknown("connection reset")));
        assert!(is_transient(&status(&Reason::QueriesBusy, "4 run", None)));
        assert!(!is_transient(&status(&Reason::QueryLimit, "a day", None)));
        assert!(!is_transient(&status(&Reason::InvalidRows, "no such column", None)));
        assert!(!is_transient(&status(&Reason::QueryFailed, "", None)));
    }
}
