//! Terms of a trial: the fields of its configuration that the engine of sweeps itself goes by,
//! whatever the workload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The terms on which a trial runs. A workload whose configurations lack one of the fields has its
/// default.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Slots of a worker that it takes: `resources.threads`, 1 by default.
    pub threads: u32,
    /// Seconds after which an attempt is ended: `resources.timeout`.
    pub timeout: Option<f64>,
    /// Which checkpoint is kept when it has ended: `checkpoint.keep`.
    pub keep: Keep,
}

impl Terms {
    /// Reads the terms in a whole configuration.
    pub fn of(config: &Json) -> Self {
        let resources = &config["resources"];
        let threads = resources["threads"].as_u64().and_then(|threads| u32::try_from(threads).ok());
        let keeps_none = config["checkpoint"]["keep"] == "none";
        Self {
            threads: threads.unwrap_or(1),
            timeout: resources["timeout"].as_f64(),
            keep: if keeps_none { Keep::None } else { Keep::Final },
        }
    }
}

/// Which checkpoint of an ended trial is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last one: the trained weights.
    #[default]
    Final,
    /// None, to save space.
    None,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_are_read_and_have_defaults() {
        let usual = Terms { threads: 1, timeout: None, keep: Keep::Final };
        assert_eq!(Terms::of(&json!({})), usual);
        let config = json!({
            "resources": {"threads": 4, "timeout": 1.5},
            "checkpoint": {"keep": "none"},
        });
        let terms = Terms { threads: 4, timeout: Some(1.5), keep: Keep::None };
        assert_eq!(Terms::of(&config), terms);
    }
}
