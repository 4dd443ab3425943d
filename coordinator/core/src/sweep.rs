//! Sweeps, trials and attempts: their state, and the changes that each event makes.
//!
//! Invariants, checked by [`State::defects`](crate::machine::State::defects) after every step of
//! the property tests: a trial has at most one lease; attempt numbers only grow; every index below
//! `next` is in exactly one of `live`, `parked` and `done`, and `retryable` is a subset of `done`; the durable
//! rows of a trial never shrink, unless it is restarted.

mod change;
mod event;
mod outcome;
mod planned_sweep;
mod point_result;
mod spending;
mod state;
mod stop;

pub use event::{
    AttemptEnded, PointChosen, PointRequested, ReopenedTrial, RestartedTrial, StopRequested,
    SweepClosed, SweepDeleted, SweepEnded, SweepPaused, SweepResumed, SweepSubmitted,
    TrialCommitted, TrialDeferred, TrialEnded, TrialLeased, TrialParked, TrialsRetried,
    TrialsStartedOver,
};
pub use outcome::{AttemptOutcome, StopReason, SweepEndReason, TrialOutcome};
pub use planned_sweep::PlannedSweep;
pub use point_result::PointResult;
pub use spending::SweepSpending;
pub use state::{EndedTrial, Lease, Sweep, Trial};

pub(crate) use planned_sweep::ChosenPoint;
