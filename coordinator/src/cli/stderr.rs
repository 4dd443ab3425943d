//! Standard error, which bars may share.

use std::io::{self, Write as _};
use std::sync::LazyLock;

use indicatif::MultiProgress;

use super::screen;

/// All bars of this process; what else is written to standard error goes through it, so that it
/// does not tear them.
pub(super) static SCREEN: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Standard error, above the bars if there are any.
pub(super) fn stderr() -> StderrWriter {
    StderrWriter(Vec::new())
}

/// Collects a line and prints it above the bars.
pub(super) struct StderrWriter(Vec<u8>);

impl io::Write for StderrWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        // Where there are no bars; drawing on a terminal that was closed would panic.
        if !screen::has_colours(&io::stderr()) {
            return io::stderr().write_all(&bytes);
        }
        SCREEN.suspend(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for StderrWriter {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.flush();
    }
}
