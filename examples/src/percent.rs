//! How far something is, on one line of a terminal, or a line now and then elsewhere.

use crate::output::tell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a plain line is written. What takes less needs none.
const LINE: Duration = Duration::from_secs(5);

/// A percentage on standard error that is written over; if that is no terminal, a line every five seconds.
#[derive(Debug)]
pub struct Percent {
    shown: Option<u64>,
    /// When the last plain line was written, or might have been.
    last: Instant,
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
        Self { shown: None, last: Instant::now(), terminal: std::io::stderr().is_terminal(), what }
    }

    /// So much of it is done.
    pub fn show(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if !self.terminal {
            if self.last.elapsed() >= LINE {
                self.last = Instant::now();
                tell(format_args!("{} {percent} %", self.what));
            }
        } else if self.shown != Some(percent) {
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
