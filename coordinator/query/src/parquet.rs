//! Parquet writer. Only this file decides the layout: zstd, row groups that one core scans in a
//! moment, statistics per page, and Bloom filters on ids. The filters are needed because a part of a
//! running sweep holds rows of all its trials, so ranges alone exclude little.

use std::io::Write;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;
use rheo_model::row::Table;

use crate::tables;
use crate::version::{SCHEMA_VERSION, VERSION_KEY};

/// The most rows per row group: the unit in which readers share work and skip data.
const ROW_GROUP: usize = 128 * 1024;

/// The most values per row group. Bounds the memory of the writer, which keeps a whole group, for
/// tables with hundreds of columns.
const ROW_GROUP_VALUES: usize = 4 << 20;

/// The columns with Bloom filters, in the tables that have them.
const IDS: [&str; 3] = ["trial", "worker", "checkpoint"];

/// The false positive rate of a Bloom filter.
const FALSE_POSITIVES: f64 = 0.01;

/// Writes `rows`, which must be sorted by trial, and returns their number. Does not sync a file.
pub(crate) fn write<E: From<ParquetError>>(
    file: impl Write + Send,
    table: Table,
    rows: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<u64, E> {
    let mut writer = ArrowWriter::try_new(file, tables::schema(table), Some(properties(table)?))?;
    let mut count = 0;
    for rows in rows {
        let rows = rows?;
        count += rows.num_rows() as u64;
        writer.write(&rows)?;
    }
    writer.close()?;
    Ok(count)
}

/// The number of rows in the footer of a file.
pub(crate) fn rows(file: impl ChunkReader + 'static) -> Result<u64, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn properties(table: Table) -> Result<WriterProperties, ParquetError> {
    let version = KeyValue::new(VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let by_trial = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
    let columns = tables::schema(table).flattened_fields().len();
    let row_group = (ROW_GROUP_VALUES / columns.max(1)).clamp(1, ROW_GROUP);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("rheo-query ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(row_group))
        .set_sorting_columns(Some(vec![by_trial]));
    for column in tables::columns(table).filter(|column| IDS.contains(&column.name)) {
        properties =
            properties.set_column_bloom_filter_fpp(ColumnPath::from(column.name), FALSE_POSITIVES);
    }
    Ok(properties.build())
}
