//! How far something is, on one line of a terminal.

use std::io::{IsTerminal as _, Write as _};

/// A percentage on standard error that is written over; nothing if that is no terminal.
#[derive(Debug)]
pub struct Percent {
    shown: Option<u64>,
    terminal: bool,
    what: &'static str,
}

impl Percent {
    /// Shows nothing yet, and will say how much is hashed.
    #[must_use]
    pub fn new() -> Self {
        Self::named("hashed")
    }

    /// Shows nothing yet, and will say how much is done of what.
    #[must_use]
    pub fn named(what: &'static str) -> Self {
        Self { shown: None, terminal: std::io::stderr().is_terminal(), what }
    }

    /// So much of it is done.
    pub fn show(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if self.terminal && self.shown != Some(percent) {
            self.shown = Some(percent);
            // A terminal that is gone needs no progress.
            let _ =
                write!(std::io::stderr(), "\r{} {percent:3} %{}", self.what, if percent == 100 { "\n" } else { "" });
        }
    }
}

impl Default for Percent {
    fn default() -> Self {
        Self::new()
    }
}
