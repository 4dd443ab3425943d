//! Needs of trials and inventories of workers. A worker gets no trial with a need that it does not
//! meet.
//!
//! The rules of a workload derive needs from a configuration. A worker sends its [`Inventory`] when
//! it joins. What turns out to be missing later is recorded as an [`UnmetNeed`] until the worker
//! joins again with another inventory.

use serde::{Deserialize, Serialize};

use crate::resources::{GpuAmount, Resources};

/// A need of a trial that its worker must meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The complete files of a data set.
    Data {
        /// The name of the data set.
        set: String,
        /// The directory named by the trial; none means the worker's data directory.
        directory: Option<String>,
    },
    /// A number of samples of a data set.
    Samples {
        /// The name of the data set.
        set: String,
        /// The directory named by the trial; none means the worker's data directory.
        directory: Option<String>,
        /// The numbers of training, validation and test samples.
        sizes: [u32; 3],
    },
    /// A compute device, by name.
    Device(String),
    /// Memory.
    Memory {
        /// Megabytes.
        mb: u64,
    },
    /// Slots for the threads of the trial.
    Slots {
        /// The number of slots.
        slots: u32,
    },
    /// GPUs, or a share of one.
    Gpus {
        /// The amount of GPUs.
        gpus: GpuAmount,
    },
    /// A local disk for commits that are not delivered yet.
    Disk,
    /// Threads and file descriptors.
    System,
}

impl Need {
    /// Returns the resources that the need takes, if it is about resources.
    pub fn resources(&self) -> Option<Resources> {
        let none = Resources::cpus(0);
        match self {
            Self::Slots { slots } => Some(Resources::cpus(*slots)),
            Self::Gpus { gpus } => Some(Resources { gpus: *gpus, ..none }),
            Self::Memory { mb } => Some(Resources { memory_mb: *mb, ..none }),
            _ => None,
        }
    }

    /// Whether a worker that does not meet this need does not meet `other` either: the same need,
    /// or a larger one.
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

/// A need that a worker does not meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmetNeed {
    /// The need.
    pub need: Need,
    /// The cause, with path and error number where there are any.
    pub cause: String,
}

/// A data set in a worker's data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailableDataset {
    /// The name of the data set.
    pub set: String,
    /// The available numbers of training, validation and test samples; none if they were not
    /// counted.
    pub sizes: Option<[u64; 3]>,
}

impl AvailableDataset {
    /// Returns an error text if a trial asks for more training, validation or test samples than
    /// available.
    pub fn too_few(&self, sizes: [u32; 3]) -> Option<String> {
        let there = self.sizes?;
        let fields = ["task.train_size", "task.validation_size", "task.test_size"];
        let mut asked = fields.iter().zip(sizes).zip(there);
        let ((field, wanted), there) =
            asked.find(|((_, wanted), there)| u64::from(*wanted) > *there)?;
        Some(format!("{field}: `{wanted}`, but the data have only {there}"))
    }
}

/// The inventory of a worker, sent when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// The complete data sets in its data directory.
    pub data: Vec<AvailableDataset>,
    /// The available compute devices.
    pub devices: Vec<String>,
    /// The usable memory in MB.
    pub memory_mb: Option<u64>,
    /// The needs that the worker found unmet.
    pub lacks: Vec<UnmetNeed>,
    /// The number of changes of the inventory since the worker started.
    pub revision: u32,
}

impl Inventory {
    /// Returns the reason why the inventory does not meet `need`; none if it does.
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
