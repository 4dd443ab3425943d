//! The workload `networks`: the schema of trials of recurrent networks for the engine of sweeps.

use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::config::{Device, Metric, TrialConfig};
use crate::dataset::DataSet;
use crate::words::WORDS;
use rheo_core::metric::{Goal, Objective};
use rheo_core::name::WorkloadName;
use rheo_core::needs::Need;
use rheo_core::resources::{GpuAmount, Resources};
use rheo_core::schema::{FieldConflict, WorkloadRegistry, WorkloadRules, WorkloadSchema};

/// Name of the workload.
pub const NAME: WorkloadName = WorkloadName::of("networks");

/// Returns the workloads that Rheobase trains itself: networks.
pub fn workloads() -> WorkloadRegistry {
    static WORKLOADS: LazyLock<WorkloadRegistry> =
        LazyLock::new(|| WorkloadRegistry::new([schema()]));
    WORKLOADS.clone()
}

/// Returns the schema of trials of networks.
pub fn schema() -> WorkloadSchema {
    let name = Metric::ValidationAccuracy.to_name();
    let objective = Objective { name, goal: Goal::Maximize, target: None };
    let metrics = Metric::ALL.map(Metric::field).to_vec();
    let plain = WorkloadSchema::of::<TrialConfig>(NAME, metrics, objective);
    WorkloadSchema { words: WORDS, rules: Box::new(NetworkRules), ..plain }
}

#[derive(Debug)]
struct NetworkRules;

impl WorkloadRules for NetworkRules {
    fn problems(&self, config: &Json) -> Vec<FieldConflict> {
        typed(config).map(|config| config.check()).unwrap_or_default()
    }

    fn needs(&self, config: &Json) -> Vec<Need> {
        typed(config).map(|config| needs_of(&config)).unwrap_or_default()
    }

    fn resources(&self, config: &Json) -> Resources {
        typed(config).map(|config| resources_of(&config)).unwrap_or_default()
    }

    fn need_fields(&self) -> &'static [&'static str] {
        &[
            "task.kind",
            "task.data",
            "task.source",
            "task.train_size",
            "task.validation_size",
            "task.test_size",
            "resources.device",
            "resources.gpus",
            "resources.memory_mb",
            "resources.threads",
        ]
    }

    fn epochs(&self, config: &Json) -> Option<u32> {
        typed(config).map(|config| config.epochs())
    }

    fn epoch_fields(&self) -> &'static [&'static str] {
        &["training.epochs", "training.readapt.epochs"]
    }
}

/// Converts the configuration to its type; succeeds for every one that was checked against the
/// schema.
fn typed(config: &Json) -> Option<TrialConfig> {
    serde::Deserialize::deserialize(config).ok()
}

/// Returns the resources that the trial of `config` takes of its worker; a whole GPU by default.
pub fn resources_of(config: &TrialConfig) -> Resources {
    let given = &config.resources;
    let named = given.gpus.map(|gpus| GpuAmount::from_number(gpus).unwrap_or(GpuAmount::ONE));
    let gpus = match given.device {
        Device::Cpu => GpuAmount::NONE,
        Device::Cuda => named.unwrap_or(GpuAmount::ONE),
    };
    Resources { cpus: given.threads, gpus, memory_mb: given.memory_mb.into() }
}

/// Returns all other needs of the trial of `config`.
pub fn needs_of(config: &TrialConfig) -> Vec<Need> {
    let (task, resources) = (&config.task, &config.resources);
    let mut needs =
        vec![Need::System, Need::Disk, Need::Device(resources.device.name().to_owned())];
    if let Some(set) = DataSet::of(task) {
        let name = set.name().to_owned();
        needs.push(Need::Data { set: name.clone(), directory: task.data.clone() });
        if set != DataSet::Text {
            let sizes = [task.train_size, task.validation_size, task.test_size];
            needs.push(Need::Samples { set: name, directory: task.data.clone(), sizes });
        }
    }
    needs
}

#[cfg(test)]
mod tests;
