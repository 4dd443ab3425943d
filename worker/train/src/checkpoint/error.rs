//! Reasons why a checkpoint cannot be used.

/// Reason why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a safetensors file.
    #[error("not a safetensors file")]
    Format(#[source] safetensors::SafeTensorError),
    /// A safetensors file of another program.
    #[error("not a checkpoint of this program: `{0}` is missing")]
    Foreign(&'static str),
    /// The contents do not match the stored digest.
    #[error("damaged: its digest is not that of its contents")]
    Digest,
    /// The JSON has another structure.
    #[error("its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// Written by another version of the program.
    #[error("its format is version `{found}`, this program reads `{known}`")]
    Version {
        /// Version of the checkpoint.
        found: u64,
        /// Version that this program reads.
        known: u64,
    },
    /// Checkpoint of another trial.
    #[error(
        "it belongs to another configuration: `{path}` is `{stored}` there and `{wanted}` here"
    )]
    Config {
        /// First differing field.
        path: String,
        /// Its value in the checkpoint.
        stored: String,
        /// Its value in the trial.
        wanted: String,
    },
    /// A tensor is missing or unexpected.
    #[error("its tensors are not those of the network: `{0}`")]
    Names(String),
    /// A tensor has another shape or type.
    #[error("its tensor `{0}` has another shape or type")]
    Shape(String),
    /// The position does not exist in the trial.
    #[error("its position does not exist in the trial")]
    Position,
}
