//! `rheo importance`: which parameters of a sweep the best points depend on.

use rheo_core::importance::Importances;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::select::{self, SweepSelector};
use super::{GlobalArgs, OutputFormat, format};
use crate::query_reply;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name of a sweep, or `last`.
    sweep: SweepSelector,
    /// The metric by which points are good; by default that of the sweep.
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
}

/// A row of the SQL function `importance`.
#[derive(Debug, Clone, Deserialize)]
struct ParameterRow {
    parameter: String,
    importance: f64,
    points: u64,
    all_points: u64,
    best_points: u64,
    metric: String,
}

pub(super) async fn run(global: &GlobalArgs, args: &Args) -> Result<(), Failure> {
    let output = global.output.unwrap_or(OutputFormat::Table);
    if !matches!(output, OutputFormat::Table | OutputFormat::Json | OutputFormat::Csv) {
        return Err(Failure::usage("`rheo importance` prints `table`, `json` or `csv`"));
    }
    let mut client = global.connect().await?;
    let sweep = select::one(&mut client, &args.sweep).await?;
    let sql = sql(sweep.as_str(), args.metric.as_deref());
    let rows: Vec<ParameterRow> = query_reply::rows(&mut client, &sql).await?;
    if let Some(remark) = remark(&rows) {
        format::note(remark);
    }
    match output {
        OutputFormat::Csv => format::print(csv(&rows))?,
        OutputFormat::Json => format::print_json(&json(sweep.as_str(), &rows))?,
        _ => format::print(table(&rows))?,
    }
    Ok(())
}

fn sql(sweep: &str, metric: Option<&str>) -> String {
    let metric = metric.map(|metric| format!(", '{}'", metric.replace('\'', "''")));
    format!("SELECT * FROM importance('{sweep}'{})", metric.unwrap_or_default())
}

/// Returns a remark about results that say little.
fn remark(rows: &[ParameterRow]) -> Option<String> {
    let enough = Importances::ENOUGH_POINTS;
    match rows.first().map(|row| row.all_points) {
        None => Some("the sweep has no parameters".to_owned()),
        Some(0) => Some("no point has a result yet".to_owned()),
        Some(points) if points >= enough as u64 => None,
        Some(points) => {
            let have = if points == 1 { "point has" } else { "points have" };
            let few = format!("{points} {have} a result");
            Some(format!("{few}: importances are rough with fewer than {enough}"))
        }
    }
}

fn table(rows: &[ParameterRow]) -> comfy_table::Table {
    let mut table = format::table(&["PARAMETER", "IMPORTANCE", "POINTS"]);
    format::align_right(&mut table, &[1, 2]);
    for row in rows {
        let importance = format!("{:.1} %", 100.0 * row.importance);
        // The paths of zipped parameters are separated by spaces.
        table.add_row([row.parameter.replace(' ', ", "), importance, row.points.to_string()]);
    }
    table
}

fn csv(rows: &[ParameterRow]) -> String {
    let line = |row: &ParameterRow| format!("{},{},{}", row.parameter, row.importance, row.points);
    let head = ["parameter,importance,points".to_owned()].into_iter();
    head.chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

fn json(sweep: &str, rows: &[ParameterRow]) -> Value {
    let parameter = |row: &ParameterRow| {
        json!({
            "parameters": row.parameter.split(' ').collect::<Vec<_>>(),
            "importance": row.importance,
            "points": row.points,
        })
    };
    let points = rows.first().map_or(0, |row| row.all_points);
    json!({
        "sweep": sweep,
        "metric": rows.first().map(|row| &row.metric),
        "points": points,
        "best": rows.first().map_or(0, |row| row.best_points),
        "reliable": points >= Importances::ENOUGH_POINTS as u64,
        "importances": rows.iter().map(parameter).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(points: u64) -> Vec<ParameterRow> {
        vec![ParameterRow {
            parameter: "a b.c".to_owned(),
            importance: 1.0,
            points,
            all_points: points,
            best_points: points.div_ceil(10),
            metric: "test.loss".to_owned(),
        }]
    }

    #[test]
    fn few_points_are_remarked() {
        let few = remark(&rows(1)).unwrap();
        assert_eq!(few, "1 point has a result: importances are rough with fewer than 50");
        assert!(remark(&rows(49)).unwrap().starts_with("49 points have"));
        assert_eq!(remark(&rows(50)), None);
        assert_eq!(remark(&rows(0)).unwrap(), "no point has a result yet");
        assert_eq!(remark(&[]).unwrap(), "the sweep has no parameters");
    }

    #[test]
    fn zipped_parameters_are_one_row() {
        assert_eq!(csv(&rows(60)), "parameter,importance,points\na b.c,1,60");
        let value = json("demo", &rows(60));
        assert_eq!(value["importances"][0]["parameters"], json!(["a", "b.c"]));
        assert_eq!((&value["reliable"], &value["metric"]), (&json!(true), &json!("test.loss")));
    }

    #[test]
    fn a_metric_is_quoted() {
        assert_eq!(sql("demo", None), "SELECT * FROM importance('demo')");
        assert_eq!(sql("demo", Some("it's")), "SELECT * FROM importance('demo', 'it''s')");
    }
}
