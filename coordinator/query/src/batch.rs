//! Batches: rows of one table in bytes, as workers send them and the journal keeps them.
//!
//! [`parse`] checks a batch of a worker once, before its commit is accepted: a [`RowBatch`] has the
//! current schema and at least one row, all of one trial. Then it is opaque until it is written into
//! a part or queried.

mod error;

use std::sync::LazyLock;

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use rheo_core::name::TableName;
use rheo_core::rows::RowBatch;
use rheo_model::row::Table;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use error::{Error, MAX_BYTES};

use crate::ipc::{self, StreamHeader};
use crate::tables;
use crate::version::{SCHEMA_VERSION, VERSION_KEY};

/// The key columns, which name the trial of a row. The sweep is not among them; it is the directory
/// of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialKeys {
    /// The trial, counted from 0 in its sweep.
    pub trial: u64,
    /// `task.kind` of the trial.
    pub task: String,
    /// `network.kind` of the trial.
    pub net: String,
    /// The seed of the trial.
    pub seed: u64,
}

impl TrialKeys {
    /// The keys of `trial` with the full configuration `config`.
    pub fn new(trial: u64, config: &Json) -> Self {
        let text = |group: &str| config[group]["kind"].as_str().unwrap_or_default().to_owned();
        let seed = config["seed"].as_u64().unwrap_or_default();
        Self { trial, task: text("task"), net: text("network"), seed }
    }
}

/// Encodes rows of `table` as an Arrow IPC stream: the current schema, one uncompressed record
/// batch, the end mark.
pub(crate) fn encode_stream(table: Table, rows: RecordBatch) -> Result<RowBatch, Error> {
    let version = (VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string());
    let schema = tables::schema(table).as_ref().clone().with_metadata([version].into());
    let rows = rows.with_schema(schema.into())?;
    Ok(RowBatch { table: table.into(), rows: rows.num_rows() as u64, ipc: ipc::encode(&rows)? })
}

/// The stream header of each table in this version, which nearly all streams have.
static HEADERS: LazyLock<Vec<Option<StreamHeader>>> = LazyLock::new(|| {
    let header = |table| {
        let empty = encode_stream(table, RecordBatch::new_empty(tables::schema(table))).ok()?;
        StreamHeader::of(&empty.ipc).ok()
    };
    Table::ALL.map(header).into()
});

/// Decodes a stream of rows of `table`, of any version.
pub(crate) fn decode(table: Table, stream: &Bytes) -> Result<RecordBatch, Error> {
    ipc::decode(stream, HEADERS.get(table as usize).and_then(Option::as_ref))
}

/// Checks that bytes of a worker are rows of table `name` that all belong to the trial with
/// `keys`. Safe on any bytes: memory is bounded by their length.
pub fn parse(name: &TableName, keys: &TrialKeys, ipc: Bytes) -> Result<RowBatch, Error> {
    if ipc.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: ipc.len() });
    }
    let table = Table::try_from(name)?;
    let rows = decode(table, &ipc)?;
    let schema = rows.schema();
    if schema.fields() != tables::schema(table).fields() {
        let version = schema.metadata().get(VERSION_KEY).cloned();
        return Err(Error::Schema {
            table: table.name(),
            version: version.unwrap_or_else(|| "unknown".to_owned()),
        });
    }
    if rows.num_rows() == 0 {
        return Err(Error::Empty);
    }
    check_keys(keys, &rows)?;
    Ok(RowBatch { table: name.clone(), rows: rows.num_rows() as u64, ipc })
}

/// Checks the key columns, which come first in every table (see `tables::columns`).
fn check_keys(keys: &TrialKeys, rows: &RecordBatch) -> Result<(), Error> {
    let numbers = |column: usize, wanted: u64| {
        let values = rows.column(column).as_primitive::<UInt64Type>();
        values.values().iter().all(|value| *value == wanted)
    };
    let texts = |column: usize, wanted: &str| {
        let values = rows.column(column).as_string::<i32>();
        (0..values.len()).all(|row| values.value(row) == wanted)
    };
    let columns = [
        ("trial", numbers(0, keys.trial)),
        ("task", texts(1, &keys.task)),
        ("net", texts(2, &keys.net)),
        ("seed", numbers(3, keys.seed)),
    ];
    match columns.iter().find(|(_, matches)| !matches) {
        Some((column, _)) => Err(Error::Foreign { column, trial: keys.trial }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use arrow::datatypes::{Float64Type, UInt32Type};
    use proptest::prelude::*;
    use rheo_model::config::TaskKind;
    use rheo_model::row::{LyapunovRow, Rows, Summary};

    use super::*;
    use crate::stored_rows::read;
    use crate::{TrialRow, sample};

    fn epochs(trial: u64) -> RowBatch {
        let batches = crate::encode(&sample::keys(trial), &sample::rows(trial)).unwrap();
        batches.into_iter().find(|batch| batch.table == Table::Epochs).unwrap()
    }

    /// A batch of each table except `attempts`.
    fn every_batch() -> &'static [RowBatch] {
        static BATCHES: LazyLock<Vec<RowBatch>> = LazyLock::new(|| {
            let trained = crate::encode(&sample::keys(5), &sample::rows(5)).unwrap();
            let trials = tables::trials(&[sample::trial(5)]).unwrap();
            let trials = encode_stream(Table::Trials, trials).unwrap();
            trained.into_iter().chain([trials]).collect()
        });
        &BATCHES
    }

    #[test]
    fn batches_of_a_worker_are_accepted() {
        let keys = sample::keys(5);
        let batches = crate::encode(&keys, &sample::rows(5)).unwrap();
        assert_eq!(batches.len(), Table::TRAINED.len());
        for batch in batches {
            let parsed = parse(&batch.table, &keys, batch.ipc.clone()).unwrap();
            assert_eq!(parsed, batch);
        }
        assert!(crate::encode(&keys, &Rows::default()).unwrap().is_empty());
    }

    #[test]
    fn numbers_keep_every_bit_even_if_not_finite() {
        let sample = sample::rows(5).lyapunov;
        let numbers = [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -0.0, 5e-324, 0.1, 1e300];
        let row = |nats| LyapunovRow { nats, ..sample[0].clone() };
        let rows = Rows { lyapunov: numbers.map(row).into(), ..Rows::default() };
        let rows = read(&crate::encode(&sample::keys(5), &rows).unwrap()[0]);
        let nats = rows.column_by_name("nats").unwrap().as_primitive::<Float64Type>();
        assert_eq!(nats.null_count(), 0);
        let bits: Vec<u64> = nats.values().iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, numbers.map(f64::to_bits));
    }

    #[test]
    fn every_row_has_the_variant_of_its_formulas() {
        let rows = sample::rows(5);
        for batch in crate::encode(&sample::keys(5), &rows).unwrap() {
            let table = read(&batch);
            let variants = table.column_by_name("variant").unwrap().as_string::<i32>();
            let both = [Table::FractionalFits, Table::SlopeContours]
                .iter()
                .any(|table| batch.table == *table);
            let expected = if both { "released" } else { "corrected" };
            assert_eq!(variants.value(0), "corrected");
            assert_eq!(variants.value(1), expected, "{}", batch.table);
        }
    }

    #[test]
    fn rows_of_the_coordinator_pass_the_same_check() {
        let trials = tables::encode_trials(&[sample::trial(5)]).unwrap();
        let attempts = tables::encode_attempts(&[sample::attempt(5)]).unwrap();
        for batch in [trials, attempts] {
            let table = Table::try_from(&batch.table).unwrap();
            let stream = encode_stream(table, read(&batch)).unwrap();
            let parsed = parse(&batch.table, &sample::keys(5), stream.ipc).unwrap();
            assert_eq!(parsed.rows, 1);
            // Packed rows are refused from a worker.
            assert!(parse(&batch.table, &sample::keys(5), batch.ipc).is_err());
        }
    }

    #[test]
    fn hidden_is_the_actual_number_of_neurons() {
        let hidden = |hidden: Option<u32>| {
            let summary = hidden.map(|hidden| Summary { hidden, ..Summary::default() });
            let row = TrialRow { summary, ..sample::trial(5) };
            let rows = read(&tables::encode_trials(&[row]).unwrap());
            rows.column_by_name("hidden").unwrap().as_primitive::<UInt32Type>().value(0)
        };
        assert_eq!(hidden(Some(37)), 37);
        assert_eq!(hidden(Some(0)), 100, "a summary of an older version");
        assert_eq!(hidden(None), 100);
    }

    #[test]
    fn kinds_have_the_names_of_sweep_files() {
        for kind in [TaskKind::Digits, TaskKind::Smnist, TaskKind::Psmnist, TaskKind::Copy] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn rows_of_another_trial_or_table_are_refused() {
        let (ours, keys) = (epochs(5), sample::keys(5));
        let refusal = |table: &TableName, keys: &TrialKeys, ipc| {
            parse(table, keys, ipc).unwrap_err().to_string()
        };
        for (other, column) in [
            (TrialKeys { trial: 6, ..keys.clone() }, "trial"),
            (TrialKeys { task: "copy".to_owned(), ..keys.clone() }, "task"),
            (TrialKeys { net: "lstm".to_owned(), ..keys.clone() }, "net"),
            (TrialKeys { seed: 1, ..keys.clone() }, "seed"),
        ] {
            let text = refusal(&Table::Epochs.to_name(), &other, ours.ipc.clone());
            assert!(text.ends_with(&format!("`{column}` differs")), "{text}");
        }
        insta::assert_snapshot!(
            refusal(&Table::Shapes.to_name(), &keys, ours.ipc.clone()),
            @"not the columns of table `shapes` in version 6 of the schemas: `6`"
        );
        let none =
            encode_stream(Table::Epochs, RecordBatch::new_empty(tables::schema(Table::Epochs)));
        assert_eq!(
            refusal(&Table::Epochs.to_name(), &keys, none.unwrap().ipc),
            "a batch without rows"
        );
    }

    #[test]
    fn malformed_streams_are_refused() {
        let (good, keys) = (epochs(5).ipc, sample::keys(5));
        let absurd_header = [&[0xff; 4][..], &0x7fff_ffff_u32.to_le_bytes(), &good[8..]].concat();
        for (name, bytes) in [
            ("nothing", Bytes::new()),
            ("text", Bytes::from_static(b"trial,epoch\n1,2\n")),
            ("trailing bytes", [&good[..], b"x"].concat().into()),
            ("two streams", [&good[..], &good[..]].concat().into()),
            ("a header of 2 GiB", absurd_header.into()),
            ("too many bytes", vec![0; MAX_BYTES + 1].into()),
        ] {
            assert!(parse(&Table::Epochs.to_name(), &keys, bytes).is_err(), "{name}");
        }
        for length in 0..good.len() {
            let cut = good.slice(..length);
            assert!(parse(&Table::Epochs.to_name(), &keys, cut).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn misaligned_bytes_are_accepted() {
        let good = epochs(5);
        let shifted = Bytes::from([b"x", &good.ipc[..]].concat()).slice(1..);
        assert_eq!(parse(&Table::Epochs.to_name(), &sample::keys(5), shifted).unwrap(), good);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Memory is bounded, because the decoder never allocates by a number in the bytes: it slices
        /// them, and copies a buffer only within the body.
        #[test]
        fn mangled_bytes_never_panic(
            table in 0..=Table::TRAINED.len(),
            mangled in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let batch = &every_batch()[table];
            let mut bytes = batch.ipc.to_vec();
            for (index, byte) in mangled {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(parsed) = parse(&batch.table, &sample::keys(5), bytes.into()) {
                // Values may change, the number of rows and the keys may not.
                prop_assert_eq!(parsed.rows, batch.rows);
            }
        }
    }
}
