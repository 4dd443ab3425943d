//! The idx format of MNIST: a magic number, the dimensions, then bytes; plain or compressed by
//! gzip.
//!
//! Everything in a file is checked before use: memory grows with the bytes actually read, so a
//! damaged header cannot claim gigabytes, and a file whose length differs from its header is
//! refused.

use std::io::Read;
use std::path::Path;

use super::file::{Error, fill, open};

/// Type code of unsigned bytes, the third byte of the magic number.
const UNSIGNED_BYTES: u8 = 0x08;
/// Maximum number of samples, above that of any file of this kind: 1.6 GB of images.
const MOST: u32 = 1 << 21;

/// Reads the bytes of a file whose items have the dimensions `item`; the number of items is free.
pub(super) fn read(path: &Path, item: &[u32]) -> Result<Vec<u8>, Error> {
    parse(open(path)?, item)
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
    // One more byte than declared, to detect excess data and to have gzip check its checksum.
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
