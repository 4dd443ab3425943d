//! Speed of encoding, writing and querying results: 10^6 rows of `trials`, 10^7 of `epochs`.
//!
//! Making the dataset takes a minute or two. Each query is planned and executed from scratch, as in
//! `rheo query`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark reports to a person")]

#[path = "../src/sample.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod sample;

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rheo_core::id::SweepName;
use rheo_core::metric::Goal;
use rheo_core::part::Part;
use rheo_core::ranking::AggregateRule;
use rheo_core::rows::RowBatch;
use rheo_model::row::{Rows, Table};
use rheo_query::{
    Dataset, Limits, QueryEngine, QuerySnapshot, RankingRule, encode, encode_trials, parse, report,
};
use tempfile::TempDir;

const TRIALS: u64 = 1_000_000;
const EPOCHS: i32 = 10;
const PARTS: u64 = 20;

fn demo() -> SweepName {
    SweepName::parse("demo").expect("a name")
}

fn commit(trial: u64, epochs: std::ops::Range<i32>) -> RowBatch {
    let epochs = epochs.map(|epoch| sample::epoch(trial, epoch)).collect();
    let rows = Rows { epochs, ..Rows::default() };
    encode(&sample::keys(trial), &rows).expect("rows").remove(0)
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("writing");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode a commit of one epoch", |bench| {
        bench.iter(|| commit(black_box(1), 0..1));
    });
    let keys = sample::keys(1);
    let batch = commit(1, 0..1);
    group.bench_function("check a commit of one epoch", |bench| {
        bench.iter(|| parse(&Table::Epochs.to_name(), &keys, batch.ipc.clone()).expect("a batch"));
    });
    for epochs in [1, 100] {
        let commits = 20_000 / u64::try_from(epochs).expect("positive");
        let batches: Vec<Bytes> = (0..commits).map(|trial| commit(trial, 0..epochs).ipc).collect();
        let root = TempDir::new().expect("a directory");
        let dataset = Dataset::new(root.path());
        group.throughput(Throughput::Elements(20_000));
        group.bench_function(format!("write a part, commits of {epochs} epochs"), |bench| {
            bench.iter(|| {
                dataset
                    .write_part(
                        &Table::Epochs.to_name(),
                        &demo(),
                        1..=commits,
                        batches.iter().cloned(),
                    )
                    .expect("a part")
            });
        });
    }
    group.finish();
}

fn make(dataset: &Dataset) -> Vec<Part> {
    let mut parts = Vec::new();
    let per_part = TRIALS / PARTS;
    for part in 0..PARTS {
        let range = part * per_part..(part + 1) * per_part;
        let trials: Vec<Bytes> = range
            .clone()
            .step_by(1000)
            .map(|first| {
                let rows: Vec<_> = (first..first + 1000).map(sample::trial).collect();
                encode_trials(&rows).expect("rows").ipc
            })
            .collect();
        let positions = range.start..=range.end - 1;
        parts.push(
            dataset
                .write_part(&Table::Trials.to_name(), &demo(), positions.clone(), trials)
                .expect("a part"),
        );
        let epochs = range.map(|trial| commit(trial, 0..EPOCHS).ipc);
        parts.push(
            dataset
                .write_part(&Table::Epochs.to_name(), &demo(), positions.clone(), epochs)
                .expect("a part"),
        );
    }
    parts
}

fn querying(criterion: &mut Criterion) {
    let root = TempDir::new().expect("a directory");
    let dataset = Dataset::new(root.path());
    let parts = make(&dataset);
    for table in [Table::Trials, Table::Epochs] {
        let bytes: u64 = parts.iter().filter(|p| p.table == table).map(|part| part.bytes).sum();
        println!("{}: {} MB", table.name(), bytes >> 20);
    }
    let engine = QueryEngine::new(&dataset, Limits::default()).expect("an engine");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rule = RankingRule { seeds: 2, goal: Goal::Maximize, aggregate: AggregateRule::Mean };
    let mut group = criterion.benchmark_group("querying");
    group.sample_size(10);
    for (name, sql) in [
        ("leaderboard of 1e6 trials", report::leaderboard_sql(&demo(), 20)),
        (
            "top 20 of 1e7 epochs",
            "SELECT trial, epoch, val_accuracy FROM epochs ORDER BY val_accuracy DESC LIMIT 20"
                .to_owned(),
        ),
        (
            "top 20 of 1e7 epochs, all columns",
            "SELECT * FROM epochs ORDER BY val_loss LIMIT 20".to_owned(),
        ),
        (
            "mean of 1e7 epochs by kind and epoch",
            "SELECT net, epoch, avg(val_loss) FROM epochs GROUP BY net, epoch".to_owned(),
        ),
        (
            "the epochs of one trial",
            "SELECT * FROM epochs WHERE sweep = 'demo' AND trial = 654321".to_owned(),
        ),
        (
            "1e6 trials by a field of their configuration",
            "SELECT config['network']['kind'] AS kind, avg(objective) FROM trials GROUP BY 1"
                .to_owned(),
        ),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let snapshot = QuerySnapshot {
                    pin: dataset.pin(),
                    parts: parts.clone(),
                    pending: Vec::new(),
                    retractions: Vec::new(),
                    ranking_rules: [(demo(), rule)].into(),
                    definitions: BTreeMap::new(),
                    end_reasons: [].into(),
                };
                runtime.block_on(async {
                    let answer = engine.query(snapshot, &sql).await.expect("an answer");
                    answer.collect().await.expect("rows")
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, writing, querying);
criterion_main!(benches);
