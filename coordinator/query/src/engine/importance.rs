//! The table function `importance(SWEEP [, METRIC])`: on which parameters of a sweep its best points
//! depend, by [`rheo_core::importance`].
//!
//! It is a function and no view, because a view takes no metric. It needs the definition of the sweep,
//! which rows do not contain, so a query gets the definitions of the sweeps that its text names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, Float64Array, StringArray, UInt64Array};
use arrow::datatypes::{Float64Type, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::exec_err;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::{avg, count, median, stddev};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{coalesce, ident, lit};
use rheo_core::definition::SweepDefinition;
use rheo_core::excerpt::excerpt;
use rheo_core::id::SweepName;
use rheo_core::importance::{Importances, importances};
use rheo_core::metric::{Goal, Objective};
use rheo_core::name::MetricName;
use rheo_core::ranking::SeedStatistics;
use rheo_core::schema::WorkloadSchema;
use rheo_core::space::Point;
use rheo_model::networks;

use super::QuerySnapshot;
use crate::tables::{Column, ColumnType, required};

/// A table function that queries can call.
#[derive(Debug, Clone, Copy)]
pub struct SqlFunction {
    /// The name in SQL.
    pub name: &'static str,
    /// The arguments.
    pub arguments: &'static str,
    /// The meaning of a row, as a sentence.
    pub about: &'static str,
    /// All columns.
    pub columns: &'static [Column],
}

/// The function `importance`.
pub const IMPORTANCE: SqlFunction = SqlFunction {
    name: "importance",
    arguments: "'SWEEP' [, 'METRIC']",
    about: "Function: one row per parameter of a sweep, the most important first. It says on which \
            parameters the best tenth of the points depends (PED-ANOVA). A point counts with its value \
            over its completed seeds, by `replicates.aggregate`.",
    columns: &COLUMNS,
};

const COLUMNS: [Column; 6] = [
    required(
        "parameter",
        ColumnType::Str,
        "",
        "the path of the parameter; zipped parameters are one, with their paths separated by spaces",
    ),
    required(
        "importance",
        ColumnType::F64,
        "",
        "share of the parameter, in [0, 1]; all sum to 1, unless all are 0",
    ),
    required(
        "points",
        ColumnType::U64,
        "",
        "number of points with a result that have the parameter",
    ),
    required("all_points", ColumnType::U64, "", "number of points with a result"),
    required("best_points", ColumnType::U64, "", "number of points that count as the best"),
    required("metric", ColumnType::Str, "", "the metric by which points are compared"),
];

/// An error of a call of the function, worded for the person who typed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The arguments are not one or two strings.
    #[error(
        "`importance` takes the name of a sweep, and a metric if not that of the sweep: importance('demo') or importance('demo', 'test.loss')"
    )]
    Arguments,
    /// There is no such sweep.
    #[error("no sweep `{0}`; `rheo status` lists all")]
    UnknownSweep(String),
    /// The workload of the sweep has no such metric.
    #[error("no metric `{name}`; there are {known}")]
    UnknownMetric {
        /// The name in the query.
        name: String,
        /// The existing metrics.
        known: String,
    },
}

impl From<CallError> for DataFusionError {
    fn from(error: CallError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Returns whether a query may need the definition of a sweep: its text names both the function and
/// the sweep.
pub fn needs_definition(sql: &str, sweep: &SweepName) -> bool {
    sql.contains(sweep.as_str()) && sql.to_ascii_lowercase().contains(IMPORTANCE.name)
}

/// The function, over the rows of one query.
#[derive(Debug)]
pub(super) struct ImportanceFunction {
    pub(super) snapshot: Arc<QuerySnapshot>,
    /// The table `trials`.
    pub(super) trials: Arc<dyn TableProvider>,
}

impl TableFunctionImpl for ImportanceFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let texts: Option<Vec<&str>> = args.exprs().iter().map(text).collect();
        let (sweep, metric) = match texts.as_deref() {
            Some([sweep]) => (*sweep, None),
            Some([sweep, metric]) => (*sweep, Some(*metric)),
            _ => return Err(CallError::Arguments.into()),
        };
        let definition = definition(&self.snapshot.definitions, sweep)?;
        let schema = networks::workloads().schema(&definition.workload);
        let own = &definition.objective;
        let (objective, column) = match metric.filter(|metric| *metric != own.name.as_str()) {
            None => (own.clone(), "objective".to_owned()),
            Some(metric) => {
                let objective = objective(&schema, metric)?;
                let column = column(&objective.name);
                (objective, column)
            }
        };
        let (definition, trials) = (Arc::new(definition.clone()), Arc::clone(&self.trials));
        Ok(Arc::new(ImportanceTable { definition, schema, objective, column, trials }))
    }
}

/// Returns the text of an argument; none if it is something else.
fn text(argument: &Expr) -> Option<&str> {
    match argument {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn definition<'d>(
    definitions: &'d BTreeMap<SweepName, SweepDefinition>,
    sweep: &str,
) -> Result<&'d SweepDefinition, CallError> {
    let known = SweepName::parse(sweep).ok().and_then(|name| definitions.get(&name));
    known.ok_or_else(|| CallError::UnknownSweep(excerpt(sweep)))
}

/// Returns the metric called `name`, with its direction.
fn objective(schema: &WorkloadSchema, name: &str) -> Result<Objective, CallError> {
    let known = schema.metrics.iter().find(|metric| metric.name.as_str() == name);
    let names = || schema.metrics.iter().map(|metric| format!("`{}`", metric.name));
    let unknown = || CallError::UnknownMetric {
        name: excerpt(name),
        known: names().collect::<Vec<_>>().join(", "),
    };
    let metric = known.ok_or_else(unknown)?;
    let goal = if metric.rises { Goal::Maximize } else { Goal::Minimize };
    Ok(Objective { name: metric.name.clone(), goal, target: None })
}

/// Returns the column of `trials` with the final value of a metric.
fn column(metric: &MetricName) -> String {
    metric.as_str().replace("validation", "val").replace('.', "_")
}

/// The rows of one call.
#[derive(Debug)]
struct ImportanceTable {
    definition: Arc<SweepDefinition>,
    schema: Arc<WorkloadSchema>,
    objective: Objective,
    /// The column of `trials` with the metric.
    column: String,
    trials: Arc<dyn TableProvider>,
}

impl ImportanceTable {
    /// Returns the points that have a completed trial, with their values over these.
    async fn points(&self, session: &dyn Session) -> Result<Vec<(Point, f64)>> {
        let plan = session.create_physical_plan(&self.statistics()?).await?;
        let mut points = Vec::new();
        for rows in collect(plan, session.task_ctx()).await? {
            let [swept, counts, means, sds, medians] = rows.columns() else {
                return exec_err!("five columns are expected");
            };
            let (Some(swept), Some(counts)) =
                (swept.as_string_opt::<i32>(), counts.as_primitive_opt::<Int64Type>())
            else {
                return exec_err!("points and counts are expected");
            };
            let [means, sds, medians] =
                [means, sds, medians].map(AsArray::as_primitive::<Float64Type>);
            let number =
                |column: &Float64Array, row: usize| column.is_valid(row).then(|| column.value(row));
            for row in 0..rows.num_rows() {
                let seeds = SeedStatistics {
                    count: u64::try_from(counts.value(row)).unwrap_or(0),
                    mean: number(means, row).unwrap_or(f64::NAN),
                    sd: number(sds, row),
                    median: number(medians, row).unwrap_or(f64::NAN),
                };
                let value = self.definition.aggregate.value(self.objective.goal, &seeds);
                let external = |error| DataFusionError::External(Box::new(error));
                let point = serde_json::from_str(swept.value(row)).map_err(external)?;
                points.push((point, value.unwrap_or(f64::NAN)));
            }
        }
        Ok(points)
    }

    /// Returns the plan that computes the statistics of each point over its completed seeds.
    fn statistics(&self) -> Result<LogicalPlan> {
        let trials = provider_as_source(Arc::clone(&self.trials));
        let of_sweep = ident("sweep").eq(lit(self.definition.name.as_str()));
        // A completed trial without the metric counts as NaN, as in the view `points`.
        let value = || coalesce(vec![ident(&self.column), lit(f64::NAN)]);
        let statistics = [
            count(value()).alias("count"),
            avg(value()).alias("mean"),
            stddev(value()).alias("sd"),
            median(value()).alias("median"),
        ];
        LogicalPlanBuilder::scan("trials", trials, None)?
            .filter(of_sweep.and(ident("status").eq(lit("completed"))))?
            .aggregate([ident("point"), ident("swept")], statistics)?
            .project(["swept", "count", "mean", "sd", "median"].map(ident))?
            .build()
    }

    fn rows(&self, found: &Importances) -> Result<RecordBatch> {
        let parameters = &found.parameters;
        let repeated = |count: usize| vec![count as u64; parameters.len()];
        let metric = std::iter::repeat_n(self.objective.name.as_str(), parameters.len());
        let points = parameters.iter().map(|one| one.points as u64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                parameters.iter().map(|one| one.paths.join(" ")),
            )),
            Arc::new(Float64Array::from_iter_values(parameters.iter().map(|one| one.importance))),
            Arc::new(UInt64Array::from_iter_values(points)),
            Arc::new(UInt64Array::from(repeated(found.points))),
            Arc::new(UInt64Array::from(repeated(found.best))),
            Arc::new(StringArray::from_iter_values(metric)),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

#[async_trait]
impl TableProvider for ImportanceTable {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(COLUMNS.map(Column::field).to_vec()))
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let points = self.points(session).await?;
        let found = importances(&self.definition, &self.schema, &points, self.objective.goal);
        let rows = vec![self.rows(&found)?];
        Ok(MemorySourceConfig::try_new_exec(&[rows], self.schema(), projection.cloned())?)
    }
}

#[cfg(test)]
mod tests {
    use rheo_model::config::Metric;
    use rheo_model::row::Table;

    use super::*;

    #[test]
    fn every_metric_is_a_column_of_the_trials() {
        for metric in Metric::ALL {
            let name = column(&metric.to_name());
            assert!(crate::columns(Table::Trials).any(|column| column.name == name), "{name}");
        }
    }

    #[test]
    fn a_query_needs_the_definitions_of_the_sweeps_that_it_names() {
        let needs = |sql| needs_definition(sql, &SweepName::parse("demo").unwrap());
        assert!(needs("SELECT * FROM Importance('demo')"));
        assert!(!needs("SELECT * FROM importance('other')"));
        assert!(!needs("SELECT * FROM points WHERE sweep = 'demo'"));
    }
}
