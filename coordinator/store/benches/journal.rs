//! Throughput of the journal: durable commits, single and with a shared fsync; and reads of pending rows,
//! borrowed and copied as a flush does.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and end")]

use std::ops::ControlFlow;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rheo_core::name::TableName;
use rheo_store::conformance::{blob, with_rows};
use rheo_store::{Journal, JournalEntry, MemoryJournal, PendingFilter, RedbJournal};
use tempfile::TempDir;

/// About the size of one epoch of one trial as an Arrow stream.
static ROWS: [u8; 2048] = [7; 2048];

fn commits(count: usize) -> Vec<JournalEntry> {
    let entry = |index: usize| with_rows(&[blob(TableName::of("epochs"), index as u64, &ROWS)]);
    (0..count).map(entry).collect()
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for count in [1, 64, 1024] {
        let entries = commits(count);
        group.throughput(Throughput::Elements(entries.len() as u64));
        let directory = TempDir::new().expect("a directory");
        let redb = RedbJournal::open(&directory.path().join("journal.redb")).expect("a journal");
        group.bench_function(format!("redb, {count} commits at once"), |bench| {
            bench.iter(|| redb.append(&entries).expect("room on the disk"));
        });
        let memory = MemoryJournal::default();
        group.bench_function(format!("memory, {count} commits at once"), |bench| {
            bench.iter(|| memory.append(&entries).expect("memory"));
        });
    }
    group.finish();
}

/// The number of pending blobs to read.
const TRIALS: usize = 100_000;

fn read(criterion: &mut Criterion) {
    let directory = TempDir::new().expect("a directory");
    let redb = RedbJournal::open(&directory.path().join("journal.redb")).expect("a journal");
    redb.append(&commits(TRIALS)).expect("room on the disk");
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Elements(TRIALS as u64));
    group.bench_function("visited", |bench| {
        bench.iter(|| {
            let mut bytes = 0;
            redb.pending(&PendingFilter::default(), &mut |rows| {
                bytes += rows.ipc.len();
                ControlFlow::Continue(())
            })
            .expect("rows");
            assert_eq!(bytes, TRIALS * ROWS.len());
        });
    });
    group.bench_function("copied, 64 MiB at a time", |bench| {
        bench.iter(|| {
            let (mut from, mut is_more) = (0, true);
            while is_more {
                let (rows, more) = redb.pending_batch(from, 64 << 20).expect("rows");
                (from, is_more) = (rows.last().map_or(from, |last| last.key.position + 1), more);
            }
            assert_eq!(from, TRIALS as u64);
        });
    });
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
