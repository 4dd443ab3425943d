//! How decoded samples lie in a file: a header, and arrays that begin where vectors may.
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
//! Numbers are those of the machine: the file never leaves it, and a version that reads wrong is
//! another version.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::ops::Range;

use memmap2::Mmap;

use crate::task::mapping;

const MAGIC: &[u8; 8] = b"rheosmpl";
const VERSION: u32 = 1;
/// Arrays that a file can hold.
const MOST: usize = 4;
/// Where the arrays begin.
const START: usize = 192;
/// What every array begins at a multiple of.
const ALIGNMENT: usize = 64;
/// Bytes of the header that its digest covers.
const COVERED: usize = 120;

/// What a file says of itself.
pub(super) struct SampleHeader {
    /// What determines the samples.
    digest: [u8; 32],
    /// Bytes of the arrays.
    lengths: Vec<u64>,
    /// What the samples have beside arrays.
    pub(super) number: u64,
    /// The digest of the arrays.
    content: [u8; 32],
}

impl SampleHeader {
    /// That of a file with these arrays.
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

    /// What `bytes` begin with, if that is a header whose digest is right.
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

    /// Where the arrays lie.
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

    /// Bytes of the file.
    fn length(&self) -> Option<usize> {
        let end = self.ranges()?.last().map_or(START, |last| last.end);
        end.checked_next_multiple_of(ALIGNMENT)
    }
}

/// The file as memory, if it holds what `digest` determines and nothing of it is damaged.
pub(super) fn open(file: &File, digest: &blake3::Hash) -> Option<(Mmap, SampleHeader)> {
    let map = mapping::map(file).ok()?;
    let header = SampleHeader::parse(&map)?;
    let is_whole = &header.digest == digest.as_bytes() && header.length()? == map.len();
    // Read through once, the file is in the page cache when the first batch is put together.
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

/// Zeros that lead from the end of an array to where the next begins.
fn padding(length: usize) -> &'static [u8] {
    &[0; ALIGNMENT][..length.next_multiple_of(ALIGNMENT) - length]
}
