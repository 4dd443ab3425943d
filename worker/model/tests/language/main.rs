//! The sweep language from outside: files in; definitions, points and errors out.

#![expect(clippy::unwrap_used, reason = "a test helper panics like the test")]

use std::sync::Arc;

use rheo_core::plan::PlannedTrial;
use rheo_core::schema::WorkloadSchema;
use rheo_model::config::TrialConfig;
use rheo_model::networks;
use serde::Deserialize as _;

mod mistakes;
mod points;
mod promises;
mod reference;
mod repertoire;
mod rerun;
mod schema;

/// Returns the schema of networks.
fn schema() -> Arc<WorkloadSchema> {
    networks::workloads().schema(&networks::NAME)
}

/// Returns the typed configuration of a trial.
fn config(trial: &PlannedTrial) -> TrialConfig {
    TrialConfig::deserialize(&trial.resolved).unwrap()
}
