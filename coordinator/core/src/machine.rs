//! The state machine: sweeps, trials, attempts, workers and fleets together. Their own types are in
//! [`crate::sweep`] and [`crate::fleet`].
//!
//! [`execute`] is the entry point. A [`Command`] asks for a change; [`decide`] turns it into
//! [`Event`]s or a [`Rejection`]; [`State::apply`] applies the events; [`effects`] lists the
//! messages to send afterwards. Only events are stored, and replaying them gives the identical
//! state.

mod apply;
mod caller;
mod command;
mod decide;
mod effect;
mod event;
mod fleets;
mod handled_requests;
mod invariant;
pub mod limits;
mod origin;
mod placement;
mod rejection;
mod retry;
pub mod snapshot;
mod state;
mod stored_state;
mod view;
mod worker;
mod worker_view;

pub use caller::Caller;
pub use command::{
    AttemptClaim, AttemptEnd, Command, CommitManifest, SweepRequest, TrialSelection,
};
pub use decide::{decide, execute};
pub use effect::{Effect, effects};
pub use event::{
    CoordinatorStarted, Event, LeasesRenewed, RequestNoted, WorkerDeparted, WorkerJoined,
    WorkerLeft, WorkerUnfit,
};
pub use fleets::{Demand, FleetView, PilotView};
pub use handled_requests::HandledRequests;
pub use origin::{HeldAttempt, Incarnations, Origin};
pub use placement::{PlacementFailure, UnfitWorker};
pub use rejection::Rejection;
pub use retry::KEPT_FOR_OTHERS;
pub use state::State;
pub use view::{
    Assignment, BestPoint, SweepPhase, SweepView, TrialCounts, TrialStatus, TrialView, WorkOutlook,
};
pub use worker::{Departure, Worker, WorkerInfo};
pub use worker_view::{ResourceUsage, WorkerView};
