//! The state machine: sweeps, trials, attempts, workers and fleets together, above what each of them
//! is ([`crate::sweep`], [`crate::fleet`]).
//!
//! [`execute`] is the whole of it: a [`Command`] asks for something, [`decide`] turns it into
//! [`Event`]s or a [`Rejection`], [`State::apply`] makes them true, and [`effects`] lists what must
//! then be sent. Only the events are stored; replaying them gives the identical state.

mod apply;
mod caller;
mod command;
mod decide;
mod effect;
mod event;
mod fitness;
mod fleets;
mod invariant;
mod origin;
mod rejection;
mod requests;
mod retry;
pub mod room;
pub mod snapshot;
mod state;
mod unstored;
mod view;
mod worker;
mod worker_view;

pub use caller::Caller;
pub use command::{Claim, Command, Ending, Request, Selection, Work};
pub use decide::{decide, execute};
pub use effect::{Effect, effects};
pub use event::{
    CoordinatorStarted, Event, LeasesRenewed, RequestNoted, WorkerDeparted, WorkerJoined,
    WorkerLeft, WorkerUnfit,
};
pub use fitness::{NoFit, UnfitWorker};
pub use fleets::{Demand, FleetView, PilotView};
pub use origin::{Held, Incarnations, Origin};
pub use rejection::Rejection;
pub use requests::Requests;
pub use retry::KEPT_FOR_OTHERS;
pub use state::State;
pub use view::{Assignment, BestPoint, Counts, Phase, Status, SweepView, TrialView, WorkLeft};
pub use worker::{Departure, Worker, WorkerInfo};
pub use worker_view::{Busy, WorkerView};
