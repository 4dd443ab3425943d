//! Layout of a file of decoded samples: a header, and arrays aligned for vector instructions.
//!
//! ```text
//! 0    magic, 8 bytes         56   digest of what determines the samples, 32 bytes
//! 8    version, u32           88   digest of everything from byte 192 on, 32 bytes
//! 12   arrays, u32            120  digest of bytes 0 to 119, 32 bytes
//! 16   a number, u64          152  zeros
//! 24   bytes of up to four    192  the arrays, each from a multiple of 64 on
//!      arrays, u64 each
//! ```
//!
//! Numbers have the byte order of the machine: the file never leaves it, and a version that reads
//! wrong is another version.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;

use memmap2::Mmap;

use crate::task::mapping;

const MAGIC: &[u8; 8] = b"rheosmpl";
const VERSION: u32 = 1;
/// Maximum number of arrays in a file.
const MOST: usize = 4;
/// Offset of the first array.
const START: usize = 192;
/// Alignment of the arrays in bytes.
const ALIGNMENT: usize = 64;
/// Bytes of the header that its digest covers.
const COVERED: usize = 120;

/// Header of a file.
pub(super) struct SampleHeader {
    /// Digest of everything that determines the samples.
    digest: [u8; 32],
    /// Length of each array in bytes.
    lengths: Vec<u64>,
    /// The number beside the arrays.
    pub(super) number: u64,
    /// Digest of the arrays.
    content: [u8; 32],
}

impl SampleHeader {
    /// Returns the header of a file with these arrays.
    pub(super) fn new(digest: &blake3::Hash, arrays: &[&[u8]], number: u64) -> io::Result<Self> {
        if arrays.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let lengths = arrays.iter().map(|array| array.len() as u64).collect();
        let mut hasher = blake3::Hasher::new();
        for array in arrays {
            hasher.update(array);
            hasher.update(padding(array.len()));
        }
        let content = hasher.finalize().into();
        Ok(Self { digest: *digest.as_bytes(), lengths, number, content })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_ne_bytes());
        let count = u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_ne_bytes());
        bytes.extend(self.number.to_ne_bytes());
        for file in 0..MOST {
            bytes.extend(self.lengths.get(file).copied().unwrap_or(0).to_ne_bytes());
        }
        bytes.extend(self.digest);
        bytes.extend(self.content);
        let own = blake3::hash(&bytes);
        bytes.extend(own.as_bytes());
        bytes.resize(START, 0);
        bytes
    }

    /// Parses the header at the start of `bytes`, if its digest is right.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let covered = bytes.get(..COVERED)?;
        let number = |at: usize| {
            let bytes = covered.get(at..at + 8)?;
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        };
        let digest = |at: usize| -> Option<[u8; 32]> { bytes.get(at..at + 32)?.try_into().ok() };
        let small = |at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(covered.get(at..at + 4)?.try_into().ok()?))
        };
        let count = small(12)? as usize;
        let is_whole = covered.starts_with(MAGIC)
            && small(8)? == VERSION
            && count <= MOST
            && blake3::hash(covered).as_bytes() == &digest(COVERED)?;
        if !is_whole {
            return None;
        }
        let lengths = (0..count).map(|file| number(24 + 8 * file)).collect::<Option<_>>()?;
        Some(Self { digest: digest(56)?, lengths, number: number(16)?, content: digest(88)? })
    }

    /// Returns the byte ranges of the arrays.
    pub(super) fn ranges(&self) -> Option<Vec<Range<usize>>> {
        let mut first = START;
        let mut ranges = Vec::new();
        for length in &self.lengths {
            let end = first.checked_add(usize::try_from(*length).ok()?)?;
            ranges.push(first..end);
            first = end.checked_next_multiple_of(ALIGNMENT)?;
        }
        Some(ranges)
    }

    /// Returns the length of the file in bytes.
    fn length(&self) -> Option<usize> {
        let end = self.ranges()?.last().map_or(START, |last| last.end);
        end.checked_next_multiple_of(ALIGNMENT)
    }
}

/// Maps a file, if it belongs to `digest` and is intact.
pub(super) fn open(file: &File, digest: &blake3::Hash) -> Option<(Mmap, SampleHeader)> {
    let map = mapping::map(file).ok()?;
    let header = SampleHeader::parse(&map)?;
    let is_whole = &header.digest == digest.as_bytes() && header.length()? == map.len();
    // The check reads the file once, which also loads it into the page cache for the first batch.
    let is_sound = is_whole && blake3::hash(map.get(START..)?).as_bytes() == &header.content;
    is_sound.then_some((map, header))
}

/// Writes a whole file.
pub(super) fn write(file: &File, header: &SampleHeader, arrays: &[&[u8]]) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    file.write_all(&header.bytes())?;
    for array in arrays {
        file.write_all(array)?;
        file.write_all(padding(array.len()))?;
    }
    file.flush()
}

/// Returns the zeros between the end of an array and the start of the next.
fn padding(length: usize) -> &'static [u8] {
    &[0; ALIGNMENT][..length.next_multiple_of(ALIGNMENT) - length]
}
