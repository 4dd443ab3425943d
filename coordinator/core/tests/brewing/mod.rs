//! A made-up workload with three fields, whose trials brew coffee. Testing the engine with it shows
//! that the engine knows nothing about what is trained.

use rheo_core::metric::{Goal, Objective};
use rheo_core::name::{MetricName, WorkloadName};
use rheo_core::needs::Need;
use rheo_core::resources::Resources as Takes;
use rheo_core::schema::{
    FieldConflict, MetricField, NoRules, WorkloadRegistry, WorkloadRules, WorkloadSchema,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The quality of a cup; larger is better.
pub(crate) const TASTE: MetricName = MetricName::of("taste");

/// The bitterness of a cup; smaller is better.
pub(crate) const BITTERNESS: MetricName = MetricName::of("bitterness");

/// The number of epochs of every trial.
pub(crate) const SIPS: u32 = 4;

/// The workload.
pub(crate) const BREWING: WorkloadName = WorkloadName::of("brewing");

/// A cup of coffee.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Cup {
    /// The kind of bean.
    bean: Bean,
    /// Grams of coffee.
    #[schemars(range(min = 1, max = 16_384))]
    grams: u32,
    /// Seconds of grinding.
    #[schemars(range(min = 0.0))]
    grind: f64,
    /// The resources.
    resources: Resources,
    /// The seed of the trial.
    seed: u64,
}

/// The kind of bean.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Bean {
    /// A bean from a sack that not every worker has.
    #[default]
    Instant,
    /// A bean from the sack called `beans`.
    Arabica,
    /// Another bean from the same sack.
    Robusta,
}

/// The resources of a trial.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Resources {
    /// Slots that a trial takes.
    #[schemars(range(min = 1, max = 1024))]
    threads: u32,
    /// Hot plates, which the engine counts as GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 8.0), extend("exclusiveMinimum" = 0.0, "x-optional" = true))]
    gpus: Option<f64>,
    /// Water, which the engine counts as memory in MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_536), extend("x-optional" = true))]
    memory_mb: Option<u64>,
    /// The time limit of an attempt in seconds.
    timeout: Option<f64>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { threads: 1, gpus: None, memory_mb: None, timeout: None }
    }
}

#[derive(Debug)]
struct Kitchen;

impl WorkloadRules for Kitchen {
    fn problems(&self, config: &Json) -> Vec<FieldConflict> {
        if config["bean"] == "instant" && config["grind"].as_f64() > Some(60.0) {
            let message = "instant coffee is not ground for a minute";
            return vec![FieldConflict::new(&["grind", "bean"], message, "grind less")];
        }
        Vec::new()
    }

    fn needs(&self, config: &Json) -> Vec<Need> {
        let mut needs = vec![Need::System, Need::Disk, Need::Device("cpu".to_owned())];
        if config["bean"] != "instant" {
            let set = "beans".to_owned();
            needs.push(Need::Data { set: set.clone(), directory: None });
            needs.push(Need::Samples { set, directory: None, sizes: [300, 50, 50] });
        }
        needs
    }

    fn resources(&self, config: &Json) -> Takes {
        let memory_mb = config["resources"]["memory_mb"].as_u64().unwrap_or(0);
        Takes { memory_mb, ..NoRules.resources(config) }
    }

    fn need_fields(&self) -> &'static [&'static str] {
        &["bean", "resources.threads", "resources.gpus", "resources.memory_mb"]
    }

    fn epochs(&self, _config: &Json) -> Option<u32> {
        Some(SIPS)
    }
}

/// The workloads of a program that only brews.
pub(crate) fn workloads() -> WorkloadRegistry {
    let field = |name, docs: &'static str, rises| MetricField {
        of_epochs: name == TASTE,
        name,
        docs: docs.into(),
        rises,
    };
    let metrics =
        vec![field(TASTE, "How good it is.", true), field(BITTERNESS, "How bitter it is.", false)];
    let objective = Objective { name: TASTE, goal: Goal::Maximize, target: None };
    let schema = WorkloadSchema::of::<Cup>(BREWING, metrics, objective);
    WorkloadRegistry::new([WorkloadSchema { rules: Box::new(Kitchen), ..schema }])
}
