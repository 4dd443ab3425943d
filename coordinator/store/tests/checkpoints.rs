//! Checkpoints are read back unchanged or refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use rheo_core::id::Digest;
use rheo_store::checkpoint::{CheckpointStore, Error, digest};
use rheo_store::storage_url::Bucket;
use tempfile::TempDir;

/// Bytes beyond the chunk size of an upload.
fn weights() -> Bytes {
    (0..12_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into()
}

/// A store in a bucket, which survives in `objects`.
fn in_bucket(objects: &Arc<InMemory>) -> CheckpointStore {
    let store = Arc::<InMemory>::clone(objects);
    CheckpointStore::in_bucket(Bucket { store, url: "s3://bucket/a".into() })
}

async fn put(store: &CheckpointStore, digest: Digest, bytes: &Bytes) -> Result<(), Error> {
    let mut upload = store.upload(digest).await?;
    for start in (0..bytes.len()).step_by(1 << 20) {
        upload.write(bytes.slice(start..bytes.len().min(start + (1 << 20)))).await?;
    }
    upload.finish().await
}

async fn listed(store: &CheckpointStore) -> Vec<Digest> {
    store.list().await.unwrap().iter().map(|stored| stored.digest).collect()
}

/// Every file below the store.
fn files(root: &TempDir) -> Vec<std::path::PathBuf> {
    let entries = |path: &std::path::Path| {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let inner = |path: std::path::PathBuf| if path.is_dir() { entries(&path) } else { vec![path] };
    entries(root.path()).into_iter().flat_map(inner).collect()
}

/// Puts a checkpoint and reads it back through stores that `open` opens at the same location.
async fn comes_back(open: impl Fn() -> CheckpointStore, bytes: Bytes) {
    let (store, digest) = (open(), digest(&bytes));
    assert!(!store.confirm(digest).await.unwrap());
    // Twice, like a worker that lost the first reply.
    put(&store, digest, &bytes).await.unwrap();
    put(&store, digest, &bytes).await.unwrap();
    let store = open();
    let is_there = (store.contains(digest).await.unwrap(), store.confirm(digest).await.unwrap());
    assert_eq!(is_there, (true, true));
    assert_eq!(store.get(digest).await.unwrap(), bytes);
    assert_eq!(listed(&store).await, [digest]);
    store.remove(digest).await.unwrap();
    store.remove(digest).await.unwrap();
    assert!(matches!(store.get(digest).await, Err(Error::Missing(missing)) if missing == digest));
}

#[tokio::test]
async fn a_checkpoint_is_read_back_after_a_restart() {
    // The first is a multipart upload to a bucket, the second a single request.
    for bytes in [weights(), Bytes::from_static(b"small")] {
        let root = TempDir::new().unwrap();
        comes_back(|| CheckpointStore::open(root.path()).unwrap(), bytes.clone()).await;
        let objects = Arc::new(InMemory::new());
        comes_back(|| in_bucket(&objects), bytes).await;
    }
}

/// Checks that bytes of another digest are refused and leave no checkpoint.
async fn refuses(store: &CheckpointStore) {
    for bytes in [weights(), Bytes::from_static(b"small")] {
        let said = digest(b"something else");
        let refused = put(store, said, &bytes).await;
        assert!(matches!(refused, Err(Error::Damaged { digest, .. }) if digest == said));
        assert!(!store.contains(said).await.unwrap());
        assert_eq!(listed(store).await, []);
    }
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused_and_leave_nothing() {
    let root = TempDir::new().unwrap();
    refuses(&CheckpointStore::open(root.path()).unwrap()).await;
    assert_eq!(files(&root), [""; 0].map(std::path::PathBuf::from));
    refuses(&in_bucket(&Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn a_dropped_upload_leaves_no_checkpoint() {
    let root = TempDir::new().unwrap();
    for store in
        [CheckpointStore::open(root.path()).unwrap(), in_bucket(&Arc::new(InMemory::new()))]
    {
        let digest = digest(&weights());
        let mut upload = store.upload(digest).await.unwrap();
        upload.write(weights().slice(..10_000_000)).await.unwrap();
        drop(upload);
        assert!(!store.contains(digest).await.unwrap());
        assert_eq!(listed(&store).await, []);
    }
}

#[tokio::test]
async fn every_flipped_bit_is_detected() {
    let root = TempDir::new().unwrap();
    let store = CheckpointStore::open(root.path()).unwrap();
    let bytes = Bytes::from_static(b"sixteen bytes ok");
    let digest = digest(&bytes);
    put(&store, digest, &bytes).await.unwrap();
    let [file] = &files(&root)[..] else { panic!("one file") };
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(file, damaged).unwrap();
        let found = store.get(digest).await;
        assert!(matches!(found, Err(Error::Damaged { .. })), "bit {bit}");
    }
    fs::write(file, &bytes[..8]).unwrap();
    assert!(matches!(store.get(digest).await, Err(Error::Damaged { .. })), "cut short");
    // A worker has to send the bytes again.
    assert!(!store.confirm(digest).await.unwrap());
    assert!(!store.contains(digest).await.unwrap());
    put(&store, digest, &bytes).await.unwrap();
    assert!(store.confirm(digest).await.unwrap());
}

#[tokio::test]
async fn a_checkpoint_set_aside_is_unlisted_but_kept() {
    let root = TempDir::new().unwrap();
    let bytes = Bytes::from_static(b"small");
    let digest = digest(&bytes);
    for store in
        [CheckpointStore::open(root.path()).unwrap(), in_bucket(&Arc::new(InMemory::new()))]
    {
        put(&store, digest, &bytes).await.unwrap();
        let place = store.set_aside(digest, "orphaned-2026-11-30").await.unwrap();
        assert!(place.ends_with("/.orphaned-2026-11-30"), "{place}");
        assert_eq!(listed(&store).await, []);
        assert!(!store.contains(digest).await.unwrap());
    }
    let name = digest.to_string();
    let aside = root.path().join(".orphaned-2026-11-30").join(&name[..2]).join(&name);
    assert_eq!(fs::read(aside).unwrap(), bytes);
}
