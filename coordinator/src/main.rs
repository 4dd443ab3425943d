//! `rheo`: see `rheo --help`.

use std::process::ExitCode;

/// The threads of a coordinator pass memory to each other all the time: glibc's allocator either locks at every
/// turn or keeps what other threads have freed (docs/performance.md).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    rheo_coordinator::cli::main()
}
