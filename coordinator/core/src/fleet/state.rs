//! What is known of fleets and their pilots. Ended pilots are only counted, so that a fleet that ran
//! for weeks takes no more memory than one that runs for an hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::FleetName;
use crate::id::SweepName;
use crate::resources::ResourceOffer;
use crate::sweep::AttemptOutcome;
use crate::time::Timestamp;

/// What a user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSpec {
    /// Its name.
    pub name: FleetName,
    /// What starts its pilots: `local`, `slurm` or `kubernetes`.
    pub launcher: String,
    /// How, as JSON that only the launcher understands.
    pub settings: String,
    /// Pilots that are kept as long as a sweep has not ended.
    pub min: u32,
    /// The most pilots at a time, queued ones included.
    pub max: u32,
    /// Workers that a pilot brings.
    pub workers: u32,
    /// The offer of each worker: no trial that takes more runs there.
    pub worker: ResourceOffer,
    /// The only sweep that it works for, if it is not for all.
    pub sweep: Option<SweepName>,
}

impl FleetSpec {
    /// Slots that a pilot brings, of all its workers together.
    pub fn slots(&self) -> u32 {
        self.workers.saturating_mul(self.worker.cpus)
    }

    /// GPUs that a pilot brings.
    pub fn gpus(&self) -> u32 {
        self.workers.saturating_mul(self.worker.gpus)
    }
}

/// Whether a fleet grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetMode {
    /// It has as many pilots as can be used, between `min` and `max`.
    Active,
    /// It starts no pilot; those that run end their trials and go.
    Draining,
    /// Its pilots commit what they have and go.
    Stopped,
}

impl FleetMode {
    /// The mode called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Draining, Self::Stopped].into_iter().find(|mode| mode.name() == name)
    }

    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// A fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// What was asked for.
    pub spec: FleetSpec,
    /// Tells it from fleets of the same name elsewhere on the same cluster.
    pub id: Uuid,
    /// Whether it grows.
    pub mode: FleetMode,
    /// The number of the next pilot.
    pub next: u64,
    /// Pilots that have not ended.
    pub pilots: BTreeMap<u64, Pilot>,
    /// How many ended, and of what.
    pub ended: BTreeMap<PilotEndCause, u64>,
    /// Failures in a row: pilots that ended before a worker joined, and refusals of the cluster.
    pub failures: u32,
    /// No pilot is submitted before.
    pub not_before: Timestamp,
    /// What keeps pilots from running, if anything does.
    #[serde(rename = "trouble")]
    pub problem: Option<FleetProblem>,
    /// Pilots whose workers could not be of use, by node.
    #[serde(default)]
    pub unfit: BTreeMap<String, u32>,
}

/// What keeps pilots from running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetProblem {
    /// What the cluster said, and what can be done.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// A pilot that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// When it was planned.
    pub planned: Timestamp,
    /// What the cluster calls it, once it is known there.
    pub handle: Option<String>,
    /// Where it is in its life.
    pub phase: PilotPhase,
    /// When that began.
    pub since: Timestamp,
    /// Whether it is to go.
    pub removing: bool,
    /// How many workers of it have joined since it was last queued.
    pub joined: u32,
}

/// Where a pilot is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PilotPhase {
    /// To be submitted, or submitted just now.
    Planned,
    /// In the queue of the cluster.
    Waiting {
        /// Why it does not run, in the words of the cluster.
        reason: String,
    },
    /// Started.
    Running,
}

impl PilotPhase {
    /// The name in output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Waiting { .. } => "waiting",
            Self::Running => "running",
        }
    }
}

/// What was seen of a pilot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PilotStatus {
    /// The cluster does not know it: it never came there, or ended long ago.
    Unknown,
    /// In the queue.
    Waiting {
        /// What the cluster calls it.
        handle: String,
        /// Why it does not run.
        reason: String,
    },
    /// It runs, or is about to end.
    Running {
        /// What the cluster calls it. Another one than before says that it was started again: what
        /// ran under the one before is gone.
        handle: String,
    },
    /// It ended.
    Ended {
        /// How.
        cause: PilotEndCause,
        /// What the cluster said.
        detail: String,
    },
}

/// How a pilot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PilotEndCause {
    /// By itself: nothing was left, or its time was over.
    Completed,
    /// The cluster wanted its place for others, or its time ran out.
    Preempted,
    /// Somebody, perhaps we, removed it.
    Cancelled,
    /// Its machine failed.
    NodeLost,
    /// It used more memory than it had asked for.
    OutOfMemory,
    /// Its program failed.
    Failed,
    /// The cluster did not take it.
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

    /// How the attempts ended that its workers still had.
    pub(crate) fn attempt_outcome(self) -> AttemptOutcome {
        match self {
            Self::Completed | Self::Preempted | Self::Cancelled => AttemptOutcome::Preempted,
            Self::OutOfMemory => AttemptOutcome::OutOfMemory,
            Self::NodeLost | Self::Failed | Self::Refused | Self::Unknown => AttemptOutcome::Lost,
        }
    }

    /// Whether what it ran may be to blame.
    pub(crate) fn may_be_program_fault(self) -> bool {
        matches!(self, Self::Failed | Self::OutOfMemory)
    }

    /// The name in output.
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

    /// The cause called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// Where a worker runs, in the words of what started it; empty where nobody said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerLocation {
    /// The pilot that it belongs to, if a fleet started it.
    pub pilot: Option<super::PilotId>,
    /// Which worker of the pilot it is, from 0.
    pub task: u32,
    /// How often the job was started again under the same name.
    pub restarts: u32,
    /// The job.
    pub job: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The partition, queue or namespace.
    pub partition: Option<String>,
}

impl Fleet {
    /// A fleet without pilots.
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

    /// Under which name the cluster knows a pilot: unique among all fleets of all users.
    pub fn tag(&self, pilot: u64) -> String {
        let id = self.id.simple().to_string();
        format!("rheo-{}-{}-{pilot}", self.spec.name, &id[id.len() - 10..])
    }

    /// Whether its workers take trials.
    pub fn takes_trials(&self) -> bool {
        self.mode == FleetMode::Active
    }

    /// Whether workers of this pilot take trials. One that the cluster no longer knows, and that lives
    /// all the same, does not: there may be another in its place already.
    pub fn pilot_takes_trials(&self, number: u64) -> bool {
        self.takes_trials() && self.pilots.get(&number).is_some_and(|pilot| !pilot.removing)
    }
}
