//! The rows that a trial produces, as plain values: what a trainer fills in and `rheo-query` turns
//! into Arrow. The key columns (sweep, trial, task, net, seed) are added there.
//!
//! A row with the same table and contents is produced once per trial, in a fixed order; that is
//! what lets a trial that must start over skip the rows that are already durable.
//!
//! `tables!` lists the tables once. A new one is a line there, a struct in a file below `row/`, and
//! a list of columns in `rheo-query`.

mod dynamics;
mod epoch;
mod evaluation;
mod fractional;
mod information;
mod shape;
mod summary;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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

/// Makes [`Table`], [`Rows`] and [`RowCounts`] of a list of the tables that a trainer fills.
macro_rules! tables {
    ($(#[doc = $about:literal] $table:ident $field:ident: $row:ident,)+) => {
        /// The tables of the results.
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
            /// Every table.
            pub const ALL: [Self; 3 + Self::TRAINED.len()] =
                [Self::Trials, Self::Attempts, Self::Logs, $(Self::$table),+];

            /// The tables that a trainer fills; the coordinator fills the others.
            pub const TRAINED: [Self; [$(stringify!($table)),+].len()] = [$(Self::$table),+];

            /// The name in SQL and in the results directory.
            pub fn name(self) -> &'static str {
                match self {
                    Self::Trials => "trials",
                    Self::Attempts => "attempts",
                    Self::Logs => "logs",
                    $(Self::$table => stringify!($field),)+
                }
            }

            /// What a row is, as a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    Self::Trials => "One row per trial that has ended.",
                    Self::Attempts => "One row per attempt that has ended.",
                    Self::Logs => "One row per line of the log of an attempt.",
                    $(Self::$table => $about.trim_ascii(),)+
                }
            }
        }

        /// The rows of one commit, each table in the order in which they were produced.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Rows {
            $(#[doc = concat!("Rows of `", stringify!($field), "`.")] pub $field: Vec<$row>,)+
        }

        impl Rows {
            /// How many rows of each table there are.
            pub fn counts(&self) -> RowCounts {
                RowCounts { $($field: self.$field.len() as u64,)+ }
            }

            /// Removes the first `count` rows of each table.
            pub fn skip(&mut self, count: RowCounts) {
                $(skip(&mut self.$field, count.$field);)+
            }

            /// Moves the rows of `later` behind these.
            pub fn append(&mut self, mut later: Self) {
                $(self.$field.append(&mut later.$field);)+
            }

            /// Shows `visitor` the rows of every table, in the order of [`Table::TRAINED`].
            pub fn visit<V: Visitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
                $(visitor.visit(Table::$table, &self.$field)?;)+
                Ok(())
            }
        }

        /// How many rows of each trained table a trial has made durable.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct RowCounts {
            $(
                #[doc = concat!("Rows of `", stringify!($field), "`.")]
                #[serde(skip_serializing_if = "is_zero")]
                pub $field: u64,
            )+
        }

        impl RowCounts {
            /// The number for each table that has rows.
            pub fn by_table(self) -> impl Iterator<Item = (Table, u64)> {
                [$((Table::$table, self.$field)),+].into_iter().filter(|(_, count)| *count > 0)
            }

            fn get_mut(&mut self, table: Table) -> Option<&mut u64> {
                match table {
                    Table::Trials | Table::Attempts | Table::Logs => None,
                    $(Table::$table => Some(&mut self.$field),)+
                }
            }

            fn zip(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
                Self { $($field: join(self.$field, other.$field),)+ }
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

/// What is done with the rows of each table in turn.
pub trait Visitor {
    /// Why it can fail.
    type Error;

    /// Looks at the rows of `table`, of which there may be none.
    fn visit<R: Serialize>(&mut self, table: Table, rows: &[R]) -> Result<(), Self::Error>;
}

/// How the numbers of a row were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// By the formulas of Rheobase.
    #[default]
    Corrected,
    /// As the published code computes them.
    Released,
}

/// Rows of one table, encoded as an Arrow IPC stream that describes itself; opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The table.
    pub table: Table,
    /// How many rows.
    pub rows: u64,
    /// The rows.
    pub ipc: Bytes,
}

impl Table {
    /// The table called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

impl Rows {
    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.counts() == RowCounts::default()
    }
}

impl RowCounts {
    /// The rows that `batches` say they have.
    pub fn of(batches: &[Batch]) -> Self {
        batches.iter().map(|batch| (batch.table, batch.rows)).collect()
    }

    /// The rows of all tables together.
    pub fn total(self) -> u64 {
        self.by_table().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// These rows and `other` rows.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The rows beyond the first `other` ones of each table.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// The larger number for each table.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }
}

/// Adds up what comes for the same table; tables that no trainer fills do not count.
impl FromIterator<(Table, u64)> for RowCounts {
    fn from_iter<I: IntoIterator<Item = (Table, u64)>>(counts: I) -> Self {
        let mut all = Self::default();
        for (table, count) in counts {
            if let Some(sum) = all.get_mut(table) {
                *sum = sum.saturating_add(count);
            }
        }
        all
    }
}

fn skip<T>(rows: &mut Vec<T>, count: u64) {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rows.len());
    rows.drain(..count);
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
