//! `cargo xtask kills`: kills processes again and again, and sees that nothing is lost that must not be.

use crate::lab::{Outcome, value};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

/// Kills `--count N` (200) times: a process that downloads, or with `--token` two that pay each other.
pub(crate) fn kills(arguments: &[String]) -> Outcome<ExitCode> {
    let count: u64 = value(arguments, "--count").map_or(Ok(200), str::parse)?;
    if arguments.iter().any(|it| it == "--token") { token(count) } else { download(count) }
}

/// Runs the test of one kill each so many times, at other moments and with other intervals between syncs.
fn download(count: u64) -> Outcome<ExitCode> {
    let name = "kill::a_kill_at_any_moment_loses_no_verified_piece";
    let status = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--package", "unchoke-tokio", "--test", "it", "--", "--exact", name])
        .env("UNCHOKE_KILLS", count.to_string())
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs `channel_demo`, which says whether the balances add up, with so many kills. They fail if fewer could be made.
fn token(count: u64) -> Outcome<ExitCode> {
    let (kills, limit) = (count.to_string(), (600 + 10 * count).to_string());
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "unchoke-examples", "--example", "channel_demo"])
        .args(["--", "--json", "--kills", &kills, "--limit", &limit])
        .stderr(Stdio::inherit())
        .output()?;
    let line = String::from_utf8(output.stdout)?;
    write!(std::io::stdout(), "{line}")?;
    Ok(if output.status.success() && is_sound(&line, count) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_sound(line: &str, count: u64) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["adds_up"] == true && line["kills"] == count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_kills_or_sums_that_do_not_add_up_are_a_failure() {
        assert!(is_sound(r#"{"kills":3,"adds_up":true}"#, 3));
        for line in [r#"{"kills":2,"adds_up":true}"#, r#"{"kills":3,"adds_up":false}"#, "", "{}"] {
            assert!(!is_sound(line, 3), "{line}");
        }
    }
}
