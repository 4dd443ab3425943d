//! Commands about fleets.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::name::{FleetName, PilotId};
use super::state::{FleetSpec, PilotStatus};
use crate::id::RequestId;

/// A command about a fleet.
#[derive(Debug, Clone, PartialEq)]
pub enum FleetCommand {
    /// Launches a fleet, or changes and restarts the one of that name.
    Launch {
        /// The specification.
        spec: Box<FleetSpec>,
        /// The id to use if the fleet is new.
        id: Uuid,
        /// The request id.
        request: RequestId,
    },
    /// Changes the bounds of a fleet.
    Scale {
        /// The fleet.
        fleet: FleetName,
        /// The new lower bound, if it changes.
        min: Option<u32>,
        /// The new upper bound, if it changes.
        max: Option<u32>,
        /// The request id.
        request: RequestId,
    },
    /// Stops starting pilots.
    Drain {
        /// The fleet.
        fleet: FleetName,
        /// The request id.
        request: RequestId,
    },
    /// Removes all pilots.
    Stop {
        /// The fleet.
        fleet: FleetName,
        /// The request id.
        request: RequestId,
    },
    /// Reports the observed status of every live pilot.
    Reconcile {
        /// The fleet.
        fleet: FleetName,
        /// The status of each pilot by number.
        statuses: BTreeMap<u64, PilotStatus>,
    },
    /// Reports that the cluster accepted a pilot.
    Submitted {
        /// The pilot.
        pilot: PilotId,
        /// The cluster's id of the job.
        handle: String,
    },
    /// Reports that the cluster refused pilots, and would refuse similar ones now.
    Refused {
        /// The fleet.
        fleet: FleetName,
        /// The numbers of the refused pilots.
        pilots: Vec<u64>,
        /// The cluster's message.
        text: String,
        /// Whether the refusal is a quota, so that the same pilot may be accepted later.
        is_limit: bool,
    },
    /// Reports that the cluster cannot be reached.
    Unavailable {
        /// The fleet.
        fleet: FleetName,
        /// The error.
        text: String,
    },
}
