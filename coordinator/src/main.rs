//! `rheo`: see `rheo --help`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The threads of a coordinator pass memory to each other all the time: glibc's allocator either locks at every
/// turn or keeps what other threads have freed (docs/performance.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    rheo_coordinator::cli::main()
}
