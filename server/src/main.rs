//! The command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    parlor_server::commands::main()
}
