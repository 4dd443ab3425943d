//! Rows of the coordinator as the journal keeps them, until they are in a part.
//!
//! What a worker sends is an Arrow stream and stays one. The coordinator makes its own rows one at a time
//! while workers wait, and a stream of one row of `trials` takes longer than everything else about the end
//! of a trial: so these rows are kept as MessagePack and become Arrow many at a time, when they are read.
//! Journals of older versions have streams of them too. The first byte tells the two apart: a stream begins
//! with 0xff, MessagePack with the length of a list.

use bytes::Bytes;
use rheo_core::rows::RowBatch;
use rheo_model::row::Table;
use serde::Serialize;

use crate::batch::Error;

/// The first byte of every Arrow stream.
const STREAM: u8 = 0xff;

/// Whether `bytes` are rows that the coordinator made.
pub(crate) fn is_packed(bytes: &Bytes) -> bool {
    bytes.first().is_some_and(|first| *first != STREAM)
}

/// A batch of `count` rows of `table`, which `values` stand for.
pub(crate) fn pack<R: Serialize>(
    table: Table,
    count: usize,
    values: &[R],
) -> Result<RowBatch, Error> {
    let bytes = rmp_serde::to_vec_named(values)?;
    Ok(RowBatch { table: table.into(), rows: count as u64, ipc: bytes.into() })
}
