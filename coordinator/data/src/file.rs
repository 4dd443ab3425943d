//! Single data files, plain or compressed by gzip.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::Error;

/// The first two bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The type code of unsigned bytes in the third byte of the magic number of idx files.
const UNSIGNED_BYTES: u8 = 0x08;

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

/// Finds the file `name` in the first of `directories` that has it, plain or compressed. An
/// unreadable directory is an error, because it may have the file.
pub(crate) fn find(directories: &[PathBuf], name: &str) -> Result<Option<PathBuf>, Error> {
    for directory in directories {
        for path in [directory.join(name), directory.join(format!("{name}.gz"))] {
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => return Ok(Some(path)),
                Ok(_) => {}
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(unreadable(&path)(error)),
            }
        }
    }
    Ok(None)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Opens the uncompressed content of a file.
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut start = [0; 2];
    let known = fill(&mut file, &mut start)?;
    let file = Cursor::new(start).take(known as u64).chain(file);
    Ok(if start == GZIP_MAGIC {
        Box::new(GzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// Reads until `buffer` is full or the input ends, and returns the number of bytes read.
pub fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut known = 0;
    while known < buffer.len() {
        match reader.read(&mut buffer[known..]) {
            Ok(0) => break,
            Ok(more) => known += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// The uncompressed length in bytes, from the file system or from the end of a gzip file, which has
/// it modulo 2^32.
pub(crate) fn uncompressed_length(path: &Path) -> Result<u64, Error> {
    let read = || -> io::Result<u64> {
        let mut file = File::open(path)?;
        let mut start = [0; 2];
        let known = fill(&mut file, &mut start)?;
        let length = file.metadata()?.len();
        if known < 2 || start != GZIP_MAGIC {
            return Ok(length);
        }
        let mut end = [0; 4];
        file.seek(SeekFrom::Start(length.saturating_sub(4)))?;
        file.read_exact(&mut end)?;
        Ok(u32::from_le_bytes(end).into())
    };
    read().map_err(unreadable(path))
}

/// The number of items in an idx file. Checks their dimensions `item` and the length of the file.
pub(crate) fn count_items(path: &Path, item: &[u32]) -> Result<u64, Error> {
    let wrong = |what: String| Error::Header { path: path.to_owned(), what };
    let dimensions = 1 + item.len();
    let mut header = vec![0; 4 * (1 + dimensions)];
    let read = open(path).and_then(|mut content| fill(&mut content, &mut header));
    let known = read.map_err(unreadable(path))?;
    if known < header.len() {
        return Err(wrong(format!("its header is truncated: `{known}` bytes")));
    }
    let mut words =
        header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let code = u8::try_from(dimensions).unwrap_or(u8::MAX);
    let expected = u32::from_be_bytes([0, 0, UNSIGNED_BYTES, code]);
    let (magic, count) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    if magic != expected {
        let what = format!("its magic number is `{magic:#010x}`, not `{expected:#010x}`");
        return Err(wrong(what));
    }
    let size: Vec<u32> = words.collect();
    if size != item {
        return Err(wrong(format!("its items have the size `{size:?}`, not `{item:?}`")));
    }
    let items = u64::from(count) * item.iter().copied().map(u64::from).product::<u64>();
    let (expected, found) = (header.len() as u64 + items, uncompressed_length(path)?);
    if found != expected & 0xffff_ffff && found != expected {
        return Err(Error::Length { path: path.to_owned(), expected, found });
    }
    Ok(count.into())
}
