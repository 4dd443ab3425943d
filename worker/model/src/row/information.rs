//! Rows of the information between state and input: `mutual_information` (science 7.9).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `mutual_information`: I(x_(t-lag); h_t).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MutualInformationRow {
    /// Epoch after which the network was run.
    pub epoch: i32,
    /// Formulas in use; the released ones pair states with unpermuted inputs.
    pub variant: Variant,
    /// Steps by which the input is older than the state.
    pub lag: u32,
    /// Number of components of the state.
    pub dimension: u32,
    /// Mean over sequences, in nats.
    pub nats: f64,
    /// Standard deviation over sequences, in nats.
    pub std: f64,
    /// Number of sequences.
    pub sequences: u32,
}
