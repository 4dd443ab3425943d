//! MNIST as a sequence task: its files, its split and the order of its pixels (science reference,
//! section 4).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_data::Error as Missing;
use rheo_model::config::{self, TaskKind};
use rheo_model::dataset::DataSet;

use super::images::{FileHalf, ImageSamples, ImageSplit, TaskImages, pool_sums, single};
use super::legacy_rng::LegacyRng;
use super::library::ImageKey;
use super::store::SampleRecipe;
use super::{Error, SampleLibrary, buffer, enough, file, idx, pooled_side, unusable};
use crate::Error as TrainError;

const SIDE: u32 = 28;
/// Name of the data set.
const SET: &str = "mnist";

/// Loads the images of an MNIST task in a trial seeded with `seed`.
pub(super) fn load(
    task: &config::Task,
    seed: u64,
    library: &SampleLibrary,
) -> Result<TaskImages, TrainError> {
    let side = pooled_side(task, SIDE)?;
    let directory = library.directory(task).ok_or(Missing::NoDirectory { set: DataSet::Mnist });
    let directory = directory.map_err(Error::from)?;
    let train = pair(&directory, task.pool, FileHalf::Train, library)?;
    let test = pair(&directory, task.pool, FileHalf::Test, library)?;
    let [training, validation] = split(task, seed, train.labels.len())?;
    enough("task.test_size", task.test_size, test.labels.len())?;
    let order = match task.kind {
        TaskKind::Psmnist => {
            let own = task.permutation_seed;
            let seed = legacy_seed(task, seed, "task.permutation_seed", own)?;
            LegacyRng::new(seed).permutation(side * side)
        }
        _ => (0..side * side).collect(),
    };
    let parts = [
        ImageSplit { samples: Arc::clone(&train), chosen: Some(training) },
        ImageSplit { samples: train, chosen: Some(validation) },
        ImageSplit { samples: test, chosen: None },
    ];
    Ok(TaskImages { parts, order, side })
}

/// Returns the seed of a legacy generator: `own`, the value of `field`, or that of the trial as in
/// the paper.
fn legacy_seed(
    task: &config::Task,
    trial: u64,
    field: &'static str,
    own: u64,
) -> Result<u32, Error> {
    let (field, seed) = if task.paper_seeds { ("seed", trial) } else { (field, own) };
    u32::try_from(seed).map_err(|_| Error::Seed { field, seed })
}

/// Returns the indices, of `count` images in the training file, for training and for validation. As
/// in the paper the first five sixths of a random order are for training, and the generator of
/// psmnist draws the order of the 784 pixels first, whatever the pooling.
fn split(task: &config::Task, seed: u64, count: usize) -> Result<[Vec<u32>; 2], Error> {
    let mut generator =
        LegacyRng::new(legacy_seed(task, seed, "task.split_seed", task.split_seed)?);
    if task.kind == TaskKind::Psmnist {
        generator.permutation(SIDE * SIDE);
    }
    let mut training = generator.permutation(u32::try_from(count).unwrap_or(u32::MAX));
    let mut validation = training.split_off(count - count / 6);
    for (field, wanted, part) in [
        ("task.train_size", task.train_size, &mut training),
        ("task.validation_size", task.validation_size, &mut validation),
    ] {
        enough(field, wanted, part.len())?;
        part.truncate(wanted as usize);
    }
    Ok([training, validation])
}

/// Loads the images of a pair of files, averaged over squares of `pool` pixels.
fn pair(
    directory: &Path,
    pool: u32,
    half: FileHalf,
    library: &SampleLibrary,
) -> Result<Arc<ImageSamples>, TrainError> {
    let key = ImageKey::Files { set: SET, directory: directory.to_owned(), pool, half };
    library.get(key, || {
        let found = rheo_data::files(DataSet::Mnist, Some(directory)).map_err(Error::from)?;
        let files = match half {
            FileHalf::Train => found.train,
            FileHalf::Test => found.test,
        };
        let recipe = SampleRecipe { name: format!("{SET} pool {pool}"), files: &files };
        library.get_or_decode(&recipe, || read(&files, pool as usize))
    })
}

fn read(files: &[PathBuf], pool: usize) -> Result<ImageSamples, TrainError> {
    let (images, labels) = (&files[0], &files[1]);
    let bytes = idx::read(images, &[SIDE, SIDE]).map_err(|source| unusable(images, source))?;
    let digits = idx::read(labels, &[]).map_err(|source| unusable(labels, source))?;
    if let Some((index, &label)) = digits.iter().enumerate().find(|&(_, &label)| label > 9) {
        return Err(unusable(labels, file::Error::Label { index, label }).into());
    }
    let side = SIDE as usize;
    let count = bytes.len() / (side * side);
    if count != digits.len() {
        let mismatch =
            Error::Mismatch { path: labels.clone(), images: count, labels: digits.len() };
        return Err(mismatch.into());
    }
    let squares = (side / pool).pow(2);
    let mut pixels: Vec<f32> = buffer("the images of a file", squares * count)?;
    for (image, pooled) in bytes.chunks_exact(side * side).zip(pixels.chunks_exact_mut(squares)) {
        for (pixel, sum) in pooled.iter_mut().zip(pool_sums(image, side, pool)) {
            // A sum of at most 784 bytes is exact.
            *pixel = single(sum);
        }
    }
    let scale = 1.0 / (255.0 * (pool * pool) as f64);
    Ok(ImageSamples { pixels: pixels.into(), scale, labels: digits.into() })
}
