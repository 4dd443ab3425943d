//! Conversion of a trial to a checkpoint and back.
//!
//! Tensors: the parameters under their names; `adam.mean.*` and others, the averages of the
//! optimizer; `shape.initial` [2, H], gain and saturation of the untrained neurons; `shape.frozen`
//! [2, H], those of frozen neurons; `carried.h` and `carried.inner`, the state after the last
//! window of a text; `gauge.sums` [4, H], the shape sums of the current pass. The JSON holds the
//! format version, the configuration and the [`TrialState`].

use rheo_model::config::TrialConfig;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad_guard};

use super::Trial;
use super::state::{Stage, TrialState};
use crate::Error;
use crate::checkpoint::{self, ConfigDifference, Error as Unusable, Tensors};
use crate::network;
use crate::optimizer::UpdateCounts;
use crate::shape_stats::{NeuronShapes, ShapeMoments, ShapeStats};
use crate::task::SampleLibrary;
use crate::tensor::{from_doubles, to_doubles};

/// Version of the format, raised whenever an older program could not continue correctly.
const VERSION: u64 = 1;

const INITIAL: &str = "shape.initial";
const FROZEN: &str = "shape.frozen";
const SUMS: &str = "gauge.sums";
const CARRIED: [&str; 2] = ["carried.h", "carried.inner"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointHeader {
    version: u64,
    pub(super) config: TrialConfig,
    pub(super) state: TrialState,
}

/// The part that every version of the header has.
#[derive(Deserialize)]
struct HeaderVersion {
    version: u64,
}

impl<'a> Trial<'a> {
    /// Returns the trial of `config` at the position of `checkpoint`.
    pub(crate) fn resume(
        config: &'a TrialConfig,
        library: &SampleLibrary,
        device: tch::Device,
        checkpoint: &[u8],
    ) -> Result<Self, Error> {
        let (header, tensors) = checkpoint::decode(checkpoint)?;
        let state = state(&header, config)?;
        let mut trial = Self::begin(config, library, device)?;
        trial.restore(state, tensors)?;
        Ok(trial)
    }

    /// Returns a checkpoint of the current position.
    pub(super) fn checkpoint(&self) -> Result<Vec<u8>, Error> {
        let mut state = self.state.clone();
        state.stream = self.feed.position();
        state.augment = self.augmenter.position();
        state.updates = self.optimizer.updates();
        state.group_updates = Some(self.optimizer.group_updates());
        let mut tensors = Tensors::new();
        for (name, tensor) in self.stored() {
            tensors.insert(name, tensor);
        }
        for (name, shape) in [(INITIAL, &self.initial), (FROZEN, &self.frozen)] {
            if let Some(NeuronShapes { n, s }) = shape {
                let values = [n.as_slice(), s].concat();
                let shape = [2, i64::from(self.network.hidden())];
                tensors.insert(name.to_owned(), from_doubles(&values, &shape, Kind::Double)?);
            }
        }
        if let Some(network::LayerState { h, inner }) = &self.carried {
            tensors.insert(CARRIED[0].to_owned(), h.shallow_clone());
            if let Some(inner) = inner {
                tensors.insert(CARRIED[1].to_owned(), inner.shallow_clone());
            }
        }
        let moments = self.stats.moments();
        state.measured = moments.map_or(0, |moments| moments.count);
        if let Some(moments) = moments {
            tensors.insert(SUMS.to_owned(), moments.sums.shallow_clone());
        }
        let header = CheckpointHeader { version: VERSION, config: self.config.clone(), state };
        let header = serde_json::to_string(&header).map_err(Unusable::Header)?;
        checkpoint::encode(header, &tensors)
    }

    /// Returns the tensors that every checkpoint of this trial has; they share storage with the
    /// trial.
    fn stored(&self) -> Vec<(String, Tensor)> {
        let parameters = self.network.parameters().into_iter();
        parameters
            .map(|parameter| (parameter.name.to_owned(), parameter.tensor.shallow_clone()))
            .chain(self.optimizer.slots())
            .collect()
    }

    fn restore(&mut self, state: TrialState, mut tensors: Tensors) -> Result<(), Error> {
        let _guard = no_grad_guard();
        self.state.epoch = state.epoch;
        if self.is_second() {
            self.optimizer = self.second_optimizer()?;
        }
        for (name, mut tensor) in self.stored() {
            let source = tensors.remove(&name).ok_or_else(|| Unusable::Names(name.clone()))?;
            check(&name, &source, &tensor.size(), tensor.f_kind()?)?;
            tensor.f_copy_(&source)?;
        }
        let hidden = i64::from(self.network.hidden());
        for (name, shape) in [(INITIAL, &mut self.initial), (FROZEN, &mut self.frozen)] {
            if let Some(stored) = tensors.remove(name) {
                check(name, &stored, &[2, hidden], Kind::Double)?;
                let values = (to_doubles(&stored.f_get(0)?)?, to_doubles(&stored.f_get(1)?)?);
                *shape = Some(NeuronShapes { n: values.0, s: values.1 });
            }
        }
        if self.initial.is_none() && self.needs_initial() && state.epoch >= 0 {
            return Err(Unusable::Names(INITIAL.to_owned()).into());
        }
        if self.frozen.is_none() && state.cell > 0 && self.freezes()? {
            return Err(Unusable::Names(FROZEN.to_owned()).into());
        }
        self.state.cell = state.cell;
        self.enter(state.stage)?;
        if let Some(sums) = tensors.remove(SUMS) {
            check(SUMS, &sums, &[4, hidden], Kind::Double)?;
            self.stats = ShapeStats::resume_from(ShapeMoments { sums, count: state.measured });
        }
        self.restore_carried(&mut tensors)?;
        if let Some(name) = tensors.into_keys().next() {
            return Err(Unusable::Names(name).into());
        }
        let group_updates = state.group_updates.unwrap_or(UpdateCounts::all(state.updates));
        self.optimizer.resume_at(state.updates, group_updates);
        self.augmenter.resume(state.augment);
        self.feed.resume(&self.task, state.stream, state.epoch >= 0);
        self.state = state;
        Ok(())
    }

    fn restore_carried(&mut self, tensors: &mut Tensors) -> Result<(), Error> {
        let Some(h) = tensors.remove(CARRIED[0]) else { return Ok(()) };
        let rest = match h.size().as_slice() {
            [batch, _] => self.network.rest(*batch)?,
            _ => return Err(Unusable::Shape(CARRIED[0].to_owned()).into()),
        };
        check(CARRIED[0], &h, &rest.h.size(), rest.h.f_kind()?)?;
        let inner = match &rest.inner {
            None => None,
            Some(like) => {
                let name = || CARRIED[1].to_owned();
                let inner = tensors.remove(CARRIED[1]).ok_or_else(|| Unusable::Names(name()))?;
                check(CARRIED[1], &inner, &like.size(), like.f_kind()?)?;
                Some(inner)
            }
        };
        self.carried = Some(network::LayerState { h, inner });
        Ok(())
    }
}

/// Parses a header of this program.
pub(super) fn header(text: &str) -> Result<CheckpointHeader, Error> {
    let HeaderVersion { version } = serde_json::from_str(text).map_err(Unusable::Header)?;
    if version != VERSION {
        return Err(Unusable::Version { found: version, known: VERSION }.into());
    }
    Ok(serde_json::from_str(text).map_err(Unusable::Header)?)
}

/// Parses the state in a header of this configuration.
fn state(text: &str, config: &TrialConfig) -> Result<TrialState, Error> {
    let header = header(text)?;
    let stored = serde_json::to_value(&header.config).map_err(Unusable::Header)?;
    let wanted = serde_json::to_value(config).map_err(Unusable::Header)?;
    if let Some(difference) = checkpoint::difference(&stored, &wanted) {
        let ConfigDifference { path, stored, wanted } = difference;
        return Err(Unusable::Config { path, stored, wanted }.into());
    }
    let epochs = i64::from(config.epochs());
    let epoch = i64::from(header.state.epoch);
    let before = epoch == -1 && (header.state.stage == Stage::Analyze || epochs == 0);
    if before || (0..epochs).contains(&epoch) {
        Ok(header.state)
    } else {
        Err(Unusable::Position.into())
    }
}

fn check(name: &str, tensor: &Tensor, size: &[i64], kind: Kind) -> Result<(), Error> {
    if tensor.size() == size && tensor.f_kind()? == kind {
        Ok(())
    } else {
        Err(Unusable::Shape(name.to_owned()).into())
    }
}

#[cfg(test)]
mod tests {
    use rheo_model::config::{Network, NetworkKind, Task};
    use rheo_model::trainer;

    use super::*;

    fn config() -> TrialConfig {
        TrialConfig {
            task: Task {
                side: 4,
                train_size: 4,
                validation_size: 4,
                test_size: 4,
                ..Task::default()
            },
            network: Network { kind: NetworkKind::Adaptive, hidden: 3, ..Network::default() },
            ..TrialConfig::default()
        }
    }

    /// Returns the error for the checkpoint of a trial after `change`, with a matching digest.
    fn refusal(change: impl Fn(&mut serde_json::Value, &mut Tensors)) -> String {
        let config = config();
        let library = SampleLibrary::default();
        let whole =
            Trial::begin(&config, &library, tch::Device::Cpu).unwrap().checkpoint().unwrap();
        let (header, mut tensors) = checkpoint::decode(&whole).unwrap();
        let mut header = serde_json::from_str(&header).unwrap();
        change(&mut header, &mut tensors);
        let changed = checkpoint::encode(header.to_string(), &tensors).unwrap();
        let Err(error) = Trial::resume(&config, &library, tch::Device::Cpu, &changed) else {
            panic!("resumed")
        };
        match trainer::Error::from(error) {
            trainer::Error::Checkpoint(text) => text,
            other => panic!("another error: {other}"),
        }
    }

    fn ones(size: &[i64]) -> Tensor {
        Tensor::ones(size, (Kind::Float, tch::Device::Cpu))
    }

    #[test]
    fn a_foreign_checkpoint_is_refused_with_the_reason() {
        type ConfigChange = fn(&mut serde_json::Value, &mut Tensors);
        let cases: [(ConfigChange, &str); 11] = [
            (
                |header, _| header["version"] = 2.into(),
                "its format is version `2`, this program reads `1`",
            ),
            (|header, _| header["version"] = "x".into(), "its header cannot be read"),
            (|header, _| header["extra"] = 1.into(), "its header cannot be read"),
            (|header, _| header["state"]["stage"] = "asleep".into(), "its header cannot be read"),
            (
                |header, _| header["state"]["epoch"] = 20.into(),
                "position does not exist in the trial",
            ),
            (
                |header, _| header["state"]["epoch"] = (-2).into(),
                "position does not exist in the trial",
            ),
            (|header, _| header["state"]["epoch"] = 3.into(), "`shape.initial`"),
            (|header, _| header["config"]["seed"] = 5.into(), "`seed` is `5` there and `0` here"),
            (|_, tensors| drop(tensors.remove("w_gn")), "not those of the network: `w_gn`"),
            (
                |_, tensors| drop(tensors.insert("w_new".to_owned(), ones(&[1]))),
                "not those of the network: `w_new`",
            ),
            (
                |_, tensors| drop(tensors.insert("w_gn".to_owned(), ones(&[50]))),
                "`w_gn` has another shape or type",
            ),
        ];
        for (change, says) in cases {
            let error = refusal(change);
            assert!(error.contains(says), "{error}\nshould say: {says}");
        }
    }

    #[test]
    fn a_missing_configuration_field_has_its_default() {
        let config = config();
        let header = CheckpointHeader {
            version: VERSION,
            config: config.clone(),
            state: TrialState::start(),
        };
        let mut older = serde_json::to_value(&header).unwrap();
        older["config"]["task"].as_object_mut().unwrap().remove("paper_seeds");
        assert!(state(&older.to_string(), &config).is_ok());
    }
}
