//! Packed rows: the form of the coordinator's own rows in the journal, until they are in a part.
//!
//! Rows of workers are Arrow streams and stay so. The coordinator makes its own rows one at a time while
//! workers wait, and encoding one row of `trials` as a stream would take longer than the rest of ending a trial.
//! So these rows are kept as MessagePack and converted to Arrow in bulk, when they are read. Journals of older
//! versions have streams of them, too. The first byte tells the two apart: a stream begins with 0xff,
//! MessagePack with the length of a list.

use bytes::Bytes;
use rheo_core::rows::RowBatch;
use rheo_model::row::Table;
use serde::Serialize;

use crate::batch::Error;

/// The first byte of every Arrow stream.
const STREAM: u8 = 0xff;

/// Whether `bytes` are packed rows.
pub(crate) fn is_packed(bytes: &Bytes) -> bool {
    bytes.first().is_some_and(|first| *first != STREAM)
}

/// Packs `values` into a batch of `count` rows of `table`.
pub(crate) fn pack<R: Serialize>(
    table: Table,
    count: usize,
    values: &[R],
) -> Result<RowBatch, Error> {
    let bytes = rmp_serde::to_vec_named(values)?;
    Ok(RowBatch { table: table.into(), rows: count as u64, ipc: bytes.into() })
}
