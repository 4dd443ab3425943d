//! Checkpoint store, addressed by the digest of the bytes, so that no checkpoint is mistaken for
//! another and damage is found on reading.
//!
//! Checkpoints are kept in a directory or a bucket. This file syncs files itself, because
//! `object_store` does not; an object in a bucket is durable and complete once the bucket replies.

mod known_digests;

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use rheo_core::id::Digest;
use rheo_core::time::Timestamp;
use tokio::runtime::Handle;

use crate::storage_url::{self, Bucket, StorageUrl};
use known_digests::KnownDigests;

/// The digest of a checkpoint.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// The number of parts of one upload written concurrently, which bounds its memory.
const PARTS_IN_FLIGHT: usize = 4;

/// The chunk size of an upload, in bytes. A bucket gets smaller checkpoints in one request, which
/// saves two.
const CHUNK_BYTES: usize = 8 << 20;

/// A store of checkpoints.
#[derive(Debug)]
pub struct CheckpointStore {
    objects: Arc<dyn ObjectStore>,
    kind: StoreBackend,
    known: KnownDigests,
}

/// The storage behind a store.
#[derive(Debug)]
enum StoreBackend {
    Directory(LocalFileSystem),
    Bucket(Bucket),
}

/// A stored checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// The digest.
    pub digest: Digest,
    /// The time of writing, by the clock of the file system or bucket.
    pub written: Timestamp,
}

/// A checkpoint that is being written. Dropping it before [`CheckpointUpload::finish`] leaves no
/// checkpoint.
#[derive(Debug)]
pub struct CheckpointUpload<'a> {
    store: &'a CheckpointStore,
    digest: Digest,
    hasher: blake3::Hasher,
    /// Chunks held back for a single request to a bucket.
    held: Vec<Bytes>,
    writer: Option<WriteMultipart>,
}

impl CheckpointStore {
    /// Opens the store at `url` without a request to a bucket.
    pub fn at(place: &StorageUrl) -> Result<Self, Error> {
        match place {
            StorageUrl::Directory(root) => Self::open(root),
            StorageUrl::Bucket(address) => Ok(Self::in_bucket(address.open()?)),
        }
    }

    /// Opens the store in the directory `root`, and creates it if it is missing.
    pub fn open(root: &FilePath) -> Result<Self, Error> {
        let unusable = |source| Error::Directory { path: root.to_owned(), source };
        std::fs::create_dir_all(root).map_err(unusable)?;
        let files = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true);
        Ok(Self::new(Arc::new(files.clone()), StoreBackend::Directory(files)))
    }

    /// Opens the store in a bucket.
    pub fn in_bucket(bucket: Bucket) -> Self {
        Self::new(Arc::clone(&bucket.store), StoreBackend::Bucket(bucket))
    }

    fn new(objects: Arc<dyn ObjectStore>, kind: StoreBackend) -> Self {
        Self { objects, kind, known: KnownDigests::default() }
    }

    /// The bucket; none for a directory.
    pub fn bucket(&self) -> Option<&Bucket> {
        match &self.kind {
            StoreBackend::Directory(_) => None,
            StoreBackend::Bucket(bucket) => Some(bucket),
        }
    }

    /// Begins the upload of a checkpoint with the expected digest `digest`.
    pub async fn upload(&self, digest: Digest) -> Result<CheckpointUpload<'_>, Error> {
        let hasher = blake3::Hasher::new();
        let mut upload =
            CheckpointUpload { store: self, digest, hasher, held: Vec::new(), writer: None };
        if matches!(self.kind, StoreBackend::Directory(_)) {
            upload.begin().await?;
        }
        Ok(upload)
    }

    /// Reads a checkpoint and checks its digest.
    pub async fn get(&self, digest: Digest) -> Result<Bytes, Error> {
        let bytes = match self.objects.get(&location(digest)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::Missing(digest)),
            Err(error) => return Err(error.into()),
        };
        let found = self::digest(&bytes);
        if found == digest { Ok(bytes) } else { Err(Error::Damaged { digest, found }) }
    }

    /// Whether the checkpoint exists, is undamaged and durable, so that it need not be written
    /// again. Removes a damaged one, as a power cut during its upload leaves it.
    pub async fn confirm(&self, digest: Digest) -> Result<bool, Error> {
        match self.get(digest).await {
            Ok(_) => {
                self.sync(digest).await?;
                self.known.insert(digest);
                Ok(true)
            }
            Err(Error::Missing(_)) => Ok(false),
            Err(Error::Damaged { .. }) => self.remove(digest).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Whether the checkpoint exists. Answers from memory for one that this process has written or
    /// confirmed.
    pub async fn contains(&self, digest: Digest) -> Result<bool, Error> {
        if self.known.contains(digest) {
            return Ok(true);
        }
        match self.objects.head(&location(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a checkpoint, if it exists.
    pub async fn remove(&self, digest: Digest) -> Result<(), Error> {
        self.known.remove(digest);
        let removed = self.objects.delete(&location(digest)).await;
        // Again, because an upload may have recorded it meanwhile.
        self.known.remove(digest);
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists all checkpoints.
    pub async fn list(&self) -> Result<Vec<CheckpointInfo>, Error> {
        let stored = self.objects.list(None).try_filter_map(|object| async move {
            let digest = object.location.filename().and_then(|name| name.parse::<Digest>().ok());
            // A file of that name at another path is a user's copy.
            let digest = digest.filter(|digest| location(*digest) == object.location);
            let written = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
            Ok(digest.map(|digest| CheckpointInfo { digest, written: Timestamp(written) }))
        });
        Ok(stored.try_collect().await?)
    }

    /// Moves a checkpoint to the folder `.<ending>` of the store, and returns the path of that
    /// folder.
    pub async fn set_aside(&self, digest: Digest, ending: &str) -> Result<String, Error> {
        self.known.remove(digest);
        let (from, aside) = (location(digest), format!(".{ending}"));
        let to = Path::from(format!("{aside}/{from}"));
        self.objects.copy(&from, &to).await?;
        self.objects.delete(&from).await?;
        Ok(match &self.kind {
            StoreBackend::Directory(files) => {
                files.path_to_filesystem(&Path::from(aside))?.display().to_string()
            }
            StoreBackend::Bucket(bucket) => format!("{}/{aside}", bucket.url),
        })
    }

    /// The sizes of all checkpoints, in bytes.
    pub async fn sizes(&self) -> Result<BTreeMap<Digest, u64>, Error> {
        let sizes = self.objects.list(None).try_filter_map(|entry| async move {
            let digest = entry.location.filename().and_then(|name| name.parse::<Digest>().ok());
            Ok(digest.map(|digest| (digest, entry.size)))
        });
        Ok(sizes.try_collect().await?)
    }

    /// Syncs the file of `digest` and its directories. `object_store` writes and renames a file, but
    /// syncs neither.
    async fn sync(&self, digest: Digest) -> Result<(), Error> {
        let StoreBackend::Directory(files) = &self.kind else { return Ok(()) };
        let path = files.path_to_filesystem(&location(digest))?;
        let sync = |path: &FilePath| {
            let result = std::fs::File::open(path).and_then(|file| file.sync_all());
            result.map_err(|source| Error::Directory { path: path.to_owned(), source })
        };
        // The file, its directory, and the directory of that.
        let all = move || path.ancestors().take(3).try_for_each(sync);
        tokio::task::spawn_blocking(all).await.unwrap_or(Err(Error::Stopped))
    }
}

impl CheckpointUpload<'_> {
    /// Adds the next chunk, once earlier chunks have left memory.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.hasher.update(&chunk);
        if let Some(writer) = &mut self.writer {
            writer.wait_for_capacity(PARTS_IN_FLIGHT).await?;
            writer.put(chunk);
            return Ok(());
        }
        self.held.push(chunk);
        if self.held.iter().map(Bytes::len).sum::<usize>() > CHUNK_BYTES {
            self.begin().await?;
        }
        Ok(())
    }

    /// Begins a multipart upload with the chunks held back so far.
    async fn begin(&mut self) -> Result<(), Error> {
        let upload = self.store.objects.put_multipart(&location(self.digest)).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, CHUNK_BYTES);
        self.held.drain(..).for_each(|chunk| writer.put(chunk));
        self.writer = Some(writer);
        Ok(())
    }

    /// Checks the digest and makes the checkpoint durable.
    pub async fn finish(mut self) -> Result<(), Error> {
        let found = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        let writer = self.writer.take();
        if found != self.digest {
            if let Some(writer) = writer {
                writer.abort().await?;
            }
            return Err(Error::Damaged { digest: self.digest, found });
        }
        if let Some(writer) = writer {
            writer.finish().await?;
        } else {
            let payload: PutPayload = self.held.drain(..).collect();
            self.store.objects.put(&location(self.digest), payload).await?;
        }
        self.store.sync(self.digest).await?;
        self.store.known.insert(self.digest);
        Ok(())
    }
}

impl Drop for CheckpointUpload<'_> {
    /// Aborts the upload in a bucket, whose parts would cost money otherwise.
    fn drop(&mut self) {
        if let (Some(writer), StoreBackend::Bucket(_)) = (self.writer.take(), &self.store.kind)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(writer.abort());
        }
    }
}

/// The path of a checkpoint, in two levels so that no directory holds a million files.
fn location(digest: Digest) -> Path {
    let name = digest.to_string();
    Path::from_iter([&name[..2], &name])
}

/// An error of the checkpoint store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint does not exist.
    #[error("checkpoint `{0}` is missing")]
    Missing(Digest),
    /// The bytes do not have the expected digest.
    #[error("checkpoint `{digest}` is damaged: its digest is `{found}`")]
    Damaged {
        /// The expected digest.
        digest: Digest,
        /// The actual digest.
        found: Digest,
    },
    /// A file or directory cannot be used.
    #[error("`{path}` cannot be used")]
    Directory {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The storage location cannot be used.
    #[error(transparent)]
    Place(#[from] storage_url::Error),
    /// The process is stopping.
    #[error("the checkpoint store is stopping")]
    Stopped,
    /// The storage failed.
    #[error("the checkpoint store failed")]
    Store(#[from] object_store::Error),
}

impl From<object_store::path::Error> for Error {
    fn from(error: object_store::path::Error) -> Self {
        Self::Store(error.into())
    }
}
