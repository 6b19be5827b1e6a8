//! The `tidegate` binary. It holds no logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::main()
}
