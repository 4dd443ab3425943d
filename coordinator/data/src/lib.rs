//! Data sets on disk: finds and verifies their files. Workers and the command line share this code.
//!
//! [`find`] is cheap: it reads only names, headers and lengths, so that a worker can list its data sets
//! when it joins. [`verify`] reads everything. `rheo-train` decodes the data.

mod error;
mod file;
mod labels;
mod verify;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rheo_core::needs::AvailableDataset;
use rheo_model::dataset::{CIFAR10, DataFile, DataSet, MNIST};

pub use error::Error;
pub use file::{fill, open};
pub use verify::verify;

/// The size of an image of CIFAR-10 with its label, in bytes.
const RECORD_BYTES: u64 = 1 + 3 * 32 * 32;

/// The width and height of an image of MNIST, in pixels.
const IMAGE_SIDE: u32 = 28;

/// The files of the splits of a text.
const TEXT_FILES: [&str; 3] = ["train.txt", "valid.txt", "test.txt"];

/// The optional prefix of the names of these files.
const TEXT_PREFIX: &str = "ptb.";

/// The files of a data set, in reading order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFiles {
    /// Training files: of MNIST images and labels, of CIFAR-10 one or more files of records, of a
    /// text one file.
    pub train: Vec<PathBuf>,
    /// Validation files, only of a text.
    pub validation: Vec<PathBuf>,
    /// Test files.
    pub test: Vec<PathBuf>,
}

impl DataFiles {
    /// All files.
    pub fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }
}

/// Finds the files of `set` in `directory`, plain or compressed by gzip.
pub fn files(set: DataSet, directory: Option<&Path>) -> Result<DataFiles, Error> {
    let directory = directory.ok_or(Error::NoDirectory { set })?;
    let searched = search_directories(set, directory);
    match set {
        DataSet::Mnist => {
            let find = |file: DataFile| find_named(set, file.name, &searched);
            Ok(DataFiles {
                train: vec![find(MNIST.train_images)?, find(MNIST.train_labels)?],
                validation: Vec::new(),
                test: vec![find(MNIST.test_images)?, find(MNIST.test_labels)?],
            })
        }
        DataSet::Cifar10 => Ok(DataFiles {
            train: find_batches(&CIFAR10.train, &searched)?,
            validation: Vec::new(),
            test: find_batches(&[CIFAR10.test], &searched)?,
        }),
        DataSet::Text => {
            let [train, validation, test] =
                TEXT_FILES.map(|name| find_text(name, &searched).map(|p| vec![p]));
            Ok(DataFiles { train: train?, validation: validation?, test: test? })
        }
    }
}

/// The directories to search for files of `set`, given the data directory.
fn search_directories(set: DataSet, directory: &Path) -> Vec<PathBuf> {
    let mut directories = vec![directory.to_owned(), directory.join(set.name())];
    if set == DataSet::Cifar10 {
        directories.push(directory.join(CIFAR10.directory));
    }
    directories
}

fn find_named(set: DataSet, name: &'static str, searched: &[PathBuf]) -> Result<PathBuf, Error> {
    let found = file::find(searched, name)?;
    found.ok_or_else(|| Error::NoFile { set, name, searched: searched.to_vec() })
}

fn find_text(name: &'static str, searched: &[PathBuf]) -> Result<PathBuf, Error> {
    let found = match file::find(searched, name)? {
        None => file::find(searched, &format!("{TEXT_PREFIX}{name}"))?,
        found => found,
    };
    found.ok_or_else(|| Error::NoText { name, searched: searched.to_vec() })
}

/// Finds files of CIFAR-10, all in the first directory that has the first file. A reduced set has fewer
/// files.
fn find_batches(names: &[&'static str], searched: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let set = DataSet::Cifar10;
    let mut home = None;
    for place in searched {
        if home.is_none() && file::find(std::slice::from_ref(place), names[0])?.is_some() {
            home = Some(vec![place.clone()]);
        }
    }
    let Some(home) = home else {
        return Err(Error::NoFile { set, name: names[0], searched: searched.to_vec() });
    };
    let found: Result<Vec<_>, _> = names.iter().map(|name| file::find(&home, name)).collect();
    let found = found?;
    let there = found.iter().take_while(|path| path.is_some()).count();
    // A gap means a lost file, not a reduced set.
    if found[there..].iter().any(Option::is_some) {
        return Err(Error::NoFile { set, name: names[there], searched: home });
    }
    Ok(found.into_iter().flatten().collect())
}

/// Finds `set` in `directory`, and checks that its files exist and have the expected lengths.
pub fn find(set: DataSet, directory: Option<&Path>) -> Result<AvailableDataset, Error> {
    let files = files(set, directory)?;
    let [train, test] = match set {
        DataSet::Mnist => [count_images(&files.train)?, count_images(&files.test)?],
        DataSet::Cifar10 => [count_records(&files.train)?, count_records(&files.test)?],
        DataSet::Text => {
            for path in files.all() {
                if file::uncompressed_length(path)? == 0 {
                    return Err(Error::Empty { path: path.clone() });
                }
            }
            [0, 0]
        }
    };
    Ok(AvailableDataset { set: set.name().to_owned(), sizes: set.parts(train, test) })
}

/// The number of images in a pair of MNIST files.
fn count_images(pair: &[PathBuf]) -> Result<u64, Error> {
    let [images, labels] = pair else { return Ok(0) };
    let count = file::count_items(images, &[IMAGE_SIDE, IMAGE_SIDE])?;
    let labelled = file::count_items(labels, &[])?;
    if count != labelled {
        return Err(Error::Mismatch { path: labels.clone(), images: count, labels: labelled });
    }
    Ok(count)
}

/// The number of images in files of CIFAR-10.
fn count_records(files: &[PathBuf]) -> Result<u64, Error> {
    let mut count = 0;
    for path in files {
        match file::uncompressed_length(path)? {
            0 => return Err(Error::Empty { path: path.clone() }),
            bytes if bytes % RECORD_BYTES == 0 => count += bytes / RECORD_BYTES,
            bytes => {
                return Err(Error::Records { path: path.clone(), bytes, record: RECORD_BYTES });
            }
        }
    }
    Ok(count)
}

/// The lengths and modification times of all possible files of `set` in `directory`, which reveal
/// changes.
pub fn fingerprint(set: DataSet, directory: &Path) -> Vec<Option<(u64, Option<SystemTime>)>> {
    let names: Vec<String> = match set {
        DataSet::Mnist => MNIST.files().map(|file| file.name.to_owned()).into(),
        DataSet::Cifar10 => {
            CIFAR10.train.iter().chain([&CIFAR10.test]).map(|name| (*name).to_owned()).collect()
        }
        DataSet::Text => TEXT_FILES
            .iter()
            .flat_map(|name| [(*name).to_owned(), format!("{TEXT_PREFIX}{name}")])
            .collect(),
    };
    let mut seen = Vec::new();
    for place in search_directories(set, directory) {
        for name in names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]) {
            let metadata = std::fs::metadata(place.join(name)).ok();
            seen.push(metadata.map(|metadata| (metadata.len(), metadata.modified().ok())));
        }
    }
    seen
}
