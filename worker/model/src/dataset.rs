//! Public data sets that tasks read: names, sizes and digests of their files.
//!
//! Pure constants. They are in this crate because both the trainer, which reads the files, and the
//! command line, which fetches them, need them, and neither may depend on the other. The download
//! addresses are elsewhere: mirrors change, contents do not.

use serde::{Deserialize, Serialize};

use crate::config::{Task, TaskKind, TextSource};

/// Data sets that are read from files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSet {
    /// Handwritten digits.
    Mnist,
    /// Small photographs.
    Cifar10,
    /// Texts of the user.
    Text,
}

impl DataSet {
    /// All data sets.
    pub const ALL: [Self; 3] = [Self::Mnist, Self::Cifar10, Self::Text];

    /// Returns the data set that `task` reads, if any.
    pub fn of(task: &Task) -> Option<Self> {
        match task.kind {
            TaskKind::Smnist | TaskKind::Psmnist => Some(Self::Mnist),
            TaskKind::Gscifar10 => Some(Self::Cifar10),
            TaskKind::CharLm => (task.source != TextSource::Markov).then_some(Self::Text),
            TaskKind::Digits | TaskKind::Copy | TaskKind::Evidence => None,
        }
    }

    /// Returns the data set called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Returns the name in messages, which is also that of its directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Text => "ptb",
        }
    }

    /// Whether `rheo data fetch` can download it.
    pub fn can_be_fetched(self) -> bool {
        self != Self::Text
    }

    /// Returns the advice for a missing data set.
    pub fn remedy(self) -> String {
        match self {
            Self::Mnist | Self::Cifar10 => format!(
                "name its directory by `--data DIR`, RHEO_DATA or `task.data`; `rheo data fetch {0}` downloads it to `data/{0}`",
                self.name()
            ),
            Self::Text => "name the directory of your texts by `--data DIR`, RHEO_DATA or `task.data`, or set `task.source: markov`, which needs no file".to_owned(),
        }
    }

    /// Returns the maximum training, validation and test samples of a task, for files with `train`
    /// and `test` samples; none for texts, which are not counted in samples.
    pub fn parts(self, train: u64, test: u64) -> Option<[u64; 3]> {
        let validation = match self {
            Self::Mnist => train / 6,
            Self::Cifar10 => train / 10,
            Self::Text => return None,
        };
        Some([train - validation, validation, test])
    }
}

/// One file of a data set. The file may be compressed, under `name` with the suffix `.gz`; mirrors
/// compress differently, so `bytes` and `sha256` are those of the uncompressed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFile {
    /// Name in the data directory and on mirrors, without `.gz`.
    pub name: &'static str,
    /// Size of the uncompressed content in bytes.
    pub bytes: u64,
    /// SHA-256 of the uncompressed content, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// MNIST (LeCun, Cortes and Burges 1998): handwritten digits, 28 x 28 pixels, in idx files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mnist {
    /// 60,000 training images.
    pub train_images: DataFile,
    /// Labels of the training images.
    pub train_labels: DataFile,
    /// 10,000 test images.
    pub test_images: DataFile,
    /// Labels of the test images.
    pub test_labels: DataFile,
}

impl Mnist {
    /// Returns all of its files.
    pub fn files(self) -> [DataFile; 4] {
        [self.train_images, self.train_labels, self.test_images, self.test_labels]
    }
}

/// The files of MNIST.
pub const MNIST: Mnist = Mnist {
    train_images: DataFile {
        name: "train-images-idx3-ubyte",
        bytes: 47_040_016,
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    train_labels: DataFile {
        name: "train-labels-idx1-ubyte",
        bytes: 60_008,
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    test_images: DataFile {
        name: "t10k-images-idx3-ubyte",
        bytes: 7_840_016,
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    test_labels: DataFile {
        name: "t10k-labels-idx1-ubyte",
        bytes: 10_008,
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
};

/// A data set that is published as one archive, a tar file compressed by gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// Name on mirrors.
    pub name: &'static str,
    /// Size of the compressed archive in bytes.
    pub bytes: u64,
    /// SHA-256 of the compressed archive, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// CIFAR-10 (Krizhevsky 2009): photographs of ten classes, 32 x 32 pixels in three colours, in
/// files of records. Reduced sets with fewer files or records have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cifar10 {
    /// Published archive, which unpacks to a directory.
    pub archive: Archive,
    /// Name of that directory.
    pub directory: &'static str,
    /// Files of training images, in order: 10,000 in each file of the published set.
    pub train: [&'static str; 5],
    /// File of 10,000 test images.
    pub test: &'static str,
}

/// The files of CIFAR-10, in their binary version.
pub const CIFAR10: Cifar10 = Cifar10 {
    archive: Archive {
        name: "cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    },
    directory: "cifar-10-batches-bin",
    train: [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
};
