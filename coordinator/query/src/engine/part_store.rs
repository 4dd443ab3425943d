//! Read-only object store through which DataFusion reads parts.
//!
//! A part is in the tree of tables or, around a compaction, under `.staging`; the two directories may
//! be exchanged between any two reads. So the store tries the tree, then `.staging`, then the tree
//! again.
//!
//! In a bucket, a rewritten part is under `.staging` until it has replaced the old object, so the
//! store tries `.staging` first. See `dataset::bucket`.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio_stream::Stream;

use crate::dataset::{PartSource, STAGING};
use crate::names::object_name;

/// The URL of the store in DataFusion.
pub(super) fn url() -> Result<ObjectStoreUrl, DataFusionError> {
    ObjectStoreUrl::parse("rheo://results")
}

/// Opens the parts at `source`, which need not exist yet.
pub(super) fn open(source: PartSource) -> Arc<dyn ObjectStore> {
    let objects = match &source {
        PartSource::Directory(_) => Arc::new(LocalFileSystem::new()) as Arc<dyn ObjectStore>,
        PartSource::Bucket(store) => Arc::clone(store),
    };
    Arc::new(PartStore { source, objects })
}

#[derive(Debug)]
struct PartStore {
    source: PartSource,
    objects: Arc<dyn ObjectStore>,
}

impl PartStore {
    /// The possible paths of a part, in the order to try.
    fn candidate_paths(&self, location: &Path) -> Result<Vec<Path>> {
        match &self.source {
            PartSource::Directory(root) => {
                let tree = Path::from_absolute_path(root.join(location.as_ref()))?;
                let staging = root.join(STAGING).join(location.as_ref());
                Ok(vec![tree.clone(), Path::from_absolute_path(staging)?, tree])
            }
            PartSource::Bucket(_) => {
                let staging = Path::from(format!("{STAGING}/{location}"));
                let place = Path::from(object_name(location.as_ref()));
                // Only compacted parts are ever staged.
                let is_first = !location.filename().unwrap_or_default().contains(".c");
                Ok(if is_first { vec![place] } else { vec![staging, place] })
            }
        }
    }
}

impl fmt::Display for PartStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            PartSource::Directory(root) => write!(f, "{}", root.display()),
            PartSource::Bucket(store) => write!(f, "{store}"),
        }
    }
}

#[async_trait]
impl ObjectStore for PartStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = Err(not_found(location));
        for place in self.candidate_paths(location)? {
            result = self.objects.get_opts(&place, options.clone()).await;
            if !matches!(result, Err(Error::NotFound { .. })) {
                break;
            }
        }
        result
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut result = Err(not_found(location));
        for place in self.candidate_paths(location)? {
            result = self.objects.get_ranges(&place, ranges).await;
            if !matches!(result, Err(Error::NotFound { .. })) {
                break;
            }
        }
        result
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only_error("write"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only_error("write"))
    }

    fn delete_stream(&self, _: BoxStream<Path>) -> BoxStream<Path> {
        Box::pin(tokio_stream::once(Err(read_only_error("delete"))))
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<ObjectMeta> {
        Box::pin(tokio_stream::once(Err(read_only_error("list"))))
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(read_only_error("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only_error("copy"))
    }
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

fn not_found(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "there is no such part".into() }
}

/// The error of every operation other than reading a named part.
fn read_only_error(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "the parts of a snapshot".to_owned(),
    }
}
