//! What has happened to fleets. Part of the journal: fields are only ever added, with a default.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::{FleetName, PilotId};
use super::state::{Cause, Phase, Spec};
use crate::id::RequestId;
use crate::time::Timestamp;

/// A fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A fleet exists, or is wanted differently or again.
    Launched {
        /// What was asked for.
        spec: Box<Spec>,
        /// Its id, if it is new.
        id: Uuid,
        /// The request that asked for it.
        request: RequestId,
    },
    /// Other bounds hold.
    Scaled {
        /// Which.
        fleet: FleetName,
        /// The new lower bound.
        min: u32,
        /// The new upper bound.
        max: u32,
        /// The request that asked for it.
        request: RequestId,
    },
    /// It starts no pilot any more; those that run end their trials.
    Drained {
        /// Which.
        fleet: FleetName,
        /// The request that asked for it.
        request: RequestId,
    },
    /// Its pilots are to go.
    Stopped {
        /// Which.
        fleet: FleetName,
        /// The request that asked for it.
        request: RequestId,
    },
    /// A pilot is to be submitted.
    PilotPlanned {
        /// Which.
        pilot: PilotId,
        /// When.
        at: Timestamp,
    },
    /// The cluster has it, or says something new of it.
    PilotSeen {
        /// Which.
        pilot: PilotId,
        /// What the cluster calls it.
        handle: String,
        /// Where it is in its life.
        phase: Phase,
        /// When.
        at: Timestamp,
    },
    /// It is to go.
    PilotRemoved {
        /// Which.
        pilot: PilotId,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// It ended.
    PilotEnded {
        /// Which.
        pilot: PilotId,
        /// How.
        cause: Cause,
        /// What the cluster said.
        detail: String,
        /// When.
        at: Timestamp,
    },
    /// The workers of a pilot could not be of use.
    NodeUnfit {
        /// Of which fleet.
        fleet: FleetName,
        /// On which node.
        node: String,
        /// The need that was not met there.
        cause: String,
        /// When.
        at: Timestamp,
    },
    /// Something keeps pilots from running, or no longer does.
    Troubled {
        /// Which fleet.
        fleet: FleetName,
        /// What, if anything.
        trouble: Option<String>,
        /// Whether it counts as a failure.
        failure: bool,
        /// No pilot is submitted before.
        not_before: Timestamp,
        /// When.
        at: Timestamp,
    },
}
