//! The `ditn` program; see [`ditn::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ditn::cli::main()
}
