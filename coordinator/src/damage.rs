//! Damaged results, grouped by sweep.

use std::collections::BTreeMap;

use rheo_core::id::SweepName;
use rheo_query::dataset::DamagedPart;

/// A sweep with missing or damaged parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DamagedSweep {
    /// The sweep.
    pub sweep: SweepName,
    /// Number of missing or damaged parts.
    pub parts: u64,
    /// File and defect of one of them.
    pub example: String,
}

impl DamagedSweep {
    /// Groups `parts` by sweep.
    pub(crate) fn of(parts: &[DamagedPart]) -> Vec<Self> {
        let mut sweeps: BTreeMap<&SweepName, Vec<&DamagedPart>> = BTreeMap::new();
        for part in parts {
            sweeps.entry(&part.part.sweep).or_default().push(part);
        }
        let damaged = sweeps.into_iter().filter_map(|(sweep, parts)| {
            let first = parts.first()?;
            Some(Self {
                sweep: sweep.clone(),
                parts: parts.len() as u64,
                example: format!("`{}` {}", first.file, first.detail()),
            })
        });
        damaged.collect()
    }
}

/// Logs the sweeps with damaged parts and the remedy.
pub(crate) fn log_damage(parts: &[DamagedPart]) {
    for DamagedSweep { sweep, parts, example } in DamagedSweep::of(parts) {
        tracing::error!(
            %sweep,
            "{parts} files of its results are missing or damaged, such as {example}; queries over this sweep are refused, other sweeps go on; `rheo verify` lists the damage, `rheo verify --repair` has the trials in it start over"
        );
    }
}
