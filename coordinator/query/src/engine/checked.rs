//! Readers of parts that check the digest before a query gets the first byte.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::path::Path;
use rheo_core::part::Part;

use crate::dataset::{self, DamagedPart, Dataset};

/// An error of the dataset that fails a query.
type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Boxes an error; a damaged part is unwrapped, so that it can be found in an error chain.
fn boxed(error: dataset::Error) -> BoxedError {
    match error {
        dataset::Error::Damaged(damaged) => damaged,
        other => Box::new(other),
    }
}

/// Runs `action`, which may block on disk or network, on a thread for blocking work.
async fn run_blocking<T: Send + 'static>(
    action: impl FnOnce() -> Result<T, dataset::Error> + Send + 'static,
) -> Result<T, BoxedError> {
    match tokio::task::spawn_blocking(action).await {
        Ok(result) => result.map_err(boxed),
        Err(error) => Err(Box::new(error)),
    }
}

/// Fails if the file of one of `parts` is missing or has another size.
pub(super) async fn check_files(dataset: &Dataset, parts: &[Part]) -> Result<()> {
    let (dataset, parts) = (dataset.clone(), parts.to_vec());
    let first = move || Ok(dataset.find_absent(&parts)?.into_iter().next());
    let external = |error: BoxedError| DataFusionError::External(error);
    match run_blocking(first).await.map_err(external)? {
        None => Ok(()),
        Some(damaged) => Err(external(Box::new(damaged))),
    }
}

/// The damaged part in an error chain, if any.
pub(super) fn find_damaged_part(error: &(dyn std::error::Error + 'static)) -> Option<DamagedPart> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(damaged) = error.downcast_ref::<DamagedPart>() {
            return Some(damaged.clone());
        }
        next = error.source();
    }
    None
}

/// Opens readers of parts.
#[derive(Debug)]
pub(super) struct CheckedFiles<F> {
    files: F,
    dataset: Dataset,
    parts: HashMap<Path, Part>,
}

impl<F> CheckedFiles<F> {
    pub(super) fn new(files: F, dataset: Dataset, parts: &[Part]) -> Self {
        let parts = parts.iter().map(|part| (Path::from(part.path()), part.clone()));
        Self { files, dataset, parts: parts.collect() }
    }
}

impl<F: ParquetFileReaderFactory> ParquetFileReaderFactory for CheckedFiles<F> {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let part = self.parts.get(&file.object_meta.location).cloned();
        let unchecked = part.map(|part| (self.dataset.clone(), part));
        let file = self.files.create_reader(partition, file, metadata_size_hint, metrics)?;
        Ok(Box::new(CheckedFile { file, unchecked }))
    }
}

/// A reader that checks its part before the first read.
struct CheckedFile {
    file: Box<dyn AsyncFileReader + Send>,
    unchecked: Option<(Dataset, Part)>,
}

impl CheckedFile {
    async fn check(&mut self) -> ParquetResult<()> {
        if let Some((dataset, part)) = self.unchecked.clone() {
            run_blocking(move || dataset.check(&part)).await.map_err(ParquetError::External)?;
            self.unchecked = None;
        }
        Ok(())
    }
}

/// The future type of the trait.
type ReadFuture<'a, T> = Pin<Box<dyn Future<Output = ParquetResult<T>> + Send + 'a>>;

impl AsyncFileReader for CheckedFile {
    fn get_bytes(&mut self, range: Range<u64>) -> ReadFuture<'_, Bytes> {
        Box::pin(async move {
            self.check().await?;
            self.file.get_bytes(range).await
        })
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> ReadFuture<'_, Vec<Bytes>> {
        Box::pin(async move {
            self.check().await?;
            self.file.get_byte_ranges(ranges).await
        })
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> ReadFuture<'a, Arc<ParquetMetaData>> {
        Box::pin(async move {
            self.check().await?;
            self.file.get_metadata(options).await
        })
    }
}
