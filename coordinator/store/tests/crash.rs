//! Crash tests of the journal: acknowledged writes survive, and no write is applied in part.
//!
//! The simulated disk keeps all synced writes and an arbitrary subset of the sectors of later ones,
//! as after a power cut. The tests crash at every sync of the workload.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use rheo_core::definition::SearchMethod;
use rheo_core::id::SweepName;
use rheo_core::machine::TrialSelection;
use rheo_core::name::TableName;
use rheo_core::rng::TrialRng;
use rheo_core::schema::WorkloadRegistry;
use rheo_store::conformance::test_coordinator::{TestCoordinator, workloads};
use rheo_store::conformance::{blob, joined, pending, with_rows};
use rheo_store::{Error, Journal, JournalEntry, PartChange, PendingKey, RedbJournal, SnapshotStep};

const SECTOR: usize = 512;

/// A disk whose writes are volatile until synced.
#[derive(Debug, Clone, Default)]
struct VolatileDisk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    durable: Vec<u8>,
    present: Vec<u8>,
    syncs: usize,
    /// The sync from which on every operation fails.
    stops_at: Option<usize>,
}

impl DiskState {
    fn check(&self) -> io::Result<()> {
        match self.stops_at {
            Some(stop) if self.syncs >= stop => Err(io::Error::other("the disk has stopped")),
            _ => Ok(()),
        }
    }
}

impl VolatileDisk {
    fn stopping_at(stop: usize) -> Self {
        Self(Arc::new(Mutex::new(DiskState { stops_at: Some(stop), ..DiskState::default() })))
    }

    /// The disk after a power cut: keeps an arbitrary subset of the unsynced sectors.
    fn after_power_cut(&self, seed: u64) -> Self {
        let platter = self.0.lock().unwrap();
        let mut rng = TrialRng::stream(seed, 0);
        let mut bytes = platter.durable.clone();
        bytes.resize(platter.present.len(), 0);
        for (old, new) in bytes.chunks_mut(SECTOR).zip(platter.present.chunks(SECTOR)) {
            if rng.below(2) == 0 {
                old.copy_from_slice(new);
            }
        }
        let platter = DiskState { durable: bytes.clone(), present: bytes, ..DiskState::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }

    fn journal(&self) -> Result<RedbJournal, Error> {
        let disk = self.clone();
        RedbJournal::with_backend(move || disk.clone())
    }
}

impl StorageBackend for VolatileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().present.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let platter = self.0.lock().unwrap();
        let bytes = platter.present.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.check()?;
        platter.present.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.check()?;
        platter.syncs += 1;
        platter.check()?;
        let present = platter.present.clone();
        platter.durable = present;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.check()?;
        let start = usize::try_from(offset).unwrap();
        platter.present[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// The writes that the journal acknowledged.
#[derive(Debug, Default, PartialEq)]
struct AcknowledgedWrites {
    events: u64,
    /// Whether the flush was acknowledged.
    flushed: bool,
}

/// Appends, flushes and takes snapshots until the disk stops.
fn work(journal: &RedbJournal) -> (AcknowledgedWrites, Result<(), Error>) {
    let mut done = AcknowledgedWrites::default();
    let result = (|| {
        for round in 0..4 {
            let row = with_rows(&[blob(TableName::of("epochs"), round, b"row")]);
            let entries: Vec<JournalEntry> = vec![joined(round).into(), row];
            journal.append(&entries)?;
            done.events += 2;
            if round == 1 {
                let mut loaded = journal.load(&WorkloadRegistry::default())?;
                journal.snapshot(loaded.position, &mut loaded.state)?;
            }
            if round == 2 {
                let flushed = vec![PendingKey { position: 1, ordinal: 0 }];
                journal.install(&PartChange { flushed, ..PartChange::default() })?;
                done.flushed = true;
            }
        }
        Ok(())
    })();
    (done, result)
}

/// Checks that every acknowledged write survived the crash. The interrupted call may have succeeded or not.
fn check(journal: &RedbJournal, said: &AcknowledgedWrites, context: &str) {
    let loaded = journal.load(&WorkloadRegistry::default()).unwrap();
    let events = loaded.position;
    assert!(events == said.events || events == said.events + 2, "{context}: {events} events");
    let workers = u64::try_from(loaded.state.workers.len()).unwrap();
    assert_eq!(workers * 2, events, "{context}: the state has every event and no other");
    let pending = pending(journal).len() as u64;
    let rows = events / 2;
    assert!(pending == rows || pending + 1 == rows && events >= 6, "{context}: {pending} rows");
    if said.flushed {
        assert_eq!(pending + 1, rows, "{context}: a flushed row came back");
    }
}

#[test]
fn acknowledged_writes_survive_a_crash_at_every_sync() {
    let whole = VolatileDisk::default();
    let journal = whole.journal().unwrap();
    let (said, result) = work(&journal);
    result.unwrap();
    assert_eq!(said, AcknowledgedWrites { events: 8, flushed: true });
    drop(journal);
    let syncs = whole.syncs();
    assert!(syncs > 6, "the workload synchronises {syncs} times");

    for stop in 1..=syncs {
        let disk = VolatileDisk::stopping_at(stop);
        let said = match disk.journal() {
            Ok(journal) => work(&journal).0,
            Err(_) => AcknowledgedWrites::default(),
        };
        for seed in 0..8 {
            let context = format!("stopped at synchronisation {stop}, power cut {seed}");
            let disk = disk.after_power_cut(seed);
            match disk.journal() {
                Ok(journal) => check(&journal, &said, &context),
                // Only a file whose creation was interrupted may be unreadable.
                Err(error) => assert_eq!(said.events, 0, "{context}: {error}"),
            }
        }
    }
}

#[test]
fn the_journal_recovers_from_a_full_disk_without_a_restart() {
    let disk = VolatileDisk::default();
    let journal = disk.journal().unwrap();
    journal.append(&[joined(0).into()]).unwrap();
    let stop = disk.syncs();
    disk.0.lock().unwrap().stops_at = Some(stop);
    assert!(matches!(journal.append(&[joined(1).into()]), Err(Error::Io(_))));
    assert!(matches!(journal.append(&[joined(1).into()]), Err(Error::Io(_))));
    disk.0.lock().unwrap().stops_at = None;
    assert_eq!(journal.append(&[joined(1).into()]).unwrap(), 1);
    assert_eq!(journal.load(&WorkloadRegistry::default()).unwrap().state.workers.len(), 2);
}

/// Runs trials of a sweep, takes snapshots, retries trials, deletes the sweep and submits it again. Calls `note` with
/// the state after every successful call.
fn run_sweeps(journal: &RedbJournal, note: &mut dyn FnMut(&TestCoordinator)) -> Result<(), Error> {
    let sweep = SweepName::parse("demo").unwrap();
    let mut coordinator = TestCoordinator::start(journal)?;
    note(&coordinator);
    for method in [SearchMethod::Grid, SearchMethod::Random] {
        coordinator.submit(journal, &sweep, method)?;
        note(&coordinator);
        for round in 0..3 {
            // Two appends, each with one sync.
            let leased = coordinator.lease(journal, 20)?;
            note(&coordinator);
            coordinator.finish_all(journal, &leased)?;
            note(&coordinator);
            // In steps; those of the last round are not completed.
            for _ in 0..if round == 2 { 2 } else { usize::MAX } {
                if coordinator.snapshot_step(journal, 3)? == SnapshotStep::Taken {
                    break;
                }
            }
            coordinator.tidy_step(journal, 3)?;
            if round == 1 {
                coordinator.retry(journal, &sweep, TrialSelection::Failed)?;
                note(&coordinator);
            }
        }
        coordinator.delete(journal, &sweep)?;
        note(&coordinator);
    }
    Ok(())
}

#[test]
fn a_crash_around_snapshots_leaves_an_earlier_state() {
    let (whole, mut states) = (VolatileDisk::default(), BTreeMap::new());
    let journal = whole.journal().unwrap();
    let mut note = |coordinator: &TestCoordinator| {
        states.insert(coordinator.position, coordinator.state.clone());
    };
    run_sweeps(&journal, &mut note).unwrap();
    drop(journal);
    for stop in 1..=whole.syncs() {
        let disk = VolatileDisk::stopping_at(stop);
        let mut acknowledged = 0;
        if let Ok(journal) = disk.journal() {
            let mut note = |coordinator: &TestCoordinator| acknowledged = coordinator.position;
            let _ = run_sweeps(&journal, &mut note);
        }
        for seed in 0..4 {
            let context = format!("stopped at synchronisation {stop}, power cut {seed}");
            let Ok(journal) = disk.after_power_cut(seed).journal() else {
                assert_eq!(acknowledged, 0, "{context}");
                continue;
            };
            let loaded = journal.load(&workloads()).unwrap();
            assert!(loaded.position >= acknowledged, "{context}: something is lost");
            if loaded.position > 0 {
                assert!(states[&loaded.position] == loaded.state, "{context}: it is another state");
            }
        }
    }
}

#[test]
fn the_next_snapshot_stores_the_changes_of_a_failed_one() {
    let sweep = SweepName::parse("demo").unwrap();
    for stop in 0..3 {
        let disk = VolatileDisk::default();
        let journal = disk.journal().unwrap();
        let mut coordinator = TestCoordinator::start(&journal).unwrap();
        coordinator.submit(&journal, &sweep, SearchMethod::Random).unwrap();
        coordinator.run_trials(&journal, 20).unwrap();
        coordinator.snapshot(&journal).unwrap();
        coordinator.run_trials(&journal, 20).unwrap();
        let stops_at = disk.syncs() + stop;
        disk.0.lock().unwrap().stops_at = Some(stops_at);
        let failed = coordinator.snapshot(&journal).is_err();
        assert!(failed || stop > 0, "a snapshot synchronises at least once");
        disk.0.lock().unwrap().stops_at = None;
        // The retry changes other chunks than the failed snapshot.
        coordinator.retry(&journal, &sweep, TrialSelection::Failed).unwrap();
        coordinator.snapshot(&journal).unwrap();
        let loaded = journal.load(&workloads()).unwrap();
        assert_eq!((loaded.replayed, loaded.position), (0, coordinator.position));
        assert!(loaded.state == coordinator.state, "a chunk was not stored");
    }
}
