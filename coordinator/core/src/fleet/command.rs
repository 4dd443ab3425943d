//! What is asked of fleets.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::name::{FleetName, PilotId};
use super::state::{FleetSpec, PilotStatus};
use crate::id::RequestId;

/// What is asked of fleets.
#[derive(Debug, Clone, PartialEq)]
pub enum FleetCommand {
    /// A fleet is wanted; one of that name is changed and woken.
    Launch {
        /// What is wanted.
        spec: Box<FleetSpec>,
        /// Its id, if it is new.
        id: Uuid,
        /// This request.
        request: RequestId,
    },
    /// Other bounds are wanted.
    Scale {
        /// Of which fleet.
        fleet: FleetName,
        /// The lower bound, if it changes.
        min: Option<u32>,
        /// The upper bound, if it changes.
        max: Option<u32>,
        /// This request.
        request: RequestId,
    },
    /// It is to start no pilot any more.
    Drain {
        /// Which.
        fleet: FleetName,
        /// This request.
        request: RequestId,
    },
    /// Its pilots are to go.
    Stop {
        /// Which.
        fleet: FleetName,
        /// This request.
        request: RequestId,
    },
    /// Every live pilot was looked at.
    Reconcile {
        /// Of which fleet.
        fleet: FleetName,
        /// Where each pilot is.
        statuses: BTreeMap<u64, PilotStatus>,
    },
    /// The cluster has a pilot that was submitted to it.
    Submitted {
        /// Which.
        pilot: PilotId,
        /// What the cluster calls it.
        handle: String,
    },
    /// The cluster did not take a pilot, and would not take others like it now.
    Refused {
        /// Of which fleet.
        fleet: FleetName,
        /// Which pilots were to be submitted.
        pilots: Vec<u64>,
        /// What it said.
        text: String,
        /// Whether it may take it later as it is: so many jobs are allowed and no more.
        is_limit: bool,
    },
    /// The cluster cannot be asked.
    Unavailable {
        /// By which fleet.
        fleet: FleetName,
        /// What happened.
        text: String,
    },
}
