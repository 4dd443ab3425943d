//! The parts as DataFusion reads them: an object store that only reads.
//!
//! A part lies in the tree or, around the moment of a compaction, under `.staging`; the exchange of
//! the two directories may happen between any two reads. So a part that is not in one place is
//! looked for in the other, and then, if the exchange came in between, in the first again.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
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

use crate::dataset::STAGING;

/// Under which name DataFusion knows the store.
pub(super) fn url() -> Result<ObjectStoreUrl, DataFusionError> {
    ObjectStoreUrl::parse("rheo://results")
}

/// The parts under `root`, which need not exist yet.
pub(super) fn open(root: PathBuf) -> Arc<dyn ObjectStore> {
    Arc::new(Parts { root, files: LocalFileSystem::new() })
}

#[derive(Debug)]
struct Parts {
    root: PathBuf,
    files: LocalFileSystem,
}

impl Parts {
    /// Where to look for a part.
    fn places(&self, location: &Path) -> Result<[Path; 2]> {
        let tree = self.root.join(location.as_ref());
        let staging = self.root.join(STAGING).join(location.as_ref());
        Ok([Path::from_absolute_path(tree)?, Path::from_absolute_path(staging)?])
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for Parts {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let [tree, staging] = self.places(location)?;
        for place in [&tree, &staging] {
            match self.files.get_opts(place, options.clone()).await {
                Err(Error::NotFound { .. }) => {}
                result => return result,
            }
        }
        self.files.get_opts(&tree, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let [tree, staging] = self.places(location)?;
        for place in [&tree, &staging] {
            match self.files.get_ranges(place, ranges).await {
                Err(Error::NotFound { .. }) => {}
                result => return result,
            }
        }
        self.files.get_ranges(&tree, ranges).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(refuse("write"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(refuse("write"))
    }

    fn delete_stream(&self, _: BoxStream<Path>) -> BoxStream<Path> {
        Box::pin(tokio_stream::once(Err(refuse("delete"))))
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<ObjectMeta> {
        Box::pin(tokio_stream::once(Err(refuse("list"))))
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(refuse("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refuse("copy"))
    }
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// Queries name their files, so nothing here is ever listed, and they change none.
fn refuse(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "the parts of a snapshot".to_owned(),
    }
}
