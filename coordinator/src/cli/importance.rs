//! `rheo importance`: which parameters of a sweep the best points depend on.

use anyhow::Context as _;
use rheo_core::importance::{Importances, ParameterImportance, importances};
use rheo_core::metric::{Goal, Objective};
use rheo_core::name::MetricName;
use rheo_core::ranking::SeedStatistics;
use rheo_core::schema::WorkloadSchema;
use rheo_core::space::Point;
use rheo_core::spec;
use rheo_model::networks;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, OutputFormat, format};
use crate::client::Client;
use crate::query_reply;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
    /// The metric by which points are good; by default that of the sweep.
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
}

/// A point with the statistics of the metric over its completed seeds.
#[derive(Debug, Deserialize)]
struct PointRow {
    swept: String,
    count: u64,
    mean: Option<f64>,
    sd: Option<f64>,
    median: Option<f64>,
}

impl PointRow {
    fn statistics(&self) -> SeedStatistics {
        let [mean, median] = [self.mean, self.median].map(|value| value.unwrap_or(f64::NAN));
        SeedStatistics { count: self.count, mean, sd: self.sd, median }
    }
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let output = global.output.unwrap_or(OutputFormat::Table);
    if !matches!(output, OutputFormat::Table | OutputFormat::Json | OutputFormat::Csv) {
        return Err(Failure::usage("`rheo importance` prints `table`, `json` or `csv`"));
    }
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let (_, source) = client.sweep(&sweep).await?;
    let workloads = networks::workloads();
    let definition = spec::parse(&workloads, sweep.as_str(), &source)?.definition;
    let schema = workloads.schema(&definition.workload);
    let objective = objective(args.metric.as_deref(), &definition.objective, &schema)?;
    let is_own = objective.name == definition.objective.name;
    let column = if is_own { "objective".to_owned() } else { column(&objective.name) };
    let rule = |seeds: &SeedStatistics| definition.aggregate.value(objective.goal, seeds);
    let points = points(&mut client, sweep.as_str(), &column, rule).await?;
    let found = importances(&definition, &schema, &points, objective.goal);
    if let Some(remark) = remark(&found) {
        format::note(remark);
    }
    match output {
        OutputFormat::Csv => format::print(csv(&found))?,
        OutputFormat::Json => {
            format::print_json(&json(sweep.as_str(), objective.name.as_str(), &found))?;
        }
        _ => format::print(table(&found))?,
    }
    Ok(())
}

/// Returns the metric by which points are good, and its direction.
fn objective(
    asked: Option<&str>,
    own: &Objective,
    schema: &WorkloadSchema,
) -> Result<Objective, Failure> {
    let Some(asked) = asked.filter(|asked| *asked != own.name.as_str()) else {
        return Ok(own.clone());
    };
    let known = schema.metrics.iter().find(|metric| metric.name.as_str() == asked);
    let names = || schema.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>();
    let unknown =
        || Failure::usage(format!("no metric `{asked}`; there are {}", names().join(", ")));
    let metric = known.ok_or_else(unknown)?;
    let goal = if metric.rises { Goal::Maximize } else { Goal::Minimize };
    Ok(Objective { name: metric.name.clone(), goal, target: None })
}

/// Returns the column of `trials` with the final value of a metric of the workload.
fn column(metric: &MetricName) -> String {
    metric.as_str().replace("validation", "val").replace('.', "_")
}

/// Returns the points that have a completed trial, with their values by `rule` in a column of
/// `trials`.
async fn points(
    client: &mut Client,
    sweep: &str,
    column: &str,
    rule: impl Fn(&SeedStatistics) -> Option<f64>,
) -> Result<Vec<(Point, f64)>, Failure> {
    let sql = format!(
        "SELECT swept, count(*) AS count, avg(value) AS mean, stddev(value) AS sd, median(value) AS median \
         FROM (SELECT point, swept, coalesce({column}, CAST('NaN' AS DOUBLE)) AS value FROM trials \
         WHERE sweep = '{sweep}' AND status = 'completed') GROUP BY point, swept ORDER BY point"
    );
    let rows: Vec<PointRow> = query_reply::rows(client, &sql).await?;
    let parse = |row: PointRow| {
        let point = serde_json::from_str(&row.swept).context("reading the point of a trial")?;
        Ok((point, rule(&row.statistics()).unwrap_or(f64::NAN)))
    };
    rows.into_iter().map(parse).collect::<anyhow::Result<_>>().map_err(Failure::Other)
}

/// Returns a remark about results that say little.
fn remark(found: &Importances) -> Option<String> {
    if found.parameters.is_empty() {
        return Some("the sweep has no parameters".to_owned());
    }
    if found.is_reliable() {
        return None;
    }
    let points = match found.points {
        1 => "1 point has".to_owned(),
        points => format!("{points} points have"),
    };
    let enough = Importances::ENOUGH_POINTS;
    Some(format!("{points} a result: importances are rough with fewer than {enough}"))
}

fn paths(parameter: &ParameterImportance) -> String {
    parameter.paths.join(", ")
}

fn table(found: &Importances) -> comfy_table::Table {
    let mut table = format::table(&["PARAMETER", "IMPORTANCE", "POINTS"]);
    format::align_right(&mut table, &[1, 2]);
    for parameter in &found.parameters {
        let importance = format!("{:.1} %", 100.0 * parameter.importance);
        table.add_row([paths(parameter), importance, parameter.points.to_string()]);
    }
    table
}

fn csv(found: &Importances) -> String {
    let row = |parameter: &ParameterImportance| {
        // Paths have no quotes; those of zipped parameters are separated by spaces.
        let paths = parameter.paths.join(" ");
        format!("{paths},{},{}", parameter.importance, parameter.points)
    };
    let head = ["parameter,importance,points".to_owned()].into_iter();
    head.chain(found.parameters.iter().map(row)).collect::<Vec<_>>().join("\n")
}

fn json(sweep: &str, metric: &str, found: &Importances) -> Value {
    let parameter = |parameter: &ParameterImportance| {
        json!({
            "parameters": parameter.paths,
            "importance": parameter.importance,
            "points": parameter.points,
        })
    };
    json!({
        "sweep": sweep,
        "metric": metric,
        "points": found.points,
        "best": found.best,
        "reliable": found.is_reliable(),
        "importances": found.parameters.iter().map(parameter).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use rheo_model::config::Metric;
    use rheo_model::row::Table;

    use super::*;

    fn found(points: usize) -> Importances {
        let zipped = vec!["a".to_owned(), "b.c".to_owned()];
        let parameters = vec![ParameterImportance { paths: zipped, importance: 1.0, points }];
        Importances { points, best: points.div_ceil(10), parameters }
    }

    #[test]
    fn few_points_are_remarked() {
        let few = remark(&found(1)).unwrap();
        assert_eq!(few, "1 point has a result: importances are rough with fewer than 50");
        assert!(remark(&found(49)).unwrap().starts_with("49 points have"));
        assert_eq!(remark(&found(50)), None);
        let none = Importances { parameters: Vec::new(), ..found(50) };
        assert_eq!(remark(&none).unwrap(), "the sweep has no parameters");
    }

    #[test]
    fn zipped_parameters_are_one_row() {
        assert_eq!(csv(&found(60)), "parameter,importance,points\na b.c,1,60");
        let value = json("demo", "test.loss", &found(60));
        assert_eq!(value["importances"][0]["parameters"], json!(["a", "b.c"]));
        assert_eq!(value["reliable"], json!(true));
    }

    #[test]
    fn every_metric_is_a_column_of_the_trials() {
        for metric in Metric::ALL {
            let name = column(&metric.to_name());
            assert!(rheo_query::columns(Table::Trials).any(|column| column.name == name), "{name}");
        }
    }
}
