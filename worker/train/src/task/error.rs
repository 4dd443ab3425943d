//! Reasons why the data of a task cannot be used.

use std::path::PathBuf;

use super::file;

/// Reason why the data of a task cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files are missing.
    #[error(transparent)]
    Files(#[from] rheo_data::Error),
    /// A text is too short for its columns.
    #[error(
        "the {name} text has {symbols} symbols, `{field}: {columns}` needs {needed}: lower it or take a longer text"
    )]
    ShortText {
        /// Name of the text.
        name: &'static str,
        /// Symbols of the text.
        symbols: usize,
        /// Configured columns.
        columns: usize,
        /// Symbols needed for these columns.
        needed: usize,
        /// Field that configures the columns.
        field: &'static str,
    },
    /// A file cannot be read or has wrong contents.
    #[error("the data file is not usable: `{}`", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Defect of the file.
        #[source]
        source: file::Error,
    },
    /// Images and labels do not match.
    #[error("`{}` has {labels} labels for {images} images", .path.display())]
    Mismatch {
        /// File of labels.
        path: PathBuf,
        /// Images in the image file.
        images: usize,
        /// Labels in the label file.
        labels: usize,
    },
    /// The data have too few samples.
    #[error("{field}: `{wanted}`, but the data have only {there}")]
    TooFew {
        /// Field of the configuration.
        field: &'static str,
        /// Configured number.
        wanted: u32,
        /// Available number.
        there: usize,
    },
    /// The image cannot be divided into squares.
    #[error("task.pool: `{pool}` does not divide the side of the image, `{side}`")]
    Pool {
        /// Configured side of the squares.
        pool: u32,
        /// Side of the image.
        side: u32,
    },
    /// The seed exceeds the 32 bits of the legacy generator.
    #[error("{field}: `{seed}` is not below 2^32, as the legacy generator needs")]
    Seed {
        /// Field of the configuration.
        field: &'static str,
        /// Configured seed.
        seed: u64,
    },
}
