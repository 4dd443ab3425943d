//! Rows of `epochs` in the encoding of a worker, one at a time. They are encoded once and then
//! patched with new numbers, because encoding is the worker's work and is not measured.

use anyhow::Context as _;
use rheo_model::row::{EpochRow, Rows};
use rheo_proto::v1;
use rheo_query::TrialKeys;
use serde_json::Value;

/// Numbers that occur nowhere else in a batch.
const TRIAL: u64 = 0x5eed_0123_4567_89ab;
const EPOCH: i32 = 0x5eed_cafe;

/// A batch of one row, with the positions of its numbers.
#[derive(Debug)]
pub(crate) struct RowTemplate {
    ipc: Vec<u8>,
    trial: usize,
    epoch: usize,
}

impl RowTemplate {
    /// Encodes a batch for trials whose key columns equal those of `config`.
    pub(crate) fn new(config: &str) -> anyhow::Result<Self> {
        let config: Value = serde_json::from_str(config)?;
        let kind = |group: &str| config[group]["kind"].as_str().unwrap_or_default().to_owned();
        let seed = config["seed"].as_u64().unwrap_or_default();
        let keys = TrialKeys { trial: TRIAL, task: kind("task"), net: kind("network"), seed };
        let rows = Rows { epochs: vec![row()], ..Rows::default() };
        let batch = rheo_query::encode(&keys, &rows)?.pop().context("no batch")?;
        let ipc = batch.ipc.to_vec();
        let (trial, epoch) = (find(&ipc, &TRIAL.to_le_bytes())?, find(&ipc, &EPOCH.to_le_bytes())?);
        Ok(Self { ipc, trial, epoch })
    }

    /// Returns the row of an epoch of a trial.
    pub(crate) fn row(&self, trial: u64, epoch: u32) -> v1::TableRows {
        let mut ipc = self.ipc.clone();
        ipc[self.trial..][..8].copy_from_slice(&trial.to_le_bytes());
        ipc[self.epoch..][..4].copy_from_slice(&epoch.to_le_bytes());
        v1::TableRows { table: "epochs".to_owned(), rows: 1, ipc: ipc.into() }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> anyhow::Result<usize> {
    let mut found = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(wanted));
    let first = found.next().context("a number is not in its batch")?;
    anyhow::ensure!(found.next().is_none(), "a number is twice in its batch");
    Ok(first)
}

fn row() -> EpochRow {
    EpochRow {
        epoch: EPOCH,
        train_loss: 0.5,
        train_accuracy: 0.8,
        val_loss: 0.6,
        val_accuracy: 0.75,
        val_bpc: None,
        lr: 1e-3,
        grad_norm: 1.0,
        n_mean: None,
        n_std: None,
        s_mean: None,
        s_std: None,
        gain_guard_hits: 0,
        negative_gains: 0,
        wall_s: 1.0,
    }
}
