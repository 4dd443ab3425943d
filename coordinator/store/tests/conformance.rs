//! Every journal passes the same exam.

use rheo_store::conformance::examine;
use rheo_store::{Journal, Memory, Redb};

#[test]
fn the_journal_in_memory_passes() {
    examine(&|| {
        let journal = Memory::default();
        Box::new(move || Box::new(journal.clone()))
    });
}

#[test]
fn the_journal_on_disk_passes() {
    examine(&|| {
        let directory = tempfile::tempdir().unwrap();
        Box::new(move || -> Box<dyn Journal> {
            Box::new(Redb::open(&directory.path().join("journal.redb")).unwrap())
        })
    });
}
