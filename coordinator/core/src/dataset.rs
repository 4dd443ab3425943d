//! The public data sets that tasks read: the names, sizes and digests of their files.
//!
//! Pure constants, here because both the trainer that reads the files and the command line that
//! fetches them need them, and neither may depend on the other. Where to fetch from is not said
//! here: mirrors come and go, contents do not.

/// One file of a data set. The file may lie compressed under `name` with `.gz` behind it; mirrors
/// compress differently, so `bytes` and `sha256` are those of the uncompressed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFile {
    /// The name in the data directory and on mirrors, without `.gz`.
    pub name: &'static str,
    /// Size of the uncompressed content in bytes.
    pub bytes: u64,
    /// SHA-256 of the uncompressed content, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// MNIST (LeCun, Cortes and Burges 1998): handwritten digits, 28 x 28 pixels, in idx files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mnist {
    /// 60,000 images to train on.
    pub train_images: DataFile,
    /// What they show.
    pub train_labels: DataFile,
    /// 10,000 images to test with.
    pub test_images: DataFile,
    /// What they show.
    pub test_labels: DataFile,
}

impl Mnist {
    /// All of its files.
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
    /// The name on mirrors.
    pub name: &'static str,
    /// Size of the compressed archive in bytes.
    pub bytes: u64,
    /// SHA-256 of the compressed archive, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// CIFAR-10 (Krizhevsky 2009): photographs of ten kinds of things, 32 x 32 pixels in three colours,
/// in files of records. Reduced sets with fewer files or records have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cifar10 {
    /// What is published, which unpacks to a directory.
    pub archive: Archive,
    /// The name of that directory.
    pub directory: &'static str,
    /// Images to train on, in order: 10,000 in each file of the published set.
    pub train: [&'static str; 5],
    /// 10,000 images to test with.
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
