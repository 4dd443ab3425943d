//! Export of a checkpoint: the configuration of its trial, and its weights.

use rheo_model::config::TrialConfig;
use rheo_model::trainer;
use serde_json::json;

use super::snapshot::{self, CheckpointHeader};
use crate::Error;
use crate::checkpoint::{self, Tensors};

/// Returns the configuration of the trial that `checkpoint` belongs to.
pub fn config_of(checkpoint: &[u8]) -> Result<TrialConfig, trainer::Error> {
    Ok(read(checkpoint)?.0.config)
}

/// Returns the weights in `checkpoint` as a safetensors file: each parameter under its name, and as
/// metadata `rheobase` the JSON of `config` and `epoch`. docs/checkpoint.md describes it.
pub fn export(checkpoint: &[u8]) -> Result<Vec<u8>, trainer::Error> {
    let (header, mut tensors) = read(checkpoint)?;
    // All other tensors of a checkpoint have a name with a dot.
    tensors.retain(|name, _| !name.contains('.'));
    let header = json!({"config": header.config, "epoch": header.state.epoch});
    Ok(checkpoint::weights(header.to_string(), &tensors)?)
}

fn read(checkpoint: &[u8]) -> Result<(CheckpointHeader, Tensors), Error> {
    let (header, tensors) = checkpoint::decode(checkpoint)?;
    Ok((snapshot::header(&header)?, tensors))
}
