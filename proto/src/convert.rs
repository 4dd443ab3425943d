//! Conversions that several services share.

use std::str::FromStr;

use rheo_core::id::{AttemptId, Digest, SweepName, TrialId, WorkerId};
use rheo_core::machine::{HeldAttempt, Origin};
use rheo_core::metric::{MetricReport, Metrics};
use rheo_core::name::{MetricName, TableName};
use rheo_core::progress::Progress;
use rheo_core::resources::GpuAmount;
use rheo_core::rows::{RowBatch, RowCounts};

use crate::{InvalidMessage, v1};

pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing(field))
}

/// Parses a field such as an id.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    text: &str,
    field: &'static str,
) -> Result<T, InvalidMessage> {
    text.parse().map_err(|error| InvalidMessage::value(field, error))
}

pub(crate) fn sweep_name(text: &str) -> Result<SweepName, InvalidMessage> {
    SweepName::parse(text).map_err(|error| InvalidMessage::value("sweep", error))
}

pub(crate) fn worker_id(text: &str) -> Result<WorkerId, InvalidMessage> {
    parsed(text, "worker")
}

/// An amount of GPUs in thousandths.
pub(crate) fn gpus(thousandths: u32) -> Result<GpuAmount, InvalidMessage> {
    let detail = || format!("{thousandths} is neither less than 1000 nor a multiple of it");
    let amount = GpuAmount::from_thousandths(thousandths);
    amount.ok_or_else(|| InvalidMessage::Value { field: "gpu_thousandths", detail: detail() })
}

/// A digest; none if the text is empty.
pub(crate) fn optional_digest(text: &str) -> Result<Option<Digest>, InvalidMessage> {
    if text.is_empty() { Ok(None) } else { parsed(text, "checkpoint").map(Some) }
}

impl TryFrom<v1::Attempt> for AttemptId {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Attempt) -> Result<Self, InvalidMessage> {
        Ok(Self::new(TrialId::new(sweep_name(&wire.sweep)?, wire.trial), wire.number))
    }
}

/// The message of an attempt.
pub(crate) fn attempt(attempt: &AttemptId, origin: Option<Origin>) -> v1::Attempt {
    v1::Attempt {
        sweep: attempt.trial.sweep.to_string(),
        trial: attempt.trial.index,
        number: attempt.number,
        origin: origin.map(Into::into),
    }
}

impl TryFrom<v1::Attempt> for HeldAttempt {
    type Error = InvalidMessage;

    fn try_from(mut wire: v1::Attempt) -> Result<Self, InvalidMessage> {
        let origin = wire.origin.take().map(Origin::try_from).transpose()?;
        Ok(Self { attempt: wire.try_into()?, origin })
    }
}

impl From<&HeldAttempt> for v1::Attempt {
    fn from(held: &HeldAttempt) -> Self {
        attempt(&held.attempt, held.origin)
    }
}

impl TryFrom<v1::Origin> for Origin {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Origin) -> Result<Self, InvalidMessage> {
        Ok(Self {
            state: parsed(&wire.state, "state")?,
            incarnation: parsed(&wire.incarnation, "incarnation")?,
            configuration: parsed(&wire.configuration, "configuration")?,
        })
    }
}

impl From<Origin> for v1::Origin {
    fn from(origin: Origin) -> Self {
        Self {
            state: origin.state.to_string(),
            incarnation: origin.incarnation.to_string(),
            configuration: origin.configuration.to_string(),
        }
    }
}

impl From<v1::RowCounts> for RowCounts {
    fn from(wire: v1::RowCounts) -> Self {
        let known = |(name, count): (&String, &u64)| Some((TableName::parse(name).ok()?, *count));
        wire.tables.iter().filter_map(known).collect()
    }
}

impl From<RowCounts> for v1::RowCounts {
    fn from(counts: RowCounts) -> Self {
        let named = |(table, count): (&TableName, u64)| (table.to_string(), count);
        Self { tables: counts.by_table().map(named).collect() }
    }
}

impl TryFrom<v1::TableRows> for RowBatch {
    type Error = InvalidMessage;

    fn try_from(wire: v1::TableRows) -> Result<Self, InvalidMessage> {
        let table = TableName::parse(&wire.table);
        let table = table.map_err(|error| InvalidMessage::value("table", error))?;
        Ok(Self { table, rows: wire.rows, ipc: wire.ipc })
    }
}

impl From<RowBatch> for v1::TableRows {
    fn from(batch: RowBatch) -> Self {
        Self { table: batch.table.into(), rows: batch.rows, ipc: batch.ipc }
    }
}

/// Metrics by name; drops invalid names.
pub(crate) fn metrics(wire: Vec<v1::MetricValue>) -> Metrics {
    let known = |value: v1::MetricValue| Some((MetricName::parse(&value.name).ok()?, value.value));
    wire.into_iter().filter_map(known).collect()
}

pub(crate) fn metric_values(metrics: &Metrics) -> Vec<v1::MetricValue> {
    let value = |(metric, value): (&MetricName, &f64)| v1::MetricValue {
        name: metric.to_string(),
        value: *value,
    };
    metrics.iter().map(value).collect()
}

impl From<v1::Report> for MetricReport {
    fn from(wire: v1::Report) -> Self {
        Self { epoch: wire.epoch, metrics: metrics(wire.metrics) }
    }
}

impl From<&MetricReport> for v1::Report {
    fn from(report: &MetricReport) -> Self {
        Self { epoch: report.epoch, metrics: metric_values(&report.metrics) }
    }
}

impl From<v1::Progress> for Progress {
    fn from(wire: v1::Progress) -> Self {
        Self {
            fraction: wire.fraction.clamp(0.0, 1.0),
            epoch: wire.epoch,
            epochs: wire.epochs,
            phase: wire.phase.into(),
            metrics: metrics(wire.metrics),
        }
    }
}

impl From<&Progress> for v1::Progress {
    fn from(progress: &Progress) -> Self {
        Self {
            fraction: progress.fraction,
            epoch: progress.epoch,
            epochs: progress.epochs,
            phase: progress.phase.to_string(),
            metrics: metric_values(&progress.metrics),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn sent(counts: RowCounts) -> Vec<u8> {
        v1::RowCounts::from(counts).encode_to_vec()
    }

    #[test]
    fn row_counts_of_every_table_round_trip() {
        let tables = ["epochs", "evaluations", "shapes"].map(TableName::of);
        let one = [(TableName::of("epochs"), 1)];
        let all: RowCounts = tables.into_iter().zip(1..).collect();
        for counts in [all, RowCounts::default(), one.into_iter().collect()] {
            let wire = v1::RowCounts::decode(&*sent(counts.clone())).unwrap();
            assert_eq!(RowCounts::from(wire), counts);
            assert_eq!(sent(counts.clone()), sent(counts.clone()));
        }
        assert!(sent(RowCounts::default()).is_empty());
    }

    #[test]
    fn row_counts_of_tables_that_the_coordinator_fills_are_ignored() {
        let tables = [("epochs", 3), ("trials", 1), ("No table", 7)];
        let tables = tables.map(|(name, count)| (name.to_owned(), count)).into();
        let expected = [(TableName::of("epochs"), 3)].into_iter().collect();
        assert_eq!(RowCounts::from(v1::RowCounts { tables }), expected);
    }
}
