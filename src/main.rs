//! The `hallward` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hallward::cli::main(std::env::args_os())
}
