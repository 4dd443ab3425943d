//! Stable reasons of refusals, with their names on the wire and their gRPC codes.

use rheo_core::machine::Rejection;
use tonic::Code;

/// Declares [`Reason`]: a variant, its name on the wire and its code in each line.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $code:ident;)+) => {
        /// The reason of a refusal. Programs match on it, never on text.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
            /// A reason that this version does not know, by its name on the wire.
            Unknown(String),
        }

        impl Reason {
            /// Every known reason.
            pub const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown(name) => name,
                }
            }

            /// The reason with this name on the wire.
            pub fn parse(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)+
                    _ => Self::Unknown(name),
                }
            }

            /// The gRPC code of the reason.
            pub fn code(&self) -> Code {
                match self {
                    $(Self::$variant => Code::$code,)+
                    Self::Unknown(_) => Code::Unknown,
                }
            }
        }
    };
}

reasons! {
    /// The message is invalid.
    InvalidArgument, "INVALID_ARGUMENT", InvalidArgument;
    /// The sweep file has errors.
    InvalidSweep, "INVALID_SWEEP", InvalidArgument;
    /// The rows do not have the schema of their table.
    InvalidRows, "INVALID_ROWS", InvalidArgument;
    /// The SQL cannot be run.
    InvalidQuery, "INVALID_QUERY", InvalidArgument;
    /// The query exceeds its time or memory limit, and would do so again.
    QueryLimit, "QUERY_LIMIT", ResourceExhausted;
    /// The query failed on the data.
    QueryFailed, "QUERY_FAILED", Internal;
    /// Too many queries run and wait.
    QueriesBusy, "QUERIES_BUSY", ResourceExhausted;
    /// The bytes of a checkpoint do not have its digest.
    CheckpointDamaged, "CHECKPOINT_DAMAGED", DataLoss;
    /// The checkpoint does not exist.
    CheckpointMissing, "CHECKPOINT_MISSING", DataLoss;
    /// A part of the results is missing or damaged.
    ResultsDamaged, "RESULTS_DAMAGED", DataLoss;
    /// The disk failed; nothing was acknowledged.
    Storage, "STORAGE", Unavailable;
    /// The limit of stored objects or waiting calls of this kind is reached.
    Full, "FULL", ResourceExhausted;
    /// The coordinator is stopping.
    Stopping, "STOPPING", Unavailable;
    /// The token is missing or unknown.
    Unauthenticated, "UNAUTHENTICATED", Unauthenticated;
    /// The token does not permit this call.
    PermissionDenied, "PERMISSION_DENIED", PermissionDenied;
    /// The client sent plaintext to a port with TLS.
    TlsRequired, "TLS_REQUIRED", FailedPrecondition;
    /// The certificate of the coordinator is not trusted.
    Untrusted, "UNTRUSTED", FailedPrecondition;
    /// The coordinator does not speak TLS.
    NoTls, "NO_TLS", FailedPrecondition;
    /// The address of the coordinator is invalid.
    InvalidAddress, "INVALID_ADDRESS", InvalidArgument;
    /// A file with a CA or a token is unusable.
    AccessFile, "ACCESS_FILE", InvalidArgument;
    /// No sweep has this name.
    UnknownSweep, "UNKNOWN_SWEEP", NotFound;
    /// No fleet has this name.
    UnknownFleet, "UNKNOWN_FLEET", NotFound;
    /// The sweep has no such trial.
    UnknownTrial, "UNKNOWN_TRIAL", NotFound;
    /// The worker is unknown: it joins and retries.
    UnknownWorker, "UNKNOWN_WORKER", NotFound;
    /// Another sweep has this name.
    SweepDiffers, "SWEEP_DIFFERS", AlreadyExists;
    /// A newer attempt of the trial exists.
    StaleAttempt, "STALE_ATTEMPT", FailedPrecondition;
    /// The trial belongs to another state.
    ForeignState, "FOREIGN_STATE", FailedPrecondition;
    /// This journal never granted the lease.
    UnknownLease, "UNKNOWN_LEASE", FailedPrecondition;
    /// The trial has another configuration in this state.
    ConfigurationDiffers, "CONFIGURATION_DIFFERS", FailedPrecondition;
    /// An earlier message of the attempt is missing.
    SequenceGap, "SEQUENCE_GAP", InvalidArgument;
    /// The rows do not reach exactly from the durable rows to the checkpoint.
    RowsDiffer, "ROWS_DIFFER", InvalidArgument;
    /// The trial has neither failed nor been cancelled.
    NotRetryable, "NOT_RETRYABLE", FailedPrecondition;
    /// The sweep has ended.
    SweepEnded, "SWEEP_ENDED", FailedPrecondition;
    /// Trials of the sweep are running.
    SweepBusy, "SWEEP_BUSY", FailedPrecondition;
}

impl From<&Rejection> for Reason {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::UnknownSweep(_) => Self::UnknownSweep,
            Rejection::UnknownFleet(_) => Self::UnknownFleet,
            Rejection::UnknownTrial(_) => Self::UnknownTrial,
            Rejection::UnknownWorker(_) => Self::UnknownWorker,
            Rejection::SweepDiffers { .. } => Self::SweepDiffers,
            Rejection::StaleAttempt(_) => Self::StaleAttempt,
            Rejection::ForeignState { .. } => Self::ForeignState,
            Rejection::UnknownLease(_) => Self::UnknownLease,
            Rejection::ConfigurationDiffers(_) => Self::ConfigurationDiffers,
            Rejection::SequenceGap { .. } => Self::SequenceGap,
            Rejection::RowsDiffer { .. } => Self::RowsDiffer,
            Rejection::NotRetryable { .. } => Self::NotRetryable,
            Rejection::SweepEnded(_) => Self::SweepEnded,
            Rejection::SweepBusy { .. } => Self::SweepBusy,
            Rejection::Full { .. } => Self::Full,
            Rejection::NotAllowed(_) => Self::PermissionDenied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_reason_and_no_other() {
        for reason in Reason::KNOWN {
            assert_eq!(Reason::parse(reason.name().to_owned()), *reason);
        }
        let later = Reason::parse("OF_A_LATER_VERSION".to_owned());
        assert_eq!(later, Reason::Unknown("OF_A_LATER_VERSION".to_owned()));
        assert_eq!(later.name(), "OF_A_LATER_VERSION");
    }
}
