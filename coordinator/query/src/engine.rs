//! SQL over the results: exactly the parts that a snapshot of the journal names, and the rows that
//! are in none of them yet.
//!
//! Nothing is found by listing directories, so a query sees every committed row once, whatever a
//! flush or a compaction does meanwhile. Queries only read: everything that would change anything,
//! or reach a file by its name, is refused before it is planned. Memory is bounded by a pool that
//! all queries share; sorts and joins that need more go to temporary files.

mod derived;
mod error;
mod scan;
mod store;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use rheo_core::id::SweepName;
use rheo_core::part::{Part, Retraction};
use rheo_core::row::{Batch, Table};
use tokio_stream::StreamExt;

pub use derived::{VIEWS, View};
pub use error::Error;

use crate::dataset::{Dataset, Pin};

/// What the journal says that counts, at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Keeps the parts readable. Taken before the journal was read.
    pub pin: Pin,
    /// The parts that count.
    pub parts: Vec<Part>,
    /// The committed rows that are in no part.
    pub pending: Vec<Pending>,
    /// The trials whose older rows do not count.
    pub retractions: Vec<Retraction>,
}

/// A committed batch that is in no part yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The sweep.
    pub sweep: SweepName,
    /// The journal position of its commit.
    pub position: u64,
    /// The rows.
    pub batch: Batch,
}

/// What all queries of an engine together may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for intermediate results.
    pub memory: usize,
    /// Bytes of temporary files.
    pub disk: u64,
    /// Threads per query.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            disk: 16 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Answers queries over one dataset.
#[derive(Debug)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
}

impl Engine {
    /// An engine over the parts of `dataset`.
    pub fn new(dataset: &Dataset, limits: Limits) -> Result<Self, Error> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory)))
            .with_max_temp_directory_size(limits.disk)
            .build_arc()
            .map_err(Error::Failed)?;
        let url = store::url().map_err(Error::Failed)?;
        runtime.register_object_store(url.as_ref(), store::open(dataset.source()));
        let mut config = SessionConfig::new()
            .with_target_partitions(limits.threads)
            .with_default_catalog_and_schema("rheo", "results")
            .with_information_schema(true);
        // Filters are applied while decoding, so columns that only matching rows need stay packed.
        config.options_mut().execution.parquet.pushdown_filters = true;
        Ok(Self { runtime, config })
    }

    /// Starts the query `sql`, one SELECT, over `snapshot`.
    pub async fn query(&self, snapshot: Snapshot, sql: &str) -> Result<Answer, Error> {
        let context =
            SessionContext::new_with_config_rt(self.config.clone(), Arc::clone(&self.runtime));
        let snapshot = Arc::new(snapshot);
        for table in Table::ALL {
            let view = scan::view(table, &snapshot).map_err(Error::Failed)?;
            context.register_table(table.name(), view).map_err(Error::Failed)?;
        }
        let state = context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let statement =
            state.sql_to_statement(sql, &dialect).map_err(|error| Error::invalid(&error))?;
        let tables =
            state.resolve_table_references(&statement).map_err(|error| Error::invalid(&error))?;
        // Planned for those only who ask for them, or for all that there is.
        let is_wanted = |name: &str| {
            let all = Some("information_schema");
            tables.iter().any(|table| table.table() == name || table.schema() == all)
        };
        derived::register(&context, is_wanted).await.map_err(Error::Failed)?;
        let plan = state
            .statement_to_plan(statement)
            .await
            .map_err(|error| Error::from_planning(&error, &tables))?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| Error::NotAQuery)?;
        let plan = context.execute_logical_plan(plan).await.map_err(Error::running)?;
        let stream = plan.execute_stream().await.map_err(Error::running)?;
        Ok(Answer { stream, _snapshot: snapshot })
    }
}

/// The rows of a query, computed as they are asked for. Dropping it ends the query.
pub struct Answer {
    stream: SendableRecordBatchStream,
    _snapshot: Arc<Snapshot>,
}

impl Answer {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        let rows: Result<RecordBatch, DataFusionError> = self.stream.next().await?;
        Some(rows.map_err(Error::running))
    }

    /// All rows. For answers that are known to be small.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, Error> {
        let mut all = Vec::new();
        while let Some(rows) = self.next().await {
            all.push(rows?);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema()).finish_non_exhaustive()
    }
}
