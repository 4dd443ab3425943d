//! Data files, plain or compressed by gzip, and what may be wrong with them; where they lie is the
//! business of `rheo-data`.
//!
//! Kept apart from the formats, which all begin here: memory grows with what was really read, up to
//! a bound, so that no damaged file and no bomb can ask for gigabytes.

use std::io::{self, Read};
use std::path::Path;

/// What is wrong with a data file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, or its compression is damaged.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It ends before its header does.
    #[error("its header is truncated: `{0}` bytes")]
    Header(usize),
    /// It is something else.
    #[error("its magic number is `{found:#010x}`, not `{expected:#010x}`")]
    Magic {
        /// What the file begins with.
        found: u32,
        /// What it should begin with.
        expected: u32,
    },
    /// Its items have another size.
    #[error("its items have the size `{found:?}`, not `{expected:?}`")]
    Size {
        /// The dimensions in the file.
        found: Vec<u32>,
        /// What they should be.
        expected: Vec<u32>,
    },
    /// It claims an absurd number of items.
    #[error("its header says `{0}` items, which no file of this kind has")]
    TooMany(u32),
    /// It holds fewer bytes than its header says.
    #[error("it is truncated: its header says `{expected}` bytes, it holds `{found}`")]
    Truncated {
        /// Bytes after the header.
        found: u64,
        /// Bytes that the header promises.
        expected: u64,
    },
    /// It holds more bytes than its header says.
    #[error("it holds more than the `{0}` bytes of its header")]
    TooLong(u64),
    /// A label is none of the ten digits.
    #[error("label {index} is `{label}`, not a digit")]
    Label {
        /// Which label.
        index: usize,
        /// Its value.
        label: u8,
    },
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// It holds more than is read.
    #[error("it holds more than `{0}` bytes, the most that is read of a file of this kind")]
    TooLarge(u64),
    /// It ends within a record.
    #[error("its `{bytes}` bytes are no whole number of records of `{record}` bytes")]
    Records {
        /// Bytes in the file.
        bytes: usize,
        /// Bytes of a record.
        record: usize,
    },
    /// A record is of none of the ten classes.
    #[error("record {index} has the label `{label}`, which is not one of 0 to 9")]
    Class {
        /// Which record.
        index: usize,
        /// Its label.
        label: u8,
    },
    /// A text has a symbol that the training text does not have.
    #[error("line {line} has the symbol `{symbol}`, which the training text does not have")]
    Symbol {
        /// The line, counted from 1.
        line: usize,
        /// The symbol, with what cannot be printed escaped.
        symbol: String,
    },
}

/// The content of a file, uncompressed.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    rheo_data::open(path).map_err(Error::Read)
}

/// The whole content of a file of at most `most` bytes, uncompressed.
pub(super) fn whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    if bytes.len() as u64 > most {
        return Err(Error::TooLarge(most));
    }
    Ok(bytes)
}

/// Reads until `buffer` is full or the input ends, and says how much that was.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    rheo_data::fill(reader, buffer).map_err(Error::Read)
}
