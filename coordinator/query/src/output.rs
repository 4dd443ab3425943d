//! Output formats of query results: tables for the terminal, CSV, JSON, Parquet and Arrow.
//!
//! Every format is written as the rows arrive, in bounded memory. CSV and tables show nested values
//! as JSON.

pub mod number;
mod table;

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{EncoderOptions, JsonArray, LineDelimited, make_encoder};
use arrow::json::{Writer as JsonWriter, WriterBuilder};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use table::TextTable;

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people; long values and results are cut.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object per line.
    JsonLines,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::Table, Self::Csv, Self::Json, Self::JsonLines, Self::Parquet, Self::Arrow];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// The size limit of [`Format::Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// The number of rows.
    pub rows: usize,
    /// The number of characters in a line.
    pub width: usize,
}

impl Default for TableSize {
    /// No limit.
    fn default() -> Self {
        Self { rows: usize::MAX, width: usize::MAX }
    }
}

/// Writes one query result.
pub struct ResultWriter<W: Write + Send> {
    writer: FormatWriter<W>,
}

enum FormatWriter<W: Write + Send> {
    Table(W, Box<TextTable>),
    Csv(Box<arrow::csv::Writer<W>>),
    Json(JsonWriter<W, JsonArray>),
    JsonLines(JsonWriter<W, LineDelimited>),
    Parquet(Box<ArrowWriter<W>>),
    Arrow(StreamWriter<W>),
}

impl<W: Write + Send> ResultWriter<W> {
    /// Creates a writer to `out` with the columns of `schema`. Only tables use `size`.
    pub fn new(format: Format, schema: &SchemaRef, out: W, size: TableSize) -> Result<Self, Error> {
        let json = WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = match format {
            Format::Table => FormatWriter::Table(out, Box::new(TextTable::new(schema, size))),
            Format::Csv => FormatWriter::Csv(Box::new(arrow::csv::Writer::new(out))),
            Format::Json => FormatWriter::Json(json.build(out)),
            Format::JsonLines => FormatWriter::JsonLines(json.build(out)),
            Format::Parquet => {
                let zstd = Compression::ZSTD(ZstdLevel::try_new(3)?);
                let properties = WriterProperties::builder().set_compression(zstd).build();
                let writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties))?;
                FormatWriter::Parquet(Box::new(writer))
            }
            Format::Arrow => FormatWriter::Arrow(StreamWriter::try_new(out, schema)?),
        };
        if let FormatWriter::Csv(csv) = &mut writer {
            // A result without rows has a header, too.
            csv.write(&flatten(&RecordBatch::new_empty(Arc::clone(schema)))?)?;
        }
        Ok(Self { writer })
    }

    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        match &mut self.writer {
            FormatWriter::Table(_, table) => table.add(&flatten(rows)?)?,
            FormatWriter::Csv(csv) => csv.write(&flatten(rows)?)?,
            FormatWriter::Json(json) => json.write(rows)?,
            FormatWriter::JsonLines(json) => json.write(rows)?,
            FormatWriter::Parquet(parquet) => parquet.write(rows)?,
            FormatWriter::Arrow(arrow) => arrow.write(rows)?,
        }
        Ok(())
    }

    /// Writes the end of the output and flushes it.
    pub fn finish(self) -> Result<W, Error> {
        let mut out = match self.writer {
            FormatWriter::Table(mut out, table) => {
                out.write_all(table.render().as_bytes())?;
                out
            }
            FormatWriter::Csv(csv) => csv.into_inner(),
            FormatWriter::Json(mut json) => {
                json.finish()?;
                let mut out = json.into_inner();
                // A text file ends with a line break.
                out.write_all(b"\n")?;
                out
            }
            FormatWriter::JsonLines(mut json) => {
                json.finish()?;
                json.into_inner()
            }
            FormatWriter::Parquet(parquet) => parquet.into_inner()?,
            FormatWriter::Arrow(arrow) => arrow.into_inner()?,
        };
        out.flush()?;
        Ok(out)
    }
}

impl<W: Write + Send> std::fmt::Debug for ResultWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultWriter").finish_non_exhaustive()
    }
}

/// Converts nested columns to JSON text and keeps all others.
fn flatten(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(to_json(field, column)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn to_json(field: &Arc<Field>, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(field, column.as_ref(), &options)?;
    let mut texts: Vec<Option<String>> = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let mut text = Vec::new();
        if !encoder.is_null(row) {
            encoder.encode(row, &mut text);
        }
        texts.push((!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// An error of writing a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination failed.
    #[error("cannot write the answer")]
    Io(#[from] io::Error),
    /// The format cannot represent a value.
    #[error("cannot write the answer")]
    Arrow(#[from] ArrowError),
    /// The Parquet writer failed.
    #[error("cannot write the answer")]
    Parquet(#[from] ParquetError),
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow::ipc::reader::StreamReader;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::{sample, tables};

    fn attempts() -> RecordBatch {
        let rows = [sample::attempt(0), sample::attempt(1)];
        let rows = crate::stored_rows::read(&tables::encode_attempts(&rows).unwrap());
        rows.project(&[0, 1, 5, 8, 16, 21]).unwrap()
    }

    fn write(format: Format, rows: &[RecordBatch], schema: &SchemaRef, size: TableSize) -> Vec<u8> {
        let mut output = ResultWriter::new(format, schema, Vec::new(), size).unwrap();
        for rows in rows {
            output.write(rows).unwrap();
        }
        output.finish().unwrap()
    }

    fn text(format: Format, rows: &RecordBatch) -> String {
        let output =
            write(format, std::slice::from_ref(rows), &rows.schema(), TableSize::default());
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn text_formats_look_like_this() {
        let rows = attempts();
        insta::assert_snapshot!(text(Format::Csv, &rows));
        insta::assert_snapshot!(text(Format::Json, &rows));
        insta::assert_snapshot!(text(Format::JsonLines, &rows));
    }

    #[test]
    fn binary_formats_read_back_what_was_written() {
        let rows = attempts();
        let batches = [rows.clone(), rows.clone()];
        let output = write(Format::Arrow, &batches, &rows.schema(), TableSize::default());
        let read = StreamReader::try_new(Cursor::new(output), None).unwrap();
        assert_eq!(read.map(Result::unwrap).collect::<Vec<_>>(), batches);

        let output = write(Format::Parquet, &batches, &rows.schema(), TableSize::default());
        let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(output)).unwrap();
        let read: Vec<_> = read.build().unwrap().map(Result::unwrap).collect();
        let both = arrow::compute::concat_batches(&rows.schema(), &batches).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].schema().fields(), both.schema().fields());
        assert_eq!(read[0].columns(), both.columns());
    }

    #[test]
    fn a_result_without_rows_is_complete() {
        let schema = attempts().schema();
        let empty =
            |format| String::from_utf8(write(format, &[], &schema, TableSize::default())).unwrap();
        assert_eq!(empty(Format::Csv), "trial,task,outcome,pid,wall_s,error\n");
        assert_eq!(empty(Format::Json), "[]\n");
        assert_eq!(empty(Format::JsonLines), "");
    }

    #[test]
    fn nested_values_are_json_in_flat_formats() {
        let rows = crate::stored_rows::read(&tables::encode_trials(&[sample::trial(2)]).unwrap());
        let config = rows.schema().index_of("config").unwrap();
        let rows = rows.project(&[0, config]).unwrap();
        let csv = text(Format::Csv, &rows);
        assert!(csv.contains(r#""{""analyze"":[{""kind"":""shapes""}],"#), "{csv}");
        assert!(!csv.contains(r#"""s0"""#), "{csv}");
    }

    #[test]
    fn every_format_has_a_name() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
        }
        assert_eq!(Format::parse("yaml"), None);
    }
}
