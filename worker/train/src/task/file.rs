//! Reading of data files, plain or compressed by gzip, and their defects. `rheo-data` finds the
//! files.
//!
//! Separate from the formats, which all start here: memory grows with the bytes actually read, up
//! to a limit, so neither a damaged file nor a decompression bomb can claim gigabytes.

use std::io::{self, Read};
use std::path::Path;

/// Defect of a data file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unreadable, or with damaged compression.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// Ends within its header.
    #[error("its header is truncated: `{0}` bytes")]
    Header(usize),
    /// Has the wrong magic number.
    #[error("its magic number is `{found:#010x}`, not `{expected:#010x}`")]
    Magic {
        /// Magic number of the file.
        found: u32,
        /// Expected magic number.
        expected: u32,
    },
    /// Has items of another size.
    #[error("its items have the size `{found:?}`, not `{expected:?}`")]
    Size {
        /// Dimensions in the file.
        found: Vec<u32>,
        /// Expected dimensions.
        expected: Vec<u32>,
    },
    /// Declares too many items.
    #[error("its header says `{0}` items, which no file of this kind has")]
    TooMany(u32),
    /// Has fewer bytes than its header declares.
    #[error("it is truncated: its header says `{expected}` bytes, it holds `{found}`")]
    Truncated {
        /// Bytes after the header.
        found: u64,
        /// Bytes that the header declares.
        expected: u64,
    },
    /// Has more bytes than its header declares.
    #[error("it holds more than the `{0}` bytes of its header")]
    TooLong(u64),
    /// Has a label that is not a digit.
    #[error("label {index} is `{label}`, not a digit")]
    Label {
        /// Index of the label.
        index: usize,
        /// Value of the label.
        label: u8,
    },
    /// Empty.
    #[error("it is empty")]
    Empty,
    /// Exceeds the size limit.
    #[error("it exceeds `{0}` bytes, the limit for a file of this kind")]
    TooLarge(u64),
    /// Ends within a record.
    #[error("its `{bytes}` bytes are no whole number of records of `{record}` bytes")]
    Records {
        /// Bytes in the file.
        bytes: usize,
        /// Bytes per record.
        record: usize,
    },
    /// Has a record of an unknown class.
    #[error("record {index} has the label `{label}`, which is not one of 0 to 9")]
    Class {
        /// Index of the record.
        index: usize,
        /// Label of the record.
        label: u8,
    },
    /// Has a symbol that is not in the training text.
    #[error("line {line} has the symbol `{symbol}`, which the training text does not have")]
    Symbol {
        /// Line, counted from 1.
        line: usize,
        /// Symbol, with unprintable bytes escaped.
        symbol: String,
    },
}

/// Opens a file, decompressing it if needed.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    rheo_data::open(path).map_err(Error::Read)
}

/// Reads a whole file of at most `most` bytes, decompressed.
pub(super) fn whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    if bytes.len() as u64 > most {
        return Err(Error::TooLarge(most));
    }
    Ok(bytes)
}

/// Reads until `buffer` is full or the input ends; returns the number of bytes.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    rheo_data::fill(reader, buffer).map_err(Error::Read)
}
