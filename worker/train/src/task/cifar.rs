//! Greyscale CIFAR-10 as a sequence task (science reference, section 4). A record is a label and
//! three planes of 32 x 32 bytes: red, green and blue.
//!
//! The number of records follows from the size of a file, so reduced sets can be read like the
//! whole one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_data::Error as Missing;
use rheo_model::config;
use rheo_model::dataset::DataSet;

use super::images::{FileHalf, ImageSamples, ImageSplit, TaskImages, pool_sums, single};
use super::library::ImageKey;
use super::store::SampleRecipe;
use super::{Error, SampleLibrary, enough, file, pooled_side, unusable};
use crate::Error as TrainError;

const SIDE: u32 = 32;
/// Bytes per colour plane.
const PLANE: usize = (SIDE * SIDE) as usize;
/// Bytes per record: one image with its label.
const RECORD: usize = 1 + 3 * PLANE;
/// Maximum number of records, above that of any file of this kind: 403 MB.
const MOST: usize = 1 << 17;
/// Name of the data set.
const SET: &str = "cifar10";
/// Weights of red, green and blue in a grey value: 0.299, 0.587 and 0.114, in thousandths. Whole
/// numbers keep the sums exact in single precision up to squares of 8 x 8 pixels.
const SHARES: [u32; 3] = [299, 587, 114];
/// Maximum grey value in these units.
const WHITE: f64 = 255.0 * 1000.0;

/// Loads the images of a CIFAR-10 task.
pub(super) fn load(task: &config::Task, library: &SampleLibrary) -> Result<TaskImages, TrainError> {
    let side = pooled_side(task, SIDE)?;
    let directory = library.directory(task).ok_or(Missing::NoDirectory { set: DataSet::Cifar10 });
    let directory = directory.map_err(Error::from)?;
    let train = half(&directory, task.pool, FileHalf::Train, library)?;
    let test = half(&directory, task.pool, FileHalf::Test, library)?;
    let [training, validation] = split(task, train.labels.len())?;
    enough("task.test_size", task.test_size, test.labels.len())?;
    let parts = [
        ImageSplit { samples: Arc::clone(&train), chosen: Some(training) },
        ImageSplit { samples: train, chosen: Some(validation) },
        ImageSplit { samples: test, chosen: None },
    ];
    Ok(TaskImages { parts, order: (0..side * side).collect(), side })
}

/// Returns the indices, of `count` images in the training files, for training and for validation:
/// validation is the last tenth of a random order. Each list is cut to the size that the task
/// configures.
fn split(task: &config::Task, count: usize) -> Result<[Vec<u32>; 2], Error> {
    let mut training = TrialRng::new(task.split_seed, Purpose::Split).permutation(count);
    let mut validation = training.split_off(count - count / 10);
    for (field, wanted, part) in [
        ("task.train_size", task.train_size, &mut training),
        ("task.validation_size", task.validation_size, &mut validation),
    ] {
        enough(field, wanted, part.len())?;
        part.truncate(wanted as usize);
    }
    Ok([training, validation])
}

/// Loads the images of the training files or of the test file, averaged over squares of `pool`
/// pixels.
fn half(
    directory: &Path,
    pool: u32,
    half: FileHalf,
    library: &SampleLibrary,
) -> Result<Arc<ImageSamples>, TrainError> {
    let key = ImageKey::Files { set: SET, directory: directory.to_owned(), pool, half };
    library.get(key, || {
        let found = rheo_data::files(DataSet::Cifar10, Some(directory)).map_err(Error::from)?;
        let files = match half {
            FileHalf::Train => found.train,
            FileHalf::Test => found.test,
        };
        let recipe = SampleRecipe { name: format!("{SET} pool {pool}"), files: &files };
        library.get_or_decode(&recipe, || read(&files, pool as usize))
    })
}

fn read(files: &[PathBuf], pool: usize) -> Result<ImageSamples, TrainError> {
    let side = SIDE as usize;
    let squares = (side / pool).pow(2);
    let (mut pixels, mut labels): (Vec<f32>, Vec<u8>) = (Vec::new(), Vec::new());
    for path in files {
        let bytes = records(path).map_err(|source| unusable(path, source))?;
        let more = bytes.len() / RECORD * squares;
        let memory =
            |_| TrainError::Memory { what: "the images of a file", bytes: more * size_of::<f32>() };
        pixels.try_reserve_exact(more).map_err(memory)?;
        for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
            let label = record[0];
            if label > 9 {
                return Err(unusable(path, file::Error::Class { index, label }).into());
            }
            labels.push(label);
            // Sums of whole numbers; exact for squares of up to 8 x 8 pixels.
            pixels.extend(pool_sums(&grey(&record[1..]), side, pool).map(single));
        }
    }
    let scale = 1.0 / (WHITE * (pool * pool) as f64);
    Ok(ImageSamples { pixels: pixels.into(), scale, labels: labels.into() })
}

/// Reads the records of a file.
fn records(path: &Path) -> Result<Vec<u8>, file::Error> {
    let bytes = file::whole(path, (MOST * RECORD) as u64)?;
    match bytes.len() {
        0 => Err(file::Error::Empty),
        length if length % RECORD == 0 => Ok(bytes),
        length => Err(file::Error::Records { bytes: length, record: RECORD }),
    }
}

/// Returns the grey values of an image, row by row, from its three planes.
fn grey(planes: &[u8]) -> Vec<u32> {
    let value = |pixel: usize| {
        (0..3).map(|colour| SHARES[colour] * u32::from(planes[colour * PLANE + pixel])).sum()
    };
    (0..PLANE).map(value).collect()
}
