//! File descriptors, shared by connections, the journal and the parts that are read.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The largest limit that is requested; some systems would allow a billion.
const ENOUGH: u64 = 1 << 20;

/// Descriptors reserved for files, but at most half of all.
const FILES: u64 = 64;

/// The largest number of connections, whatever the number of descriptors.
const CONNECTIONS: u64 = 1 << 15;

/// The largest number of unauthenticated connections.
const UNAUTHENTICATED: u64 = 1024;

/// The limit of open files of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles(pub(crate) u64);

/// Raises the limit of open files as far as allowed; returns it.
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
    /// Returns the largest number of connections.
    pub(crate) fn connections(self) -> usize {
        let files = FILES.max(self.0 / 4).min(self.0 / 2);
        to_usize((self.0 - files).clamp(4, CONNECTIONS))
    }

    /// Returns the largest number of unauthenticated connections.
    pub(crate) fn unauthenticated(self) -> usize {
        to_usize((self.connections() as u64 / 4).clamp(2, UNAUTHENTICATED))
    }

    /// Returns the largest number of connections per token, which leaves room for unauthenticated
    /// connections and for the other token.
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
    fn limits_leave_room_for_files_and_authenticated_connections() {
        for (limit, connections, unauthenticated, per_token) in [
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
            assert_eq!(found, (connections, unauthenticated, per_token));
        }
    }
}
