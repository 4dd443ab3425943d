//! Execution of a trial: checkpoints, resources and seeds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rheo_core::rng::Purpose;
use rheo_core::terms::CheckpointRetention;

/// Checkpoint settings. They never change a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Maximum seconds between commits, the work that a kill can lose. 0 commits at every epoch.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub interval: f64,
    /// Checkpoint that is kept when a trial has ended.
    pub keep: CheckpointRetention,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { interval: 30.0, keep: CheckpointRetention::Final }
    }
}

/// Resources that a trial needs from a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Threads of the trial; it takes the same number of a worker's slots. Part of the
    /// configuration because the order of floating-point sums depends on it.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: u32,
    /// Device for training and evaluation.
    pub device: Device,
    /// Fraction of a GPU that the trial takes, in thousandths: at 0.25, four trials share a GPU. By
    /// default 1, a whole GPU, with `device: cuda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0, "x-optional" = true))]
    pub gpus: Option<f64>,
    /// Execution backend of the network. Part of the configuration because results differ in their
    /// last digits.
    pub kernel: Kernel,
    /// Megabytes for the data that a training step keeps for its backward pass; the rest is
    /// recomputed. Never changes a result. Trials that run side by side together take at most the
    /// worker's `--memory-mb`, if that is set.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub memory_mb: u32,
    /// Seconds after which an attempt times out; the trial resumes from its last commit.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub timeout: Option<f64>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            threads: 1,
            device: Device::default(),
            gpus: None,
            kernel: Kernel::default(),
            memory_mb: 1024,
            timeout: None,
        }
    }
}

/// Device of a trial.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU, by operations of libtorch; analyses run on the processor.
    Cuda,
}

impl Device {
    /// Returns the name in sweep files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Execution backend of a network. The column `kernel` of `trials` holds the one that was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// Fused kernels: one vectorised pass over all steps on the processor, with a hand-written
    /// backward pass.
    #[default]
    Fused,
    /// The same algorithm in operations of libtorch, which run on any device.
    Libtorch,
    /// libtorch step by step with automatic differentiation: the reference for the other two.
    Autograd,
}

/// Seeds of single random streams; the default is the seed of the trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// Initial weights and shape.
    pub init: Option<u64>,
    /// Order of the training samples.
    pub order: Option<u64>,
    /// Training data generated afresh.
    pub fresh: Option<u64>,
    /// Perturbation of training batches.
    pub augment: Option<u64>,
    /// Noise of perturbations at evaluation.
    pub noise: Option<u64>,
    /// Random numbers of analyses.
    pub analysis: Option<u64>,
}

impl Seeds {
    /// Returns the seed for `purpose` in a trial seeded with `seed`.
    pub fn of(&self, purpose: Purpose, seed: u64) -> u64 {
        let own = match purpose {
            Purpose::Init => self.init,
            Purpose::Order => self.order,
            Purpose::Fresh => self.fresh,
            Purpose::Augment => self.augment,
            Purpose::Noise => self.noise,
            Purpose::Analysis => self.analysis,
            _ => None,
        };
        own.unwrap_or(seed)
    }
}
