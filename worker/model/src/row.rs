//! Rows that a trial produces, as plain values: the trainer fills them in, and `rheo-query`
//! converts them to Arrow and adds the key columns (sweep, trial, task, net, seed).
//!
//! A row with the same table and contents is produced once per trial, in a fixed order; so a trial
//! that must start over can skip the rows that are already durable.
//!
//! `tables!` lists the tables once. A new table is a line there, a struct in a file below `row/`,
//! and a list of columns in `rheo-query`.

mod dynamics;
mod epoch;
mod evaluation;
mod fractional;
mod information;
mod shape;
mod summary;

use serde::{Deserialize, Serialize};

use rheo_core::name::TableName;
use rheo_core::rows::RowCounts;

pub use dynamics::{ControllerPcaRow, EigenvalueRow, GradientRow, JacobianRow, LyapunovRow};
pub use epoch::EpochRow;
pub use evaluation::EvaluationRow;
pub use fractional::{AdaptationRow, FractionalFitRow, FractionalTraceRow};
pub use information::MutualInformationRow;
pub use shape::{
    ActivationCurveRow, GainFitRow, GainScalingRow, ShapeRow, ShapeStepRow, ShapeTraceRow,
    SlopeContourRow,
};
pub use summary::Summary;

/// Defines [`Table`] and [`Rows`] from the list of tables that a trainer fills.
macro_rules! tables {
    ($(#[doc = $about:literal] $table:ident $field:ident: $row:ident,)+) => {
        /// Tables of the results.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Table {
            /// One row per trial that has ended.
            Trials,
            /// One row per attempt that has ended.
            Attempts,
            /// One row per line of the log of an attempt.
            Logs,
            $(#[doc = $about] $table,)+
        }

        impl Table {
            /// All tables.
            pub const ALL: [Self; 3 + Self::TRAINED.len()] =
                [Self::Trials, Self::Attempts, Self::Logs, $(Self::$table),+];

            /// Tables that a trainer fills; the coordinator fills the others.
            pub const TRAINED: [Self; [$(stringify!($table)),+].len()] = [$(Self::$table),+];

            /// Returns the name in SQL and in the results directory.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Trials => "trials",
                    Self::Attempts => "attempts",
                    Self::Logs => "logs",
                    $(Self::$table => stringify!($field),)+
                }
            }

            /// Returns the description of a row, a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    Self::Trials => "One row per trial that has ended.",
                    Self::Attempts => "One row per attempt that has ended.",
                    Self::Logs => "One row per line of the log of an attempt.",
                    $(Self::$table => $about.trim_ascii(),)+
                }
            }
        }

        /// Rows of one commit, each table in the order in which they were produced.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Rows {
            $(#[doc = concat!("Rows of `", stringify!($field), "`.")] pub $field: Vec<$row>,)+
        }

        impl Rows {
            /// Returns the number of rows per table.
            pub fn counts(&self) -> RowCounts {
                [$((Table::$table.to_name(), self.$field.len() as u64)),+].into_iter().collect()
            }

            /// Removes the first `count` rows of each table.
            pub fn skip(&mut self, counts: &RowCounts) {
                $(skip(&mut self.$field, counts.get(&Table::$table.to_name()));)+
            }

            /// Appends the rows of `later`.
            pub fn append(&mut self, mut later: Self) {
                $(self.$field.append(&mut later.$field);)+
            }

            /// Passes the rows of every table to `visitor`, in the order of [`Table::TRAINED`].
            pub fn visit<V: Visitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
                $(visitor.visit(Table::$table, &self.$field)?;)+
                Ok(())
            }
        }
    };
}

tables! {
    /// One row per trial and epoch.
    Epochs epochs: EpochRow,
    /// One row per trial and cell of its perturbation grid.
    Evaluations evaluations: EvaluationRow,
    /// One row per trial, analysed epoch and neuron.
    Shapes shapes: ShapeRow,
    /// One row per trial, analysed epoch, curve and point of the curve.
    ActivationCurves activation_curves: ActivationCurveRow,
    /// One row per trial, analysed epoch, strength of a drive and step.
    ShapeTraces shape_traces: ShapeTraceRow,
    /// One row per trial, analysed epoch and strength of a step.
    ShapeSteps shape_steps: ShapeStepRow,
    /// One row per trial, analysed epoch and strength of noise.
    GainScaling gain_scaling: GainScalingRow,
    /// One row per trial, analysed epoch and fitted quantity.
    GainFits gain_fits: GainFitRow,
    /// One row per trial, analysed epoch, preparation, strength of a drive and step.
    FractionalTraces fractional_traces: FractionalTraceRow,
    /// One row per trial, analysed epoch, preparation and fit.
    FractionalFits fractional_fits: FractionalFitRow,
    /// One row per trial, analysed epoch, preparation, neuron and subset of steps.
    Adaptation adaptation: AdaptationRow,
    /// One row per trial, analysed epoch, input of the controller and step.
    ControllerPca controller_pca: ControllerPcaRow,
    /// One row per trial, analysed epoch, linearised system and exponent.
    Lyapunov lyapunov: LyapunovRow,
    /// One row per trial, analysed epoch, path and point of the (n, s) grid, if there is one.
    Jacobian jacobian: JacobianRow,
    /// One row per trial, analysed epoch, input and point of the (n, s) grid.
    SlopeContours slope_contours: SlopeContourRow,
    /// One row per trial, analysed epoch, kind of gradient and step or length.
    Gradients gradients: GradientRow,
    /// One row per trial, analysed epoch and eigenvalue.
    Eigenvalues eigenvalues: EigenvalueRow,
    /// One row per trial, analysed epoch and lag.
    MutualInformation mutual_information: MutualInformationRow,
}

/// A visitor of the rows of all tables.
pub trait Visitor {
    /// Error of a visit.
    type Error;

    /// Visits the rows of `table`, possibly none.
    fn visit<R: Serialize>(&mut self, table: Table, rows: &[R]) -> Result<(), Self::Error>;
}

/// Formulas behind the numbers of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The formulas of Rheobase.
    #[default]
    Corrected,
    /// The formulas of the published code.
    Released,
}

impl Table {
    /// Returns the table called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Returns the name as the engine of sweeps stores it.
    pub const fn to_name(self) -> TableName {
        TableName::of(self.name())
    }
}

/// The name of a table of another version, or of another workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table `{0}` is not known to this version")]
pub struct UnknownTable(TableName);

impl TryFrom<&TableName> for Table {
    type Error = UnknownTable;

    fn try_from(name: &TableName) -> Result<Self, UnknownTable> {
        Self::parse(name.as_str()).ok_or_else(|| UnknownTable(name.clone()))
    }
}

impl PartialEq<Table> for TableName {
    fn eq(&self, table: &Table) -> bool {
        self.as_str() == table.name()
    }
}

impl From<Table> for TableName {
    fn from(table: Table) -> Self {
        table.to_name()
    }
}

impl Rows {
    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.counts() == RowCounts::default()
    }
}

fn skip<T>(rows: &mut Vec<T>, count: u64) {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rows.len());
    rows.drain(..count);
}

#[cfg(test)]
mod tests;
