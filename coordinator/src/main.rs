//! `rheo`: see `rheo --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rheo_coordinator::cli::main()
}
