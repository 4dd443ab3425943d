//! How a trial runs: checkpoints, what it needs from a worker, and its seeds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rheo_core::rng::Purpose;
use rheo_core::terms::CheckpointRetention;

/// When checkpoints are made and kept. No setting here changes a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Seconds between commits: what a kill can cost. 0 commits at every epoch.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub interval: f64,
    /// Which checkpoint of an ended trial is kept.
    pub keep: CheckpointRetention,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { interval: 30.0, keep: CheckpointRetention::Final }
    }
}

/// What a trial needs from a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Threads that compute the trial; they take as many slots of a worker. Part of the
    /// configuration because the order of floating-point sums depends on it.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: u32,
    /// Where the trial is trained and evaluated.
    pub device: Device,
    /// The share of a GPU that the trial takes, in thousandths: trials of 0.25 run four to a GPU. With
    /// `device: cuda` it is 1 by default, a GPU of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0, "x-optional" = true))]
    pub gpus: Option<f64>,
    /// What computes the network over a sequence. Part of the configuration because results differ
    /// in their last digits.
    pub kernel: Kernel,
    /// Megabytes that a training step may fill with what its backward pass needs; what does not fit
    /// is computed again. Changes no result. Trials side by side take no more of these together than
    /// their worker was given (`rheo-worker --memory-mb`), if it was given any.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub memory_mb: u32,
    /// Seconds after which an attempt is ended as timed out; it resumes from its last commit.
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

/// Where a trial computes.
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
    /// A GPU, by operations of libtorch; analyses stay on the processor.
    Cuda,
}

impl Device {
    /// The name in sweep files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// What computes a network over a sequence. The row of a trial in `trials` says what did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// One pass over all steps, vectorised for the processor, with a backward pass of its own.
    #[default]
    Fused,
    /// The same in operations of libtorch, which run on any device.
    Libtorch,
    /// libtorch step by step, with automatic differentiation: what the others are tested against.
    Autograd,
}

/// Seeds for single purposes; a missing one is the seed of the trial.
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
    /// What analyses draw.
    pub analysis: Option<u64>,
}

impl Seeds {
    /// The seed for `purpose` in a trial seeded with `seed`.
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
