//! Standard error, shared with progress bars.

use std::io::{self, Write as _};
use std::sync::LazyLock;

use indicatif::MultiProgress;

use super::screen;

/// All bars of this process. Other output on standard error goes through it, so that bars stay
/// intact.
pub(super) static SCREEN: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Returns a writer that prints above the bars, if there are any.
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
        // There are no bars, and drawing on a closed terminal would panic.
        if !screen::has_colours(&io::stderr()) {
            return io::stderr().write_all(&bytes);
        }
        SCREEN.suspend(|| io::stderr().write_all(&bytes))
    }
}

impl Drop for StderrWriter {
    fn drop(&mut self) {
        // An error of standard error cannot be reported.
        let _ = self.flush();
    }
}
