//! File descriptors: each connection needs one, and so do the journal and every part that is read.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No more descriptors are asked for: some systems allow a billion, which nobody needs.
const ENOUGH: u64 = 1 << 20;

/// Descriptors that connections leave to files, unless that is more than half of all.
const FILES: u64 = 64;

/// The most connections, however many descriptors there are.
const CONNECTIONS: u64 = 1 << 15;

/// The most connections that have shown no token.
const UNAUTHENTICATED: u64 = 1024;

/// How many files this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles(pub(crate) u64);

/// Raises the limit of open files as far as this process may.
pub(crate) fn raise_limit() -> OpenFiles {
    let limit = getrlimit(Resource::Nofile);
    let (current, maximum) = (limit.current.unwrap_or(ENOUGH), limit.maximum.unwrap_or(ENOUGH));
    let wanted = maximum.min(ENOUGH);
    if wanted <= current {
        return OpenFiles(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => OpenFiles(wanted),
        Err(_) => OpenFiles(current),
    }
}

impl OpenFiles {
    /// The most connections at a time.
    pub(crate) fn connections(self) -> usize {
        let files = FILES.max(self.0 / 4).min(self.0 / 2);
        to_usize((self.0 - files).clamp(4, CONNECTIONS))
    }

    /// The most of these that have shown no token.
    pub(crate) fn unauthenticated(self) -> usize {
        to_usize((self.connections() as u64 / 4).clamp(2, UNAUTHENTICATED))
    }

    /// The most of these that show the same token: strangers and the other token have room.
    pub(crate) fn per_token(self) -> usize {
        let connections = self.connections();
        connections - self.unauthenticated() - (connections / 8).max(1)
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_files_and_strangers_places_to_others() {
        for (limit, connections, strangers, of_token) in [
            (0, 4, 2, 1),
            (20, 10, 2, 7),
            (64, 32, 8, 20),
            (256, 192, 48, 120),
            (1024, 768, 192, 480),
            (4096, 3072, 768, 1920),
            (1 << 20, 32_768, 1024, 27_648),
        ] {
            let files = OpenFiles(limit);
            let found = (files.connections(), files.unauthenticated(), files.per_token());
            assert_eq!(found, (connections, strangers, of_token));
        }
    }
}
