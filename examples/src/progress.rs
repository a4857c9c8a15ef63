//! A progress bar in a terminal, a line every few seconds elsewhere.

use crate::output::tell;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};
use unchoke_tokio::Torrent;

/// How often a plain line is written.
const LINE: Duration = Duration::from_secs(2);

/// The progress of one torrent, written to standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    last: Option<Instant>,
}

impl Progress {
    /// Progress with a label, as one of several bars.
    #[must_use]
    pub fn new(bars: &MultiProgress, label: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:12} {wide_bar} {bytes:>11}/{total_bytes:11} {msg}");
            let bar = bars.add(ProgressBar::new(0).with_prefix(label.to_owned()));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, label: label.to_owned(), last: None }
    }

    /// Shows how far the torrent is.
    pub fn show(&mut self, torrent: &Torrent) {
        let Some(stats) = torrent.stats() else { return };
        let (left, here) = (stats.missing, stats.wanted.saturating_sub(stats.missing));
        let eta = left.checked_div(stats.download_rate).map(|seconds| format!(", {seconds} s left"));
        let rates = format!(
            "{}/s down, {}/s up, {} peers{}",
            HumanBytes(stats.download_rate),
            HumanBytes(stats.upload_rate),
            stats.peers,
            eta.filter(|_| left > 0).unwrap_or_default(),
        );
        if let Some(bar) = &self.bar {
            bar.set_length(stats.wanted);
            bar.set_position(here);
            bar.set_message(rates);
        } else if self.last.is_none_or(|last| last.elapsed() >= LINE) {
            self.last = Some(Instant::now());
            let percent = here.saturating_mul(100).checked_div(stats.wanted).unwrap_or(0);
            tell(format_args!("{}: {percent} % of {}, {rates}", self.label, HumanBytes(stats.wanted)));
        }
    }

    /// Leaves the bar as it is.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
