//! Files as memory: the one place where this workspace needs `unsafe`.
//!
//! Mapped, a file is one copy in the page cache for all slots and workers of a machine.

#![expect(unsafe_code, reason = "a mapped file is memory that the compiler cannot vouch for")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// A file of [`super::store`] that has its name, as memory that can be read.
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes of a mapping must not change while it lives. This file is our own, in a
    // directory that nobody but this user can write to. It was written and synchronised under another
    // name and then renamed; nothing of this program writes to a file that has its name, or cuts it
    // short. A new one is renamed over it and an old one unlinked, which leaves what is mapped as it is.
    unsafe { Mmap::map(file) }
}
