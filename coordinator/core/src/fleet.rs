//! Fleets: workers that a cluster starts, as many as the sweeps can use.
//!
//! A **fleet** is a standing order of a user ("up to 50 jobs of 4 processors"). A **pilot** is one
//! job of a fleet; it starts workers, each of which runs many trials. A pilot is journaled before
//! it is submitted, under a job name that never changes, so a coordinator that crashed in between
//! finds the job again instead of submitting it twice.
//!
//! This module is pure. [`crate::machine`] turns observations of the cluster into events;
//! `rheo-launch` submits, observes and removes jobs.

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
