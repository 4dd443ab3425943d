//! A dataset with the contents of its journal, and queries over it.

use std::collections::BTreeMap;

use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::log::{LogLevel, LogLine};
use rheo_core::metric::Goal;
use rheo_core::part::{Part, Retraction};
use rheo_core::ranking::AggregateRule;
use rheo_core::rows::RowBatch;
use rheo_core::sweep::SweepEndReason;
use rheo_core::time::Timestamp;
use rheo_model::row::{Rows, Table};
use rheo_query::output::{Format, ResultWriter, TableSize};
use rheo_query::{
    ColumnType, Dataset, Limits, PendingBatch, QueryEngine, QuerySnapshot, RankingRule, columns,
    encode, encode_attempts, encode_logs, encode_trials, engine,
};
use tempfile::TempDir;

use crate::sample;

pub(crate) struct Fixture {
    pub(crate) root: TempDir,
    pub(crate) dataset: Dataset,
    pub(crate) parts: Vec<Part>,
    pub(crate) pending: Vec<PendingBatch>,
    pub(crate) retractions: Vec<Retraction>,
    /// The ranking rules; by default `demo` has two seeds and maximises.
    pub(crate) ranking_rules: BTreeMap<SweepName, RankingRule>,
    /// The definitions of sweeps; none by default.
    pub(crate) definitions: BTreeMap<SweepName, SweepDefinition>,
    pub(crate) end_reasons: BTreeMap<SweepName, SweepEndReason>,
    /// The next journal position.
    pub(crate) position: u64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        Self {
            dataset: Dataset::new(root.path()),
            root,
            parts: Vec::new(),
            pending: Vec::new(),
            retractions: Vec::new(),
            ranking_rules: [(
                SweepName::parse("demo").unwrap(),
                RankingRule { seeds: 2, goal: Goal::Maximize, aggregate: AggregateRule::Mean },
            )]
            .into(),
            definitions: BTreeMap::new(),
            end_reasons: BTreeMap::new(),
            position: 1,
        }
    }

    /// Commits a batch, which becomes pending.
    pub(crate) fn commit(&mut self, sweep: &str, batch: RowBatch) {
        let (sweep, position) = (SweepName::parse(sweep).unwrap(), self.position);
        self.pending.push(PendingBatch { sweep, position, batch });
        self.position += 1;
    }

    /// Commits all rows of a completed trial.
    pub(crate) fn run(&mut self, sweep: &str, trial: u64) {
        let mut rows = sample::rows(trial);
        for epoch in std::mem::take(&mut rows.epochs) {
            let rows = Rows { epochs: vec![epoch], ..Rows::default() };
            self.commit(sweep, encode(&sample::keys(trial), &rows).unwrap().remove(0));
        }
        for batch in encode(&sample::keys(trial), &rows).unwrap() {
            self.commit(sweep, batch);
        }
        self.commit(sweep, encode_logs(&sample::keys(trial), 1, &[line(trial)]).unwrap());
        self.commit(sweep, encode_attempts(&[sample::attempt(trial)]).unwrap());
        self.commit(sweep, encode_trials(&[sample::trial(trial)]).unwrap());
    }

    /// Moves all pending rows into parts.
    pub(crate) fn flush(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by_key(|p| (p.batch.table.clone(), p.sweep.clone(), p.position));
        for rows in
            pending.chunk_by(|a, b| (&a.batch.table, &a.sweep) == (&b.batch.table, &b.sweep))
        {
            let (first, last) = (&rows[0], &rows[rows.len() - 1]);
            let range = first.position..=last.position;
            let blobs = rows.iter().map(|pending| pending.batch.ipc.clone());
            let part = self.dataset.write_part(&first.batch.table, &first.sweep, range, blobs);
            self.parts.push(part.unwrap());
        }
    }

    /// The parts of one sweep in one table.
    pub(crate) fn parts_of(&self, table: Table, sweep: &str) -> Vec<Part> {
        let of = |part: &&Part| part.table == table && part.sweep.as_str() == sweep;
        self.parts.iter().filter(of).cloned().collect()
    }

    pub(crate) fn snapshot(&self) -> QuerySnapshot {
        QuerySnapshot {
            pin: self.dataset.pin(),
            parts: self.parts.clone(),
            pending: self.pending.clone(),
            retractions: self.retractions.clone(),
            ranking_rules: self.ranking_rules.clone(),
            definitions: self.definitions.clone(),
            end_reasons: self.end_reasons.clone(),
        }
    }

    pub(crate) fn engine(&self) -> QueryEngine {
        QueryEngine::new(&self.dataset, Limits { threads: 2, ..Limits::default() }).unwrap()
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<String, engine::Error> {
        csv(self.engine().query(self.snapshot(), sql).await?).await
    }
}

/// The only log line of an attempt.
fn line(trial: u64) -> LogLine {
    let at = Timestamp(1_790_000_000_000 + trial);
    LogLine { number: 1, at, level: LogLevel::Info, text: format!("trial {trial} begins") }
}

/// SQL for all rows of `table`, in a fixed order.
pub(crate) fn everything(table: Table) -> String {
    let comparable = columns(table).filter(|column| column.kind != ColumnType::Config);
    let order: Vec<String> = comparable.map(|column| format!("\"{}\"", column.name)).collect();
    format!("SELECT * FROM {} ORDER BY {}", table.name(), order.join(", "))
}

/// The result as CSV.
pub(crate) async fn csv(mut answer: rheo_query::QueryStream) -> Result<String, engine::Error> {
    let schema = answer.schema();
    let mut output =
        ResultWriter::new(Format::Csv, &schema, Vec::new(), TableSize::default()).unwrap();
    while let Some(rows) = answer.next().await {
        output.write(&rows?).unwrap();
    }
    Ok(String::from_utf8(output.finish().unwrap()).unwrap())
}
