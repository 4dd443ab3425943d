//! Needs of trials and inventories of workers: a worker that lacks something gets no trial that
//! needs it.
//!
//! The rules of a workload derive needs from a configuration. A worker says what it has
//! when it joins ([`Inventory`]); what it turns out to lack later is noted as a [`UnmetNeed`] and holds
//! until the worker joins again with another inventory.

use serde::{Deserialize, Serialize};

use crate::resources::{GpuAmount, Resources};

/// Something that a trial needs of its worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The files of a data set, whole.
    Data {
        /// The name of the set.
        set: String,
        /// The directory that the trial names; none is the directory of the worker.
        directory: Option<String>,
    },
    /// So many samples of a data set.
    Samples {
        /// The name of the set.
        set: String,
        /// The directory that the trial names; none is the directory of the worker.
        directory: Option<String>,
        /// Training, validation and test samples.
        sizes: [u32; 3],
    },
    /// A device to compute on, by name.
    Device(String),
    /// As much memory as the trial may fill.
    Memory {
        /// Megabytes.
        mb: u64,
    },
    /// Slots for the threads of the trial.
    Slots {
        /// How many.
        slots: u32,
    },
    /// GPUs, or a share of one.
    Gpus {
        /// How many.
        gpus: GpuAmount,
    },
    /// A local disk on which commits can be kept until they are delivered.
    Disk,
    /// Threads and open files.
    System,
}

impl Need {
    /// What it takes of the resources of a worker, if it is one of those.
    pub fn resources(&self) -> Option<Resources> {
        let none = Resources::cpus(0);
        match self {
            Self::Slots { slots } => Some(Resources::cpus(*slots)),
            Self::Gpus { gpus } => Some(Resources { gpus: *gpus, ..none }),
            Self::Memory { mb } => Some(Resources { memory_mb: *mb, ..none }),
            _ => None,
        }
    }

    /// Whether a worker that lacks this lacks `other` as well: the same, or more of it.
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Samples { set, directory, sizes },
                Self::Samples { set: other_set, directory: other_directory, sizes: more },
            ) => {
                (set, directory) == (other_set, other_directory)
                    && sizes.iter().zip(more).all(|(size, more)| size <= more)
            }
            (Self::Memory { mb }, Self::Memory { mb: more }) => mb <= more,
            (Self::Slots { slots }, Self::Slots { slots: more }) => slots <= more,
            (Self::Gpus { gpus }, Self::Gpus { gpus: more }) => gpus <= more,
            _ => self == other,
        }
    }
}

/// Something that a worker does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmetNeed {
    /// What.
    pub need: Need,
    /// Why, with path and error number where there are such.
    pub cause: String,
}

/// A data set that a worker has found in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailableDataset {
    /// The name of the set.
    pub set: String,
    /// The most training, validation and test samples that a trial can take of it; none if they are
    /// not counted.
    pub sizes: Option<[u64; 3]>,
}

impl AvailableDataset {
    /// Finds fault with `sizes` that a task asks for: training, validation and test samples.
    pub fn too_few(&self, sizes: [u32; 3]) -> Option<String> {
        let there = self.sizes?;
        let fields = ["task.train_size", "task.validation_size", "task.test_size"];
        let mut asked = fields.iter().zip(sizes).zip(there);
        let ((field, wanted), there) =
            asked.find(|((_, wanted), there)| u64::from(*wanted) > *there)?;
        Some(format!("{field}: `{wanted}`, but the data have only {there}"))
    }
}

/// The equipment of a worker, as it says when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Data sets that are whole in its data directory.
    pub data: Vec<AvailableDataset>,
    /// Devices that it can compute on.
    pub devices: Vec<String>,
    /// Megabytes of memory that it may use.
    pub memory_mb: Option<u64>,
    /// The things that it looked for in vain.
    pub lacks: Vec<UnmetNeed>,
    /// The number of changes there since it started.
    pub revision: u32,
}

impl Inventory {
    /// Why it does not have `need`, if it does not.
    pub fn unmet_need(&self, need: &Need) -> Option<String> {
        if let Some(lack) = self.lacks.iter().find(|lack| lack.need.includes(need)) {
            return Some(lack.cause.clone());
        }
        let found = |set: &String| self.data.iter().find(|found| found.set == *set);
        match need {
            Need::Data { set, directory: None } if found(set).is_none() => {
                Some(format!("no data set `{set}`"))
            }
            Need::Samples { set, directory: None, sizes } => found(set)?.too_few(*sizes),
            Need::Device(device) if !self.devices.contains(device) => {
                Some(format!("no device `{device}`"))
            }
            Need::Memory { mb } => {
                let there = self.memory_mb.filter(|there| there < mb)?;
                Some(format!(
                    "resources.memory_mb: `{mb}`, but there are only {there} MB of memory"
                ))
            }
            _ => None,
        }
    }
}
