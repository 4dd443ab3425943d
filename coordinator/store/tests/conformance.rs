//! Every journal passes the conformance tests.

use rheo_store::conformance::check_journal;
use rheo_store::{Journal, MemoryJournal, RedbJournal};

#[test]
fn the_memory_journal_conforms() {
    check_journal(&|| {
        let journal = MemoryJournal::default();
        Box::new(move || Box::new(journal.clone()))
    });
}

#[test]
fn the_redb_journal_conforms() {
    check_journal(&|| {
        let directory = tempfile::tempdir().unwrap();
        Box::new(move || -> Box<dyn Journal> {
            Box::new(RedbJournal::open(&directory.path().join("journal.redb")).unwrap())
        })
    });
}
