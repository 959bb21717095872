//! The command line, nothing else.

use std::process::ExitCode;

/// Gives memory back to the system after a burst of connections, which glibc's allocator does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    parlor_server::cli::main()
}
