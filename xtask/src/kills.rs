//! `cargo xtask kills`: kills a downloading process again and again, and sees that nothing that was verified is fetched twice.

use crate::lab::Outcome;
use std::process::{Command, ExitCode};

/// Runs the test of one kill each `--count N` (200) times, at other moments and with other intervals between syncs.
pub(crate) fn kills(arguments: &[String]) -> Outcome<ExitCode> {
    let count: u32 = crate::lab::value(arguments, "--count").map_or(Ok(200), str::parse)?;
    let name = "kill::a_kill_at_any_moment_loses_no_verified_piece";
    let status = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--package", "unchoke-tokio", "--test", "it", "--", "--exact", name])
        .env("UNCHOKE_KILLS", count.to_string())
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
