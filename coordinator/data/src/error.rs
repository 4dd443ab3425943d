//! Errors of data sets.

use std::io;
use std::path::PathBuf;

use rheo_model::dataset::DataSet;

/// An error of a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No data directory is configured.
    #[error("no data directory for {}: {}", .set.name(), .set.remedy())]
    NoDirectory {
        /// The data set.
        set: DataSet,
    },
    /// A file is missing.
    #[error("no file `{name}` or `{name}.gz` in {}: {}", list(.searched), .set.remedy())]
    NoFile {
        /// The data set.
        set: DataSet,
        /// The name of the file.
        name: &'static str,
        /// The directories that were searched.
        searched: Vec<PathBuf>,
    },
    /// A text file is missing.
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
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The header of a file is wrong.
    #[error("the data file `{}` is not an idx file of the right kind: {what}", .path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The defect of the header.
        what: String,
    },
    /// A file is shorter or longer than its header states.
    #[error(
        "the data file `{}` is truncated or damaged: it should hold `{expected}` bytes and holds `{found}`",
        .path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The expected length, including the header, in bytes.
        expected: u64,
        /// The actual length, in bytes.
        found: u64,
    },
    /// A file is empty.
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
        /// The length of the file, in bytes.
        bytes: u64,
        /// The length of a record, in bytes.
        record: u64,
    },
    /// The numbers of images and labels differ.
    #[error("`{}` has {labels} labels for {images} images", .path.display())]
    Mismatch {
        /// The file of labels.
        path: PathBuf,
        /// The number of images in the other file.
        images: u64,
        /// The number of labels in this file.
        labels: u64,
    },
    /// An image has an invalid label.
    #[error(
        "the data file `{}` is damaged: image {image} has label {label}, and labels are 0 to 9",
        .path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The index of the image, from 0.
        image: u64,
        /// The label.
        label: u8,
    },
    /// A set of the published size has other labels.
    #[error(
        "a data file differs from the published CIFAR-10, {}: {found} images have label {class}, not {published}; `rheo data fetch cifar10` downloads the published files",
        list(.paths)
    )]
    Classes {
        /// The files.
        paths: Vec<PathBuf>,
        /// The label.
        class: usize,
        /// The actual number of images with the label.
        found: u64,
        /// The published number of images with the label.
        published: u64,
    },
    /// A file of the published length has other content.
    #[error(
        "the data file `{}` differs from the published {}: its SHA-256 is {found}, not {expected}",
        .path.display(),
        .set.name()
    )]
    Differs {
        /// The data set.
        set: DataSet,
        /// The file.
        path: PathBuf,
        /// The actual digest.
        found: String,
        /// The published digest.
        expected: &'static str,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    names.join(" or ")
}
