//! Location of results or checkpoints: a directory, or a prefix in a bucket of object storage.
//!
//! Only this file knows the syntax of bucket URLs (`s3://bucket/prefix`), the cargo feature of each
//! provider, the retry policy and the owner of a prefix. `object_store` reads credentials, region
//! and endpoint from the vendors' own environment variables; none is ever an argument or stored.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode};
use rheo_core::id::IncarnationId;

use crate::owner::StorageOwner;

/// The location of results or checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageUrl {
    /// A directory of a file system.
    Directory(PathBuf),
    /// A prefix in object storage.
    Bucket(BucketUrl),
}

/// A prefix in a bucket. Its text form is `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    kind: BucketProvider,
    bucket: String,
    prefix: String,
}

/// A provider of object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketProvider {
    /// Amazon S3 and compatible services.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// An open prefix in a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The objects; paths are relative to the prefix.
    pub store: Arc<dyn ObjectStore>,
    /// The URL.
    pub url: String,
}

/// An error of a storage location.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is neither a path nor a bucket URL.
    #[error(
        "`{0}` is not a storage URL: give a directory, `s3://bucket/prefix`, `gs://...` or `az://...`"
    )]
    Invalid(String),
    /// This program was built without the provider.
    #[error(
        "this `rheo` was built without `{scheme}://`: build it with `cargo build --release --features rheo-coordinator/{feature}`"
    )]
    Feature {
        /// The scheme of the URL.
        scheme: &'static str,
        /// The cargo feature of the provider.
        feature: &'static str,
    },
    /// The environment has no usable settings for the provider.
    #[error("`{url}` cannot be used: {hint}")]
    Setting {
        /// The URL.
        url: String,
        /// The pattern of the provider's variables.
        hint: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The bucket refused a request or did not answer.
    #[error("`{url}` cannot be used: {}", hint(source))]
    Refused {
        /// The URL.
        url: String,
        /// The answer.
        source: StoreError,
    },
    /// The bucket overwrites an object despite a conditional write.
    #[error(
        "`{0}` ignores the condition of a conditional write (`If-None-Match: *`), so rows could be doubled there: use object storage that honours it"
    )]
    Unconditional(String),
    /// Another state directory writes there.
    #[error(
        "`{url}` belongs to another state directory (`{owner}`): choose another prefix; if that state is gone for good, remove its objects"
    )]
    Taken {
        /// The URL.
        url: String,
        /// The state directory of the owner.
        owner: String,
    },
}

/// Advice for an error of a bucket.
fn hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound { .. } => "there is no such bucket at this endpoint",
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            "the credentials in the environment may not read and write there"
        }
        _ => "the reply is not one of object storage; check endpoint, region and credentials",
    }
}

impl FromStr for StorageUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once("://") {
            // The query engine drops line breaks from paths.
            None if text.is_empty() || text.contains(char::is_control) => {
                Err(Error::Invalid(text.escape_debug().to_string()))
            }
            None => Ok(Self::Directory(text.into())),
            Some((scheme, rest)) => {
                let invalid = || Error::Invalid(text.to_owned());
                let kind = BucketProvider::ALL.into_iter().find(|kind| kind.scheme() == scheme);
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/').to_owned();
                // Refuses user and password, which would be stored.
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
    /// Opens the bucket without sending a request.
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

    /// The retry timeout of one request. Short, because callers retry themselves and `rheo status`
    /// should show the error.
    const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

    pub(super) fn retry() -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(4), ..Default::default() };
        RetryConfig { backoff, max_retries: 100, retry_timeout: RETRY_TIMEOUT }
    }
}

/// The object that names the owner of a prefix. Readers of tables skip names with an underscore.
const OWNER_OBJECT: &str = "_rheobase";

impl Bucket {
    /// Claims the prefix for the state of `owner`, and checks that it can be read and written and
    /// that conditional writes work. Returns the previous owner if it differs in start or directory.
    ///
    /// Without a claim, two coordinators on one prefix would remove each other's files.
    pub async fn claim(&self, owner: &StorageOwner) -> Result<Option<StorageOwner>, Error> {
        let refused = |source| Error::Refused { url: self.url.clone(), source };
        let marker = Path::from(OWNER_OBJECT);
        let text = marker_text(owner);
        for is_new in [true, false] {
            match self.store.put_opts(&marker, text.clone().into(), PutMode::Create.into()).await {
                // The second write must fail, because the object exists now.
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

    /// Records the start of `owner`, after a successful [`Self::claim`].
    pub async fn record_start(&self, owner: &StorageOwner) -> Result<(), Error> {
        let refused = |source| Error::Refused { url: self.url.clone(), source };
        let written = self.store.put(&Path::from(OWNER_OBJECT), marker_text(owner).into()).await;
        written.map(drop).map_err(refused)
    }
}

/// The state id, its directory and the start of its coordinator, one per line.
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
    fn storage_urls_round_trip() {
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
            assert!(error.starts_with(&format!("`{wrong}` is not a storage URL: ")), "{error}");
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
    async fn a_prefix_has_one_owner_and_records_its_last_start() {
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
    async fn a_claim_of_an_older_version_has_no_start() {
        let store = Arc::new(InMemory::new());
        let bucket = bucket(&store);
        let ours = owner(1, "/home/one/.rheo", 10);
        let text = format!("{}\n/home/one/.rheo\n", ours.state);
        bucket.store.put(&Path::from(OWNER_OBJECT), text.into()).await.unwrap();
        let before = bucket.claim(&ours).await.unwrap().unwrap();
        assert_eq!(before, StorageOwner { incarnation: None, ..ours });
    }
}
