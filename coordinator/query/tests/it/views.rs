//! Tests of views and table functions on rows with known results.

mod comparisons;
mod importance;
mod points;
mod pooled_gain_fits;
mod robustness;
mod sweeps;

use rheo_model::config::{NetworkKind, TaskKind, TrialConfig};
use rheo_model::row::{Rows, Table};
use rheo_query::engine::VIEWS;
use rheo_query::{TrialKeys, columns, encode, encode_trials};

use crate::fixture::Fixture;
use crate::sample;

/// A trial of an adaptive network.
fn adaptive(task: TaskKind, seed: u64) -> TrialConfig {
    let mut config = TrialConfig { seed, ..TrialConfig::default() };
    config.task.kind = task;
    config.network.kind = NetworkKind::Adaptive;
    config
}

/// Commits the rows of a trial and its end.
fn end(fixture: &mut Fixture, sweep: &str, trial: u64, config: &TrialConfig, rows: &Rows) {
    let config = sample::resolved(config);
    for batch in encode(&TrialKeys::new(trial, &config), rows).unwrap() {
        fixture.commit(sweep, batch);
    }
    let mut row = sample::trial(trial);
    row.config = config.to_string().into();
    row.swept = serde_json::Map::default();
    fixture.commit(sweep, encode_trials(&[row]).unwrap());
}

/// The fields of a result, line by line, without the header.
async fn ask(fixture: &Fixture, sql: &str) -> Vec<Vec<String>> {
    let answer = fixture.query(sql).await.unwrap();
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    answer.lines().skip(1).map(fields).collect()
}

/// Checks that the fields are the expected numbers within the relative `tolerance`.
#[track_caller]
fn assert_numbers(fields: &[String], expected: &[f64], tolerance: f64) {
    assert_eq!(fields.len(), expected.len(), "{fields:?}");
    for (field, expected) in fields.iter().zip(expected) {
        let found: f64 = field.parse().unwrap();
        let off = (found - expected).abs();
        assert!(off <= tolerance * expected.abs(), "{fields:?}: {found}, not {expected}");
    }
}

#[tokio::test]
async fn views_have_their_listed_columns() {
    let fixture = Fixture::new();
    let names = |columns: Vec<rheo_query::Column>| -> Vec<&str> {
        columns.iter().map(|column| column.name).collect()
    };
    for view in VIEWS {
        let sql = format!("SELECT * FROM {}", view.name);
        let answer = fixture.engine().query(fixture.snapshot(), &sql).await.unwrap();
        let schema = answer.schema();
        let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(found, names(view.columns.to_vec()), "{}", view.name);
        for (column, field) in view.columns.iter().zip(schema.fields()) {
            // A column of the same type in a table has the same Arrow type.
            let in_table = Table::ALL.iter().find_map(|table| {
                let other = columns(*table).find(|other| other.kind == column.kind)?;
                Some(
                    rheo_query::schema(*table)
                        .field_with_name(other.name)
                        .unwrap()
                        .data_type()
                        .clone(),
                )
            });
            assert_eq!(Some(field.data_type()), in_table.as_ref(), "{}.{}", view.name, column.name);
            assert!(column.nullable || !column.meaning.is_empty());
        }
    }
    let tables = fixture.query("SHOW TABLES").await.unwrap();
    assert!(VIEWS.iter().all(|view| tables.contains(view.name)), "{tables}");
}

#[tokio::test]
async fn the_queries_of_the_reference_run() {
    let mut fixture = Fixture::new();
    fixture.run("demo", 0);
    fixture.definitions = importance::definitions("psmnist-kinds");
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results.md");
    let text = std::fs::read_to_string(reference).unwrap();
    let blocks = text.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    let queries: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(queries.len() > 3, "{queries:?}");
    for sql in queries {
        fixture.query(sql).await.unwrap();
    }
}
