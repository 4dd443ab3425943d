//! Fleets in the state machine: the number of pilots that the sweeps can use, and reactions to the
//! observed pilots.

mod decide;
mod demand;
mod health;
mod pilot_status;
mod reconcile;
mod scale;
mod unfit_pilot;
mod view;

pub(super) use decide::decide;
pub use demand::Demand;
pub use view::{FleetView, PilotView};
