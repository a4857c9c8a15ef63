//! What programs print, and how they end. The exit code is 0 for done, 1 for failed, 2 for bad arguments or input.

use crate::failure::Failure;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Writes a line to standard output.
///
/// # Errors
/// If nobody reads it or there is no room for it. (`println!` would panic.)
pub fn say(line: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| Failure::Failed(format!("cannot write to standard output: {error}")))
}

/// Writes a line to standard error, if that can be written to.
pub fn tell(line: impl Display) {
    // There is no place left where a failure could be told.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Turns a program's result into its exit code, and says on standard error what went wrong.
#[must_use]
pub fn run(usage: &str, result: Result<(), Failure>) -> ExitCode {
    let result = match result {
        Err(Failure::Help) => say(format_args!("usage: {usage}")),
        other => other,
    };
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if matches!(failure, Failure::Usage(_)) {
        let program = usage.split_whitespace().next().unwrap_or_default();
        tell(format_args!("error: {failure} (try {program} --help)"));
        return ExitCode::from(2);
    }
    tell(format_args!("error: {failure}"));
    ExitCode::FAILURE
}
