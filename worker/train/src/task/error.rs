//! Why the data of a task cannot be used.

use std::path::PathBuf;

use super::file;

/// Why the data of a task cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files are missing.
    #[error(transparent)]
    Files(#[from] rheo_data::Error),
    /// A text cannot be cut into columns.
    #[error(
        "the {name} text has {symbols} symbols, `{field}: {columns}` needs {needed}: lower it or take a longer text"
    )]
    ShortText {
        /// Which text.
        name: &'static str,
        /// Its symbols.
        symbols: usize,
        /// The columns into which it should be cut.
        columns: usize,
        /// The symbols that takes.
        needed: usize,
        /// The field that says so.
        field: &'static str,
    },
    /// A file cannot be read or does not hold what it should.
    #[error("the data file is not usable: `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: file::Error,
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
