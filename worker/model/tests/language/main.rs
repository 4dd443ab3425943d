//! The sweep language from the outside: files in, meanings, points and mistakes out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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
mod schema;

/// The schema of networks.
fn schema() -> Arc<WorkloadSchema> {
    networks::workloads().schema(&networks::NAME)
}

/// The configuration of a trial as its type.
fn config(trial: &PlannedTrial) -> TrialConfig {
    TrialConfig::deserialize(&trial.resolved).unwrap()
}
