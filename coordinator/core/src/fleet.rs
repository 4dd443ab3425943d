//! Fleets: workers that a cluster starts for us, as many as the sweeps can use.
//!
//! A **fleet** is what a user asked for once ("up to 50 jobs of 4 processors"); a **pilot** is one
//! job of it, which starts workers that take many trials. What a cluster is asked to do follows from
//! the state alone: a pilot is planned (durable) before it is submitted under a name that it keeps,
//! so that a coordinator that died in between finds it again instead of submitting it twice.
//!
//! Pure, as everything here: [`crate::machine`] turns what was seen of the cluster into events; submitting, looking and removing are the business of `rheo-launch`.

mod apply;
mod command;
mod event;
mod name;
mod pause;
mod state;

pub use command::FleetCommand;
pub use event::{
    FleetDegraded, FleetDrained, FleetEvent, FleetLaunched, FleetScaled, FleetStopped, NodeUnfit,
    PilotEnded, PilotObserved, PilotPlanned, PilotRemoved,
};
pub use name::{FleetName, PilotId};
pub use state::{
    Fleet, FleetMode, FleetProblem, FleetSpec, Pilot, PilotEndCause, PilotPhase, PilotStatus,
    WorkerLocation,
};

pub(crate) use apply::{apply, on_joined};
pub(crate) use pause::failure_event;
