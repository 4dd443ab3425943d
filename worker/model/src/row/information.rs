//! Rows about what the state tells about the input: `mutual_information` (science 7.9).

use serde::{Deserialize, Serialize};

use super::Variant;

/// One row of `mutual_information`: I(x_(t-lag); h_t).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MutualInformationRow {
    /// The epoch after which the network was read.
    pub epoch: i32,
    /// Whose formulas; the released ones pair states with unpermuted inputs.
    pub variant: Variant,
    /// By how many steps the input is older than the state.
    pub lag: u32,
    /// How many components of the state are looked at.
    pub dimension: u32,
    /// Mean over sequences, in nats.
    pub nats: f64,
    /// Standard deviation over sequences, in nats.
    pub std: f64,
    /// How many sequences.
    pub sequences: u32,
}
