//! Errors of batches.

use arrow::error::ArrowError;
use rheo_model::row::UnknownTable;

use crate::version::SCHEMA_VERSION;

/// The largest batch that [`parse`](super::parse) accepts, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// An error of encoding rows or of checking a batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The batch exceeds [`MAX_BYTES`].
    #[error("a batch of {bytes} bytes is too large (at most {max})", max = MAX_BYTES)]
    TooLarge {
        /// The size of the batch, in bytes.
        bytes: usize,
    },
    /// The bytes are not a well-formed stream of one record batch.
    #[error("not a batch: {0}")]
    Malformed(&'static str),
    /// This version does not know the table.
    #[error(transparent)]
    Table(#[from] UnknownTable),
    /// The columns differ from those of the table.
    #[error("not the columns of table `{table}` in version {ours} of the schemas: `{version}`",
        ours = SCHEMA_VERSION)]
    Schema {
        /// The table.
        table: &'static str,
        /// The schema version of the sender.
        version: String,
    },
    /// The batch has no rows.
    #[error("a batch without rows")]
    Empty,
    /// A row belongs to another trial.
    #[error("rows that do not belong to trial {trial}: `{column}` differs")]
    Foreign {
        /// The expected trial.
        trial: u64,
        /// The key column that differs.
        column: &'static str,
    },
    /// Packed rows cannot be decoded.
    #[error("not packed rows of a coordinator")]
    Unpack(#[source] rmp_serde::decode::Error),
    /// A row cannot be packed: a bug.
    #[error("a row cannot be stored")]
    Pack(#[from] rmp_serde::encode::Error),
    /// Arrow refused the data.
    #[error("not valid arrow data")]
    Arrow(#[from] ArrowError),
    /// A configuration or swept value has no JSON form.
    #[error("no JSON form")]
    Json(#[from] serde_json::Error),
}
