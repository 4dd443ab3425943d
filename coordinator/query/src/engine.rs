//! SQL over the results: the parts that a snapshot of the journal names, and its pending rows.
//!
//! Queries never list directories, so a query sees every committed row once, whatever a flush or a
//! compaction does meanwhile. A part is checked against its digest before it is first read; a missing
//! or damaged part is refused by name, and queries over other sweeps still run. Queries only read:
//! statements that change anything or name a file are refused before planning, as are statements
//! that are too large or too deep. A pool bounds intermediate results; sorts and joins that need more
//! use temporary files. Stack, processor time and memory outside the pool are bounded by running each
//! query in its own process.

mod bounds;
mod checked;
mod error;
mod exceeded_limit;
mod importance;
mod part_store;
mod scan;
mod views;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use rheo_core::definition::SweepDefinition;
use rheo_core::id::SweepName;
use rheo_core::part::{Part, Retraction};
pub use rheo_core::ranking::RankingRule;
use rheo_core::rows::RowBatch;
use rheo_core::sweep::SweepEndReason;
use rheo_model::row::Table;
use tokio_stream::StreamExt;

pub use bounds::check_text;
pub use error::Error;
pub use exceeded_limit::ExceededLimit;
pub use importance::{IMPORTANCE, SqlFunction, needs_definition};
pub use views::{SqlView, VIEWS};

use importance::ImportanceFunction;

use crate::dataset::{Dataset, Pin};
use crate::limits::Limits;

/// The valid rows of the journal at one moment.
#[derive(Debug, Clone)]
pub struct QuerySnapshot {
    /// The pin that keeps the parts readable, taken before the journal was read.
    pub pin: Pin,
    /// The valid parts.
    pub parts: Vec<Part>,
    /// The pending rows.
    pub pending: Vec<PendingBatch>,
    /// The retractions of older rows.
    pub retractions: Vec<Retraction>,
    /// The ranking rule of each sweep, which its rows do not contain.
    pub ranking_rules: BTreeMap<SweepName, RankingRule>,
    /// The definitions of the sweeps that the query [needs](needs_definition).
    pub definitions: BTreeMap<SweepName, SweepDefinition>,
    /// The reasons of the sweeps that start no further trial.
    pub end_reasons: BTreeMap<SweepName, SweepEndReason>,
}

/// A committed batch that is in no part yet.
#[derive(Debug, Clone)]
pub struct PendingBatch {
    /// The sweep.
    pub sweep: SweepName,
    /// The journal position of its commit.
    pub position: u64,
    /// The rows.
    pub batch: RowBatch,
}

/// Runs queries over one dataset.
#[derive(Debug)]
pub struct QueryEngine {
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
    dataset: Dataset,
}

impl QueryEngine {
    /// Creates an engine over `dataset` with temporary files in the system's directory.
    pub fn new(dataset: &Dataset, limits: Limits) -> Result<Self, Error> {
        Self::with_scratch(dataset, limits, Some(&std::env::temp_dir()))
    }

    /// Creates an engine over `dataset` with temporary files in the existing directory `scratch`, or
    /// without temporary files.
    pub fn with_scratch(
        dataset: &Dataset,
        limits: Limits,
        scratch: Option<&Path>,
    ) -> Result<Self, Error> {
        let disk = scratch.map_or(DiskManagerMode::Disabled, |scratch| {
            DiskManagerMode::Directories(vec![scratch.to_owned()])
        });
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.pool())))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
            .with_max_temp_directory_size(limits.disk)
            .build_arc()
            .map_err(Error::Failed)?;
        let url = part_store::url().map_err(Error::Failed)?;
        runtime.register_object_store(url.as_ref(), part_store::open(dataset.source()));
        let mut config = SessionConfig::new()
            .with_target_partitions(limits.threads)
            .with_default_catalog_and_schema("rheo", "results")
            .with_information_schema(true);
        // Filters while decoding, so that other columns are decoded for matching rows only.
        config.options_mut().execution.parquet.pushdown_filters = true;
        Ok(Self { runtime, config, dataset: dataset.clone() })
    }

    /// Starts the query `sql`, one SELECT, over `snapshot`.
    pub async fn query(&self, snapshot: QuerySnapshot, sql: &str) -> Result<QueryStream, Error> {
        check_text(sql)?;
        let context =
            SessionContext::new_with_config_rt(self.config.clone(), Arc::clone(&self.runtime));
        let snapshot = Arc::new(snapshot);
        for table in Table::ALL {
            let view = scan::view(table, &snapshot, &self.dataset).map_err(Error::Failed)?;
            if table == Table::Trials {
                let (snapshot, trials) = (Arc::clone(&snapshot), Arc::clone(&view));
                let function = Arc::new(ImportanceFunction { snapshot, trials });
                context.register_udtf(IMPORTANCE.name, function);
            }
            context.register_table(table.name(), view).map_err(Error::Failed)?;
        }
        let state = context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let statement =
            state.sql_to_statement(sql, &dialect).map_err(|error| Error::invalid(&error))?;
        bounds::check_statement(&statement)?;
        let tables =
            state.resolve_table_references(&statement).map_err(|error| Error::invalid(&error))?;
        // Views are planned only if the query names them, or lists all tables.
        let is_wanted = |name: &str| {
            let all = Some("information_schema");
            tables.iter().any(|table| table.table() == name || table.schema() == all)
        };
        views::register(&context, &snapshot, is_wanted).await.map_err(Error::Failed)?;
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
        bounds::check_plan(&plan)?;
        bounds::check_types(plan.schema().fields().iter().map(|field| field.data_type()))?;
        let plan = context.execute_logical_plan(plan).await.map_err(Error::running)?;
        let stream = plan.execute_stream().await.map_err(Error::running)?;
        Ok(QueryStream { stream, _snapshot: snapshot })
    }
}

/// The rows of a query, computed on demand. Dropping the stream ends the query.
pub struct QueryStream {
    stream: SendableRecordBatchStream,
    _snapshot: Arc<QuerySnapshot>,
}

impl QueryStream {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, Error>> {
        let rows: Result<RecordBatch, DataFusionError> = self.stream.next().await?;
        Some(rows.map_err(Error::running))
    }

    /// Collects all rows of a small result.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, Error> {
        let mut all = Vec::new();
        while let Some(rows) = self.next().await {
            all.push(rows?);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream").field("schema", &self.schema()).finish_non_exhaustive()
    }
}
