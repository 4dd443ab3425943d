//! Tables of the results: their columns, and the conversion of their rows to Arrow.
//!
//! One file per table holds its columns; to add a table, copy such a file. The column list is the
//! single source of the Arrow schema, the Parquet files and docs/results.md. Rows are encoded by their
//! serde names, so that a mismatch of row type and columns is an error.
//!
//! Schemas evolve by one rule: tables, columns and fields of `config` are only added, and added columns
//! are nullable. Parts and batches of older versions read as null in missing columns, see `conform`.

mod activation_curves;
mod adaptation;
mod attempts;
mod controller_pca;
mod eigenvalues;
mod epochs;
mod evaluations;
mod fractional_fits;
mod fractional_traces;
mod gain_fits;
mod gain_scaling;
mod gradients;
mod jacobian;
mod logs;
mod lyapunov;
mod mutual_information;
mod shape_steps;
mod shape_traces;
mod shapes;
mod slope_contours;
mod trials;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rheo_model::row::Table;

pub(crate) use attempts::attempts;
pub use attempts::{AttemptRow, encode_attempts};
pub use logs::encode_logs;
pub(crate) use logs::{LogRows, logs};
pub(crate) use trials::trials;
pub use trials::{TrialRow, encode_trials};

use crate::config;

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: &'static str,
    /// The type of the values.
    pub kind: ColumnType,
    /// Whether values can be null.
    pub nullable: bool,
    /// The unit of the values; empty without one.
    pub unit: &'static str,
    /// The meaning of the values.
    pub meaning: &'static str,
}

impl Column {
    /// Returns the column as a field of a schema.
    pub(crate) fn field(self) -> Field {
        Field::new(self.name, self.kind.data_type(), self.nullable)
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Unsigned integers of 64 bits.
    U64,
    /// Unsigned integers of 32 bits.
    U32,
    /// Signed integers of 32 bits.
    I32,
    /// Floating-point numbers of 64 bits.
    F64,
    /// Booleans.
    Bool,
    /// UTF-8 text.
    Str,
    /// Timestamps, in milliseconds, UTC.
    Time,
    /// The configuration of a trial: a struct with the fields of a sweep file.
    Config,
}

impl ColumnType {
    /// The name in the reference of tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F64 => "f64",
            Self::Bool => "bool",
            Self::Str => "str",
            Self::Time => "timestamp",
            Self::Config => "struct",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::U64 => DataType::UInt64,
            Self::U32 => DataType::UInt32,
            Self::I32 => DataType::Int32,
            Self::F64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Str => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            Self::Config => config::data_type(),
        }
    }
}

/// The columns of `table` in its files. In SQL, `sweep` comes before them; for files it is the name
/// of the directory.
pub fn columns(table: Table) -> impl Iterator<Item = Column> {
    let own: &[Column] = match table {
        Table::Trials => &trials::COLUMNS,
        Table::Attempts => &attempts::COLUMNS,
        Table::Logs => &logs::COLUMNS,
        Table::Epochs => &epochs::COLUMNS,
        Table::Evaluations => &evaluations::COLUMNS,
        Table::Shapes => &shapes::COLUMNS,
        Table::ActivationCurves => &activation_curves::COLUMNS,
        Table::ShapeTraces => &shape_traces::COLUMNS,
        Table::ShapeSteps => &shape_steps::COLUMNS,
        Table::GainScaling => &gain_scaling::COLUMNS,
        Table::GainFits => &gain_fits::COLUMNS,
        Table::FractionalTraces => &fractional_traces::COLUMNS,
        Table::FractionalFits => &fractional_fits::COLUMNS,
        Table::Adaptation => &adaptation::COLUMNS,
        Table::ControllerPca => &controller_pca::COLUMNS,
        Table::Lyapunov => &lyapunov::COLUMNS,
        Table::Jacobian => &jacobian::COLUMNS,
        Table::SlopeContours => &slope_contours::COLUMNS,
        Table::Gradients => &gradients::COLUMNS,
        Table::Eigenvalues => &eigenvalues::COLUMNS,
        Table::MutualInformation => &mutual_information::COLUMNS,
    };
    KEYS.iter().chain(own).copied()
}

/// The Arrow schema of [`columns`].
pub fn schema(table: Table) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; Table::ALL.len()]> = LazyLock::new(|| {
        Table::ALL.map(|table| {
            Arc::new(Schema::new(columns(table).map(Column::field).collect::<Vec<_>>()))
        })
    });
    Arc::clone(&SCHEMAS[table as usize])
}

/// The time zone of timestamps.
pub(crate) const UTC: &str = "UTC";

/// The first columns of every table.
pub(crate) const KEYS: [Column; 4] = [
    required("trial", ColumnType::U64, "", "the trial, counted from 0 in its sweep"),
    required("task", ColumnType::Str, "", "`task.kind`"),
    required("net", ColumnType::Str, "", "`network.kind`"),
    required("seed", ColumnType::U64, "", "the seed of the trial"),
];

const EPOCH: Column =
    required("epoch", ColumnType::I32, "", "the epoch after which this held, -1 before training");

const VARIANT: Column = required(
    "variant",
    ColumnType::Str,
    "",
    "`corrected`: by our formulas; `released`: as the published code computes it",
);

pub(crate) const fn required(
    name: &'static str,
    kind: ColumnType,
    unit: &'static str,
    meaning: &'static str,
) -> Column {
    Column { name, kind, nullable: false, unit, meaning }
}

pub(crate) const fn optional(
    name: &'static str,
    kind: ColumnType,
    unit: &'static str,
    meaning: &'static str,
) -> Column {
    Column { name, kind, nullable: true, unit, meaning }
}
