//! The idx format of MNIST: a magic number, the dimensions, then bytes; plain or compressed by gzip.
//!
//! Nothing in a file is believed before it is checked: memory grows with what was really read, so a
//! damaged header cannot ask for gigabytes, and a file that says more or less than it holds is
//! refused.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

/// What the first two bytes of every gzip file are.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The type code of unsigned bytes in the third byte of the magic number.
const UNSIGNED_BYTES: u8 = 0x08;
/// More samples than any file of this kind has: 1.6 GB of images.
const MOST: u32 = 1 << 21;

/// What is wrong with an idx file.
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
}

/// The bytes of a file whose items are arrays of the dimensions `item`; the number of items is
/// free.
pub(super) fn read(path: &Path, item: &[u32]) -> Result<Vec<u8>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::Read)?);
    let mut start = [0; 2];
    let known = fill(&mut file, &mut start)?;
    let file = start[..known].chain(file);
    if start == GZIP {
        parse(GzDecoder::new(BufReader::new(file)), item)
    } else {
        parse(file, item)
    }
}

fn parse(mut reader: impl Read, item: &[u32]) -> Result<Vec<u8>, Error> {
    let dimensions = 1 + item.len();
    let mut header = vec![0; 4 * (1 + dimensions)];
    let known = fill(&mut reader, &mut header)?;
    let words: Vec<u32> = header[..known]
        .chunks_exact(4)
        .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let magic =
        u32::from_be_bytes([0, 0, UNSIGNED_BYTES, u8::try_from(dimensions).unwrap_or(u8::MAX)]);
    if let Some(&found) = words.first()
        && found != magic
    {
        return Err(Error::Magic { found, expected: magic });
    }
    let [_, count, size @ ..] = words.as_slice() else {
        return Err(Error::Header(known));
    };
    if words.len() <= dimensions {
        return Err(Error::Header(known));
    }
    if size != item {
        return Err(Error::Size { found: size.to_vec(), expected: item.to_vec() });
    }
    if *count > MOST {
        return Err(Error::TooMany(*count));
    }
    let expected = u64::from(*count) * item.iter().copied().map(u64::from).product::<u64>();
    let mut bytes = Vec::new();
    // One byte more than promised, to notice what is too long and to have gzip check its sum.
    reader.take(expected + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    let found = bytes.len() as u64;
    if found < expected {
        return Err(Error::Truncated { found, expected });
    }
    if found > expected {
        return Err(Error::TooLong(expected));
    }
    Ok(bytes)
}

/// Reads until `buffer` is full or the input ends, and says how much that was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut known = 0;
    while known < buffer.len() {
        match reader.read(&mut buffer[known..]) {
            Ok(0) => break,
            Ok(more) => known += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    Ok(known)
}
