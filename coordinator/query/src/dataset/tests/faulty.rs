//! An object store whose changes fail from the n-th on, before or after they take effect.

use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio_stream::{Stream, StreamExt as _};

/// The fault of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The request has no effect.
    Refused,
    /// The request takes effect, but its reply is lost.
    AnswerLost,
}

#[derive(Debug)]
pub(super) struct FaultyStore {
    store: InMemory,
    /// The number of changes that still succeed, and the fault after them.
    left: Mutex<Option<(usize, Fault)>>,
}

type BoxStream<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

impl FaultyStore {
    pub(super) fn new(store: InMemory) -> Self {
        Self { store, left: Mutex::new(None) }
    }

    pub(super) fn fail_after(&self, changes: usize, fault: Fault) {
        *self.left.lock().unwrap() = Some((changes, fault));
    }

    pub(super) fn mend(&self) {
        *self.left.lock().unwrap() = None;
    }

    /// The fault of the next change. After the first fault, all changes are refused.
    fn fault(&self) -> Option<Fault> {
        let mut left = self.left.lock().unwrap();
        match &mut *left {
            None => None,
            Some((0, fault)) => Some(std::mem::replace(fault, Fault::Refused)),
            Some((changes, _)) => {
                *changes -= 1;
                None
            }
        }
    }

    async fn change<T>(&self, change: impl Future<Output = Result<T>>) -> Result<T> {
        let error = Error::Generic { store: "faulty", source: "no answer".into() };
        match self.fault() {
            None => change.await,
            Some(Fault::Refused) => Err(error),
            Some(Fault::AnswerLost) => change.await.and(Err(error)),
        }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.change(self.store.put_opts(at, bytes, how)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.change(self.store.put_multipart_opts(at, how)).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.store.get_opts(at, how).await
    }

    fn delete_stream(&self, paths: BoxStream<Path>) -> BoxStream<Path> {
        let error = || Error::Generic { store: "faulty", source: "no answer".into() };
        match self.fault() {
            None => self.store.delete_stream(paths),
            Some(Fault::Refused) => Box::pin(tokio_stream::once(Err(error()))),
            Some(Fault::AnswerLost) => {
                let lost = move |deleted: Result<Path>| deleted.and_then(|_| Err(error()));
                Box::pin(self.store.delete_stream(paths).map(lost))
            }
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<ObjectMeta> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.change(self.store.copy_opts(from, to, how)).await
    }
}
