//! Requests of the caller.

use rheo_core::history::TrialEnding;
use serde::Deserialize;

/// A request: one line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Starts the sweep of a file, which is written as JSON.
    Sweep(String),
    /// Asks for at most so many trials.
    Ask(u64),
    /// Reports the values of a trial at its epochs, and its end; none while it runs.
    Tell(u64, Vec<(u32, f64)>, Option<TrialEnding>),
}
