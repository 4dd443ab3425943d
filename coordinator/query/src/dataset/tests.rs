//! Tests of datasets: most run on a directory and on a bucket. Buckets are also tested with requests
//! that fail, or that succeed but lose their reply.

mod damaged;
mod faulty;
mod strays;

use std::collections::BTreeMap;
use std::fs;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use rheo_core::id::TrialId;
use rheo_core::name::TableName;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::StreamExt as _;

use self::faulty::{Fault, FaultyStore};
use super::*;
use crate::{Limits, QueryEngine, QuerySnapshot, sample};

/// The storage of a dataset under test.
struct TestDataset {
    kind: TestStorage,
    runtime: Runtime,
}

enum TestStorage {
    Directory(TempDir),
    Bucket(Arc<FaultyStore>),
}

impl TestDataset {
    fn new(kind: TestStorage) -> Self {
        Self { kind, runtime: Builder::new_multi_thread().enable_all().build().unwrap() }
    }

    fn directory() -> Self {
        Self::new(TestStorage::Directory(TempDir::new().unwrap()))
    }

    fn bucket() -> Self {
        Self::new(TestStorage::Bucket(Arc::new(FaultyStore::new(InMemory::new()))))
    }

    /// Opens the dataset, as a process does at its start.
    fn dataset(&self) -> Dataset {
        match &self.kind {
            TestStorage::Directory(root) => Dataset::new(results(root)),
            TestStorage::Bucket(store) => {
                let store: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(store);
                Dataset::in_bucket(store, "s3://b/a".into(), self.runtime.handle().clone())
            }
        }
    }

    /// All files by name.
    fn files(&self) -> BTreeMap<String, Bytes> {
        match &self.kind {
            TestStorage::Directory(root) => {
                let named = |path: PathBuf| {
                    let name = path.strip_prefix(root.path()).unwrap().to_str().unwrap();
                    let name = name.strip_prefix("results/").unwrap_or(name).to_owned();
                    (name, fs::read(path).unwrap().into())
                };
                below(root.path()).into_iter().map(named).collect()
            }
            TestStorage::Bucket(store) => self.runtime.block_on(async {
                let mut files = BTreeMap::new();
                let mut listing = store.list(None);
                while let Some(object) = listing.next().await {
                    let path = object.unwrap().location;
                    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
                    files.insert(path.to_string(), bytes);
                }
                files
            }),
        }
    }

    /// The names of all files.
    fn listed(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        match &self.kind {
            TestStorage::Directory(root) => {
                let path = results(root).join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            TestStorage::Bucket(store) => {
                let payload = PutPayload::from(bytes.to_vec());
                self.runtime.block_on(store.put(&Path::from(path), payload)).unwrap();
            }
        }
    }

    fn remove(&self, path: &str) {
        match &self.kind {
            TestStorage::Directory(root) => fs::remove_file(results(root).join(path)).unwrap(),
            TestStorage::Bucket(store) => {
                self.runtime.block_on(store.delete(&Path::from(path))).unwrap();
            }
        }
    }

    /// The file name of a part in the tree.
    fn file(&self, part: &Part) -> String {
        match &self.kind {
            TestStorage::Directory(_) => part.path(),
            TestStorage::Bucket(_) => crate::names::object_name(&part.path()),
        }
    }

    /// The file names of all `parts`.
    fn names(&self, parts: &[Part]) -> Vec<String> {
        let mut names: Vec<String> = parts.iter().map(|part| self.file(part)).collect();
        names.sort();
        names
    }

    /// The rows that readers in place see.
    fn seen_in_place(&self) -> Vec<(u64, String)> {
        let is_table = |(path, _): &(String, Bytes)| path.starts_with("trials/");
        let files = self.files().into_iter().filter(is_table);
        let mut rows = Vec::new();
        for (_, bytes) in files {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            rows.extend(reader.build().unwrap().flat_map(|batch| statuses(&batch.unwrap())));
        }
        rows.sort();
        rows
    }

    /// The rows that a query sees.
    fn queried(&self, dataset: &Dataset, journal: &TestJournal, pin: Pin) -> Vec<(u64, String)> {
        let engine = QueryEngine::new(dataset, Limits::default()).unwrap();
        let (parts, retractions) = (journal.parts.clone(), journal.retractions.clone());
        let snapshot = QuerySnapshot {
            pin,
            parts,
            retractions,
            ranking_rules: BTreeMap::new(),
            end_reasons: BTreeMap::new(),
            definitions: BTreeMap::new(),
            pending: Vec::new(),
        };
        let batches = self.runtime.block_on(async {
            let answer = engine.query(snapshot, "SELECT trial, status FROM trials").await;
            answer.unwrap().collect().await.unwrap()
        });
        let mut rows: Vec<_> = batches.iter().flat_map(statuses).collect();
        rows.sort();
        rows
    }
}

/// The directory of results. Files set aside go beside it.
fn results(root: &TempDir) -> PathBuf {
    root.path().join("results")
}

/// The suffix of files set aside.
const ASIDE: &str = "orphaned-2026-11-30";

/// The path of a file that was set aside.
fn aside(world: &TestDataset, path: &str) -> String {
    match &world.kind {
        TestStorage::Directory(_) => format!("results.{ASIDE}/{path}"),
        TestStorage::Bucket(_) => format!(".{ASIDE}/{path}"),
    }
}

/// The contents of a journal with `parts` and `pending` pairs of position and number of rows.
fn known(parts: &[Part], pending: &[(u64, u64)]) -> JournalContents {
    let mut known = JournalContents::new(parts.to_vec());
    for (position, rows) in pending {
        known.add_pending(TableName::TRIALS, demo(), *position, *rows);
    }
    known
}

/// All files below a directory.
fn below(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

fn statuses(batch: &RecordBatch) -> Vec<(u64, String)> {
    let trials = batch.column_by_name("trial").unwrap().as_primitive::<UInt64Type>();
    let status = batch.column_by_name("status").unwrap().as_string::<i32>();
    let row = |row| (trials.value(row), status.value(row).to_owned());
    (0..batch.num_rows()).map(row).collect()
}

/// The parts and retractions of a journal.
#[derive(Clone, Default)]
struct TestJournal {
    parts: Vec<Part>,
    retractions: Vec<Retraction>,
}

fn demo() -> SweepName {
    SweepName::parse("demo").unwrap()
}

fn batch(trial: u64, status: &str) -> Bytes {
    let mut row = sample::trial(trial);
    row.status = status.to_owned();
    tables::encode_trials(&[row]).unwrap().ipc
}

fn write(
    dataset: &Dataset,
    (first, last): (u64, u64),
    rows: &[(u64, &str)],
) -> Result<Part, Error> {
    let batches = rows.iter().map(|(trial, status)| batch(*trial, status));
    dataset.write_part(&TableName::TRIALS, &demo(), first..=last, batches)
}

fn retract(trial: u64, before: u64) -> Retraction {
    Retraction { trial: TrialId::new(demo(), trial), before, every_table: false }
}

fn compact(dataset: &Dataset, journal: &TestJournal) -> Result<Option<Compaction>, Error> {
    dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &journal.retractions)
}

/// Positions in the journal, and trials with their status.
type PartRows = ((u64, u64), &'static [(u64, &'static str)]);

/// Trials 1 and 2; 3; 9 alone; and, after retractions at position 5, trial 1 again.
const PARTS: [PartRows; 4] = [
    ((1, 2), &[(2, "completed"), (1, "failed")]),
    ((3, 3), &[(3, "completed")]),
    ((4, 4), &[(9, "failed")]),
    ((6, 7), &[(4, "completed"), (1, "completed")]),
];

fn four_parts(dataset: &Dataset) -> TestJournal {
    let parts = PARTS.iter().map(|(range, rows)| write(dataset, *range, rows).unwrap()).collect();
    TestJournal { parts, retractions: vec![retract(1, 5), retract(9, 5)] }
}

fn before() -> Vec<(u64, String)> {
    let mut rows: Vec<(u64, String)> =
        PARTS.iter().flat_map(|(_, rows)| rows.iter().map(|(n, s)| (*n, (*s).into()))).collect();
    rows.sort();
    rows
}

fn after() -> Vec<(u64, String)> {
    before().into_iter().filter(|(_, status)| status == "completed").collect()
}

/// Runs a check on a directory and on a bucket.
fn everywhere(check: impl Fn(TestDataset)) {
    check(TestDataset::directory());
    check(TestDataset::bucket());
}

#[test]
fn parts_are_visible_in_place_and_to_queries_after_a_restart() {
    everywhere(|world| {
        let dataset = world.dataset();
        assert!(!dataset.has_parts().unwrap());
        let journal = TestJournal { retractions: Vec::new(), ..four_parts(&dataset) };
        assert_eq!(world.seen_in_place(), before());
        let dataset = world.dataset();
        assert!(dataset.has_parts().unwrap());
        let recovered = dataset.recover(&known(&journal.parts, &[]), ASIDE).unwrap();
        assert_eq!(recovered, RecoveryReport::default());
        assert_eq!(world.listed(), world.names(&journal.parts));
        assert_eq!(world.queried(&dataset, &journal, dataset.pin()), before());
        let files = world.files();
        for part in &journal.parts {
            assert_eq!(files[&world.file(part)].len() as u64, part.bytes);
        }
    });
}

#[test]
fn an_unjournaled_part_is_removed_and_can_be_written_again() {
    everywhere(|world| {
        write(&world.dataset(), (1, 5), &[(1, "completed")]).unwrap();
        let dataset = world.dataset();
        // Its rows are pending, so no row is lost.
        let pending = known(&[], &[(1, 1), (5, 0), (9, 1)]);
        assert_eq!(dataset.unknown_files(&pending).unwrap(), [""; 0]);
        assert_eq!(dataset.recover(&pending, ASIDE).unwrap().removed.len(), 1);
        assert!(world.files().is_empty());
        let part = write(&dataset, (1, 9), &[(1, "completed"), (2, "completed")]).unwrap();
        assert_eq!(world.listed(), world.names(&[part]));
    });
}

#[test]
fn compaction_removes_retracted_rows() {
    everywhere(|world| {
        let dataset = world.dataset();
        let mut journal = four_parts(&dataset);
        let compaction = compact(&dataset, &journal).unwrap().unwrap();
        assert_eq!(world.seen_in_place(), before(), "preparing shows nothing");
        journal.parts.clone_from(&compaction.new);
        assert_eq!(world.queried(&dataset, &journal, dataset.pin()), after());
        dataset.publish(&compaction).unwrap();
        assert_eq!(world.seen_in_place(), after());
        assert_eq!(world.queried(&dataset, &journal, dataset.pin()), after());
        assert_eq!(world.listed(), world.names(&journal.parts));
        let recovered = world.dataset().recover(&known(&journal.parts, &[]), ASIDE).unwrap();
        assert_eq!(recovered, RecoveryReport::default());
    });
}

#[test]
fn a_compaction_survives_a_crash_only_if_journaled() {
    for is_journaled in [true, false] {
        everywhere(|world| {
            let dataset = world.dataset();
            let mut journal = four_parts(&dataset);
            let compaction = compact(&dataset, &journal).unwrap().unwrap();
            if is_journaled {
                journal.parts = compaction.new;
            }
            world.dataset().recover(&known(&journal.parts, &[]), ASIDE).unwrap();
            let expected = if is_journaled { after() } else { before() };
            assert_eq!(world.seen_in_place(), expected);
            // In a bucket, a part without remaining rows looks like one of another journal.
            let fourth = Part { first: 4, last: 4, ..journal.parts[0].clone() };
            let emptied = aside(&world, &world.file(&fourth));
            let mut listed = world.listed();
            listed.retain(|path| *path != emptied);
            assert_eq!(listed, world.names(&journal.parts));
        });
    }
}

#[test]
fn parts_stay_while_a_query_is_pinned() {
    everywhere(|world| {
        let dataset = world.dataset();
        let old = four_parts(&dataset);
        let pin = dataset.pin();
        let compaction = compact(&dataset, &old).unwrap().unwrap();
        dataset.publish(&compaction).unwrap();
        let old = TestJournal { retractions: Vec::new(), ..old };
        let new = TestJournal { parts: compaction.new, retractions: Vec::new() };
        assert_eq!(world.queried(&dataset, &old, pin.clone()), before());
        assert_eq!(world.queried(&dataset, &new, dataset.pin()), after());
        let again = TestJournal { retractions: vec![retract(2, 9)], ..new.clone() };
        assert!(matches!(compact(&dataset, &again), Err(Error::Busy { .. })));
        let reconciled = dataset.reconcile(&known(&new.parts, &[]), ASIDE);
        assert!(matches!(reconciled, Err(Error::Busy { .. })));
        drop(pin);
        dataset.clear_retired().unwrap();
        assert_eq!(world.seen_in_place(), after());
        assert_eq!(world.listed(), world.names(&new.parts));
    });
}

#[test]
fn in_a_bucket_only_an_equal_write_can_be_repeated() {
    let world = TestDataset::bucket();
    let dataset = world.dataset();
    let part = write(&dataset, (1, 5), &[(1, "completed")]).unwrap();
    assert_eq!(write(&dataset, (1, 5), &[(1, "completed")]).unwrap(), part);
    // The longer part has the same object name, so the leftover of the first write is found.
    let longer = || write(&dataset, (1, 9), &[(1, "completed"), (2, "completed")]);
    let error = longer().unwrap_err();
    assert!(matches!(&error, Error::Conflict { .. }), "{error}");
    assert!(error.to_string().contains("s3://b/a/trials/sweep=demo/part-000000000001.parquet"));
    dataset.reconcile(&known(&[], &[(1, 1), (9, 1)]), ASIDE).unwrap();
    longer().unwrap();
    assert_eq!(world.seen_in_place().len(), 2);
}

#[test]
fn in_a_bucket_parts_without_retracted_rows_stay_as_they_are() {
    let world = TestDataset::bucket();
    let dataset = world.dataset();
    let journal = four_parts(&dataset);
    let none = TestJournal { retractions: vec![retract(77, 100)], ..journal.clone() };
    assert!(compact(&dataset, &none).unwrap().is_none());
    let compaction = compact(&dataset, &journal).unwrap().unwrap();
    let generations: Vec<u32> = compaction.new.iter().map(|part| part.generation).collect();
    assert_eq!(generations, [1, 0, 0]);
}

#[test]
fn a_large_part_is_written_atomically() {
    let world = TestDataset::bucket();
    let dataset = world.dataset();
    let mut random: u64 = 1;
    let rows = (0..40).map(|trial| {
        let mut row = sample::trial(trial);
        let text = (0..32_768).map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{random:016x}")
        });
        row.error = Some(text.collect());
        tables::encode_trials(&[row]).unwrap().ipc
    });
    let rows: Vec<Bytes> = rows.collect();
    let large =
        |range| dataset.write_part(&TableName::TRIALS, &demo(), range, rows.iter().cloned());
    let part = large(1..=40).unwrap();
    assert!(part.bytes > 8 << 20, "{}", part.bytes);
    assert_eq!(world.listed(), world.names(std::slice::from_ref(&part)));
    assert_eq!(large(1..=40).unwrap(), part, "the same again");
    let other = dataset.write_part(&TableName::TRIALS, &demo(), 1..=41, rows[1..].iter().cloned());
    assert!(matches!(other, Err(Error::Conflict { .. })));
}

/// Writes and compacts parts as a coordinator does, up to the first error; `journal` has the
/// changes before it.
fn work(dataset: &Dataset, journal: &mut TestJournal) -> Result<(), Error> {
    for (range, rows) in PARTS {
        journal.parts.push(write(dataset, range, rows)?);
    }
    journal.retractions = vec![retract(1, 5), retract(9, 5)];
    if let Some(compaction) = compact(dataset, journal)? {
        journal.parts.clone_from(&compaction.new);
        dataset.publish(&compaction)?;
    }
    Ok(())
}

#[test]
fn no_row_is_lost_or_doubled_by_a_failed_request() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        for requests in 0.. {
            let world = TestDataset::bucket();
            let TestStorage::Bucket(store) = &world.kind else { panic!("a bucket") };
            let mut journal = TestJournal::default();
            store.fail_after(requests, fault);
            let dataset = world.dataset();
            let worked = work(&dataset, &mut journal);
            store.mend();
            // In the same process, and after a restart.
            for dataset in [dataset, world.dataset()] {
                let rest = &PARTS[journal.parts.len().min(4)..];
                let rest = rest.iter().filter(|_| journal.retractions.is_empty());
                let pending = rest.flat_map(|((first, _), rows)| {
                    (*first..).zip(*rows).map(|(position, _)| (position, 1))
                });
                let known = known(&journal.parts, &pending.collect::<Vec<_>>());
                dataset.reconcile(&known, ASIDE).unwrap();
                let names = world.names(&journal.parts);
                assert_eq!(world.listed(), names, "{requests}");
                let seen = world.queried(&dataset, &journal, dataset.pin());
                let rewritten = journal.parts.iter().any(|part| part.generation > 0);
                if rewritten {
                    assert_eq!(seen, after());
                    assert_eq!(world.seen_in_place(), after());
                }
            }
            // After unjournaled parts are written again, all rows exist.
            let dataset = world.dataset();
            for (range, rows) in &PARTS[journal.parts.len().min(4)..] {
                if journal.retractions.is_empty() {
                    journal.parts.push(write(&dataset, *range, rows).unwrap());
                }
            }
            journal.retractions = vec![retract(1, 5), retract(9, 5)];
            assert_eq!(world.queried(&dataset, &journal, dataset.pin()), after(), "{requests}");
            if worked.is_ok() {
                assert_eq!(requests, 8, "every request is counted");
                break;
            }
        }
    }
}
