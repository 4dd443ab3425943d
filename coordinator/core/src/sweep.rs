//! A sweep, its trials and their attempts: what is known of them, and what each event changes.
//!
//! Invariants, walked by [`State::defects`](crate::machine::State::defects) after every step of the
//! property tests: a trial has at most one lease; attempt numbers only grow; every index below
//! `next` is in exactly one of `live`, `parked` and `done`; the rows that are durable never shrink.

mod change;
mod event;
mod outcome;
mod planned;
mod ranked;
mod ranked_points;
mod state;
mod stored_flag;

pub use event::{
    AttemptEnded, Reopened, StartedOver, StopRequested, SweepClosed, SweepDeleted, SweepEnded,
    SweepPaused, SweepResumed, SweepSubmitted, TrialCommitted, TrialDeferred, TrialEnded,
    TrialLeased, TrialsRetried, TrialsStartedOver,
};
pub use outcome::{AttemptOutcome, EndReason, Outcome, StopReason};
pub use planned::{PlannedSweep, ResolvedTrial};
pub use ranked::PointResult;
pub use ranked_points::RankedPoints;
pub use state::{Done, Lease, Sweep, Trial};

pub(crate) use planned::Chosen;
