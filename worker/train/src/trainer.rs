//! [`Torch`], the trainer of a worker: the loop that asks a session after every step what to do
//! next. All numbers come from [`crate::trial`]; nothing here enters a result.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use rheo_core::needs::{Inventory, Lack, Need};
use rheo_model::config::{Analysis, Device, TrialConfig};
use rheo_model::dataset::DataSet;
use rheo_model::row::Rows;
use rheo_model::trainer::{self, Ended, Next, Session, Trainer};

use crate::Error;
use crate::error::chain;
use crate::network::Compute;
use crate::task::{Library, Places};
use crate::trial::{Step, Trial};

/// Trains trials with libtorch on the processor.
#[derive(Default)]
pub struct Torch {
    library: Library,
}

impl Torch {
    /// A trainer in these directories.
    pub fn new(places: Places) -> Self {
        Self { library: Library::new(places) }
    }

    /// Makes `analyses` of the network of a checkpoint, whatever the epochs they ask for: their
    /// rows carry the epoch of the checkpoint.
    pub fn analyze(
        &self,
        config: &TrialConfig,
        checkpoint: &[u8],
        analyses: &[Analysis],
    ) -> Result<Rows, trainer::Error> {
        Compute::new(&config.resources).use_threads();
        // What the network started with follows from the configuration.
        let fresh = Trial::begin(config, &self.library)?;
        let mut trial = Trial::resume(config, &self.library, checkpoint)?;
        Ok(trial.analyses(analyses, fresh.network())?)
    }

    fn train(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<Ended, Error> {
        Compute::new(&config.resources).use_threads();
        let mut trial = match resume {
            Some(checkpoint) => Trial::resume(config, &self.library, checkpoint)?,
            None => Trial::begin(config, &self.library)?,
        };
        loop {
            match trial.step(session) {
                Err(Error::Interrupted) => return Ok(Ended::Stopped(trial.commit()?)),
                Err(error) => return Err(error),
                Ok(Step::More) => {}
                Ok(Step::Done) => return Ok(Ended::Completed(trial.finish()?)),
                Ok(Step::Diverged { detail }) => {
                    return Ok(Ended::Diverged { finish: trial.finish()?, detail });
                }
            }
            session.progress(trial.progress());
            match session.next() {
                Next::Continue => {}
                Next::Commit => session.commit(trial.commit()?),
                Next::Stop | Next::Abandon => return Ok(Ended::Stopped(trial.commit()?)),
            }
        }
    }
}

impl Trainer for Torch {
    fn run(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<Ended, trainer::Error> {
        self.train(config, resume, session).map_err(|error| error.in_trial(config))
    }

    fn inventory(&self) -> Option<Inventory> {
        let mut inventory =
            Inventory { devices: vec![Device::Cpu.name().to_owned()], ..Inventory::default() };
        for set in DataSet::ALL {
            match rheo_data::find(set, self.library.data()) {
                Ok(found) => inventory.data.push(found),
                Err(error) => {
                    let need = Need::Data { set: set.name().to_owned(), directory: None };
                    inventory.lacks.push(Lack { need, cause: chain(&error) });
                }
            }
        }
        let gpu = Device::Cuda.name().to_owned();
        if tch::Cuda::is_available() {
            inventory.devices.push(gpu);
        } else {
            let (need, cause) = (Need::Device(gpu), Error::NoDevice.to_string());
            inventory.lacks.push(Lack { need, cause });
        }
        Some(inventory)
    }

    fn fingerprint(&self, need: &Need) -> u64 {
        let (Need::Data { set, directory } | Need::Samples { set, directory, .. }) = need else {
            return 0;
        };
        let named = directory.as_ref().map(Path::new).or(self.library.data());
        let Some(set) = DataSet::named(set) else { return 0 };
        let mut hasher = DefaultHasher::new();
        named.map(|directory| rheo_data::fingerprint(set, directory)).hash(&mut hasher);
        hasher.finish()
    }
}
