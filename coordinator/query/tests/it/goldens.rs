//! U31: files of every schema version stay readable.
//!
//! tests/goldens/v<n> is a small dataset written by version n and never changed. For a new version,
//! `RHEO_BLESS=1` adds its dataset. tests/goldens/run-v4 holds the results of a whole run of version 4.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rheo_core::id::SweepName;
use rheo_core::part::{Part, TrialRanges};
use rheo_model::row::Table;
use rheo_query::{Dataset, SCHEMA_VERSION};

use crate::fixture::{Fixture, everything};
use crate::sample;

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens");

/// The parts below `root`, which lacks the directories of later tables.
fn parts(root: &Path) -> Vec<Part> {
    let mut parts = Vec::new();
    for table in Table::ALL {
        let directory = root.join(table.name()).join("sweep=golden");
        if !directory.exists() {
            continue;
        }
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let mut range = name.split('-').skip(1).map(|number| number.parse().unwrap());
            let file = File::open(&path).unwrap();
            let bytes = file.metadata().unwrap().len();
            let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let rows = metadata.metadata().file_metadata().num_rows();
            parts.push(Part {
                table: table.into(),
                sweep: SweepName::parse("golden").unwrap(),
                first: range.next().unwrap(),
                last: range.next().unwrap(),
                generation: 0,
                rows: u64::try_from(rows).unwrap(),
                bytes,
                digest: None,
                trials: TrialRanges::default(),
            });
        }
    }
    parts
}

fn bless(version: &Path) {
    let mut fixture = Fixture::new();
    fixture.dataset = Dataset::new(version);
    (0..3).for_each(|trial| fixture.run("golden", trial));
    fixture.flush();
    fs::remove_dir(version.join(".staging")).unwrap();
}

#[tokio::test]
async fn u31_files_of_every_version_stay_readable() {
    let newest = Path::new(GOLDENS).join(format!("v{SCHEMA_VERSION}"));
    if std::env::var_os("RHEO_BLESS").is_some() && !newest.exists() {
        bless(&newest);
    }
    assert!(newest.exists(), "version {SCHEMA_VERSION} has no golden files; set RHEO_BLESS=1");
    for version in 1..=SCHEMA_VERSION {
        let root = Path::new(GOLDENS).join(format!("v{version}"));
        let mut fixture = Fixture::new();
        fixture.dataset = Dataset::new(&root);
        fixture.parts = parts(&root);
        let held = |table: &Table| fixture.parts.iter().any(|part| part.table == *table);
        let tables: Vec<Table> = Table::ALL.into_iter().filter(held).collect();
        assert!(tables == Table::ALL || version < SCHEMA_VERSION, "{tables:?}");
        for table in tables {
            let name = format!("v{version}_{}", table.name());
            insta::assert_snapshot!(name, fixture.query(&everything(table)).await.unwrap());
        }
    }
}

/// The results of `goldens/run-v4/sweep.yaml`, run by version 4: real rows in the directories of a
/// real state.
#[tokio::test]
async fn u31_the_results_of_a_run_of_version_4_stay_readable() {
    let root = Path::new(GOLDENS).join("run-v4");
    let mut fixture = Fixture::new();
    fixture.dataset = Dataset::new(&root);
    fixture.parts = parts(&root);
    let tables = ["attempts", "eigenvalues", "epochs", "evaluations", "shapes", "trials"];
    let held = |table: &Table| fixture.parts.iter().any(|part| part.table == *table);
    let found = Table::ALL.into_iter().filter(held);
    assert_eq!(found.clone().map(Table::name).collect::<BTreeSet<_>>(), BTreeSet::from(tables));
    for table in found {
        let name = format!("run_v4_{}", table.name());
        insta::assert_snapshot!(name, fixture.query(&everything(table)).await.unwrap());
    }
    let points = "SELECT sweep, point, rank, outcome, completed, mean FROM points ORDER BY point";
    insta::assert_snapshot!("run_v4_points", fixture.query(points).await.unwrap());
}

/// The columns of `rows` without those named in `lacking`, also within structs.
fn without(rows: &RecordBatch, lacking: &[&str]) -> RecordBatch {
    let fields = rows.schema().fields().clone();
    let all = StructArray::new(fields, rows.columns().to_vec(), None);
    let DataType::Struct(fields) = all.data_type().clone() else { unreachable!() };
    let (fields, columns) = kept(&all, &fields, lacking);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn kept(
    all: &StructArray,
    fields: &arrow::datatypes::Fields,
    lacking: &[&str],
) -> (Vec<Field>, Vec<Arc<dyn Array>>) {
    let mut kept_fields = Vec::new();
    let mut columns: Vec<Arc<dyn Array>> = Vec::new();
    for (field, column) in fields.iter().zip(all.columns()) {
        if lacking.contains(&field.name().as_str()) {
            continue;
        }
        if let DataType::Struct(children) = field.data_type() {
            let (children, arrays) = kept(column.as_struct(), children, lacking);
            let array = StructArray::new(children.into(), arrays, column.nulls().cloned());
            let field = field.as_ref().clone().with_data_type(array.data_type().clone());
            kept_fields.push(field);
            columns.push(Arc::new(array));
        } else {
            kept_fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    (kept_fields, columns)
}

/// Rewrites the file of `part` without some columns, like an older version.
fn age(root: &Path, part: &mut Part, lacking: &[&str]) {
    let path = root.join(part.path());
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let rows: Vec<RecordBatch> =
        reader.build().unwrap().map(|rows| without(&rows.unwrap(), lacking)).collect();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows[0].schema(), None).unwrap();
    for rows in &rows {
        writer.write(rows).unwrap();
    }
    writer.close().unwrap();
    part.bytes = fs::metadata(&path).unwrap().len();
    // Older versions recorded no digest.
    part.digest = None;
}

#[tokio::test]
async fn u31_what_an_older_file_lacks_is_null_beside_newer_files() {
    let mut fixture = Fixture::new();
    (0..2).for_each(|trial| fixture.run("demo", trial));
    fixture.flush();
    for part in &mut fixture.parts {
        age(
            fixture.root.path(),
            part,
            &["split_seed", "device", "n_mean", "controller", "timeout"],
        );
    }
    (2..4).for_each(|trial| fixture.run("demo", trial));
    fixture.flush();
    fixture.run("demo", 4);

    let trials = "SELECT trial, device, config['network']['controller'] AS controller, \
                  config['network']['hidden'] AS hidden FROM trials ORDER BY trial";
    let epochs = "SELECT trial, epoch, n_mean, val_loss FROM epochs ORDER BY trial, epoch";
    let seen = [fixture.query(trials).await.unwrap(), fixture.query(epochs).await.unwrap()];
    insta::assert_snapshot!(seen.join("\n"));

    for table in [Table::Trials, Table::Epochs] {
        let parts = fixture.parts_of(table, "demo");
        let sweep = SweepName::parse("demo").unwrap();
        let compaction =
            fixture.dataset.compact(&table.to_name(), &sweep, &parts, &[]).unwrap().unwrap();
        fixture.dataset.publish(&compaction).unwrap();
        fixture.parts.retain(|part| !parts.contains(part));
        fixture.parts.extend(compaction.new);
    }
    assert_eq!(fixture.query(trials).await.unwrap(), seen[0]);
    assert_eq!(fixture.query(epochs).await.unwrap(), seen[1]);
}

#[test]
fn u30_parts_can_be_read_in_place_while_the_sweep_runs() {
    let mut fixture = Fixture::new();
    (0..3).for_each(|trial| fixture.run("demo", trial));
    fixture.flush();
    fixture.run("demo", 3);
    for table in Table::ALL {
        let directory = fixture.root.path().join(table.name()).join("sweep=demo");
        let mut rows = 0;
        for entry in fs::read_dir(directory).unwrap() {
            let file = File::open(entry.unwrap().path()).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert_eq!(reader.schema().fields(), rheo_query::schema(table).fields());
            rows += reader.build().unwrap().map(|rows| rows.unwrap().num_rows()).sum::<usize>();
        }
        let counts = sample::rows(0).counts();
        let trained = counts.by_table().find(|(other, _)| **other == table);
        let per_trial = trained.map_or(1, |(_, count)| usize::try_from(count).unwrap());
        assert_eq!(rows, 3 * per_trial, "{}", table.name());
    }
}
