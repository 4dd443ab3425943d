//! The typed configuration of one trial: everything that determines its result.
//!
//! These structs are the single source of what a sweep file may say: the JSON Schema, the checking
//! of dotted parameter paths, defaults and documentation are all derived from them. A field that
//! only some kinds use carries `x-kinds` in its schema: it is refused where it would be ignored.

mod analyze;
mod check;
mod evaluate;
mod metric;
mod network;
mod run;
mod task;
mod training;

pub use analyze::{Analysis, AnalysisKind, LyapunovMode, Protocol};
pub use evaluate::{Evaluation, EvaluationKind, ShapeMode};
pub use metric::Metric;
pub use network::{
    AdaptedQuantity, BiasInit, GateDrive, InputInit, Network, NetworkKind, RecurrentInit,
};
pub use run::{Checkpoint, Device, Kernel, Resources, Seeds};
pub use task::{Task, TaskKind, TextSource};
pub use training::{
    Augmentation, GroupOptions, Optimizer, OptimizerKind, Precision, Readaptation, Schedule,
    ScheduleKind, Training,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that determines the result of one trial.
///
/// Two trials with equal configurations give bit-identical rows on the same kind of processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrialConfig {
    /// What the network learns.
    pub task: Task,
    /// The network that learns it.
    pub network: Network,
    /// How it learns.
    pub training: Training,
    /// Perturbations under which the trained network is tested, besides none.
    pub evaluate: Vec<Evaluation>,
    /// Analyses of the network; without any, the shapes of its neurons before and after training.
    pub analyze: Vec<Analysis>,
    /// When checkpoints are made and kept.
    pub checkpoint: Checkpoint,
    /// What the trial needs from a worker.
    pub resources: Resources,
    /// The seed of every random stream of the trial that has no seed of its own.
    pub seed: u64,
    /// Seeds for single purposes, where they must differ from `seed`.
    pub seeds: Seeds,
}

impl TrialConfig {
    /// How the input matrix starts: as the file says, or as the published code does it for the
    /// task.
    pub fn input_init(&self) -> InputInit {
        self.network.input_init.unwrap_or(match self.task.kind {
            TaskKind::Copy => InputInit::Xavier,
            _ => InputInit::Kaiming,
        })
    }

    /// Epochs in all, those of a second training included.
    pub fn epochs(&self) -> u32 {
        let second = self.training.readapt.as_ref().map_or(0, |readapt| readapt.epochs);
        self.training.epochs.saturating_add(second)
    }
}

impl Default for TrialConfig {
    fn default() -> Self {
        Self {
            task: Task::default(),
            network: Network::default(),
            training: Training::default(),
            evaluate: Vec::new(),
            analyze: vec![Analysis::default()],
            checkpoint: Checkpoint::default(),
            resources: Resources::default(),
            seed: 0,
            seeds: Seeds::default(),
        }
    }
}
