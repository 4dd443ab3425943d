//! Unpacks files from a gzip-compressed tar archive. Just enough of the format (POSIX ustar) is
//! implemented for an archive whose digest was verified, which saves a dependency.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::bufread::GzDecoder;

use crate::cli::destination::Destination;
use crate::cli::failure::Failure;

/// Bytes of a header; contents are padded to a multiple of it.
const BLOCK: usize = 512;

/// Writes the regular files of `archive` whose base names are in `members` to `directory`, and
/// nothing anywhere else. A missing member is an error.
pub(super) fn unpack(archive: impl Read, directory: &Path, members: &[&str]) -> anyhow::Result<()> {
    let mut tar = GzDecoder::new(BufReader::new(archive));
    let mut missing: BTreeSet<&str> = members.iter().copied().collect();
    let mut header = [0; BLOCK];
    while !missing.is_empty() {
        tar.read_exact(&mut header)
            .with_context(|| format!("it ends before `{}`", names(&missing)))?;
        let size = size(&header)?;
        let content = &mut (&mut tar).take(size.next_multiple_of(BLOCK as u64));
        let wanted = missing.iter().copied().find(|&name| is_file(&header, name));
        if let Some(name) = wanted {
            let mut out = Destination::open(&directory.join(name)).map_err(Failure::into_error)?;
            if io::copy(&mut content.by_ref().take(size), &mut out)? < size {
                bail!("it ends within `{name}`");
            }
            out.finish()?;
            missing.remove(name);
        }
        io::copy(content, &mut io::sink())?;
    }
    Ok(())
}

/// Whether a header describes a regular file with this base name.
fn is_file(header: &[u8; BLOCK], name: &str) -> bool {
    let path = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    matches!(header[156], b'0' | 0) && last == name.as_bytes()
}

/// Content size in bytes: octal digits in the header, then a space or a zero.
fn size(header: &[u8; BLOCK]) -> anyhow::Result<u64> {
    let digits = String::from_utf8_lossy(&header[124..136]);
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).with_context(|| format!("`{digits}` is no size of a file"))
}

fn names(missing: &BTreeSet<&str>) -> String {
    missing.iter().copied().collect::<Vec<_>>().join("`, `")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// An entry of a tar file.
    fn entry(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
        block[156] = kind;
        block.extend(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn packed(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(&entries.concat()).unwrap();
        out.write_all(&[0; 2 * BLOCK]).unwrap();
        out.finish().unwrap()
    }

    #[tokio::test]
    async fn only_requested_files_are_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let archive = packed(&[
            entry("set/", b'5', b""),
            entry("set/a.bin", b'0', &[7; 1000]),
            entry("set/readme.html", b'0', b"hello"),
            entry("../../b.bin", 0, &[8; BLOCK]),
            entry("set/empty.bin", b'0', b""),
        ]);
        unpack(archive.as_slice(), directory.path(), &["a.bin", "b.bin", "empty.bin"]).unwrap();
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        assert_eq!(read("a.bin"), [7; 1000]);
        assert_eq!(read("b.bin"), [8; BLOCK]);
        assert_eq!(read("empty.bin"), [0; 0]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn an_archive_without_a_requested_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let whole = packed(&[entry("a.bin", b'0', &[7; 1000]), entry("c.bin", b'2', b"")]);
        let error = unpack(whole.as_slice(), directory.path(), &["a.bin", "c.bin"]).unwrap_err();
        assert!(format!("{error:#}").contains("it ends before `c.bin`"), "{error:#}");
        let error = unpack(&whole[..20], directory.path(), &["a.bin"]).unwrap_err();
        assert!(format!("{error:#}").contains("`a.bin`"), "{error:#}");
        assert!(unpack(&b"no archive"[..], directory.path(), &["a.bin"]).is_err());
    }
}
