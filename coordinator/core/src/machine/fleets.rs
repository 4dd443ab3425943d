//! The fleets in the state machine: how many pilots the sweeps can use, and what follows from what
//! was seen of them.

mod decide;
mod demand;
mod unfit_pilot;
mod view;

pub(super) use decide::decide;
pub use demand::Demand;
pub use view::{FleetView, PilotView};
