//! `cargo bench`: the kernels and networks of `ditn bench`. What stands behind `--` goes there: `cargo bench -- --top 8`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo adds --bench of its own.
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let status = Command::new(env!("CARGO_BIN_EXE_ditn")).arg("bench").args(arguments).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot start {}: {error}", env!("CARGO_BIN_EXE_ditn"));
            ExitCode::FAILURE
        }
    }
}
