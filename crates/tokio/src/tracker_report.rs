//! What came of announcing to the trackers of a torrent.

use crate::error::AnnounceError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use unchoke_tracker::{AnnounceResponse, TrackerUrl};

/// The trackers of a torrent, as they are now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TrackerReport {
    /// Each tracker once, in the order in which the torrent names them.
    pub trackers: Vec<TrackerStatus>,
    /// When a tracker is asked next. `None` while one is being asked, and when there is nobody to ask.
    pub next_announce: Option<Instant>,
}

/// One tracker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrackerStatus {
    /// Its URL; if it is none, at most 256 characters of it, without control characters. It may hold a secret of the user.
    pub url: String,
    /// Its tier, from 0 (BEP 12). The tiers are asked in their order until one tracker answers.
    pub tier: usize,
    /// The last announce to it that ended; `None` if it has not been asked yet.
    pub last: Option<AnnounceOutcome>,
}

/// How an announce ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AnnounceOutcome {
    /// When.
    pub at: Instant,
    /// What the tracker said, or why it said nothing.
    pub result: Result<TrackerAnswer, Arc<AnnounceError>>,
}

/// What a tracker said of a torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TrackerAnswer {
    /// Addresses that it gave; our own may be one of them.
    pub peers: usize,
    /// Peers that have everything, by its count.
    pub seeders: Option<u32>,
    /// Peers that do not, by its count.
    pub leechers: Option<u32>,
    /// Something that the user should read, made fit to print.
    pub warning: Option<String>,
}

impl TrackerReport {
    /// Reads the URLs of a torrent. What is none fails here and is not asked.
    pub(crate) fn new(now: Instant, tiers: &[Vec<String>]) -> (Self, Vec<Vec<TrackerUrl>>) {
        let (mut trackers, mut parsed, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (tier, urls) in tiers.iter().enumerate() {
            let mut valid = Vec::new();
            for text in urls {
                let (url, last) = match TrackerUrl::parse(text) {
                    Ok(parsed) => {
                        let url = parsed.to_string();
                        valid.push(parsed);
                        (url, None)
                    }
                    Err(error) => {
                        let failed = AnnounceOutcome { at: now, result: Err(Arc::new(error.into())) };
                        (printable(text), Some(failed))
                    }
                };
                if seen.insert(url.clone()) {
                    trackers.push(TrackerStatus { url, tier, last });
                }
            }
            parsed.push(valid);
        }
        (Self { trackers, next_announce: None }, parsed)
    }

    /// An announce has ended.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        url: &TrackerUrl,
        result: Result<&AnnounceResponse, Arc<AnnounceError>>,
    ) {
        let url = url.to_string();
        let Some(tracker) = self.trackers.iter_mut().find(|tracker| tracker.url == url) else { return };
        let result = result.map(|response| TrackerAnswer {
            peers: response.peers.len(),
            seeders: response.seeders,
            leechers: response.leechers,
            warning: response.warning.clone(),
        });
        tracker.last = Some(AnnounceOutcome { at: now, result });
    }
}

fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(MAX_TEXT).map(clean).collect()
}

const MAX_TEXT: usize = 256;
