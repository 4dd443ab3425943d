//! Terms of a trial: the fields of its configuration that the state machine uses, whatever the
//! workload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::resources::Resources;
use crate::schema::WorkloadRules;

/// The terms of a trial. A field that the configurations of its workload lack has its default.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialTerms {
    /// The resources that the trial takes, as the rules of its workload say.
    pub resources: Resources,
    /// The time limit of an attempt in seconds (`resources.timeout`).
    pub timeout: Option<f64>,
    /// The retention of its checkpoint after its end (`checkpoint.keep`).
    pub keep: CheckpointRetention,
    /// The number of its epochs, if its workload says so.
    pub epochs: Option<u32>,
}

impl TrialTerms {
    /// Reads the terms from a whole configuration.
    pub fn of(config: &Json, rules: &dyn WorkloadRules) -> Self {
        let keeps_none = config["checkpoint"]["keep"] == "none";
        Self {
            resources: rules.resources(config),
            timeout: config["resources"]["timeout"].as_f64(),
            keep: if keeps_none { CheckpointRetention::None } else { CheckpointRetention::Final },
            epochs: rules.epochs(config),
        }
    }
}

/// Retention of the checkpoint of an ended trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Keep")]
pub enum CheckpointRetention {
    /// The last checkpoint, with the trained weights.
    #[default]
    Final,
    /// No checkpoint, to save space.
    None,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::GpuAmount;
    use crate::schema::NoRules;

    #[test]
    fn terms_are_read_and_have_defaults() {
        let usual = TrialTerms {
            resources: Resources::ONE_CPU,
            timeout: None,
            keep: CheckpointRetention::Final,
            epochs: None,
        };
        assert_eq!(TrialTerms::of(&json!({}), &NoRules), usual);
        let config = json!({
            "resources": {"threads": 4, "gpus": 0.5, "timeout": 1.5},
            "checkpoint": {"keep": "none"},
        });
        let gpus = GpuAmount::from_thousandths(500).unwrap();
        let resources = Resources { gpus, ..Resources::cpus(4) };
        let terms = TrialTerms {
            resources,
            timeout: Some(1.5),
            keep: CheckpointRetention::None,
            epochs: None,
        };
        assert_eq!(TrialTerms::of(&config, &NoRules), terms);
    }
}
