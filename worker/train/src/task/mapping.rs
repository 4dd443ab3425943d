//! Memory-mapped files: the only `unsafe` code of this crate.
//!
//! A mapped file is one copy in the page cache, shared by all slots and workers of a machine.

#![expect(unsafe_code, reason = "a mapped file is memory that the compiler cannot vouch for")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a finished file of [`super::store`] for reading.
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes of a mapping must not change while it lives. The file is our own, in a
    // directory that only this user can write to. It was written and flushed under another name and
    // then renamed; this program never writes to or truncates a file under its final name. A new
    // file is renamed over it and an old one unlinked; both leave the mapping intact.
    unsafe { Mmap::map(file) }
}
