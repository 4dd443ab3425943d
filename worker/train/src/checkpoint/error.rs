//! Why a checkpoint cannot be used.

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no safetensors file.
    #[error("not a safetensors file")]
    Format(#[source] safetensors::SafeTensorError),
    /// It is a safetensors file of something else.
    #[error("not a checkpoint of this program: `{0}` is missing")]
    Foreign(&'static str),
    /// Its contents do not have the digest that was stored with them.
    #[error("damaged: its digest is not that of its contents")]
    Digest,
    /// The JSON has another structure.
    #[error("its header cannot be read")]
    Header(#[source] serde_json::Error),
    /// It was written by another version of the program.
    #[error("its format is version `{found}`, this program reads `{known}`")]
    Version {
        /// The version of the checkpoint.
        found: u64,
        /// The version of the program.
        known: u64,
    },
    /// It belongs to another trial.
    #[error(
        "it belongs to another configuration: `{path}` is `{stored}` there and `{wanted}` here"
    )]
    Config {
        /// The first differing field.
        path: String,
        /// Its value in the checkpoint.
        stored: String,
        /// Its value in the trial.
        wanted: String,
    },
    /// A tensor is missing, or there is one too many.
    #[error("its tensors are not those of the network: `{0}`")]
    Names(String),
    /// A tensor has another shape or type.
    #[error("its tensor `{0}` has another shape or type")]
    Shape(String),
    /// The position in the trial does not exist.
    #[error("it is at a point that the trial does not have")]
    Position,
}
