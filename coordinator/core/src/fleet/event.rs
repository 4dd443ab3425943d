//! What has happened to fleets. Part of the journal: fields are only ever added, with a default.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::{FleetName, PilotId};
use super::state::{FleetSpec, PilotEndCause, PilotPhase};
use crate::id::RequestId;
use crate::time::Timestamp;

/// A fact about a fleet, as the journal stores it.
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

/// A fleet was launched, changed or launched again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetLaunched {
    /// The fleet that was asked for.
    pub spec: Box<FleetSpec>,
    /// Its id, if it is new.
    pub id: Uuid,
    /// The request that asked for it.
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
    /// The request that asked for it.
    pub request: RequestId,
}

/// A fleet starts no pilot any more; its running pilots end their trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetDrained {
    /// The fleet.
    pub fleet: FleetName,
    /// The request that asked for it.
    pub request: RequestId,
}

/// A fleet was stopped: its pilots are removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetStopped {
    /// The fleet.
    pub fleet: FleetName,
    /// The request that asked for it.
    pub request: RequestId,
}

/// A pilot was planned: it is submitted next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotPlanned {
    /// The pilot.
    pub pilot: PilotId,
    /// The time of the event.
    pub at: Timestamp,
}

/// The cluster reported a pilot for the first time, or a change of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PilotObserved {
    /// The pilot.
    pub pilot: PilotId,
    /// The cluster's name for the pilot.
    pub handle: String,
    /// The phase of the pilot's life.
    pub phase: PilotPhase,
    /// The time of the event.
    pub at: Timestamp,
}

/// A pilot is to be removed from the cluster.
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
    /// The way in which it ended.
    pub cause: PilotEndCause,
    /// The cluster's words.
    pub detail: String,
    /// The time of the event.
    pub at: Timestamp,
}

/// The workers of a pilot were unfit for every trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeUnfit {
    /// The fleet.
    pub fleet: FleetName,
    /// The node.
    pub node: String,
    /// The need that was not met there.
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
