//! Query results between coordinator and client: an Arrow IPC stream in chunks.
//!
//! Chunks may end anywhere, so that each fits into a message whatever the rows.

use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

/// The largest chunk, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Encodes a result in chunks.
pub struct ChunkEncoder {
    writer: StreamWriter<Vec<u8>>,
}

impl std::fmt::Debug for ChunkEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkEncoder").finish_non_exhaustive()
    }
}

impl ChunkEncoder {
    /// Creates an encoder for rows of `schema`.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), schema)? })
    }

    /// The chunks of the schema. Without this call they precede the first rows.
    pub fn begin(&mut self) -> Vec<Bytes> {
        pieces(std::mem::take(self.writer.get_mut()))
    }

    /// The chunks of some rows.
    pub fn encode(&mut self, rows: &RecordBatch) -> Result<Vec<Bytes>, ArrowError> {
        self.writer.write(rows)?;
        Ok(pieces(std::mem::take(self.writer.get_mut())))
    }

    /// The last chunks.
    pub fn finish(self) -> Result<Vec<Bytes>, ArrowError> {
        Ok(pieces(self.writer.into_inner()?))
    }
}

fn pieces(bytes: Vec<u8>) -> Vec<Bytes> {
    let mut rest = Bytes::from(bytes);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(rest.split_to(rest.len().min(CHUNK_BYTES)));
    }
    pieces
}

/// Decodes a result from its chunks.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    decoder: StreamDecoder,
}

impl ChunkDecoder {
    /// Creates a decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// The columns, once the first chunks are decoded.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// Decodes the next chunk and returns the rows that it completes. The chunks must come from a
    /// [`ChunkEncoder`].
    pub fn decode(&mut self, piece: Bytes) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut piece = Buffer::from(piece);
        let mut rows = Vec::new();
        while !piece.is_empty() {
            rows.extend(self.decoder.decode(&mut piece)?);
        }
        Ok(rows)
    }

    /// Refuses a result that is truncated.
    pub fn finish(mut self) -> Result<(), ArrowError> {
        self.decoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample, tables};

    #[test]
    fn a_result_round_trips_in_chunks() {
        let trials: Vec<_> = (0..5_000).map(sample::trial).collect();
        let rows = crate::stored_rows::read(&tables::encode_trials(&trials).unwrap());
        let mut encoder = ChunkEncoder::new(&rows.schema()).unwrap();
        let mut pieces = encoder.encode(&rows).unwrap();
        pieces.extend(encoder.encode(&rows.slice(7, 3)).unwrap());
        pieces.extend(encoder.finish().unwrap());
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= CHUNK_BYTES));

        let mut decoder = ChunkDecoder::new();
        let decoded: Vec<RecordBatch> =
            pieces.iter().flat_map(|piece| decoder.decode(piece.clone()).unwrap()).collect();
        assert_eq!(decoder.schema(), Some(rows.schema()));
        decoder.finish().unwrap();
        assert_eq!(decoded, [rows.clone(), rows.slice(7, 3)]);

        let mut decoder = ChunkDecoder::new();
        decoder.decode(pieces[0].clone()).unwrap();
        assert!(decoder.finish().is_err(), "the result is truncated");
    }

    #[test]
    fn a_result_without_rows_has_columns() {
        let schema = tables::schema(rheo_model::row::Table::Epochs);
        let mut decoder = ChunkDecoder::new();
        for piece in ChunkEncoder::new(&schema).unwrap().finish().unwrap() {
            assert!(decoder.decode(piece).unwrap().is_empty());
        }
        assert_eq!(decoder.schema(), Some(schema));
        decoder.finish().unwrap();
    }
}
