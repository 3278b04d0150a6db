//! The `idunno` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    idunno::cli::main()
}
