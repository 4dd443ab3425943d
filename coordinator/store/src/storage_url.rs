//! Where results or checkpoints lie: in a directory, or under a prefix in a bucket of object
//! storage.
//!
//! What is known of buckets is here and nowhere else: how they are written (`s3://bucket/prefix`),
//! which feature each kind needs, how long a request is tried, and whose a prefix is. Credentials,
//! region and endpoint are those of the vendors' own environment variables, which `object_store`
//! reads; none is ever an argument or written down.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode};
use rheo_core::id::IncarnationId;

use crate::owner::StorageOwner;

/// A directory, or a prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUrl {
    /// On a file system.
    Directory(PathBuf),
    /// In object storage.
    Bucket(BucketUrl),
}

/// A prefix in a bucket, as it is written: `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    kind: BucketProvider,
    bucket: String,
    prefix: String,
}

/// The kinds of object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketProvider {
    /// Amazon's, and whatever speaks its protocol.
    S3,
    /// Google's.
    Gcs,
    /// Microsoft's.
    Azure,
}

/// An open prefix in a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its objects; paths are relative to the prefix.
    pub store: Arc<dyn ObjectStore>,
    /// How it is written.
    pub url: String,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is neither a path nor an address.
    #[error(
        "`{0}` is not a place: give a directory, `s3://bucket/prefix`, `gs://...` or `az://...`"
    )]
    Invalid(String),
    /// This program was built without what it takes.
    #[error(
        "this `rheo` was built without `{scheme}://`: build it with `cargo build --release --features rheo-coordinator/{feature}`"
    )]
    Feature {
        /// The scheme of its address.
        scheme: &'static str,
        /// The feature of cargo.
        feature: &'static str,
    },
    /// The environment does not say how to reach it.
    #[error("`{url}` cannot be used: {hint}")]
    Setting {
        /// The place.
        url: String,
        /// Which variables there are.
        hint: &'static str,
        /// What is wrong.
        #[source]
        source: StoreError,
    },
    /// It refused, or did not answer.
    #[error("`{url}` cannot be used: {}", hint(source))]
    Refused {
        /// The place.
        url: String,
        /// What it said.
        source: StoreError,
    },
    /// It writes over what exists although it was told not to.
    #[error(
        "`{0}` ignores the condition of a conditional write (`If-None-Match: *`), so rows could be doubled there: use object storage that honours it"
    )]
    Unconditional(String),
    /// Another state directory writes there.
    #[error(
        "`{url}` belongs to another state directory (`{owner}`): choose another prefix; if that one is gone for good, remove what lies there"
    )]
    Taken {
        /// The place.
        url: String,
        /// Whose it is.
        owner: String,
    },
}

/// What to look at when a bucket refuses.
fn hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound { .. } => "there is no such bucket, or not at this endpoint",
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            "the credentials in the environment may not read and write there"
        }
        _ => "it did not answer as object storage does; check endpoint, region and credentials",
    }
}

impl FromStr for StorageUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once("://") {
            // The store of the query engine drops line breaks from paths.
            None if text.is_empty() || text.contains(char::is_control) => {
                Err(Error::Invalid(text.escape_debug().to_string()))
            }
            None => Ok(Self::Directory(text.into())),
            Some((scheme, rest)) => {
                let invalid = || Error::Invalid(text.to_owned());
                let kind = BucketProvider::ALL.into_iter().find(|kind| kind.scheme() == scheme);
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/').to_owned();
                // No user and no password, which would be written down.
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                if bucket.is_empty()
                    || !bucket.bytes().all(is_name)
                    || Path::parse(&prefix).is_err()
                {
                    return Err(invalid());
                }
                let kind = kind.ok_or_else(invalid)?;
                Ok(Self::Bucket(BucketUrl { kind, bucket: bucket.to_owned(), prefix }))
            }
        }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl BucketProvider {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
    fn missing_feature(self) -> Error {
        let feature = match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        };
        Error::Feature { scheme: self.scheme(), feature }
    }
}

impl BucketUrl {
    /// Prepares to use it; nothing is sent yet.
    pub fn open(&self) -> Result<Bucket, Error> {
        let store = PrefixStore::new(self.connect()?, Path::from(self.prefix.as_str()));
        Ok(Bucket { store: Arc::new(store), url: self.to_string() })
    }

    fn connect(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        match self.kind {
            #[cfg(feature = "s3")]
            BucketProvider::S3 => self.open_s3(),
            #[cfg(feature = "gcs")]
            BucketProvider::Gcs => self.open_gcs(),
            #[cfg(feature = "azure")]
            BucketProvider::Azure => self.open_azure(),
            #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
            missing => Err(missing.missing_feature()),
        }
    }

    #[cfg(feature = "s3")]
    fn open_s3(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3CopyIfNotExists};
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&self.bucket);
        if builder.get_config_value(&AmazonS3ConfigKey::CopyIfNotExists).is_none() {
            // A plain copy cannot be conditional; the completion of a multipart upload can.
            builder = builder.with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
        }
        let store = builder.with_retry(network::retry()).build();
        Ok(Arc::new(store.map_err(|source| self.setting_error("AWS_*", source))?))
    }

    #[cfg(feature = "gcs")]
    fn open_gcs(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        use object_store::gcp::GoogleCloudStorageBuilder;
        let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&self.bucket);
        let store = builder.with_retry(network::retry()).build();
        Ok(Arc::new(store.map_err(|source| self.setting_error("GOOGLE_*", source))?))
    }

    #[cfg(feature = "azure")]
    fn open_azure(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        use object_store::azure::MicrosoftAzureBuilder;
        let builder = MicrosoftAzureBuilder::from_env().with_container_name(&self.bucket);
        let store = builder.with_retry(network::retry()).build();
        Ok(Arc::new(store.map_err(|source| self.setting_error("AZURE_*", source))?))
    }

    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    fn setting_error(&self, hint: &'static str, source: StoreError) -> Error {
        Error::Setting { url: self.to_string(), hint, source }
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod network {
    use std::time::Duration;

    use object_store::{BackoffConfig, RetryConfig};

    /// How long a request is tried before somebody hears of it. Not longer, because whoever asked
    /// tries again by itself, and people should read in `rheo status` what is wrong.
    const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

    pub(super) fn retry() -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(4), ..Default::default() };
        RetryConfig { backoff, max_retries: 100, retry_timeout: RETRY_TIMEOUT }
    }
}

/// The object that says whose a prefix is. Readers of tables do not come across it, and leave out
/// what begins like this.
const OWNER_OBJECT: &str = "_rheobase";

impl Bucket {
    /// Makes sure that what lies here is written by the state of `owner` alone, that it may be read and
    /// written, and that conditional writes are conditional. Gives the owner that the prefix had as
    /// another start of the same state, or from another directory.
    ///
    /// Two coordinators on one prefix would each remove what the other's journal names.
    pub async fn claim(&self, owner: &StorageOwner) -> Result<Option<StorageOwner>, Error> {
        let refused = |source| Error::Refused { url: self.url.clone(), source };
        let marker = Path::from(OWNER_OBJECT);
        let text = marker_text(owner);
        for is_new in [true, false] {
            match self.store.put_opts(&marker, text.clone().into(), PutMode::Create.into()).await {
                // Once more: it exists now, and must not be written over.
                Ok(_) if is_new => {}
                Ok(_) => return Err(Error::Unconditional(self.url.clone())),
                Err(StoreError::AlreadyExists { .. }) => break,
                Err(error) => return Err(refused(error)),
            }
        }
        let found = self.store.get(&marker).await.map_err(refused)?;
        let found = found.bytes().await.map_err(refused)?;
        let found = String::from_utf8_lossy(&found);
        let mut lines = found.lines();
        let is_ours = lines.next() == Some(owner.state.to_string().as_str());
        let directory = lines.next().unwrap_or("unknown").to_owned();
        if !is_ours {
            return Err(Error::Taken { url: self.url.clone(), owner: directory });
        }
        // Older versions wrote no third line.
        let incarnation = lines.next().and_then(|line| line.parse().ok()).map(IncarnationId);
        let before = StorageOwner { directory: directory.into(), incarnation, ..owner.clone() };
        Ok(Some(before).filter(|before| before != owner))
    }

    /// Writes that `owner` has started, after [`Self::claim`] found the prefix to be its own.
    pub async fn record_start(&self, owner: &StorageOwner) -> Result<(), Error> {
        let refused = |source| Error::Refused { url: self.url.clone(), source };
        let written = self.store.put(&Path::from(OWNER_OBJECT), marker_text(owner).into()).await;
        written.map(drop).map_err(refused)
    }
}

/// The state, its directory and the start of its coordinator, a line each.
fn marker_text(owner: &StorageOwner) -> String {
    let StorageOwner { state, directory, incarnation, .. } = owner;
    let incarnation = incarnation.map(|IncarnationId(id)| id.to_string()).unwrap_or_default();
    format!("{state}\n{}\n{incarnation}\n", directory.display())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use rheo_core::id::StateId;

    use super::*;

    #[test]
    fn places_are_read_and_written_alike() {
        for (text, again) in [
            ("results", "results"),
            ("/data/results", "/data/results"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("az://container/a", "az://container/a"),
        ] {
            let place: StorageUrl = text.parse().unwrap();
            assert_eq!(place.to_string(), again);
            assert_eq!(again.parse::<StorageUrl>().unwrap(), place);
        }
        for wrong in [
            "",
            "s3://",
            "s3:///prefix",
            "ftp://host/x",
            "s3://bucket/a//b",
            "s3://key:secret@bucket",
        ] {
            let error = wrong.parse::<StorageUrl>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wrong}` is not a place: ")), "{error}");
        }
    }

    fn bucket(store: &Arc<InMemory>) -> Bucket {
        let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(store);
        Bucket { store: Arc::new(PrefixStore::new(store, "a/b")), url: "s3://bucket/a/b".into() }
    }

    fn owner(state: u128, directory: &str, incarnation: u128) -> StorageOwner {
        let id = uuid::Uuid::from_u128;
        StorageOwner::new(StateId(id(state)), directory.into(), IncarnationId(id(incarnation)))
    }

    #[tokio::test]
    async fn a_prefix_has_one_owner_and_names_its_last_start() {
        let store = Arc::new(InMemory::new());
        let bucket = bucket(&store);
        let (first, moved) = (owner(1, "/home/one/.rheo", 10), owner(1, "/moved/.rheo", 11));
        assert_eq!(bucket.claim(&first).await.unwrap(), None);
        assert_eq!(bucket.claim(&moved).await.unwrap(), Some(first.clone()));
        let error = bucket.claim(&owner(2, "/other", 12)).await.unwrap_err();
        assert!(matches!(&error, Error::Taken { owner, .. } if owner == "/home/one/.rheo"));
        bucket.record_start(&moved).await.unwrap();
        assert_eq!(bucket.claim(&moved).await.unwrap(), None);
        assert_eq!(bucket.claim(&first).await.unwrap(), Some(moved));
    }

    #[tokio::test]
    async fn a_prefix_that_an_older_version_claimed_names_no_start() {
        let store = Arc::new(InMemory::new());
        let bucket = bucket(&store);
        let ours = owner(1, "/home/one/.rheo", 10);
        let text = format!("{}\n/home/one/.rheo\n", ours.state);
        bucket.store.put(&Path::from(OWNER_OBJECT), text.into()).await.unwrap();
        let before = bucket.claim(&ours).await.unwrap().unwrap();
        assert_eq!(before, StorageOwner { incarnation: None, ..ours });
    }
}
