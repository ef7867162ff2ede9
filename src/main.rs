//! The `hallward` command.

use std::process::ExitCode;

/// Gives memory back to the system within seconds of a peak, by threads of its own; that of glibc
/// keeps what lies between what is still in use. `docs/operations.md` says where it is built in,
/// and for which page sizes.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hallward::cli::main(std::env::args_os())
}
