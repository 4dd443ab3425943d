//! Encoding of rows as Arrow batches, by their serde names.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Fields, Schema, TimestampMillisecondType};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use rheo_core::rows::RowBatch;
use rheo_model::row::{Rows, Table, Variant, Visitor};
use serde::Serialize;

use crate::batch::{self, Error, TrialKeys};
use crate::tables::{UTC, schema};

/// Encodes the rows of a commit, one batch per table with rows.
pub fn encode(keys: &TrialKeys, rows: &Rows) -> Result<Vec<RowBatch>, Error> {
    let mut encoder = RowEncoder { keys, batches: Vec::new() };
    rows.visit(&mut encoder)?;
    Ok(encoder.batches)
}

struct RowEncoder<'a> {
    keys: &'a TrialKeys,
    batches: Vec<RowBatch>,
}

impl Visitor for RowEncoder<'_> {
    type Error = Error;

    fn visit<R: Serialize>(&mut self, table: Table, rows: &[R]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct KeyedRow<'a, R> {
            #[serde(flatten)]
            keys: &'a TrialKeys,
            #[serde(skip_serializing_if = "Option::is_none")]
            variant: Option<Variant>,
            #[serde(flatten)]
            row: &'a R,
        }
        if rows.is_empty() {
            return Ok(());
        }
        // Rows of these tables carry no variant; there is only one.
        let variant = matches!(table, Table::Epochs | Table::Evaluations | Table::Shapes)
            .then_some(Variant::Corrected);
        let keys = self.keys;
        let rows: Vec<_> = rows.iter().map(|row| KeyedRow { keys, variant, row }).collect();
        self.batches.push(batch::encode_stream(table, to_arrow(table, &rows)?)?);
        Ok(())
    }
}

/// Converts rows to Arrow. Their serde names are the columns of `table`.
pub(crate) fn to_arrow<R: Serialize>(table: Table, rows: &[R]) -> Result<RecordBatch, ArrowError> {
    let schema = schema(table);
    let untimed = schema.fields().iter().map(|field| match field.data_type() {
        // The decoder cannot parse UTC without a time zone database.
        DataType::Timestamp(unit, _) => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(*unit, None)))
        }
        _ => Arc::clone(field),
    });
    let untimed = Arc::new(Schema::new(untimed.collect::<Fields>()));
    // Strict: a field without a column is an error, not dropped.
    let mut decoder = ReaderBuilder::new(untimed).with_strict_mode(true).build_decoder()?;
    decoder.serialize(rows)?;
    let Some(decoded) = decoder.flush()? else {
        return Ok(RecordBatch::new_empty(schema));
    };
    let timed = decoded.columns().iter().map(|column| {
        match column.as_primitive_opt::<TimestampMillisecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone(UTC)),
            None => Arc::clone(column),
        }
    });
    RecordBatch::try_new(schema, timed.collect())
}
