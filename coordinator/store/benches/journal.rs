//! How fast the journal makes commits durable: one at a time, and many with one synchronisation.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and end")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rheo_core::row::Table;
use rheo_store::conformance::{blob, with_rows};
use rheo_store::{Entry, Journal, Memory, Redb};
use tempfile::TempDir;

/// About what one epoch of one trial is as Arrow.
static ROWS: [u8; 2048] = [7; 2048];

fn commits(count: usize) -> Vec<Entry> {
    let entry = |index: usize| with_rows(&[blob(Table::Epochs, index as u64, &ROWS)]);
    (0..count).map(entry).collect()
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for count in [1, 64, 1024] {
        let entries = commits(count);
        group.throughput(Throughput::Elements(entries.len() as u64));
        let directory = TempDir::new().expect("a directory");
        let redb = Redb::open(&directory.path().join("journal.redb")).expect("a journal");
        group.bench_function(format!("redb, {count} commits at once"), |bench| {
            bench.iter(|| redb.append(&entries).expect("room on the disk"));
        });
        let memory = Memory::default();
        group.bench_function(format!("memory, {count} commits at once"), |bench| {
            bench.iter(|| memory.append(&entries).expect("memory"));
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
