//! SQL tables: for each a union of parts and pending rows, with `sweep` as first column.
//!
//! The tables are logical plans, so that DataFusion pushes filters, projections and limits through
//! the union into the scans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ident, lit};
use rheo_core::id::SweepName;
use rheo_core::part::Part;
use rheo_model::row::Table;

use super::checked::{self, CheckedFiles};
use super::{QuerySnapshot, part_store};
use crate::conform::conform;
use crate::dataset::Dataset;
use crate::retraction::{self, retracted, retracted_before};
use crate::{stored_rows, tables};

/// The SQL table of `table`.
pub(super) fn view(
    table: Table,
    snapshot: &Arc<QuerySnapshot>,
    dataset: &Dataset,
) -> Result<Arc<dyn TableProvider>> {
    // Parts with the same retracted trials share a scan; nearly always there are none.
    let mut groups: BTreeMap<_, Vec<Part>> = BTreeMap::new();
    for part in snapshot.parts.iter().filter(|part| part.table == table) {
        let retracted = retracted(part, &snapshot.retractions);
        let sweep = (!retracted.is_empty()).then_some(&part.sweep);
        groups.entry((sweep, retracted)).or_default().push(part.clone());
    }
    let mut plan = None;
    for ((_, retracted), parts) in groups {
        let mut scan = scan(table, PartTable { table, parts, dataset: dataset.clone() })?;
        if !retracted.is_empty() {
            let retracted = retracted.into_iter().map(lit).collect();
            scan = scan.filter(ident("trial").in_list(retracted, true))?;
        }
        plan = Some(add(plan, scan)?);
    }
    if plan.is_none() || snapshot.pending.iter().any(|pending| pending.batch.table == table) {
        plan =
            Some(add(plan, scan(table, PendingTable { table, snapshot: Arc::clone(snapshot) })?)?);
    }
    let plan =
        plan.map_or_else(|| LogicalPlanBuilder::empty(false).build(), LogicalPlanBuilder::build)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn scan(table: Table, provider: impl TableProvider + 'static) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan(table.name(), provider_as_source(Arc::new(provider)), None)
}

fn add(plan: Option<LogicalPlanBuilder>, more: LogicalPlanBuilder) -> Result<LogicalPlanBuilder> {
    match plan {
        Some(plan) => plan.union(more.build()?),
        None => Ok(more),
    }
}

/// The columns of a table in SQL.
fn schema(table: Table) -> SchemaRef {
    let columns = tables::schema(table);
    let fields = columns.fields().iter().cloned();
    Arc::new(Schema::new(std::iter::once(sweep()).chain(fields).collect::<Vec<_>>()))
}

fn sweep() -> Arc<Field> {
    Arc::new(Field::new("sweep", DataType::Utf8, false))
}

/// The rows of a table in parts.
#[derive(Debug)]
struct PartTable {
    table: Table,
    parts: Vec<Part>,
    dataset: Dataset,
}

impl PartTable {
    /// The parts of the sweeps that pass `filters`, which use only the column `sweep`. So a query
    /// over one sweep does not depend on the files of another.
    fn selected_parts(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Part>> {
        let mut wanted = self.parts.clone();
        if filters.is_empty() {
            return Ok(wanted);
        }
        let names: BTreeSet<&SweepName> = self.parts.iter().map(|part| &part.sweep).collect();
        let schema = Arc::new(Schema::new(vec![sweep()]));
        let column: ArrayRef =
            Arc::new(StringArray::from_iter_values(names.iter().map(|name| name.as_str())));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column])?;
        let schema = DFSchema::try_from(schema)?;
        let mut passed = vec![true; names.len()];
        for filter in filters {
            let filter = state.create_physical_expr(filter.clone(), &schema)?;
            let verdicts = filter.evaluate(&rows)?.into_array(names.len())?;
            let verdicts = verdicts.as_boolean();
            for (row, passed) in passed.iter_mut().enumerate() {
                *passed &= verdicts.is_valid(row) && verdicts.value(row);
            }
        }
        let passed = names.iter().zip(passed).filter(|(_, passed)| *passed);
        let passed: BTreeSet<SweepName> = passed.map(|(name, _)| (**name).clone()).collect();
        wanted.retain(|part| passed.contains(&part.sweep));
        Ok(wanted)
    }
}

#[async_trait]
impl TableProvider for PartTable {
    fn schema(&self) -> SchemaRef {
        schema(self.table)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters by sweep select parts, and are also applied to the rows.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let is_about_sweep = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty()
                && columns.iter().all(|column| column.name == "sweep")
                && !filter.is_volatile()
        };
        let support = |filter| {
            if is_about_sweep(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let parts = self.selected_parts(state, filters)?;
        // Some results come from statistics alone, without reading a file.
        checked::check_files(&self.dataset, &parts).await?;
        let file_schema = tables::schema(self.table);
        let columns = file_schema.fields().len();
        let schema =
            TableSchema::builder(file_schema).with_table_partition_cols(vec![sweep()]).build();
        // In a file scan, the partition column `sweep` comes last.
        let from_file = |column: &usize| column.checked_sub(1).unwrap_or(columns);
        let projection = match projection {
            Some(projection) => projection.iter().map(from_file).collect(),
            None => (0..=columns).map(|column| from_file(&column)).collect(),
        };
        let runtime = state.runtime_env();
        let source = ParquetSource::new(schema.clone())
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_parquet_file_reader_factory(Arc::new(CheckedFiles::new(
                CachedParquetFileReaderFactory::new(
                    runtime.object_store(part_store::url()?)?,
                    runtime.cache_manager.get_file_metadata_cache(),
                ),
                self.dataset.clone(),
                &parts,
            )));
        let files = parts.iter().map(|part| {
            let sweep = ScalarValue::from(part.sweep.as_str());
            PartitionedFile::new(part.path(), part.bytes).with_partition_values(vec![sweep])
        });
        let rows = parts.iter().map(|part| part.rows).sum::<u64>();
        let mut statistics = Statistics::new_unknown(schema.table_schema());
        statistics.num_rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
        let groups =
            FileGroup::new(files.collect()).split_files(state.config().target_partitions());
        let scan = FileScanConfigBuilder::new(part_store::url()?, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The pending rows of a table.
#[derive(Debug)]
struct PendingTable {
    table: Table,
    snapshot: Arc<QuerySnapshot>,
}

impl PendingTable {
    fn rows(&self) -> Result<RecordBatch> {
        let schema = schema(self.table);
        let mut all = Vec::new();
        let ours: Vec<_> =
            self.snapshot.pending.iter().filter(|p| p.batch.table == self.table).collect();
        let retracted = |pending: &super::PendingBatch| {
            let (sweep, position) = (&pending.sweep, pending.position);
            retracted_before(&self.table.into(), sweep, position, &self.snapshot.retractions)
        };
        let are_alike = |one: &&super::PendingBatch, other: &&super::PendingBatch| {
            one.sweep == other.sweep && retracted(one) == retracted(other)
        };
        for run in ours.chunk_by(are_alike) {
            let Some(first) = run.first() else { continue };
            let bytes: Vec<_> = run.iter().map(|pending| pending.batch.ipc.clone()).collect();
            let external = |error| DataFusionError::External(Box::new(error));
            for rows in stored_rows::decode(self.table, &bytes).map_err(external)? {
                let rows = conform(&rows, &tables::schema(self.table))?;
                let rows = retraction::apply(&rows, &retracted(first))?;
                let sweep = std::iter::repeat_n(first.sweep.as_str(), rows.num_rows());
                let sweep: ArrayRef = Arc::new(StringArray::from_iter_values(sweep));
                let columns = std::iter::once(sweep).chain(rows.columns().iter().cloned());
                all.push(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?);
            }
        }
        Ok(concat_batches(&schema, &all)?)
    }
}

#[async_trait]
impl TableProvider for PendingTable {
    fn schema(&self) -> SchemaRef {
        schema(self.table)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = vec![self.rows()?];
        Ok(MemorySourceConfig::try_new_exec(&[rows], self.schema(), projection.cloned())?)
    }
}
