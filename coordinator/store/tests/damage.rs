//! Damaged files: a clear error, no panic, and nothing is made worse.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use rheo_core::rng::TrialRng;
use rheo_core::row::Table;
use rheo_store::conformance::{blob, joined, with_rows};
use rheo_store::{Entry, Error, Journal, Redb};

fn written(path: &Path) -> Vec<u8> {
    let journal = Redb::open(path).unwrap();
    for round in 0..50 {
        let row = with_rows(&[blob(Table::Epochs, round, b"row")]);
        journal.append(&[Entry::from(joined(round)), row]).unwrap();
    }
    drop(journal);
    std::fs::read(path).unwrap()
}

fn read(path: &Path) -> Result<u64, Error> {
    let journal = Redb::open(path)?;
    journal.results()?;
    Ok(journal.load()?.position)
}

#[test]
fn a_truncated_journal_is_refused_or_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let bytes = written(&path);
    for percent in [0, 1, 5, 10, 25, 50, 75, 90, 95, 99] {
        let cut = bytes.len() * percent / 100;
        std::fs::write(&path, &bytes[..cut]).unwrap();
        match read(&path) {
            // An empty file is a new journal: there is nothing that could tell it from one.
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
fn a_second_opener_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let first = Redb::open(&path).unwrap();
    assert!(matches!(Redb::open(&path), Err(Error::Locked { .. })));
    drop(first);
    assert!(Redb::open(&path).is_ok());
}
