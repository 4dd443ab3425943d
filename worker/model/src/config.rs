//! Typed configuration of one trial: everything that determines its result.
//!
//! These structs are the single source of the sweep language's fields: the JSON Schema, the checks
//! of dotted parameter paths, the defaults and the documentation are all derived from them. A field
//! that only some kinds use carries `x-kinds` in its schema and is refused elsewhere.

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
    /// Task that the network learns.
    pub task: Task,
    /// Network.
    pub network: Network,
    /// Training recipe.
    pub training: Training,
    /// Perturbations under which the trained network is tested, besides none.
    pub evaluate: Vec<Evaluation>,
    /// Analyses of the network; by default the shapes of its neurons before and after training.
    pub analyze: Vec<Analysis>,
    /// Checkpoint settings.
    pub checkpoint: Checkpoint,
    /// Resources that the trial needs from a worker.
    pub resources: Resources,
    /// Seed of every random stream of the trial that has no seed of its own.
    pub seed: u64,
    /// Seeds of single random streams, to replace `seed`.
    pub seeds: Seeds,
}

impl TrialConfig {
    /// Returns the initialization of the input matrix: as configured, or as in the published code
    /// for the task.
    pub fn input_init(&self) -> InputInit {
        self.network.input_init.unwrap_or(match self.task.kind {
            TaskKind::Copy => InputInit::Xavier,
            _ => InputInit::Kaiming,
        })
    }

    /// Returns the total number of epochs, including those of a second training.
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
