//! The state of fleets and pilots. Ended pilots are only counted, so memory does not grow with the
//! running time of a fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::FleetName;
use crate::id::SweepName;
use crate::resources::ResourceOffer;
use crate::sweep::AttemptOutcome;
use crate::time::Timestamp;

/// The specification of a fleet, as a user requests it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSpec {
    /// The name.
    pub name: FleetName,
    /// The launcher: `local`, `slurm` or `kubernetes`.
    pub launcher: String,
    /// The launcher's settings, as JSON that only the launcher understands.
    pub settings: String,
    /// The lower bound of pilots, kept while a sweep has not ended.
    pub min: u32,
    /// The upper bound of pilots, queued ones included.
    pub max: u32,
    /// The number of workers per pilot.
    pub workers: u32,
    /// The resource offer of each worker, which bounds the trials that can run there.
    pub worker: ResourceOffer,
    /// The only sweep that the fleet serves; none means all.
    pub sweep: Option<SweepName>,
}

impl FleetSpec {
    /// Returns the slots of one pilot, over all its workers.
    pub fn slots(&self) -> u32 {
        self.workers.saturating_mul(self.worker.cpus)
    }

    /// Returns the GPUs of one pilot, over all its workers.
    pub fn gpus(&self) -> u32 {
        self.workers.saturating_mul(self.worker.gpus)
    }
}

/// The mode of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetMode {
    /// The fleet has as many pilots as can be used, within its bounds.
    Active,
    /// The fleet starts no pilot; running pilots finish their trials and exit.
    Draining,
    /// The pilots of the fleet commit their work and exit.
    Stopped,
}

impl FleetMode {
    /// Parses the name of a mode.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Draining, Self::Stopped].into_iter().find(|mode| mode.name() == name)
    }

    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// The specification.
    pub spec: FleetSpec,
    /// The id, which distinguishes fleets of the same name on one cluster.
    pub id: Uuid,
    /// The mode.
    pub mode: FleetMode,
    /// The number of the next pilot.
    pub next: u64,
    /// The pilots that have not ended, by number.
    pub pilots: BTreeMap<u64, Pilot>,
    /// The numbers of ended pilots by cause.
    pub ended: BTreeMap<PilotEndCause, u64>,
    /// Consecutive failures: pilots that ended before a worker joined, and refusals of the cluster.
    pub failures: u32,
    /// The earliest time of the next submission.
    pub not_before: Timestamp,
    /// The obstacle that keeps pilots from running, if any.
    #[serde(rename = "trouble")]
    pub problem: Option<FleetProblem>,
    /// The numbers of unfit pilots by node.
    #[serde(default)]
    pub unfit: BTreeMap<String, u32>,
}

/// An obstacle that keeps pilots from running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetProblem {
    /// The message of the cluster, and the remedy.
    pub text: String,
    /// The time since which it exists.
    pub since: Timestamp,
}

/// A pilot that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// The time of planning.
    pub planned: Timestamp,
    /// The cluster's id of the job, once it is known.
    pub handle: Option<String>,
    /// The life phase.
    pub phase: PilotPhase,
    /// The time since which it is in this phase.
    pub since: Timestamp,
    /// Whether the pilot is being removed.
    pub removing: bool,
    /// The number of its workers that joined since it was last queued.
    pub joined: u32,
}

/// The life phase of a pilot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PilotPhase {
    /// Not submitted yet, or just submitted.
    Planned,
    /// Queued in the cluster.
    Waiting {
        /// The cluster's reason why it does not run.
        reason: String,
    },
    /// Started.
    Running,
}

impl PilotPhase {
    /// Returns the name used in output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Waiting { .. } => "waiting",
            Self::Running => "running",
        }
    }
}

/// The status of a pilot as observed in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PilotStatus {
    /// Unknown to the cluster: it was never submitted, or ended long ago.
    Unknown,
    /// Queued.
    Waiting {
        /// The cluster's id of the job.
        handle: String,
        /// The reason why it does not run.
        reason: String,
    },
    /// Running, or about to end.
    Running {
        /// The cluster's id of the job. A changed id means that the pilot was restarted and
        /// everything under the earlier id is dead.
        handle: String,
    },
    /// Ended.
    Ended {
        /// The cause.
        cause: PilotEndCause,
        /// The cluster's message.
        detail: String,
    },
}

/// The cause of a pilot's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PilotEndCause {
    /// The pilot exited by itself: no work was left, or its time was up.
    Completed,
    /// The cluster preempted it, or its time limit expired.
    Preempted,
    /// A user or the coordinator removed it.
    Cancelled,
    /// Its node failed.
    NodeLost,
    /// It exceeded its memory limit.
    OutOfMemory,
    /// Its program failed.
    Failed,
    /// The cluster refused it.
    Refused,
    /// The cluster no longer knows it.
    Unknown,
}

impl PilotEndCause {
    /// Every cause.
    pub const ALL: [Self; 8] = [
        Self::Completed,
        Self::Preempted,
        Self::Cancelled,
        Self::NodeLost,
        Self::OutOfMemory,
        Self::Failed,
        Self::Refused,
        Self::Unknown,
    ];

    /// Returns the outcome of the attempts that its workers still held.
    pub(crate) fn attempt_outcome(self) -> AttemptOutcome {
        match self {
            Self::Completed | Self::Preempted | Self::Cancelled => AttemptOutcome::Preempted,
            Self::OutOfMemory => AttemptOutcome::OutOfMemory,
            Self::NodeLost | Self::Failed | Self::Refused | Self::Unknown => AttemptOutcome::Lost,
        }
    }

    /// Whether the program of the pilot may be at fault.
    pub(crate) fn may_be_program_fault(self) -> bool {
        matches!(self, Self::Failed | Self::OutOfMemory)
    }

    /// Returns the name used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Preempted => "preempted",
            Self::Cancelled => "cancelled",
            Self::NodeLost => "node_lost",
            Self::OutOfMemory => "out_of_memory",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// Parses the name of a cause.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// The location of a worker, as its launcher reports it; empty if no launcher started it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerLocation {
    /// The pilot, if a fleet started the worker.
    pub pilot: Option<super::PilotId>,
    /// The index of the worker in its pilot, from 0.
    pub task: u32,
    /// The number of restarts of the job under the same name.
    pub restarts: u32,
    /// The cluster's id of the job.
    pub job: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The partition, queue or namespace.
    pub partition: Option<String>,
}

impl Fleet {
    /// Creates a fleet without pilots.
    pub fn new(spec: FleetSpec, id: Uuid) -> Self {
        Self {
            spec,
            id,
            mode: FleetMode::Active,
            next: 1,
            pilots: BTreeMap::new(),
            ended: BTreeMap::new(),
            failures: 0,
            not_before: Timestamp::default(),
            problem: None,
            unfit: BTreeMap::new(),
        }
    }

    /// Returns the job name of a pilot in the cluster, which is unique among all fleets of all
    /// users.
    pub fn tag(&self, pilot: u64) -> String {
        let id = self.id.simple().to_string();
        format!("rheo-{}-{}-{pilot}", self.spec.name, &id[id.len() - 10..])
    }

    /// Whether its workers take trials.
    pub fn takes_trials(&self) -> bool {
        self.mode == FleetMode::Active
    }

    /// Whether workers of this pilot take trials. A pilot that the cluster has forgotten takes
    /// none, even if it lives: another may have replaced it.
    pub fn pilot_takes_trials(&self, number: u64) -> bool {
        self.takes_trials() && self.pilots.get(&number).is_some_and(|pilot| !pilot.removing)
    }
}
