//! Every journal passes the same exam.

use rheo_store::conformance::check_journal;
use rheo_store::{Journal, MemoryJournal, RedbJournal};

#[test]
fn the_journal_in_memory_passes() {
    check_journal(&|| {
        let journal = MemoryJournal::default();
        Box::new(move || Box::new(journal.clone()))
    });
}

#[test]
fn the_journal_on_disk_passes() {
    check_journal(&|| {
        let directory = tempfile::tempdir().unwrap();
        Box::new(move || -> Box<dyn Journal> {
            Box::new(RedbJournal::open(&directory.path().join("journal.redb")).unwrap())
        })
    });
}
