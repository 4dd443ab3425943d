//! [`TorchTrainer`], the trainer of a worker: the loop that asks a session after every step how to
//! continue. All results come from [`crate::trial`].

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use rheo_core::needs::{Inventory, Need, UnmetNeed};
use rheo_model::config::{Analysis, Device, TrialConfig};
use rheo_model::dataset::DataSet;
use rheo_model::row::Rows;
use rheo_model::trainer::{self, Gpu, NextAction, RunOutcome, Session, Trainer};

use crate::Error;
use crate::error::chain;
use crate::network::ExecutionBackend;
use crate::task::{DataDirs, SampleLibrary};
use crate::trial::{StepOutcome, Trial};

/// Trains trials with libtorch, on the CPU or on the GPU of an attempt.
#[derive(Default)]
pub struct TorchTrainer {
    library: SampleLibrary,
    /// Number of GPUs that the worker offers; if none, the number that libtorch finds.
    gpus: Option<usize>,
}

/// Returns the number of GPUs that libtorch can use in this process.
pub fn visible_gpus() -> u32 {
    u32::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// Returns the device of a trial: exactly that of its GPU. A simulated GPU is the CPU.
fn device(wanted: Device, gpus: &[Gpu]) -> Result<tch::Device, Error> {
    match (wanted, gpus.first()) {
        (Device::Cpu, _) | (Device::Cuda, Some(Gpu { device: None, .. })) => Ok(tch::Device::Cpu),
        (Device::Cuda, Some(Gpu { device: Some(number), .. })) => {
            let number = usize::try_from(*number).map_err(|_| Error::NoDevice)?;
            Ok(tch::Device::Cuda(number))
        }
        // Without a worker, as in an analysis of a checkpoint.
        (Device::Cuda, None) if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
        (Device::Cuda, None) => Err(Error::NoDevice),
    }
}

impl TorchTrainer {
    /// Returns a trainer with these directories.
    pub fn new(places: DataDirs) -> Self {
        Self { library: SampleLibrary::new(places), gpus: None }
    }

    /// Sets the number of GPUs that the worker offers.
    #[must_use]
    pub fn offering(self, gpus: usize) -> Self {
        Self { gpus: Some(gpus), ..self }
    }

    /// Runs `analyses` on the network of a checkpoint, whatever epochs they are configured for;
    /// their rows carry the epoch of the checkpoint.
    pub fn analyze(
        &self,
        config: &TrialConfig,
        checkpoint: &[u8],
        analyses: &[Analysis],
    ) -> Result<Rows, trainer::Error> {
        ExecutionBackend::new(&config.resources).use_threads();
        // The network's initial state follows from the configuration.
        let device = device(config.resources.device, &[])?;
        let fresh = Trial::begin(config, &self.library, device)?;
        let mut trial = Trial::resume(config, &self.library, device, checkpoint)?;
        Ok(trial.analyses(analyses, fresh.network())?)
    }

    fn train(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<RunOutcome, Error> {
        ExecutionBackend::new(&config.resources).use_threads();
        let device = device(config.resources.device, session.gpus())?;
        let mut trial = match resume {
            Some(checkpoint) => Trial::resume(config, &self.library, device, checkpoint)?,
            None => Trial::begin(config, &self.library, device)?,
        };
        loop {
            match trial.step(session) {
                Err(Error::Interrupted) => return Ok(RunOutcome::Stopped(trial.commit()?)),
                Err(error) => return Err(error),
                Ok(StepOutcome::More) => {}
                Ok(StepOutcome::Done) => return Ok(RunOutcome::Completed(trial.finish()?)),
                Ok(StepOutcome::Diverged { detail }) => {
                    return Ok(RunOutcome::Diverged { finish: trial.finish()?, detail });
                }
            }
            session.progress(trial.progress());
            match session.next() {
                NextAction::Continue => {}
                NextAction::Commit => session.commit(trial.commit()?),
                NextAction::Stop | NextAction::Abandon => {
                    return Ok(RunOutcome::Stopped(trial.commit()?));
                }
            }
        }
    }
}

impl Trainer for TorchTrainer {
    fn run(
        &self,
        config: &TrialConfig,
        resume: Option<&[u8]>,
        session: &mut dyn Session,
    ) -> Result<RunOutcome, trainer::Error> {
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
                    inventory.lacks.push(UnmetNeed { need, cause: chain(&error) });
                }
            }
        }
        let gpu = Device::Cuda.name().to_owned();
        if self.gpus.map_or_else(tch::Cuda::is_available, |gpus| gpus > 0) {
            inventory.devices.push(gpu);
        } else {
            let cause = if tch::Cuda::is_available() {
                "resources.device: this worker offers no GPU (`--gpus`)".to_owned()
            } else {
                Error::NoDevice.to_string()
            };
            let need = Need::Device(gpu);
            inventory.lacks.push(UnmetNeed { need, cause });
        }
        Some(inventory)
    }

    fn fingerprint(&self, need: &Need) -> u64 {
        let (Need::Data { set, directory } | Need::Samples { set, directory, .. }) = need else {
            return 0;
        };
        let directory = directory.as_ref().map(Path::new).or(self.library.data());
        let Some(set) = DataSet::named(set) else { return 0 };
        let mut hasher = DefaultHasher::new();
        directory.map(|directory| rheo_data::fingerprint(set, directory)).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_computes_on_its_own_gpu_and_no_other() {
        let gpu = |device| [Gpu { name: "GPU-1".to_owned(), device }];
        assert_eq!(device(Device::Cuda, &gpu(Some(3))).unwrap(), tch::Device::Cuda(3));
        assert_eq!(device(Device::Cuda, &gpu(None)).unwrap(), tch::Device::Cpu);
        assert_eq!(device(Device::Cpu, &gpu(Some(3))).unwrap(), tch::Device::Cpu);
    }
}
