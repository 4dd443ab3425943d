//! Decoding of journaled rows: streams of workers and packed rows of the coordinator.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use rheo_core::rows::RowBatch;
use rheo_model::row::Table;
use serde::de::DeserializeOwned;

use crate::batch::{self, Error};
use crate::packed_rows::is_packed;
use crate::tables::{self, AttemptRow, LogRows, TrialRow};

/// Decodes `batches` of `table` in order. Adjacent packed batches become one record batch.
pub(crate) fn decode(table: Table, batches: &[Bytes]) -> Result<Vec<RecordBatch>, Error> {
    let mut decoded = Vec::new();
    for run in batches.chunk_by(|one, next| is_packed(one) && is_packed(next)) {
        match run {
            [stream] if !is_packed(stream) => decoded.push(batch::decode(table, stream)?),
            own => decoded.push(decode_own(table, own)?),
        }
    }
    Ok(decoded)
}

/// Checks that an accepted `batch` can still be decoded and has its number of rows.
pub fn check_readable(batch: &RowBatch) -> Result<(), Error> {
    let rows = decode(Table::try_from(&batch.table)?, std::slice::from_ref(&batch.ipc))?;
    let rows = rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
    if rows == batch.rows { Ok(()) } else { Err(Error::Malformed("another number of rows")) }
}

/// Decodes `batch`.
#[cfg(test)]
pub(crate) fn read(batch: &RowBatch) -> RecordBatch {
    let table = Table::try_from(&batch.table).unwrap();
    decode(table, std::slice::from_ref(&batch.ipc)).unwrap().remove(0)
}

fn decode_own(table: Table, batches: &[Bytes]) -> Result<RecordBatch, Error> {
    match table {
        Table::Trials => tables::trials(&unpack::<TrialRow>(batches)?),
        Table::Attempts => tables::attempts(&unpack::<AttemptRow>(batches)?),
        Table::Logs => tables::logs(&unpack::<LogRows>(batches)?),
        _ => Err(Error::Malformed("rows that only a worker can make")),
    }
}

fn unpack<R: DeserializeOwned>(batches: &[Bytes]) -> Result<Vec<R>, Error> {
    let mut rows = Vec::with_capacity(batches.len());
    for batch in batches {
        let more: Vec<R> = rmp_serde::from_slice(batch).map_err(Error::Unpack)?;
        rows.extend(more);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::compute::concat_batches;

    use super::*;
    use crate::sample;

    #[test]
    fn packed_batches_are_decoded_together_and_in_order() {
        let one = tables::encode_trials(&[sample::trial(1), sample::trial(2)]).unwrap();
        let other = tables::encode_trials(&[sample::trial(3)]).unwrap();
        let stream =
            batch::encode_stream(Table::Trials, tables::trials(&[sample::trial(4)]).unwrap());
        let stream = stream.unwrap().ipc;
        assert_eq!((one.rows, other.rows), (2, 1));
        let (one, other) = (one.ipc, other.ipc);
        let decoded = decode(Table::Trials, &[one, other.clone(), stream, other]).unwrap();
        assert_eq!(decoded.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 1, 1]);
        let all = [1, 2, 3, 4, 3].map(sample::trial);
        let schema = tables::schema(Table::Trials);
        // Streams also carry the schema version.
        let plain = |rows: &RecordBatch| {
            RecordBatch::try_new(Arc::clone(&schema), rows.columns().to_vec()).unwrap()
        };
        let found = decoded.iter().map(plain);
        let found = concat_batches(&schema, &found.collect::<Vec<_>>()).unwrap();
        assert_eq!(found, tables::trials(&all).unwrap());
    }

    #[test]
    fn packed_rows_round_trip() {
        let mut trial = sample::trial(1);
        trial.objective = Some(f64::NAN);
        trial.error = Some("loss is NaN".to_owned());
        let packed = tables::encode_trials(std::slice::from_ref(&trial)).unwrap();
        let mut found = unpack::<TrialRow>(&[packed.ipc]).unwrap().remove(0);
        assert!(found.objective.is_some_and(f64::is_nan));
        found.objective = None;
        assert_eq!(found, TrialRow { objective: None, ..trial });
        let attempt = sample::attempt(1);
        let packed = tables::encode_attempts(std::slice::from_ref(&attempt)).unwrap();
        assert_eq!(unpack::<AttemptRow>(&[packed.ipc]).unwrap(), [attempt]);
    }

    #[test]
    fn invalid_bytes_are_refused() {
        let trial = tables::encode_trials(&[sample::trial(1)]).unwrap().ipc;
        assert!(decode(Table::Trials, &[trial.slice(..trial.len() - 1)]).is_err());
        assert!(decode(Table::Attempts, std::slice::from_ref(&trial)).is_err());
        assert!(decode(Table::Epochs, &[trial]).is_err());
        assert!(decode(Table::Trials, &[Bytes::from_static(b"\x93trial")]).is_err());
    }
}
