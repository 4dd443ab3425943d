//! Tests of the code that `tables!` generates.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::json;

use super::*;
use rheo_core::rows::RowBatch;

fn eigenvalues(indices: std::ops::Range<u32>) -> Vec<EigenvalueRow> {
    let row = |index| EigenvalueRow {
        epoch: -1,
        variant: Variant::Released,
        stage: "init".to_owned(),
        index,
        re: f64::from(index),
        im: 0.0,
        spectral_radius: 1.0,
        orthogonality: 0.0,
    };
    indices.map(row).collect()
}

fn lags(lags: std::ops::Range<u32>) -> Vec<MutualInformationRow> {
    let row = |lag| MutualInformationRow {
        epoch: 3,
        variant: Variant::Corrected,
        lag,
        dimension: 3,
        nats: 0.5,
        std: 0.1,
        sequences: 100,
    };
    lags.map(row).collect()
}

/// Returns a different number for each table that a trainer fills.
fn counts() -> RowCounts {
    of(&Table::TRAINED.into_iter().zip(1..).collect::<Vec<_>>())
}

fn of(counts: &[(Table, u64)]) -> RowCounts {
    counts.iter().map(|(table, count)| (table.to_name(), *count)).collect()
}

#[test]
fn every_table_has_a_unique_name_and_a_description() {
    let names: BTreeSet<_> = Table::ALL.map(Table::name).into();
    assert_eq!(names.len(), Table::ALL.len());
    for (position, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(table as usize, position);
        assert_eq!(Table::parse(table.name()), Some(table));
        assert_eq!(serde_json::to_value(table).unwrap(), table.name());
        let coordinators = [Table::Attempts, Table::Logs].contains(&table);
        assert!(table.about().starts_with("One row per trial") || coordinators);
        assert!(table.about().ends_with('.'));
    }
    assert_eq!(Table::parse("Epochs"), None);
    assert_eq!(Table::ALL[3..], Table::TRAINED);
}

#[test]
fn rows_are_counted_joined_and_skipped_by_table() {
    let mut rows = Rows { eigenvalues: eigenvalues(0..2), ..Rows::default() };
    assert!(!rows.is_empty());
    assert!(Rows::default().is_empty());
    rows.append(Rows {
        eigenvalues: eigenvalues(2..5),
        mutual_information: lags(0..2),
        ..Rows::default()
    });
    let expected = of(&[(Table::Eigenvalues, 5), (Table::MutualInformation, 2)]);
    assert_eq!(rows.counts(), expected);
    rows.skip(&of(&[(Table::Eigenvalues, 4), (Table::MutualInformation, 9)]));
    assert_eq!(rows, Rows { eigenvalues: eigenvalues(4..5), ..Rows::default() });
}

#[test]
fn a_visitor_sees_every_table_in_order() {
    struct RecordedVisits(Vec<(Table, usize)>);
    impl Visitor for RecordedVisits {
        type Error = Table;
        fn visit<R: Serialize>(&mut self, table: Table, rows: &[R]) -> Result<(), Table> {
            self.0.push((table, rows.len()));
            if rows.len() > 2 { Err(table) } else { Ok(()) }
        }
    }
    let mut rows = Rows { eigenvalues: eigenvalues(0..2), ..Rows::default() };
    let mut seen = RecordedVisits(Vec::new());
    assert_eq!(rows.visit(&mut seen), Ok(()));
    let length = |table| if table == Table::Eigenvalues { 2 } else { 0 };
    assert_eq!(seen.0, Table::TRAINED.map(|table| (table, length(table))));
    rows.eigenvalues = eigenvalues(0..3);
    assert_eq!(rows.visit(&mut seen), Err(Table::Eigenvalues));
}

#[test]
fn counts_cover_the_tables_that_trainers_fill() {
    let all = counts();
    for (table, count) in Table::TRAINED.into_iter().zip(1..) {
        assert_eq!(all.get(&table.to_name()), count);
    }
    assert_eq!(all.by_table().count(), Table::TRAINED.len());
    let total = (1..=Table::TRAINED.len() as u64).sum::<u64>();
    assert_eq!((all.total(), all.plus(&all).total()), (total, 2 * total));
    assert_eq!(all.plus(&all).beyond(&all), all);
    assert_eq!(all.beyond(&all.plus(&all)), RowCounts::default());
    assert_eq!(all.max(&all.plus(&all)), all.plus(&all));

    let batch = |table: Table, rows| RowBatch { table: table.into(), rows, ipc: Bytes::new() };
    let batches = [
        batch(Table::Trials, 1),
        batch(Table::Lyapunov, 3),
        batch(Table::Epochs, u64::MAX),
        batch(Table::Lyapunov, 4),
        batch(Table::Epochs, 2),
    ];
    let expected = of(&[(Table::Epochs, u64::MAX), (Table::Lyapunov, 7)]);
    assert_eq!(RowCounts::of(&batches), expected);
    assert_eq!(expected.total(), u64::MAX);
}

#[test]
fn counts_are_stored_by_name_without_zeros() {
    let some = of(&[(Table::Epochs, 3), (Table::SlopeContours, 40)]);
    assert_eq!(serde_json::to_value(&some).unwrap(), json!({ "epochs": 3, "slope_contours": 40 }));
    for counts in [RowCounts::default(), some, counts()] {
        let value = serde_json::to_value(&counts).unwrap();
        assert_eq!(serde_json::from_value::<RowCounts>(value).unwrap(), counts);
    }
}

#[test]
fn a_summary_of_an_older_version_has_no_neuron_count() {
    let mut old = serde_json::to_value(Summary { hidden: 7, ..Summary::default() }).unwrap();
    assert_eq!(old["hidden"], 7);
    old.as_object_mut().unwrap().remove("hidden");
    assert_eq!(serde_json::from_value::<Summary>(old).unwrap(), Summary::default());
}
