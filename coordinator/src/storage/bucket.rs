//! Tests of buckets on a real server: conditional writes of parts, large checkpoints, and
//! ownership.
//!
//! The client reads its settings from the environment of the process, which must not change while
//! it runs; so the test starts itself again, with a server in its environment.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use rheo_core::id::{IncarnationId, StateId, SweepName};
use rheo_core::part::Part;
use rheo_model::config::TrialConfig;
use rheo_model::row::{Rows, ShapeRow, Table};
use rheo_query::dataset::{self, JournalContents, RecoveryReport};
use rheo_query::{Dataset, TrialKeys};
use rheo_store::checkpoint::{self, CheckpointStore};
use rheo_store::owner::StorageOwner;
use rheo_store::storage_url::{self, Bucket, StorageUrl};
use rheo_tests::object_store::ObjectServer;
use tokio::runtime::Handle;
use uuid::Uuid;

const INSIDE: &str = "storage::bucket::with_a_server_in_the_environment";

#[test]
fn object_store_parts_and_checkpoints_of_any_size_pass_through_a_real_server() {
    let Some(server) = ObjectServer::start(&[]) else { return };
    let mut inside = Command::new(std::env::current_exe().unwrap());
    inside.args(["--exact", INSIDE, "--ignored"]).envs(server.environment());
    let output = inside.env("AWS_TIMEOUT", "30 seconds").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn bucket(prefix: &str) -> Bucket {
    let StorageUrl::Bucket(address) = format!("s3://bucket/{prefix}").parse().unwrap() else {
        panic!("a bucket")
    };
    address.open().unwrap()
}

/// Returns incompressible rows.
fn batch(rows: u32) -> Bytes {
    let mut random: u64 = 1;
    let mut draw = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from_bits(random >> 2)
    };
    let mut row = |neuron| {
        let (phase, [n, s, n_init, s_init]) = ("initial".to_owned(), [(); 4].map(|()| draw()));
        ShapeRow { epoch: 0, phase, neuron, n, s, n_init, s_init }
    };
    let rows = Rows { shapes: (0..rows).map(&mut row).collect(), ..Rows::default() };
    let keys = TrialKeys::new(0, &serde_json::to_value(TrialConfig::default()).unwrap());
    rheo_query::encode(&keys, &rows).unwrap().remove(0).ipc
}

fn conditional_writes() {
    let Bucket { store, url } = bucket("results");
    let dataset = Dataset::in_bucket(store, url, Handle::current());
    let sweep = SweepName::parse("demo").unwrap();
    let write = |range, rows: &Bytes| {
        dataset.write_part(&Table::Shapes.into(), &sweep, range, std::iter::once(rows.clone()))
    };
    let (small, large) = (batch(100), batch(400_000));
    let mut parts: Vec<Part> = Vec::new();
    for (first, rows, other) in [(1, &small, &large), (5, &large, &small)] {
        let part = write(first..=first + 1, rows).unwrap();
        assert_eq!(write(first..=first + 1, rows).unwrap(), part, "the same again");
        let refused = write(first..=first + 2, other);
        assert!(matches!(refused, Err(dataset::Error::Conflict { .. })), "{refused:?}");
        parts.push(part);
    }
    assert!(parts[0].bytes < 1 << 20 && parts[1].bytes > 8 << 20, "{parts:?}");
    let all = JournalContents::new(parts.clone());
    assert_eq!(dataset.recover(&all, "orphaned-today").unwrap(), RecoveryReport::default());
    // First the rows of the second part are pending, then no row is known.
    let mut first = JournalContents::new(parts[..1].to_vec());
    first.add_pending(Table::Shapes.into(), sweep.clone(), 5, parts[1].rows);
    assert_eq!(dataset.recover(&first, "orphaned-today").unwrap().removed.len(), 1);
    assert_eq!(dataset.recover(&all, "orphaned-today").unwrap().damaged.len(), 1);
    let recovered = dataset.recover(&JournalContents::default(), "orphaned-today").unwrap();
    assert_eq!(recovered.set_aside.len(), 1);
    assert_eq!(recovered.aside.as_deref(), Some("s3://bucket/results/.orphaned-today"));
    assert_eq!(dataset.unknown_files(&JournalContents::default()).unwrap(), [""; 0]);
}

/// Uploads the first `upto` bytes; false if they are refused.
async fn put(store: &CheckpointStore, bytes: &Bytes, upto: usize) -> bool {
    let mut upload = store.upload(checkpoint::digest(bytes)).await.unwrap();
    for start in (0..upto).step_by(1 << 20) {
        upload.write(bytes.slice(start..upto.min(start + (1 << 20)))).await.unwrap();
    }
    upload.finish().await.is_ok()
}

async fn checkpoints() {
    let store = CheckpointStore::in_bucket(bucket("checkpoints"));
    for length in [1_000, 30_000_000u32] {
        let bytes: Bytes = (0..length).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into();
        let digest = checkpoint::digest(&bytes);
        // An incomplete upload is refused and leaves no file.
        assert!(!put(&store, &bytes, bytes.len() / 2).await);
        assert!(!store.confirm(digest).await.unwrap());
        assert!(put(&store, &bytes, bytes.len()).await);
        assert!(store.confirm(digest).await.unwrap());
        assert_eq!(store.get(digest).await.unwrap(), bytes);
        let listed: Vec<_> = store.list().await.unwrap().iter().map(|one| one.digest).collect();
        assert_eq!(listed, [digest]);
        store.remove(digest).await.unwrap();
        assert!(!store.contains(digest).await.unwrap());
    }
}

#[test]
#[ignore = "started by the test above, with a server in its environment"]
fn with_a_server_in_the_environment() {
    let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
    runtime.block_on(async {
        let owner = |state, directory: &str| {
            let id = Uuid::from_u128;
            StorageOwner::new(StateId(id(state)), directory.into(), IncarnationId(id(3)))
        };
        let here = owner(1, "here");
        assert_eq!(bucket("claimed").claim(&here).await.unwrap(), None);
        let moved = owner(1, "moved");
        assert_eq!(bucket("claimed").claim(&moved).await.unwrap(), Some(here));
        bucket("claimed").record_start(&moved).await.unwrap();
        assert_eq!(bucket("claimed").claim(&moved).await.unwrap(), None);
        let taken = bucket("claimed").claim(&owner(2, "there")).await;
        assert!(matches!(taken, Err(storage_url::Error::Taken { .. })), "{taken:?}");
        checkpoints().await;
        tokio::task::spawn_blocking(conditional_writes).await.unwrap();
    });
}
