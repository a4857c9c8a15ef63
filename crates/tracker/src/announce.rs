//! What a client tells a tracker and what it is told ([BEP 3], [BEP 24], [BEP 48]), whatever carries it.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 24]: https://www.bittorrent.org/beps/bep_0024.html
//! [BEP 48]: https://www.bittorrent.org/beps/bep_0048.html

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use unchoke_core::{InfoHash, PeerId};

/// What happened to the download; a regular announce has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "BEP 3 closes the set")]
pub enum AnnounceEvent {
    /// The first announce of a run.
    Started,
    /// The last announce of a run.
    Stopped,
    /// The last piece has just come; not sent by those that were complete when they started.
    Completed,
}

/// One announce.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who announces.
    pub peer_id: PeerId,
    /// The port on which it takes connections.
    pub port: u16,
    /// Payload bytes sent since the started event.
    pub uploaded: u64,
    /// Payload bytes received since the started event.
    pub downloaded: u64,
    /// Bytes that are still missing; 0 says that this is a seed.
    pub left: u64,
    /// What happened, if anything.
    pub event: Option<AnnounceEvent>,
    /// How many peers are wanted; the tracker chooses if it is not told.
    pub num_want: Option<u32>,
    /// A number that proves to the tracker that a client whose address has changed is the same one.
    pub key: u32,
    /// What the tracker asked to be told back.
    pub tracker_id: Option<Vec<u8>>,
}

impl AnnounceRequest {
    /// A regular announce of somebody that has transferred nothing and of whom it is not known what it lacks:
    /// `left` is `u64::MAX >> 1`, so that it is not taken for a seed.
    #[must_use]
    pub fn new(info_hash: InfoHash, peer_id: PeerId, port: u16) -> Self {
        Self {
            info_hash,
            peer_id,
            port,
            uploaded: 0,
            downloaded: 0,
            left: u64::MAX >> 1,
            event: None,
            num_want: None,
            key: 0,
            tracker_id: None,
        }
    }
}

/// A tracker's answer to an announce.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AnnounceResponse {
    /// How long to wait until the next regular announce. What comes from the network is held between
    /// [`MIN_INTERVAL`] and [`MAX_INTERVAL`], so that no tracker can make its clients hammer it or fall asleep.
    pub interval: Duration,
    /// The tracker wants nothing before this has passed; held between the same bounds.
    pub min_interval: Option<Duration>,
    /// Peers that have everything.
    pub seeders: Option<u32>,
    /// Peers that do not.
    pub leechers: Option<u32>,
    /// Addresses to try, at most [`MAX_PEERS`]; none with port 0 or an unspecified address.
    pub peers: Vec<SocketAddr>,
    /// The address that the tracker sees the client under (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Something that the user should read, made fit to print.
    pub warning: Option<String>,
    /// To be sent back in the next announce.
    pub tracker_id: Option<Vec<u8>>,
}

impl AnnounceResponse {
    /// An answer that says when to come back and nothing else.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            min_interval: None,
            seeders: None,
            leechers: None,
            peers: Vec::new(),
            external_ip: None,
            warning: None,
            tracker_id: None,
        }
    }

    /// Adds a peer unless it cannot be one or there is no more room.
    pub(crate) fn push_peer(&mut self, peer: SocketAddr) {
        if peer.port() != 0 && !peer.ip().is_unspecified() && self.peers.len() < MAX_PEERS {
            self.peers.push(peer);
        }
    }
}

/// The shortest interval that a client believes.
pub const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// The longest interval that a client believes.
pub const MAX_INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// The most peers that are taken from one answer.
pub const MAX_PEERS: usize = 1000;
/// The most info-hashes in one scrape: what one UDP datagram has room for (BEP 15).
pub const MAX_SCRAPE: usize = 74;

pub(crate) const MAX_TRACKER_ID: usize = 256;

/// An interval in seconds, as it came, within the bounds.
pub(crate) fn clamp_interval(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// What a scrape says of one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ScrapeEntry {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that do not.
    pub leechers: u32,
    /// How often the download was completed.
    pub completed: u32,
}

impl ScrapeEntry {
    /// A torrent that nobody shares.
    #[must_use]
    pub const fn new(info_hash: InfoHash) -> Self {
        Self { info_hash, seeders: 0, leechers: 0, completed: 0 }
    }
}

/// A tracker's answer to a scrape; torrents that it does not know may be missing.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ScrapeResponse {
    /// One entry per torrent.
    pub entries: Vec<ScrapeEntry>,
}

impl ScrapeResponse {
    /// An answer with these entries.
    #[must_use]
    pub const fn new(entries: Vec<ScrapeEntry>) -> Self {
        Self { entries }
    }
}
