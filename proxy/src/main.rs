//! The `tidegate` binary. It holds no logic.

use std::process::ExitCode;

/// Each request makes some dozens of small allocations on one thread, which is what this allocator is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
