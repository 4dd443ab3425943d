//! Why rows could not be encoded or were not accepted.

use arrow::error::ArrowError;
use rheo_model::row::UnknownTable;

use crate::version::SCHEMA_VERSION;

/// The most bytes that [`parse`](super::parse) looks at.
pub const MAX_BYTES: usize = 64 << 20;

/// Why rows could not be encoded or were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than a commit can have.
    #[error("a batch of {bytes} bytes is too large (at most {max})", max = MAX_BYTES)]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Not a well-formed stream of one record batch.
    #[error("not a batch: {0}")]
    Malformed(&'static str),
    /// Rows of a table that this version does not know.
    #[error(transparent)]
    Table(#[from] UnknownTable),
    /// The columns are not those of the table.
    #[error("not the columns of table `{table}` in version {ours} of the schemas: `{version}`",
        ours = SCHEMA_VERSION)]
    Schema {
        /// The table.
        table: &'static str,
        /// The version of the schemas that the sender names.
        version: String,
    },
    /// No row.
    #[error("a batch without rows")]
    Empty,
    /// A row of something else than the trial.
    #[error("rows that do not belong to trial {trial}: `{column}` differs")]
    Foreign {
        /// The trial whose rows they should be.
        trial: u64,
        /// The key column that differs.
        column: &'static str,
    },
    /// What the coordinator has made and stored cannot be read.
    #[error("not rows that a coordinator has made")]
    Unpack(#[source] rmp_serde::decode::Error),
    /// A row cannot be stored: a bug.
    #[error("a row cannot be stored")]
    Pack(#[from] rmp_serde::encode::Error),
    /// Arrow refuses the data.
    #[error("not valid arrow data")]
    Arrow(#[from] ArrowError),
    /// A configuration or swept value has no JSON form.
    #[error("no JSON form")]
    Json(#[from] serde_json::Error),
}
