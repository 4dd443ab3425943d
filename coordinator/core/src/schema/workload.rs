//! The schema of a workload, and the registry of workloads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, schema_for};
use serde_json::Value as Json;

use super::field::ObjectSchema;
use crate::metric::Objective;
use crate::name::{MetricName, WorkloadName};
use crate::needs::Need;
use crate::resources::{GpuAmount, Resources};
use crate::suggest::Aliases;

/// The schema of a workload: what sweeps need to know about its trials.
#[derive(Debug)]
pub struct WorkloadSchema {
    /// The name of the workload.
    pub workload: WorkloadName,
    /// The fields of a configuration, `seed` among them.
    pub fields: ObjectSchema,
    /// The JSON Schema of a configuration, for editors.
    pub json: Json,
    /// The metrics that trials report.
    pub metrics: Vec<MetricField>,
    /// The objective of a sweep that names none.
    pub objective: Objective,
    /// The words for messages.
    pub words: Vocabulary,
    /// The rules beyond the fields.
    pub rules: Box<dyn WorkloadRules>,
}

/// A metric that trials report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricField {
    /// The name.
    pub name: MetricName,
    /// The documentation, as a sentence.
    pub docs: Cow<'static, str>,
    /// Whether larger values are better by default.
    pub rises: bool,
    /// Whether trials report it after every epoch, and not only at their end.
    pub of_epochs: bool,
}

/// The vocabulary of a workload for messages about sweep files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vocabulary {
    /// Words of other tools, each with the field or metric that it stands for.
    pub aliases: Aliases,
    /// Top-level keys of other tools, each with a remedy.
    pub foreign_keys: &'static [(&'static str, &'static str)],
    /// Names of fields that a number may stand for where a mapping is expected, in order of
    /// preference.
    pub numbers: &'static [&'static str],
    /// The examples in remedies.
    pub examples: RemedyExamples,
}

/// Examples in remedies, in the terms of the workload.
#[derive(Debug, Clone, Copy)]
pub struct RemedyExamples {
    /// A path, such as `optimizer.lr`.
    pub path: &'static str,
    /// A parameter, such as `size: {values: [32, 64]}`.
    pub parameter: &'static str,
    /// A condition, such as `kind: large`.
    pub condition: &'static str,
    /// A constraint, such as `batch <= size`.
    pub constraint: &'static str,
    /// Zipped parameters, such as `[size, batch]`.
    pub group: &'static str,
}

impl Default for RemedyExamples {
    fn default() -> Self {
        Self {
            path: "size",
            parameter: "size: {values: [32, 64]}",
            condition: "kind: large",
            constraint: "batch <= size",
            group: "[size, batch]",
        }
    }
}

/// Rules of a workload that its fields do not express.
pub trait WorkloadRules: fmt::Debug + Send + Sync {
    /// Returns the contradictions between fields of a whole configuration.
    fn problems(&self, config: &Json) -> Vec<FieldConflict>;

    /// Returns the needs of a trial, besides its resources.
    fn needs(&self, config: &Json) -> Vec<Need>;

    /// Returns the resources of a trial: by default the fields `resources.threads` and
    /// `resources.gpus`.
    fn resources(&self, config: &Json) -> Resources {
        let given = &config["resources"];
        let cpus = given["threads"].as_u64().and_then(|threads| u32::try_from(threads).ok());
        let gpus = given["gpus"].as_f64().and_then(|gpus| GpuAmount::from_number(gpus).ok());
        Resources { gpus: gpus.unwrap_or_default(), ..Resources::cpus(cpus.unwrap_or(1)) }
    }

    /// Returns the fields on which needs and resources depend.
    fn need_fields(&self) -> &'static [&'static str];

    /// Returns the number of epochs of a trial; none if it is not known before the end.
    fn epochs(&self, _config: &Json) -> Option<u32> {
        None
    }

    /// Returns the fields on which the number of epochs depends.
    fn epoch_fields(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The rules of a workload without rules of its own: its trials need a disk.
#[derive(Debug, Clone, Copy)]
pub struct NoRules;

impl WorkloadRules for NoRules {
    fn problems(&self, _config: &Json) -> Vec<FieldConflict> {
        Vec::new()
    }

    fn needs(&self, _config: &Json) -> Vec<Need> {
        vec![Need::System, Need::Disk]
    }

    fn need_fields(&self) -> &'static [&'static str] {
        &["resources.threads", "resources.gpus"]
    }
}

/// A contradiction between fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// The dotted paths of the fields, the one to change first.
    pub paths: Vec<String>,
    /// The message, as a sentence.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl FieldConflict {
    /// Creates a contradiction between the fields at `paths`.
    pub fn new(paths: &[&str], message: impl Into<String>, help: impl Into<String>) -> Self {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        Self { paths, message: message.into(), help: help.into() }
    }
}

impl WorkloadSchema {
    /// Creates the schema for configurations of type `T`, without vocabulary and rules.
    pub fn of<T: JsonSchema>(
        workload: WorkloadName,
        metrics: Vec<MetricField>,
        objective: Objective,
    ) -> Self {
        Self {
            workload,
            fields: ObjectSchema::of::<T>(),
            json: schema_for!(T).to_value(),
            metrics,
            objective,
            words: Vocabulary::default(),
            rules: Box::new(NoRules),
        }
    }

    /// Creates the schema of an unknown workload. Its sweeps can be shown, and any configuration is
    /// accepted.
    pub fn unknown(workload: WorkloadName) -> Self {
        let name = MetricName::of("loss");
        Self {
            workload,
            fields: ObjectSchema { fields: Vec::new(), is_open: true },
            json: Json::Null,
            metrics: Vec::new(),
            objective: Objective { name, goal: crate::metric::Goal::Minimize, target: None },
            words: Vocabulary::default(),
            rules: Box::new(NoRules),
        }
    }

    /// Returns the metric called `name`.
    pub fn metric(&self, name: &MetricName) -> Option<&MetricField> {
        self.metrics.iter().find(|metric| metric.name == *name)
    }

    /// Returns the needs of a trial, its resources included.
    pub fn needs(&self, config: &Json) -> Vec<Need> {
        let Resources { cpus, gpus, memory_mb } = self.rules.resources(config);
        let mut needs = self.rules.needs(config);
        needs.push(Need::Slots { slots: cpus });
        if !gpus.is_none() {
            needs.push(Need::Gpus { gpus });
        }
        if memory_mb > 0 {
            needs.push(Need::Memory { mb: memory_mb });
        }
        needs
    }

    /// Whether the field at `path`, or one within it, affects the needs of a trial.
    pub fn decides_needs(&self, path: &str) -> bool {
        self.rules.need_fields().iter().any(|field| contains(path, field))
    }

    /// Whether the field at `path`, or one within it, affects the number of epochs of a trial.
    pub fn decides_epochs(&self, path: &str) -> bool {
        self.rules.epoch_fields().iter().any(|field| contains(path, field))
    }
}

/// Whether `field` is the field at `path`, or one within it.
fn contains(path: &str, field: &str) -> bool {
    field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The workloads known to a program; clones share them.
#[derive(Debug, Clone, Default)]
pub struct WorkloadRegistry(Arc<BTreeMap<WorkloadName, Arc<WorkloadSchema>>>, Option<WorkloadName>);

impl WorkloadRegistry {
    /// Creates a registry; the first schema is the default for files that name no workload.
    pub fn new(schemas: impl IntoIterator<Item = WorkloadSchema>) -> Self {
        let schemas: Vec<Arc<WorkloadSchema>> = schemas.into_iter().map(Arc::new).collect();
        let default = schemas.first().map(|schema| schema.workload.clone());
        let named = schemas.into_iter().map(|schema| (schema.workload.clone(), schema));
        Self(Arc::new(named.collect()), default)
    }

    /// Returns the schema of the workload called `name`, if it is known.
    pub fn get(&self, name: &WorkloadName) -> Option<&Arc<WorkloadSchema>> {
        self.0.get(name)
    }

    /// Returns the schema for sweep files that name no workload.
    pub fn default_schema(&self) -> Option<&Arc<WorkloadSchema>> {
        self.get(self.1.as_ref()?)
    }

    /// Returns the schema of the workload called `name`, or that of an unknown workload.
    pub fn schema(&self, name: &WorkloadName) -> Arc<WorkloadSchema> {
        let unknown = || Arc::new(WorkloadSchema::unknown(name.clone()));
        self.get(name).map_or_else(unknown, Arc::clone)
    }

    /// Returns the names of all workloads.
    pub fn names(&self) -> impl Iterator<Item = &WorkloadName> {
        self.0.keys()
    }
}

/// Registries are equal if they have the same names.
impl PartialEq for WorkloadRegistry {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}
