//! The schema of a workload as a whole, and the set of those that a program knows.

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

/// Description of the trials of a workload, as far as sweeps need to know.
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
    /// Words for messages.
    pub words: Vocabulary,
    /// Rules that the fields alone do not say.
    pub rules: Box<dyn WorkloadRules>,
}

/// A metric that trials report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricField {
    /// Its name.
    pub name: MetricName,
    /// The documentation, as a sentence.
    pub docs: Cow<'static, str>,
    /// True if larger values are better, as far as one can tell.
    pub rises: bool,
}

/// Words of a workload for messages about sweep files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vocabulary {
    /// Words of other tools and the field or metric that each stands for.
    pub aliases: Aliases,
    /// Keys of other tools at the top level of a file, and what to do about them.
    pub foreign_keys: &'static [(&'static str, &'static str)],
    /// Names of fields that a number stands for where a mapping is expected; the first that takes
    /// it.
    pub numbers: &'static [&'static str],
    /// Examples in remedies.
    pub examples: RemedyExamples,
}

/// Examples in remedies, in terms of the workload.
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
    /// Parameters that step together, such as `[size, batch]`.
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

/// Rules of a workload that its fields alone do not say.
pub trait WorkloadRules: fmt::Debug + Send + Sync {
    /// Finds fields of a whole configuration that contradict each other.
    fn problems(&self, config: &Json) -> Vec<FieldConflict>;

    /// Lists what a trial of a whole configuration needs of its worker, besides its resources.
    fn needs(&self, config: &Json) -> Vec<Need>;

    /// The resources that a trial of a whole configuration takes of its worker: the fields
    /// `resources.threads` and `resources.gpus`, unless the workload knows better.
    fn resources(&self, config: &Json) -> Resources {
        let given = &config["resources"];
        let cpus = given["threads"].as_u64().and_then(|threads| u32::try_from(threads).ok());
        let gpus = given["gpus"].as_f64().and_then(|gpus| GpuAmount::from_number(gpus).ok());
        Resources { gpus: gpus.unwrap_or_default(), ..Resources::cpus(cpus.unwrap_or(1)) }
    }

    /// Lists the fields on which needs and resources depend.
    fn need_fields(&self) -> &'static [&'static str];
}

/// The rules of a workload that has none: trials need a disk.
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

/// Fields that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Dotted paths of the fields involved, the one to change first.
    pub paths: Vec<String>,
    /// Fault, as a sentence.
    pub message: String,
    /// Remedy.
    pub help: String,
}

impl FieldConflict {
    /// A problem of the fields at `paths`.
    pub fn new(paths: &[&str], message: impl Into<String>, help: impl Into<String>) -> Self {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        Self { paths, message: message.into(), help: help.into() }
    }
}

impl WorkloadSchema {
    /// The schema of configurations that are structs `T`, without words and rules.
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

    /// The schema of a workload of which this program knows the name alone: its sweeps can be
    /// looked at, and configurations are what their files say.
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

    /// The metric called `name`.
    pub fn metric(&self, name: &MetricName) -> Option<&MetricField> {
        self.metrics.iter().find(|metric| metric.name == *name)
    }

    /// The needs of a trial of a whole configuration, its resources included.
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

    /// Tells if the value of the field at `path`, or of a field within it, changes what a trial
    /// needs.
    pub fn decides_needs(&self, path: &str) -> bool {
        let is_within = |field: &&str| {
            field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.rules.need_fields().iter().any(is_within)
    }
}

/// The workloads that a program knows; clones share them.
#[derive(Debug, Clone, Default)]
pub struct WorkloadRegistry(Arc<BTreeMap<WorkloadName, Arc<WorkloadSchema>>>, Option<WorkloadName>);

impl WorkloadRegistry {
    /// The workloads of these schemas; the first one is that of files that name none.
    pub fn new(schemas: impl IntoIterator<Item = WorkloadSchema>) -> Self {
        let schemas: Vec<Arc<WorkloadSchema>> = schemas.into_iter().map(Arc::new).collect();
        let default = schemas.first().map(|schema| schema.workload.clone());
        let named = schemas.into_iter().map(|schema| (schema.workload.clone(), schema));
        Self(Arc::new(named.collect()), default)
    }

    /// The schema of the workload called `name`, if it is known.
    pub fn get(&self, name: &WorkloadName) -> Option<&Arc<WorkloadSchema>> {
        self.0.get(name)
    }

    /// The schema of sweep files that name no workload.
    pub fn default_schema(&self) -> Option<&Arc<WorkloadSchema>> {
        self.get(self.1.as_ref()?)
    }

    /// The schema of the workload called `name`, which need not be known.
    pub fn schema(&self, name: &WorkloadName) -> Arc<WorkloadSchema> {
        let unknown = || Arc::new(WorkloadSchema::unknown(name.clone()));
        self.get(name).map_or_else(unknown, Arc::clone)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &WorkloadName> {
        self.0.keys()
    }
}

/// Two sets are equal if they have the same names.
impl PartialEq for WorkloadRegistry {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}
