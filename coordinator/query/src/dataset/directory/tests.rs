//! Crash tests of a dataset in a directory: a power cut before each change of the disk in turn; after
//! a restart, every row must exist once.

use std::fs::{self, File};
use std::path::Path;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use rheo_core::id::TrialId;
use rheo_core::name::TableName;
use rheo_core::part::Retraction;
use tempfile::TempDir;

use super::super::sorted;
use super::*;
use crate::{sample, tables};

fn demo() -> SweepName {
    SweepName::parse("demo").unwrap()
}

impl DirectoryDataset {
    fn write(
        &self,
        table: &TableName,
        sweep: &SweepName,
        (first, last): (u64, u64),
        batches: impl IntoIterator<Item = Bytes>,
    ) -> Result<Part, Error> {
        let sweep = sweep.clone();
        let (digest, trials) = (None, TrialRanges::default());
        let part = Part {
            table: table.clone(),
            sweep,
            first,
            last,
            generation: 0,
            rows: 0,
            bytes: 0,
            digest,
            trials,
        };
        self.write_part(part, sorted(table, batches)?)
    }
}

/// The suffix of files set aside.
const ASIDE: &str = "orphaned-2026-11-30";

fn known(parts: &[Part]) -> JournalContents {
    JournalContents::new(parts.to_vec())
}

/// The parts and retractions of a journal.
#[derive(Default)]
struct TestJournal {
    parts: Vec<Part>,
    retractions: Vec<Retraction>,
}

/// A batch of one row of `trials`. `status` distinguishes the rows of one trial.
fn batch(trial: u64, status: &str) -> Bytes {
    let mut row = sample::trial(trial);
    row.status = status.to_owned();
    tables::encode_trials(&[row]).unwrap().ipc
}

/// The rows of `trials` that readers in place see.
fn seen_in_place(root: &Path) -> Vec<(u64, String)> {
    let mut rows = Vec::new();
    let directory = root.join("trials/sweep=demo");
    let entries = fs::read_dir(directory).into_iter().flatten();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
        for batch in reader.unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let trials = batch.column(0).as_primitive::<UInt64Type>();
            let status = batch.column_by_name("status").unwrap().as_string::<i32>();
            let row = |row| (trials.value(row), status.value(row).to_owned());
            rows.extend((0..batch.num_rows()).map(row));
        }
    }
    rows.sort();
    rows
}

/// All files below `root`.
fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            files.extend(self::files(&path).iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name.to_owned());
        }
    }
    files.sort();
    files
}

fn names(parts: &[Part]) -> Vec<String> {
    let mut names: Vec<String> = parts.iter().map(Part::path).collect();
    names.sort();
    names
}

fn rows(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(trial, status)| (*trial, (*status).to_owned())).collect()
}

/// Three parts: trials 1 and 2; 3; and, after its retraction at position 5, trial 1 again.
fn three_parts(dataset: &DirectoryDataset) -> TestJournal {
    let write = |range, batches: &[(u64, &str)]| {
        let batches = batches.iter().map(|(trial, status)| batch(*trial, status));
        dataset.write(&TableName::TRIALS, &demo(), range, batches).unwrap()
    };
    let parts = vec![
        write((1, 2), &[(2, "completed"), (1, "failed")]),
        write((3, 4), &[(3, "completed")]),
        write((6, 7), &[(4, "completed"), (1, "completed")]),
    ];
    TestJournal {
        parts,
        retractions: vec![Retraction {
            trial: TrialId::new(demo(), 1),
            before: 5,
            every_table: false,
        }],
    }
}

const BEFORE: [(u64, &str); 5] =
    [(1, "completed"), (1, "failed"), (2, "completed"), (3, "completed"), (4, "completed")];
const AFTER: [(u64, &str); 4] =
    [(1, "completed"), (2, "completed"), (3, "completed"), (4, "completed")];

#[test]
fn a_part_has_sorted_rows_and_its_file_name() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path().join("results"));
    let journal = three_parts(&dataset);
    assert_eq!(names(&journal.parts), files(&dataset.root()));
    assert_eq!(seen_in_place(&dataset.root()), rows(&BEFORE));
    let first = &journal.parts[0];
    assert_eq!(first.path(), "trials/sweep=demo/part-000000000001-000000000002.parquet");
    let path = dataset.root().join(first.path());
    assert_eq!((first.rows, first.bytes), (2, fs::metadata(&path).unwrap().len()));

    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = Arc::clone(reader.metadata());
    let group = metadata.row_group(0);
    assert!(group.column(0).bloom_filter_offset().is_some());
    assert!(group.column(0).column_index_offset().is_some());
    let version = metadata.file_metadata().key_value_metadata().unwrap();
    let version = version.iter().find(|pair| pair.key == "rheo.schema").unwrap();
    assert_eq!(version.value, Some(crate::SCHEMA_VERSION.to_string()));
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.column(0).as_primitive::<UInt64Type>().values(), &[1, 2]);
}

#[test]
fn an_interrupted_write_leaves_no_file_after_recovery() {
    for changes in 0.. {
        let root = TempDir::new().unwrap();
        let dataset = DirectoryDataset::new(root.path().join("results"));
        dataset.disk.fuse.set(changes);
        let write = |dataset: &DirectoryDataset| {
            let batches = [batch(1, "completed"), batch(2, "completed")];
            dataset.write(&TableName::TRIALS, &demo(), (1, 2), batches)
        };
        // Even a finished part is not valid: the power cut comes before it is journaled.
        let finished = write(&dataset).is_ok();

        let dataset = DirectoryDataset::new(root.path().join("results"));
        let mut pending = JournalContents::default();
        for position in [1, 2] {
            pending.add_pending(TableName::TRIALS, demo(), position, 1);
        }
        let RecoveryReport { removed, set_aside, .. } = dataset.recover(&pending, ASIDE).unwrap();
        assert_eq!(set_aside, [""; 0]);
        assert!(removed.len() <= 1, "{removed:?}");
        assert!(!dataset.root().exists() || files(&dataset.root()).is_empty());

        let part = write(&dataset).unwrap();
        let recovered = dataset.recover(&known(std::slice::from_ref(&part)), ASIDE).unwrap();
        assert_eq!(recovered, RecoveryReport::default());
        assert_eq!(files(&dataset.root()), [part.path()]);
        if finished {
            assert_eq!(removed, [part.path()]);
            assert!(changes > 10, "every change is counted");
            break;
        }
    }
}

#[test]
fn an_interrupted_compaction_loses_or_doubles_no_row() {
    for changes in 0.. {
        let root = TempDir::new().unwrap();
        let dataset = DirectoryDataset::new(root.path());
        let mut journal = three_parts(&dataset);
        dataset.disk.fuse.set(changes);
        let compaction =
            dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &journal.retractions);
        assert_eq!(seen_in_place(root.path()), rows(&BEFORE), "preparing shows nothing");
        let mut published = false;
        if let Ok(compaction) = compaction {
            let compaction = compaction.unwrap();
            journal.parts.clone_from(&compaction.new);
            published = dataset.publish(&compaction).is_ok();
            let seen = seen_in_place(root.path());
            assert!(seen == rows(&BEFORE) || seen == rows(&AFTER), "all or nothing: {seen:?}");
        }

        let dataset = DirectoryDataset::new(root.path());
        dataset.recover(&known(&journal.parts), ASIDE).unwrap();
        let compacted = journal.parts.len() == 1;
        assert_eq!(seen_in_place(root.path()), rows(if compacted { &AFTER } else { &BEFORE }));
        assert_eq!(files(root.path()), names(&journal.parts));
        if published {
            assert!(compacted);
            assert!(changes > 20, "every change is counted");
            break;
        }
    }
}

#[test]
fn a_journaled_compaction_survives_an_interrupted_recovery() {
    for changes in 0.. {
        let root = TempDir::new().unwrap();
        let dataset = DirectoryDataset::new(root.path());
        let journal = three_parts(&dataset);
        let compaction = dataset
            .compact(&TableName::TRIALS, &demo(), &journal.parts, &journal.retractions)
            .unwrap()
            .unwrap();
        // The compaction is journaled, not published; then the recovery is interrupted.
        let dataset = DirectoryDataset::new(root.path());
        dataset.disk.fuse.set(changes);
        let recovered = dataset.recover(&known(&compaction.new), ASIDE).is_ok();
        DirectoryDataset::new(root.path()).recover(&known(&compaction.new), ASIDE).unwrap();
        assert_eq!(seen_in_place(root.path()), rows(&AFTER));
        assert_eq!(files(root.path()), names(&compaction.new));
        if recovered {
            assert!(changes > 3);
            break;
        }
    }
}

#[test]
fn an_abandoned_compaction_can_be_prepared_again() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let journal = three_parts(&dataset);
    for _ in 0..2 {
        let compaction = dataset
            .compact(&TableName::TRIALS, &demo(), &journal.parts, &journal.retractions)
            .unwrap()
            .unwrap();
        assert_eq!(compaction.old, journal.parts);
        let [part] = &compaction.new[..] else { panic!("{:?}", compaction.new) };
        assert_eq!((part.first, part.last, part.generation, part.rows), (1, 7, 1, 4));
    }
}

#[test]
fn unchanged_parts_keep_their_names() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let mut parts = three_parts(&dataset).parts;
    // A part that is too large to merge.
    parts[1].bytes = 1 << 40;
    let sparse = File::options().write(true).open(root.path().join(parts[1].path())).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert!(dataset.compact(&TableName::TRIALS, &demo(), &parts, &[]).unwrap().is_none());

    let retractions =
        [Retraction { trial: TrialId::new(demo(), 1), before: 3, every_table: false }];
    let compaction =
        dataset.compact(&TableName::TRIALS, &demo(), &parts, &retractions).unwrap().unwrap();
    let generations: Vec<u32> = compaction.new.iter().map(|part| part.generation).collect();
    assert_eq!(generations, [1, 0, 0]);
    dataset.publish(&compaction).unwrap();
    assert_eq!(files(root.path()), names(&compaction.new));
}

#[test]
fn a_part_without_remaining_rows_is_removed() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let part = dataset.write(&TableName::TRIALS, &demo(), (1, 1), [batch(1, "failed")]).unwrap();
    let retractions =
        [Retraction { trial: TrialId::new(demo(), 1), before: 2, every_table: false }];
    let compaction =
        dataset.compact(&TableName::TRIALS, &demo(), &[part], &retractions).unwrap().unwrap();
    assert!(compaction.new.is_empty());
    dataset.publish(&compaction).unwrap();
    assert!(files(root.path()).is_empty());
}

#[test]
fn replaced_parts_stay_while_a_query_is_pinned() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let journal = three_parts(&dataset);
    let pin = dataset.pin();
    let compaction =
        dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &[]).unwrap().unwrap();
    dataset.publish(&compaction).unwrap();
    assert_eq!(files(root.path()).len(), 4, "the old parts are still staged");
    let retractions =
        [Retraction { trial: TrialId::new(demo(), 1), before: 8, every_table: false }];
    let again = dataset.compact(&TableName::TRIALS, &demo(), &compaction.new, &retractions);
    assert!(matches!(again, Err(Error::Busy { .. })));
    drop(pin);
    dataset.clear_retired().unwrap();
    assert_eq!(files(root.path()), names(&compaction.new));
}

#[test]
fn unknown_files_are_set_aside_beside_the_results() {
    let place = TempDir::new().unwrap();
    let root = place.path().join("results");
    let dataset = DirectoryDataset::new(&root);
    let journal = three_parts(&dataset);
    let put = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "of somebody else").unwrap();
    };
    let foreign = [
        "README",
        "epochs/sweep=Not A Name/part-000000000001-000000000002.parquet",
        "figures/part-000000000001-000000000002.parquet",
        "trials/sweep=demo/best.parquet",
        "trials/sweep=demo/figures/loss.svg",
        "trials/sweep=demo/notes.txt",
    ];
    for path in foreign {
        put(path);
    }
    put("trials/sweep=demo/part-000000000008-000000000009.parquet");
    put("epochs/sweep=gone/part-000000000001-000000000002.parquet");
    put(".staging/trials-demo-part-000000000008-000000000009.parquet.tmp");

    let strays = [
        "epochs/sweep=gone/part-000000000001-000000000002.parquet",
        "trials/sweep=demo/part-000000000008-000000000009.parquet",
    ];
    let RecoveryReport { removed, mut set_aside, aside, .. } =
        dataset.recover(&known(&journal.parts), ASIDE).unwrap();
    assert_eq!(removed, [".staging/trials-demo-part-000000000008-000000000009.parquet.tmp"]);
    set_aside.sort();
    assert_eq!(set_aside, strays);
    let aside = PathBuf::from(aside.unwrap());
    assert_eq!(files(&aside), strays);
    assert_eq!(aside.file_name().unwrap(), "results.orphaned-2026-11-30");
    // A second recovery on the same day.
    put(strays[0]);
    let again = dataset.recover(&known(&journal.parts), ASIDE).unwrap().aside.unwrap();
    assert!(again.ends_with("results.orphaned-2026-11-30-2"), "{again}");
    let kept = |parts: &[Part]| {
        let mut kept: Vec<String> = names(parts);
        kept.extend(foreign.map(str::to_owned));
        kept.sort();
        kept
    };
    assert_eq!(files(&root), kept(&journal.parts));

    let compaction =
        dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &[]).unwrap().unwrap();
    dataset.publish(&compaction).unwrap();
    assert_eq!(files(&root), kept(&compaction.new));
}

#[test]
fn a_missing_or_damaged_part_is_reported() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let journal = three_parts(&dataset);
    let path = root.path().join(journal.parts[1].path());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let notices = |result: Result<RecoveryReport, Error>| {
        let [damaged] = &result.unwrap().damaged[..] else { panic!("one part") };
        let text = damaged.to_string();
        assert!(text.contains("part-000000000003-000000000004.parquet"), "{text}");
    };
    notices(dataset.recover(&known(&journal.parts), ASIDE));
    fs::remove_file(&path).unwrap();
    notices(dataset.recover(&known(&journal.parts), ASIDE));
    assert!(dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &[]).is_err());
    assert_eq!(files(root.path()).len(), 2, "nothing else was touched");
}

#[test]
fn staged_parts_are_gathered_after_a_repair() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path().join("results"));
    let journal = three_parts(&dataset);
    let compaction = dataset
        .compact(&TableName::TRIALS, &demo(), &journal.parts, &journal.retractions)
        .unwrap()
        .unwrap();
    // The compaction is journaled but never exchanged, because a part is missing. Then another part is written.
    let later =
        dataset.write(&TableName::TRIALS, &demo(), (8, 8), [batch(5, "completed")]).unwrap();
    let parts = [compaction.new, vec![later]].concat();
    let dataset = DirectoryDataset::new(root.path().join("results"));
    assert_eq!(dataset.recover(&known(&parts), ASIDE).unwrap().damaged, []);
    assert_eq!(files(&dataset.root()), names(&parts));
}

#[test]
fn a_part_written_during_a_compaction_prevents_its_publication() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let journal = three_parts(&dataset);
    let compaction =
        dataset.compact(&TableName::TRIALS, &demo(), &journal.parts, &[]).unwrap().unwrap();
    dataset.write(&TableName::TRIALS, &demo(), (8, 8), [batch(5, "completed")]).unwrap();
    assert!(matches!(dataset.publish(&compaction), Err(Error::Changed { .. })));
    assert_eq!(seen_in_place(root.path()).len(), 6);
}

#[test]
fn a_new_part_replaces_no_file() {
    let root = TempDir::new().unwrap();
    let dataset = DirectoryDataset::new(root.path());
    let path = "trials/sweep=demo/part-000000000001-000000000001.parquet";
    fs::create_dir_all(root.path().join("trials/sweep=demo")).unwrap();
    fs::write(root.path().join(path), "of somebody else").unwrap();
    let written = dataset.write(&TableName::TRIALS, &demo(), (1, 1), [batch(1, "completed")]);
    assert!(matches!(written, Err(Error::Conflict { .. })), "{written:?}");
    assert_eq!(fs::read(root.path().join(path)).unwrap(), b"of somebody else");
    assert_eq!(files(root.path()), [path]);
}
