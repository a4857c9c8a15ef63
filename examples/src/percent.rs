//! How far hashing is, on one line of a terminal.

use std::io::{IsTerminal as _, Write as _};

/// A percentage on standard error that is written over; nothing if that is no terminal.
#[derive(Debug)]
pub struct Percent {
    shown: Option<u64>,
    terminal: bool,
}

impl Percent {
    /// Shows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { shown: None, terminal: std::io::stderr().is_terminal() }
    }

    /// So much of it is done.
    pub fn show(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if self.terminal && self.shown != Some(percent) {
            self.shown = Some(percent);
            // A terminal that is gone needs no progress.
            let _ = write!(std::io::stderr(), "\rhashed {percent:3} %{}", if percent == 100 { "\n" } else { "" });
        }
    }
}

impl Default for Percent {
    fn default() -> Self {
        Self::new()
    }
}
