//! Tasks: samples with targets, in the batches that a network reads.
//!
//! A task is cheap to create and belongs to one trial; its samples are shared by all trials of the
//! process through the [`SampleLibrary`]. The task determines the samples of a split and the order
//! of the steps, and stores neither.

mod cifar;
mod copy;
mod corpus;
mod digits;
mod error;
mod evidence;
mod file;
mod idx;
mod images;
mod legacy_rng;
mod library;
mod lru_cache;
mod mapping;
mod markov;
mod mnist;
mod number_array;
mod store;
mod symbols;
mod text;

use std::path::Path;

use rheo_core::rng::TrialRng;
use rheo_model::config::{self, InputInit, TaskKind, TrialConfig};
use tch::{Kind, Tensor};

use crate::Error as TrainError;
use crate::network::{Interface, Readout, ReadoutInit};
use crate::step::Batch;
use crate::tensor::{from_doubles, kind, length};
pub use error::Error;
use images::TaskImages;
pub use library::{DataDirs, SampleLibrary};

/// Split of the data. Its number selects the random streams of generated samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Training samples.
    Train = 0,
    /// Validation samples, tested after every epoch.
    Validation = 1,
    /// Test samples, used after training.
    Test = 2,
}

impl Split {
    /// Returns the random stream that generates sample `index` of this split.
    fn stream(self, index: u32) -> u64 {
        (1 << 40) * (self as u64 + 1) + u64::from(index)
    }
}

/// Task of one trial.
pub struct Task {
    source: SampleSource,
    kind: Kind,
    batch: u32,
    sizes: [u64; 3],
}

enum SampleSource {
    Images(TaskImages),
    Copy(copy::Copy),
    Evidence(evidence::EvidenceTask),
    Text(text::TextTask),
}

impl Task {
    /// Loads the task of `config`, with its samples from `library`.
    pub fn load(config: &TrialConfig, library: &SampleLibrary) -> Result<Self, TrainError> {
        let task = &config.task;
        let source = match task.kind {
            TaskKind::Digits => SampleSource::Images(digits::load(task, library)?),
            TaskKind::Smnist | TaskKind::Psmnist => {
                SampleSource::Images(mnist::load(task, config.seed, library)?)
            }
            TaskKind::Gscifar10 => SampleSource::Images(cifar::load(task, library)?),
            TaskKind::Copy => SampleSource::Copy(copy::Copy::new(task)),
            TaskKind::Evidence => SampleSource::Evidence(evidence::EvidenceTask::new(task)),
            TaskKind::CharLm => SampleSource::Text(text::TextTask::load(config, library)?),
        };
        let batch = config.training.batch.max(1);
        let [validation, test] = [task.validation_size, task.test_size].map(u64::from);
        let sizes = match &source {
            SampleSource::Text(text) => {
                [Split::Train, Split::Validation, Split::Test].map(|s| text.size(s))
            }
            SampleSource::Copy(_) => [u64::from(task.updates) * u64::from(batch), validation, test],
            SampleSource::Images(_) | SampleSource::Evidence(_) => {
                [task.train_size.into(), validation, test]
            }
        };
        Ok(Self { source, kind: kind(config.training.precision), batch, sizes })
    }

    /// Returns the total weight of a pass over a split, the sum of [`Batch::weight`]: its samples;
    /// for fresh training samples, those of an epoch; of a text, the predicted symbols.
    pub fn size(&self, split: Split) -> u64 {
        self.sizes[split as usize]
    }

    /// Returns the number of windows of a text in a pass over a split; they come in order, one at a
    /// time. None for tasks with samples.
    pub fn windows(&self, split: Split) -> Option<u64> {
        match &self.source {
            SampleSource::Text(text) => Some(text.windows(split)),
            SampleSource::Images(_) | SampleSource::Copy(_) | SampleSource::Evidence(_) => None,
        }
    }

    /// Returns the number of items in a pass over a split: its samples, or the windows of a text.
    pub fn units(&self, split: Split) -> u64 {
        self.windows(split).unwrap_or_else(|| self.size(split))
    }

    /// Returns the training samples per update; the last update of an epoch may have fewer. Of a
    /// text, the number of columns.
    pub fn batch_size(&self) -> u32 {
        self.batch
    }

    /// Returns the number of updates per epoch.
    pub fn updates(&self) -> u64 {
        let samples = || self.size(Split::Train).div_ceil(u64::from(self.batch));
        self.windows(Split::Train).unwrap_or_else(samples)
    }

    /// Returns the steps of a sequence, T; the last window of a text may have fewer.
    pub fn steps(&self) -> u32 {
        match &self.source {
            SampleSource::Images(images) => images.steps(),
            SampleSource::Copy(copy) => copy.steps(),
            SampleSource::Evidence(evidence) => evidence.steps(),
            SampleSource::Text(text) => text.steps(),
        }
    }

    /// Whether training samples are generated afresh for every update.
    pub fn is_fresh(&self) -> bool {
        matches!(self.source, SampleSource::Copy(_))
    }

    /// Returns the pixel index at each step, for image tasks.
    pub fn order(&self) -> Option<&[u32]> {
        self.images().map(|images| images.order.as_slice())
    }

    /// Returns the side of the square image in pixels, after pooling, for image tasks.
    pub fn image_side(&self) -> Option<u32> {
        self.images().map(|images| images.side)
    }

    /// Returns the mean of the training inputs over samples, steps and lines: of images, over all
    /// that training and validation images are chosen from; of generated samples, the mean of their
    /// distribution. A text has none.
    pub fn input_mean(&self) -> Option<f64> {
        match &self.source {
            SampleSource::Images(images) => Some(images.mean()),
            SampleSource::Copy(copy) => Some(copy.mean()),
            // Coherences are symmetric about zero.
            SampleSource::Evidence(_) => Some(0.0),
            SampleSource::Text(_) => None,
        }
    }

    fn images(&self) -> Option<&TaskImages> {
        match &self.source {
            SampleSource::Images(images) => Some(images),
            SampleSource::Copy(_) | SampleSource::Evidence(_) | SampleSource::Text(_) => None,
        }
    }

    /// Returns the properties that the task determines of a network.
    pub fn interface(&self) -> Interface {
        let classifier = |classes| Interface {
            inputs: 1,
            classes,
            readout: Readout::Last,
            readout_init: ReadoutInit::Uniform,
            input_init: InputInit::Kaiming,
            embedding: None,
        };
        match &self.source {
            SampleSource::Images(_) => classifier(10),
            SampleSource::Evidence(_) => classifier(2),
            SampleSource::Copy(copy) => Interface {
                inputs: copy.inputs(),
                classes: 9,
                readout: Readout::Every,
                readout_init: ReadoutInit::Xavier,
                input_init: InputInit::Xavier,
                embedding: None,
            },
            SampleSource::Text(text) => Interface {
                inputs: text.embedding(),
                classes: text.vocabulary(),
                readout: Readout::Every,
                readout_init: ReadoutInit::Language,
                input_init: InputInit::Kaiming,
                embedding: Some(text.vocabulary()),
            },
        }
    }

    /// Returns the given samples of a split, each below [`Task::size`]; of a text, the one given
    /// window, below [`Task::windows`].
    pub fn batch(&self, split: Split, samples: &[u32]) -> Result<Batch, TrainError> {
        match &self.source {
            SampleSource::Images(images) => images.batch(split, samples, self.kind),
            SampleSource::Copy(copy) => copy.batch(&copy.samples(split, samples), self.kind),
            SampleSource::Evidence(evidence) => evidence.batch(split, samples, self.kind),
            SampleSource::Text(text) => {
                text.batch(split, samples.first().copied().unwrap_or(0), self.kind)
            }
        }
    }

    /// Draws the training samples of an update from `rng`, for tasks that generate them afresh;
    /// none for the others.
    pub fn fresh(&self, rng: &mut TrialRng) -> Result<Option<Batch>, TrainError> {
        match &self.source {
            SampleSource::Images(_) | SampleSource::Evidence(_) | SampleSource::Text(_) => Ok(None),
            SampleSource::Copy(copy) => {
                copy.batch(&copy.draw(rng, self.batch), self.kind).map(Some)
            }
        }
    }
}

/// Returns a host buffer of zeros, or an error if the system refuses one.
pub(crate) fn buffer<T: Clone + Default>(
    what: &'static str,
    length: usize,
) -> Result<Vec<T>, TrainError> {
    let mut values = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    values.try_reserve_exact(length).map_err(|_| TrainError::Memory { what, bytes })?;
    values.resize(length, T::default());
    Ok(values)
}

/// Builds a batch from inputs [T, B, I] in `values`, and targets.
fn assemble(
    values: &[f64],
    size: [usize; 3],
    targets: &[i64],
    scored: usize,
    kind: Kind,
) -> Result<Batch, TrainError> {
    let [steps, samples, inputs] = size;
    let shape = [length(steps)?, length(samples)?, length(inputs)?];
    Ok(Batch {
        inputs: from_doubles(values, &shape, kind)?,
        drive: None,
        targets: Tensor::f_from_slice(targets)?,
        scored: length(scored)?,
        samples: samples as u64,
        weight: samples as u64,
        conditions: None,
        from_rest: true,
    })
}

/// Returns the side of an image after averaging squares of `task.pool` pixels.
fn pooled_side(task: &config::Task, side: u32) -> Result<u32, Error> {
    if side == 0 || task.pool == 0 || !side.is_multiple_of(task.pool) {
        return Err(Error::Pool { pool: task.pool, side });
    }
    Ok(side / task.pool)
}

/// Fails if the value of `field` exceeds the number of samples.
fn enough(field: &'static str, wanted: u32, there: usize) -> Result<(), Error> {
    if wanted as usize > there {
        return Err(Error::TooFew { field, wanted, there });
    }
    Ok(())
}

fn unusable(path: &Path, source: file::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
