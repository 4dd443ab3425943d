//! What networks learn: samples with targets, as the batches that a network sees.
//!
//! A task is cheap to make and belongs to one trial; the samples behind it are shared by all trials
//! of the process through the [`SampleLibrary`]. Which samples a split holds, and in which order the
//! steps of a sequence come, is decided here and stored nowhere.

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

/// The parts of the data. The number is that of the random streams of generated samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// What is learned.
    Train = 0,
    /// What is tested after every epoch.
    Validation = 1,
    /// What is tested after training.
    Test = 2,
}

impl Split {
    /// The random stream from which sample `index` of this split is generated.
    fn stream(self, index: u32) -> u64 {
        (1 << 40) * (self as u64 + 1) + u64::from(index)
    }
}

/// The task of one trial.
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
    /// The task of `config`, with its samples from `library`.
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

    /// What a pass over a split weighs, the sum of [`Batch::weight`]: its samples; in an epoch, for
    /// training samples made afresh; of a text, the symbols that are foretold.
    pub fn size(&self, split: Split) -> u64 {
        self.sizes[split as usize]
    }

    /// The windows of a pass over a split of a text, which come in order, one at a time; nothing for
    /// tasks with samples.
    pub fn windows(&self, split: Split) -> Option<u64> {
        match &self.source {
            SampleSource::Text(text) => Some(text.windows(split)),
            SampleSource::Images(_) | SampleSource::Copy(_) | SampleSource::Evidence(_) => None,
        }
    }

    /// What a pass over a split goes through: its samples, or the windows of a text.
    pub fn units(&self, split: Split) -> u64 {
        self.windows(split).unwrap_or_else(|| self.size(split))
    }

    /// Training samples per update; the last update of an epoch may have fewer. Of a text, the
    /// columns into which it is cut.
    pub fn batch_size(&self) -> u32 {
        self.batch
    }

    /// Updates in an epoch.
    pub fn updates(&self) -> u64 {
        let samples = || self.size(Split::Train).div_ceil(u64::from(self.batch));
        self.windows(Split::Train).unwrap_or_else(samples)
    }

    /// Steps of a sequence, T; the last window of a text may have fewer.
    pub fn steps(&self) -> u32 {
        match &self.source {
            SampleSource::Images(images) => images.steps(),
            SampleSource::Copy(copy) => copy.steps(),
            SampleSource::Evidence(evidence) => evidence.steps(),
            SampleSource::Text(text) => text.steps(),
        }
    }

    /// Whether training samples are made afresh for every update.
    pub fn is_fresh(&self) -> bool {
        matches!(self.source, SampleSource::Copy(_))
    }

    /// Which pixel comes at which step, for tasks that show images.
    pub fn order(&self) -> Option<&[u32]> {
        self.images().map(|images| images.order.as_slice())
    }

    /// Side of the square image in pixels, after pooling, for tasks that show images.
    pub fn image_side(&self) -> Option<u32> {
        self.images().map(|images| images.side)
    }

    /// The mean of the training inputs over samples, steps and lines: of images, over all from which
    /// training and validation images are chosen; of samples that are generated one by one, the mean
    /// of what they are drawn from. A text has no such mean.
    pub fn input_mean(&self) -> Option<f64> {
        match &self.source {
            SampleSource::Images(images) => Some(images.mean()),
            SampleSource::Copy(copy) => Some(copy.mean()),
            // The coherences are symmetric about zero.
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

    /// What the task asks of a network.
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

    /// The given samples of a split, each below [`Task::size`]; of a text, the one window given,
    /// below [`Task::windows`].
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

    /// The training samples of an update, drawn from `rng`, for tasks that make them afresh; for the
    /// others, nothing.
    pub fn fresh(&self, rng: &mut TrialRng) -> Result<Option<Batch>, TrainError> {
        match &self.source {
            SampleSource::Images(_) | SampleSource::Evidence(_) | SampleSource::Text(_) => Ok(None),
            SampleSource::Copy(copy) => {
                copy.batch(&copy.draw(rng, self.batch), self.kind).map(Some)
            }
        }
    }
}

/// A host buffer of zeros, or an error where the system refuses one.
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

/// Inputs, [T, B, I] in `values`, and targets as one batch.
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

/// The side of an image after averaging squares of `task.pool` pixels.
fn pooled_side(task: &config::Task, side: u32) -> Result<u32, Error> {
    if side == 0 || task.pool == 0 || !side.is_multiple_of(task.pool) {
        return Err(Error::Pool { pool: task.pool, side });
    }
    Ok(side / task.pool)
}

/// Refuses what `field` asks for if there is less.
fn enough(field: &'static str, wanted: u32, there: usize) -> Result<(), Error> {
    if wanted as usize > there {
        return Err(Error::TooFew { field, wanted, there });
    }
    Ok(())
}

fn unusable(path: &Path, source: file::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
