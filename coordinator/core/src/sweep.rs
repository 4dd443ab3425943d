//! The life of sweeps, trials, attempts and workers, as a pure state machine.
//!
//! [`execute`] is the whole of it: a [`Command`] asks for something, [`decide`] turns it into
//! [`Event`]s or a [`Rejection`], [`State::apply`] makes them true, and [`effects`] lists what must
//! then be sent. Only the events are stored; replaying them gives the identical state.
//!
//! Invariants, walked by [`State::defects`] after every step of the property tests: a trial has at
//! most one lease; attempt numbers only grow; every index below `next` is in exactly one of `live`,
//! `parked` and `done`; the rows that are durable never shrink.

mod apply;
mod change;
mod command;
mod decide;
mod effect;
mod event;
mod fitness;
mod invariant;
mod origin;
mod outcome;
mod planned;
mod ranked;
mod ranked_points;
mod rejection;
mod requests;
mod retry;
pub mod room;
mod state;
mod view;
mod worker;
mod worker_view;

pub use command::{Claim, Command, Ending, Request, Selection, Work};
pub(crate) use decide::end_leases_of;
pub use decide::{decide, execute};
pub use effect::{Effect, effects};
pub use event::{
    AttemptEnded, CoordinatorStarted, Event, LeasesRenewed, Reopened, RequestNoted, StartedOver,
    StopRequested, SweepClosed, SweepDeleted, SweepEnded, SweepPaused, SweepResumed,
    SweepSubmitted, TrialCommitted, TrialDeferred, TrialEnded, TrialLeased, TrialsRetried,
    TrialsStartedOver, WorkerDeparted, WorkerJoined, WorkerLeft, WorkerUnfit,
};
pub use fitness::{NoFit, UnfitWorker};
pub use origin::{Held, Incarnations, Origin};
pub use outcome::{AttemptOutcome, EndReason, Outcome, StopReason};
pub use planned::{PlannedSweep, ResolvedTrial};
pub use ranked::PointResult;
pub use ranked_points::RankedPoints;
pub use rejection::Rejection;
pub use requests::Requests;
pub use retry::KEPT_FOR_OTHERS;
pub use state::{Done, Lease, State, Sweep, Trial};
pub use view::{Assignment, BestPoint, Counts, Phase, Status, SweepView, TrialView, WorkLeft};
pub use worker::{Departure, Worker, WorkerInfo};
pub use worker_view::WorkerView;
