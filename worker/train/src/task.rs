//! What networks learn: samples with targets, as the batches that a network sees.
//!
//! A task is cheap to make and belongs to one trial; the samples behind it are shared by all trials
//! of the process through the [`Library`]. Which samples a split holds, and in which order the
//! steps of a sequence come, is decided here and stored nowhere.

mod copy;
mod digits;
mod idx;
mod images;
mod legacy;
mod library;
mod mnist;

use std::path::PathBuf;

use rheo_core::config::{self, InputInit, TaskKind, TrialConfig};
use rheo_core::rng::TrialRng;
use tch::{Kind, Tensor};

use crate::Error as TrainError;
use crate::network::{Interface, Readout, ReadoutInit};
use crate::step::Batch;
use crate::tensor::{from_doubles, kind, length};
use images::Images;
pub use library::Library;

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
    source: Source,
    kind: Kind,
    batch: u32,
    sizes: [u64; 3],
}

enum Source {
    Images(Images),
    Copy(copy::Copy),
}

impl Task {
    /// The task of `config`, with its samples from `library`.
    pub fn load(config: &TrialConfig, library: &Library) -> Result<Self, TrainError> {
        let task = &config.task;
        let source = match task.kind {
            TaskKind::Digits => Source::Images(digits::load(task, library)?),
            TaskKind::Smnist | TaskKind::Psmnist => {
                Source::Images(mnist::load(task, config.seed, library)?)
            }
            TaskKind::Copy => Source::Copy(copy::Copy::new(task)),
            TaskKind::Gscifar10 | TaskKind::Evidence | TaskKind::CharLm => {
                return Err(TrainError::Memory { what: "unfinished", bytes: 0 });
            }
        };
        let batch = config.training.batch.max(1);
        let train_size = match task.kind {
            TaskKind::Copy => u64::from(task.updates) * u64::from(batch),
            _ => u64::from(task.train_size),
        };
        let sizes = [train_size, task.validation_size.into(), task.test_size.into()];
        Ok(Self { source, kind: kind(config.training.precision), batch, sizes })
    }

    /// Number of samples in a split; in an epoch, for training samples made afresh.
    pub fn size(&self, split: Split) -> u64 {
        self.sizes[split as usize]
    }

    /// Training samples per update; the last update of an epoch may have fewer.
    pub fn batch_size(&self) -> u32 {
        self.batch
    }

    /// Updates in an epoch.
    pub fn updates(&self) -> u64 {
        self.size(Split::Train).div_ceil(u64::from(self.batch))
    }

    /// Steps of a sequence, T.
    pub fn steps(&self) -> u32 {
        match &self.source {
            Source::Images(images) => images.steps(),
            Source::Copy(copy) => copy.steps(),
        }
    }

    /// Whether training samples are made afresh for every update.
    pub fn is_fresh(&self) -> bool {
        matches!(self.source, Source::Copy(_))
    }

    /// What the task asks of a network.
    pub fn interface(&self) -> Interface {
        match &self.source {
            Source::Images(_) => Interface {
                inputs: 1,
                classes: 10,
                readout: Readout::Last,
                readout_init: ReadoutInit::Uniform,
                input_init: InputInit::Kaiming,
                embedding: None,
            },
            Source::Copy(copy) => Interface {
                inputs: copy.inputs(),
                classes: 9,
                readout: Readout::Every,
                readout_init: ReadoutInit::Xavier,
                input_init: InputInit::Xavier,
                embedding: None,
            },
        }
    }

    /// The given samples of a split, each below [`Task::size`].
    pub fn batch(&self, split: Split, samples: &[u32]) -> Result<Batch, TrainError> {
        match &self.source {
            Source::Images(images) => images.batch(split, samples, self.kind),
            Source::Copy(copy) => copy.batch(&copy.samples(split, samples), self.kind),
        }
    }

    /// The training samples of an update, drawn from `rng`, for tasks that make them afresh; for the
    /// others, nothing.
    pub fn fresh(&self, rng: &mut TrialRng) -> Result<Option<Batch>, TrainError> {
        match &self.source {
            Source::Images(_) => Ok(None),
            Source::Copy(copy) => copy.batch(&copy.draw(rng, self.batch), self.kind).map(Some),
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
        targets: Tensor::f_from_slice(targets)?,
        scored: length(scored)?,
        samples: samples as u64,
    })
}

/// Why the data of a task cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody said where the files are.
    #[error(
        "no data directory for {set}: set task.data or RHEO_DATA, or run `rheo data fetch {set}`"
    )]
    NoDirectory {
        /// The data set.
        set: &'static str,
    },
    /// A file is not where it should be.
    #[error(
        "no file `{name}` or `{name}.gz` in {}: set task.data or RHEO_DATA, or run `rheo data fetch {set}`",
        list(.looked)
    )]
    NoFile {
        /// The data set.
        set: &'static str,
        /// The name of the file.
        name: &'static str,
        /// The directories that were searched.
        looked: Vec<PathBuf>,
    },
    /// A file cannot be read or does not hold what it should.
    #[error("the data file is not usable: `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: idx::Error,
    },
    /// Images and labels do not belong together.
    #[error("`{}` has {labels} labels for {images} images", .path.display())]
    Mismatch {
        /// The file of labels.
        path: PathBuf,
        /// Images in the other file.
        images: usize,
        /// Labels in this file.
        labels: usize,
    },
    /// The data hold too few samples.
    #[error("{field}: `{wanted}`, but the data have only {there}")]
    TooFew {
        /// The field of the configuration.
        field: &'static str,
        /// What it says.
        wanted: u32,
        /// What there is.
        there: usize,
    },
    /// The image cannot be divided into squares.
    #[error("task.pool: `{pool}` does not divide the side of the image, `{side}`")]
    Pool {
        /// The configured side of the squares.
        pool: u32,
        /// The side of the image.
        side: u32,
    },
    /// The legacy generator takes 32 bits.
    #[error("{field}: `{seed}` is not below 2^32, as the legacy generator needs")]
    Seed {
        /// The field of the configuration.
        field: &'static str,
        /// What it says.
        seed: u64,
    },
}

fn list(directories: &[PathBuf]) -> String {
    let names: Vec<String> =
        directories.iter().map(|directory| format!("`{}`", directory.display())).collect();
    names.join(" or ")
}

/// The side of an image after averaging squares of `task.pool` pixels.
fn pooled_side(task: &config::Task, side: u32) -> Result<u32, Error> {
    if side == 0 || task.pool == 0 || !side.is_multiple_of(task.pool) {
        return Err(Error::Pool { pool: task.pool, side });
    }
    Ok(side / task.pool)
}
