//! Whom to upload to ([BEP 3], choking and optimistic unchoking).
//!
//! A [`Choker`] sees the statistics of the interested peers and answers with [`UploadShare`]s. It decides; the engine sends the messages
//! and divides the uplink by the shares' weights. [`TitForTat`] is the default while downloading, [`SeedChoker`] while seeding.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod seed;
mod tit_for_tat;

pub use seed::SeedChoker;
pub use tit_for_tat::TitForTat;

use crate::ids::PeerKey;
use std::time::{Duration, Instant};

/// What a choker may know of a peer that is interested in us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerStats {
    /// The peer.
    pub peer: PeerKey,
    /// Whether we choke it now.
    pub choked: bool,
    /// Whether it has sent nothing for a while although we asked.
    pub snubbed: bool,
    /// Bytes per second of payload that it sends us.
    pub download_rate: u64,
    /// Bytes per second of payload that we send it.
    pub upload_rate: u64,
    /// Payload bytes sent to it since it was last unchoked.
    pub sent_since_unchoke: u64,
    /// Since when the connection stands.
    pub connected: Instant,
    /// When it was last unchoked, if ever.
    pub unchoked: Option<Instant>,
    /// Credit that an extension has announced for the peer (say, what it bids), in the extension's own units.
    pub credit: u64,
}

impl PeerStats {
    /// A peer that has just connected, is choked, and has sent and received nothing.
    #[must_use]
    pub const fn new(peer: PeerKey, connected: Instant) -> Self {
        Self {
            peer,
            choked: true,
            snubbed: false,
            download_rate: 0,
            upload_rate: 0,
            sent_since_unchoke: 0,
            connected,
            unchoked: None,
            credit: 0,
        }
    }
}

/// A peer to unchoke and its weight in the division of the uplink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UploadShare {
    /// The peer.
    pub peer: PeerKey,
    /// Its part of the uplink relative to the other shares' weights; 0 counts as 1.
    pub weight: u32,
}

impl UploadShare {
    /// A share of a given weight.
    #[must_use]
    pub const fn new(peer: PeerKey, weight: u32) -> Self {
        Self { peer, weight }
    }
}

/// Decides who may download from us.
pub trait Choker: Send {
    /// Appends the peers to unchoke, at most `slots`; every other peer is choked. Called every [`RECHOKE_INTERVAL`] and when a peer that was
    /// unchoked leaves or loses interest. All of `peers` are interested.
    fn rechoke(&mut self, now: Instant, slots: usize, peers: &[PeerStats], out: &mut Vec<UploadShare>);
}

/// How often the engine asks a choker anew (BEP 3: ten seconds, so that peers are not choked and unchoked in quick succession).
pub const RECHOKE_INTERVAL: Duration = Duration::from_secs(10);
