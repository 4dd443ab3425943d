//! What can be wrong with a data set.

use std::io;
use std::path::PathBuf;

use rheo_model::dataset::DataSet;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody said where the files are.
    #[error("no data directory for {}: {}", .set.name(), .set.remedy())]
    NoDirectory {
        /// The data set.
        set: DataSet,
    },
    /// A file is not where it should be.
    #[error("no file `{name}` or `{name}.gz` in {}: {}", list(.searched), .set.remedy())]
    NoFile {
        /// The data set.
        set: DataSet,
        /// The name of the file.
        name: &'static str,
        /// The directories that were searched.
        searched: Vec<PathBuf>,
    },
    /// A text is not where it should be.
    #[error(
        "no file `{name}` or `ptb.{name}` in {}: {}",
        list(.searched),
        DataSet::Text.remedy()
    )]
    NoText {
        /// The name of the file.
        name: &'static str,
        /// The directories that were searched.
        searched: Vec<PathBuf>,
    },
    /// A file cannot be read, or its compression is damaged.
    #[error("the data file `{}` cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not begin as it should.
    #[error("the data file `{}` is no idx file of the right kind: {what}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file holds fewer or more bytes than it says.
    #[error(
        "the data file `{}` is truncated or damaged: it should hold `{expected}` bytes and holds `{found}`",
        .path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that its header promises, its header included.
        expected: u64,
        /// Bytes that it holds.
        found: u64,
    },
    /// A file holds nothing.
    #[error("the data file `{}` is empty", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file ends within a record.
    #[error(
        "the data file `{}` is truncated: its `{bytes}` bytes are no whole number of records of `{record}` bytes",
        .path.display()
    )]
    Records {
        /// The file.
        path: PathBuf,
        /// Bytes in the file.
        bytes: u64,
        /// Bytes of a record.
        record: u64,
    },
    /// Images and labels do not belong together.
    #[error("`{}` has {labels} labels for {images} images", .path.display())]
    Mismatch {
        /// The file of labels.
        path: PathBuf,
        /// Images in the other file.
        images: u64,
        /// Labels in this file.
        labels: u64,
    },
    /// An image has a label of no class.
    #[error(
        "the data file `{}` is damaged: image {image} has label {label}, and labels are 0 to 9",
        .path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The image, from 0.
        image: u64,
        /// Its label.
        label: u8,
    },
    /// A set of published size has other labels.
    #[error(
        "a data file is not that of the published CIFAR-10, {}: {found} images have label {class}, not {published}; `rheo data fetch cifar10` gets the published ones",
        list(.paths)
    )]
    Classes {
        /// The files.
        paths: Vec<PathBuf>,
        /// The label.
        class: usize,
        /// How many images have it.
        found: u64,
        /// How many were published.
        published: u64,
    },
    /// A file is as long as the published one and holds something else.
    #[error(
        "the data file `{}` is not that of the published {}: its SHA-256 is {found}, not {expected}",
        .path.display(),
        .set.name()
    )]
    Differs {
        /// The data set.
        set: DataSet,
        /// The file.
        path: PathBuf,
        /// The digest of what it holds.
        found: String,
        /// The digest of what was published.
        expected: &'static str,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    names.join(" or ")
}
