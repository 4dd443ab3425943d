//! Events of fleets. They are part of the journal: fields are only ever added, with a default.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::{FleetName, PilotId};
use super::state::{FleetSpec, PilotEndCause, PilotPhase};
use crate::id::RequestId;
use crate::time::Timestamp;

/// An event of a fleet, as the journal stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetEvent {
    /// See [`FleetLaunched`].
    FleetLaunched(FleetLaunched),
    /// See [`FleetScaled`].
    FleetScaled(FleetScaled),
    /// See [`FleetDrained`].
    FleetDrained(FleetDrained),
    /// See [`FleetStopped`].
    FleetStopped(FleetStopped),
    /// See [`PilotPlanned`].
    PilotPlanned(PilotPlanned),
    /// See [`PilotObserved`].
    PilotObserved(PilotObserved),
    /// See [`PilotRemoved`].
    PilotRemoved(PilotRemoved),
    /// See [`PilotEnded`].
    PilotEnded(PilotEnded),
    /// See [`NodeUnfit`].
    NodeUnfit(NodeUnfit),
    /// See [`FleetDegraded`].
    FleetDegraded(FleetDegraded),
}

/// A fleet was launched, changed or restarted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetLaunched {
    /// The specification.
    pub spec: Box<FleetSpec>,
    /// The id to use if the fleet is new.
    pub id: Uuid,
    /// The client's request.
    pub request: RequestId,
}

/// The bounds of a fleet changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetScaled {
    /// The fleet.
    pub fleet: FleetName,
    /// The new lower bound.
    pub min: u32,
    /// The new upper bound.
    pub max: u32,
    /// The client's request.
    pub request: RequestId,
}

/// A fleet starts no further pilot; its running pilots finish their trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetDrained {
    /// The fleet.
    pub fleet: FleetName,
    /// The client's request.
    pub request: RequestId,
}

/// A fleet was stopped; its pilots are removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetStopped {
    /// The fleet.
    pub fleet: FleetName,
    /// The client's request.
    pub request: RequestId,
}

/// A pilot was planned; it is submitted next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotPlanned {
    /// The pilot.
    pub pilot: PilotId,
    /// The time of the event.
    pub at: Timestamp,
}

/// The cluster reported a new or changed pilot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotObserved {
    /// The pilot.
    pub pilot: PilotId,
    /// The cluster's id of the job.
    pub handle: String,
    /// The life phase.
    pub phase: PilotPhase,
    /// The time of the event.
    pub at: Timestamp,
}

/// A pilot must be removed from the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotRemoved {
    /// The pilot.
    pub pilot: PilotId,
    /// The reason.
    pub reason: String,
    /// The time of the event.
    pub at: Timestamp,
}

/// A pilot ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotEnded {
    /// The pilot.
    pub pilot: PilotId,
    /// The cause.
    pub cause: PilotEndCause,
    /// The cluster's message.
    pub detail: String,
    /// The time of the event.
    pub at: Timestamp,
}

/// The workers of a pilot on this node were all unfit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeUnfit {
    /// The fleet.
    pub fleet: FleetName,
    /// The node.
    pub node: String,
    /// The unmet need and its cause.
    pub cause: String,
    /// The time of the event.
    pub at: Timestamp,
}

/// An obstacle keeps pilots from running, or no longer does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetDegraded {
    /// The fleet.
    pub fleet: FleetName,
    /// The obstacle; none once it is gone.
    #[serde(rename = "trouble")]
    pub problem: Option<String>,
    /// Whether the obstacle counts as a failure of the fleet.
    pub failure: bool,
    /// The earliest time of the next submission.
    pub not_before: Timestamp,
    /// The time of the event.
    pub at: Timestamp,
}
