//! Needs of trials and inventories of workers: a worker that lacks something gets no trial that
//! needs it.
//!
//! [`Need::of`] is the one place that derives needs from a configuration. A worker says what it has
//! when it joins ([`Inventory`]); what it turns out to lack later is noted as a [`Lack`] and holds
//! until the worker joins again with another inventory.

use serde::{Deserialize, Serialize};

use crate::config::{Device, TrialConfig};
use crate::dataset::DataSet;

/// Fields of a configuration on which needs depend.
const FIELDS: [&str; 9] = [
    "task.kind",
    "task.data",
    "task.source",
    "task.train_size",
    "task.validation_size",
    "task.test_size",
    "resources.device",
    "resources.memory_mb",
    "resources.threads",
];

/// Something that a trial needs of its worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The files of a data set, whole.
    Data {
        /// The set.
        set: DataSet,
        /// The directory that the trial names; none is the directory of the worker.
        directory: Option<String>,
    },
    /// So many samples of a data set.
    Samples {
        /// The set.
        set: DataSet,
        /// The directory that the trial names; none is the directory of the worker.
        directory: Option<String>,
        /// Training, validation and test samples.
        sizes: [u32; 3],
    },
    /// A device to compute on.
    Device(Device),
    /// As much memory as the trial may fill.
    Memory {
        /// Megabytes.
        mb: u32,
    },
    /// Slots for the threads of the trial.
    Slots {
        /// How many.
        slots: u32,
    },
    /// A local disk on which commits can be kept until they are delivered.
    Disk,
    /// Threads and open files.
    System,
}

impl Need {
    /// Everything that the trial of `config` needs.
    pub fn of(config: &TrialConfig) -> Vec<Self> {
        let (task, resources) = (&config.task, &config.resources);
        let mut needs = vec![
            Self::System,
            Self::Disk,
            Self::Device(resources.device),
            Self::Memory { mb: resources.memory_mb },
            Self::Slots { slots: resources.threads },
        ];
        if let Some(set) = DataSet::of(task) {
            needs.push(Self::Data { set, directory: task.data.clone() });
            if set != DataSet::Text {
                let sizes = [task.train_size, task.validation_size, task.test_size];
                needs.push(Self::Samples { set, directory: task.data.clone(), sizes });
            }
        }
        needs
    }

    /// Whether the value of the field at `path` changes what a trial needs.
    pub(crate) fn depends_on(path: &str) -> bool {
        let within = |field: &str| {
            field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        FIELDS.iter().any(|field| within(field))
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
            _ => self == other,
        }
    }
}

/// Something that a worker does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// What.
    pub need: Need,
    /// Why, with path and error number where there are such.
    pub cause: String,
}

/// A data set that a worker has found in its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundData {
    /// The set.
    pub set: DataSet,
    /// Samples to train and validate on; 0 if they are not counted.
    pub train: u64,
    /// Samples to test with; 0 if they are not counted.
    pub test: u64,
}

impl FoundData {
    /// Finds fault with `sizes` that a task asks for: training, validation and test samples.
    pub fn too_few(&self, sizes: [u32; 3]) -> Option<String> {
        let there = self.set.parts(self.train, self.test)?;
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
    pub data: Vec<FoundData>,
    /// Devices that it can compute on.
    pub devices: Vec<Device>,
    /// Megabytes of memory that it may use.
    pub memory_mb: Option<u64>,
    /// The things that it looked for in vain.
    pub lacks: Vec<Lack>,
    /// The number of changes there since it started.
    pub revision: u32,
}

impl Inventory {
    /// Why it does not have `need`, if it does not.
    pub fn lack(&self, need: &Need) -> Option<String> {
        if let Some(lack) = self.lacks.iter().find(|lack| lack.need.includes(need)) {
            return Some(lack.cause.clone());
        }
        let found = |set: &DataSet| self.data.iter().find(|found| found.set == *set);
        match need {
            Need::Data { set, directory: None } if found(set).is_none() => {
                Some(format!("no data set `{}`", set.name()))
            }
            Need::Samples { set, directory: None, sizes } => found(set)?.too_few(*sizes),
            Need::Device(device) if !self.devices.contains(device) => {
                Some(format!("no device `{}`", device.name()))
            }
            Need::Memory { mb } => {
                let there = self.memory_mb.filter(|there| *there < u64::from(*mb))?;
                Some(format!(
                    "resources.memory_mb: `{mb}`, but there are only {there} MB of memory"
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Task, TaskKind};

    fn of(kind: TaskKind) -> Vec<Need> {
        let task =
            Task { kind, train_size: 300, validation_size: 50, test_size: 50, ..Task::default() };
        Need::of(&TrialConfig { task, ..TrialConfig::default() })
    }

    #[test]
    fn generated_tasks_need_no_data() {
        for kind in [TaskKind::Digits, TaskKind::Copy, TaskKind::Evidence, TaskKind::CharLm] {
            let needs = of(kind);
            let data = |need: &Need| matches!(need, Need::Data { .. } | Need::Samples { .. });
            assert!(!needs.iter().any(data), "{kind:?}: {needs:?}");
        }
    }

    #[test]
    fn a_worker_is_judged_by_what_it_has() {
        let found = FoundData { set: DataSet::Mnist, train: 600, test: 100 };
        let full = Inventory {
            data: vec![found],
            devices: vec![Device::Cpu],
            memory_mb: Some(2048),
            ..Inventory::default()
        };
        let lacks = |inventory: &Inventory, kind| {
            of(kind).iter().filter_map(|need| inventory.lack(need)).collect::<Vec<_>>()
        };
        assert_eq!(lacks(&full, TaskKind::Psmnist), [""; 0]);
        assert_eq!(lacks(&full, TaskKind::Gscifar10), ["no data set `cifar10`"]);
        let few = FoundData { train: 60, ..found };
        let reduced = Inventory { data: vec![few], ..full.clone() };
        assert_eq!(
            lacks(&reduced, TaskKind::Smnist),
            ["task.train_size: `300`, but the data have only 50"]
        );
        let small = Inventory { memory_mb: Some(512), ..full };
        assert_eq!(
            lacks(&small, TaskKind::Digits),
            ["resources.memory_mb: `1024`, but there are only 512 MB of memory"]
        );
    }

    #[test]
    fn who_lacks_something_lacks_more_of_it_and_not_less() {
        let samples =
            |train| Need::Samples { set: DataSet::Mnist, directory: None, sizes: [train, 10, 10] };
        assert!(samples(100).includes(&samples(100)));
        assert!(samples(100).includes(&samples(200)));
        assert!(!samples(100).includes(&samples(50)));
        assert!(!Need::Memory { mb: 100 }.includes(&Need::Memory { mb: 50 }));
        assert!(!Need::Disk.includes(&Need::System));
    }

    #[test]
    fn only_some_fields_change_what_a_trial_needs() {
        for (path, expected) in [
            ("task", true),
            ("task.kind", true),
            ("resources.device", true),
            ("task.k", false),
            ("task.delay", false),
            ("training.optimizer.lr", false),
        ] {
            assert_eq!(Need::depends_on(path), expected, "{path}");
        }
    }
}
