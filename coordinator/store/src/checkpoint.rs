//! Checkpoints by the digest of their bytes: a checkpoint cannot be confused with another, and one
//! that was damaged is found out when it is read.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use rheo_core::id::Digest;

/// The digest of a checkpoint.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Parts of one upload that are written at the same time, which bounds its memory.
const IN_FLIGHT: usize = 4;

/// A place for checkpoints.
#[derive(Debug)]
pub struct Store {
    files: LocalFileSystem,
}

/// A checkpoint that is being written. Dropped before [`Upload::finish`], it leaves nothing that
/// counts.
#[derive(Debug)]
pub struct Upload<'a> {
    store: &'a Store,
    digest: Digest,
    hasher: blake3::Hasher,
    writer: WriteMultipart,
}

impl Store {
    /// The store in the directory `root`, which is created if there is none.
    pub fn open(root: &FilePath) -> Result<Self, Error> {
        let unusable = |source| Error::Directory { path: root.to_owned(), source };
        std::fs::create_dir_all(root).map_err(unusable)?;
        let files = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true);
        Ok(Self { files })
    }

    /// Begins to write the checkpoint whose digest is said to be `digest`.
    pub async fn upload(&self, digest: Digest) -> Result<Upload<'_>, Error> {
        let upload = self.files.put_multipart(&location(digest)).await?;
        let hasher = blake3::Hasher::new();
        Ok(Upload { store: self, digest, hasher, writer: WriteMultipart::new(upload) })
    }

    /// Reads a checkpoint and checks its digest.
    pub async fn get(&self, digest: Digest) -> Result<Bytes, Error> {
        let bytes = match self.files.get(&location(digest)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::Missing(digest)),
            Err(error) => return Err(error.into()),
        };
        let found = self::digest(&bytes);
        if found == digest { Ok(bytes) } else { Err(Error::Damaged { digest, found }) }
    }

    /// Whether the checkpoint is there, whole and durable, so that it need not be written again. One
    /// that is damaged, as a power cut in the middle of its writing leaves it, is removed.
    pub async fn confirm(&self, digest: Digest) -> Result<bool, Error> {
        match self.get(digest).await {
            Ok(_) => self.synchronise(digest).await.map(|()| true),
            Err(Error::Missing(_)) => Ok(false),
            Err(Error::Damaged { .. }) => self.remove(digest).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a checkpoint with this digest.
    pub async fn contains(&self, digest: Digest) -> Result<bool, Error> {
        match self.files.head(&location(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a checkpoint, if it is there.
    pub async fn remove(&self, digest: Digest) -> Result<(), Error> {
        match self.files.delete(&location(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The digests of all checkpoints.
    pub async fn list(&self) -> Result<Vec<Digest>, Error> {
        let names = self.files.list(None).map(|entry| entry.map(|entry| entry.location));
        let digests = names.try_filter_map(|path| async move {
            Ok(path.filename().and_then(|name| name.parse::<Digest>().ok()))
        });
        Ok(digests.try_collect().await?)
    }

    /// Makes the file of `digest` and its name durable. The object store writes a file and renames
    /// it, but synchronises neither.
    async fn synchronise(&self, digest: Digest) -> Result<(), Error> {
        let path = self.files.path_to_filesystem(&location(digest))?;
        let synchronise = |path: &FilePath| {
            let result = std::fs::File::open(path).and_then(|file| file.sync_all());
            result.map_err(|source| Error::Directory { path: path.to_owned(), source })
        };
        // The file, its directory, and the directory of that.
        let all = move || path.ancestors().take(3).try_for_each(synchronise);
        tokio::task::spawn_blocking(all).await.unwrap_or(Err(Error::Stopped))
    }
}

impl Upload<'_> {
    /// Adds the next bytes, when what came before is on its way to the disk.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.hasher.update(&chunk);
        self.writer.wait_for_capacity(IN_FLIGHT).await?;
        self.writer.put(chunk);
        Ok(())
    }

    /// Checks the digest and makes the checkpoint durable.
    pub async fn finish(self) -> Result<(), Error> {
        let found = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        if found != self.digest {
            self.writer.abort().await?;
            return Err(Error::Damaged { digest: self.digest, found });
        }
        self.writer.finish().await?;
        self.store.synchronise(self.digest).await
    }
}

/// Two levels of directories, so that none holds a million files.
fn location(digest: Digest) -> Path {
    let name = digest.to_string();
    Path::from_iter([&name[..2], &name])
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("checkpoint `{0}` is missing")]
    Missing(Digest),
    /// Its bytes are not those that were written.
    #[error("checkpoint `{digest}` is damaged: its digest is `{found}`")]
    Damaged {
        /// The digest it should have.
        digest: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// A file or directory cannot be used.
    #[error("`{path}` cannot be used")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process is stopping.
    #[error("the checkpoint store is stopping")]
    Stopped,
    /// The store failed.
    #[error("the checkpoint store failed")]
    Store(#[from] object_store::Error),
}

impl From<object_store::path::Error> for Error {
    fn from(error: object_store::path::Error) -> Self {
        Self::Store(error.into())
    }
}
