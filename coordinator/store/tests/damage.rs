//! Damaged journals give a clear error, without a panic or further damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, TrialRanges};
use rheo_core::rng::TrialRng;
use rheo_core::schema::WorkloadRegistry;
use rheo_store::conformance::{blob, joined, with_rows};
use rheo_store::{Error, Journal, JournalEntry, PartChange, RedbJournal, check_pages};

fn written(path: &Path) -> Vec<u8> {
    let journal = RedbJournal::open(path).unwrap();
    for round in 0..50 {
        let row = with_rows(&[blob(TableName::of("epochs"), round, b"row")]);
        journal.append(&[JournalEntry::from(joined(round)), row]).unwrap();
    }
    drop(journal);
    std::fs::read(path).unwrap()
}

fn read(path: &Path) -> Result<u64, Error> {
    let journal = RedbJournal::open(path)?;
    journal.index()?;
    journal.pending_batch(0, usize::MAX)?;
    Ok(journal.load(&WorkloadRegistry::default())?.position)
}

#[test]
fn a_truncated_journal_is_refused_or_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let bytes = written(&path);
    for percent in [0, 1, 5, 10, 25, 50, 75, 90, 95, 99] {
        let cut = bytes.len() * percent / 100;
        std::fs::write(&path, &bytes[..cut]).unwrap();
        match read(&path) {
            // An empty file cannot be told from a new journal.
            Ok(position) => assert!(position == 100 || cut == 0, "cut at {percent} %: {position}"),
            Err(error) => assert!(matches!(error, Error::Damaged { .. } | Error::Io(_)), "{error}"),
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let bytes = written(&path);
    let mut rng = TrialRng::stream(7, 0);
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
        damaged[at] ^= 1 << rng.below(8);
        std::fs::write(&path, &damaged).unwrap();
        if let Err(error) = read(&path) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_journal_can_be_open_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let first = RedbJournal::open(&path).unwrap();
    assert!(matches!(RedbJournal::open(&path), Err(Error::Locked { .. })));
    drop(first);
    assert!(RedbJournal::open(&path).is_ok());
}

#[test]
fn a_moved_or_replaced_journal_refuses_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let aside = directory.path().join("aside.redb");
    let journal = RedbJournal::open(&path).unwrap();
    journal.append(&[JournalEntry::from(joined(0))]).unwrap();
    let refused = || {
        let appended = journal.append(&[JournalEntry::from(joined(1))]);
        let (appended, place) = (appended.unwrap_err(), journal.check_location().unwrap_err());
        matches!((appended, place), (Error::Moved { .. }, Error::Moved { .. }))
    };
    std::fs::rename(&path, &aside).unwrap();
    assert!(refused(), "it is gone");
    std::fs::copy(&aside, &path).unwrap();
    assert!(refused(), "another file lies in its place");
    // Back at its path, the journal lacks only the refused entry.
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(journal.append(&[JournalEntry::from(joined(1))]).unwrap(), 1);
}

#[test]
fn a_part_without_a_digest_can_be_removed() {
    let directory = tempfile::tempdir().unwrap();
    let journal = RedbJournal::open(&directory.path().join("journal.redb")).unwrap();
    let part = Part {
        table: TableName::of("epochs"),
        sweep: SweepName::parse("demo").unwrap(),
        first: 1,
        last: 2,
        generation: 0,
        rows: 3,
        bytes: 4,
        digest: None,
        trials: TrialRanges::default(),
    };
    let add = vec![part.clone()];
    journal.install(&PartChange { add, ..Default::default() }).unwrap();
    assert_eq!(journal.parts().unwrap(), std::slice::from_ref(&part));
    let remove = vec![part];
    journal.install(&PartChange { remove, ..Default::default() }).unwrap();
    assert_eq!(journal.parts().unwrap(), []);
}

#[test]
fn checking_pages_detects_a_flipped_bit_and_leaves_the_file_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let bytes = written(&path);
    check_pages(&path).unwrap();
    // Row 31 is somewhere in the pages.
    let row = bytes.windows(6).position(|window| window == b"node31").unwrap();
    let mut damaged = bytes.clone();
    damaged[row] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(check_pages(&path), Err(Error::Damaged { .. })));
    assert!(std::fs::read(&path).unwrap() == damaged, "the check changed the file");
    std::fs::write(&path, &bytes).unwrap();
    check_pages(&path).unwrap();
    // A journal that is still open.
    let journal = RedbJournal::open(&path).unwrap();
    journal.append(&[JournalEntry::from(joined(100))]).unwrap();
    check_pages(&path).unwrap();
}

#[test]
fn a_journal_of_another_format_is_refused_with_advice() {
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    written(&path);
    for (format, expected) in [
        (1, "begin a new state directory"),
        (2, "begin a new state directory"),
        (99, "reads up to format 4"),
    ] {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", format).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let refused = RedbJournal::open(&path).err().unwrap().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}
