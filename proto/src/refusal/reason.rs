//! The stable reasons of refusals, with their names on the wire and their gRPC codes.

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
            /// A reason that this version does not know, under its name on the wire.
            Unknown(String),
        }

        impl Reason {
            /// Every reason that this version knows.
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

            /// The gRPC code that goes with it.
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
    /// The message means nothing.
    InvalidArgument, "INVALID_ARGUMENT", InvalidArgument;
    /// The sweep file has mistakes.
    InvalidSweep, "INVALID_SWEEP", InvalidArgument;
    /// The rows do not have the schema of their table.
    InvalidRows, "INVALID_ROWS", InvalidArgument;
    /// The SQL cannot be run.
    InvalidQuery, "INVALID_QUERY", InvalidArgument;
    /// The query needs more than a query may have; the same query does so again.
    QueryLimit, "QUERY_LIMIT", ResourceExhausted;
    /// The query could not be carried out.
    QueryFailed, "QUERY_FAILED", Internal;
    /// More queries at once than may run and wait.
    QueriesBusy, "QUERIES_BUSY", ResourceExhausted;
    /// The bytes of a checkpoint are not those that were written.
    CheckpointDamaged, "CHECKPOINT_DAMAGED", DataLoss;
    /// A checkpoint is not there.
    CheckpointMissing, "CHECKPOINT_MISSING", DataLoss;
    /// A part of the results is missing or damaged.
    ResultsDamaged, "RESULTS_DAMAGED", DataLoss;
    /// The disk refused; nothing was acknowledged.
    Storage, "STORAGE", Unavailable;
    /// As many of this kind are kept, or calls of this kind wait, as may.
    Full, "FULL", ResourceExhausted;
    /// The coordinator is stopping.
    Stopping, "STOPPING", Unavailable;
    /// The token is missing or not known.
    Unauthenticated, "UNAUTHENTICATED", Unauthenticated;
    /// The token is good for other calls.
    PermissionDenied, "PERMISSION_DENIED", PermissionDenied;
    /// The client speaks plaintext where TLS is spoken.
    TlsRequired, "TLS_REQUIRED", FailedPrecondition;
    /// The certificate of the coordinator is not good.
    Untrusted, "UNTRUSTED", FailedPrecondition;
    /// The coordinator speaks no TLS.
    NoTls, "NO_TLS", FailedPrecondition;
    /// The address of the coordinator is none.
    InvalidAddress, "INVALID_ADDRESS", InvalidArgument;
    /// A file with a CA or a token cannot be used.
    AccessFile, "ACCESS_FILE", InvalidArgument;
    /// No sweep has this name.
    UnknownSweep, "UNKNOWN_SWEEP", NotFound;
    /// No fleet has this name.
    UnknownFleet, "UNKNOWN_FLEET", NotFound;
    /// The sweep has no such trial.
    UnknownTrial, "UNKNOWN_TRIAL", NotFound;
    /// The worker is not known: it joins and tries again.
    UnknownWorker, "UNKNOWN_WORKER", NotFound;
    /// Another sweep has this name.
    SweepDiffers, "SWEEP_DIFFERS", AlreadyExists;
    /// The trial belongs to another attempt by now.
    StaleAttempt, "STALE_ATTEMPT", FailedPrecondition;
    /// The trial belongs to another state.
    ForeignState, "FOREIGN_STATE", FailedPrecondition;
    /// This journal never granted the lease.
    UnknownLease, "UNKNOWN_LEASE", FailedPrecondition;
    /// The trial has another configuration here.
    ConfigurationDiffers, "CONFIGURATION_DIFFERS", FailedPrecondition;
    /// A message of the attempt is missing before this one.
    SequenceGap, "SEQUENCE_GAP", InvalidArgument;
    /// The rows are not those between the durable ones and the checkpoint.
    RowsDiffer, "ROWS_DIFFER", InvalidArgument;
    /// The trial has neither failed nor been cancelled.
    NotRetryable, "NOT_RETRYABLE", FailedPrecondition;
    /// The sweep has ended.
    SweepEnded, "SWEEP_ENDED", FailedPrecondition;
    /// Workers train trials of the sweep.
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
