//! Figures of a session, a torrent, a peer.

use crate::ids::{PeerKey, TorrentKey};
use std::net::SocketAddr;
use unchoke_core::PeerId;

/// What a torrent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TorrentState {
    /// Asking peers for the info dictionary.
    Metadata,
    /// Hashing what the store may hold.
    Checking,
    /// Downloading.
    Downloading,
    /// Everything is here that is wanted.
    Seeding,
    /// Waiting for a store that failed.
    StorageFailed,
    /// At rest, since its owner wants it so: see [`Session::suspend`](crate::Session::suspend).
    Suspended,
}

/// Figures of one torrent. Bytes are payload unless they say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TorrentStats {
    /// The torrent.
    pub torrent: TorrentKey,
    /// What it is doing.
    pub state: TorrentState,
    /// Pieces in all; 0 until the metadata is known.
    pub pieces: u32,
    /// Pieces verified and written.
    pub verified: u32,
    /// Bytes in all; 0 until the metadata is known.
    pub total: u64,
    /// Bytes of verified pieces.
    pub verified_bytes: u64,
    /// Bytes of the pieces that are wanted; 0 until the metadata is known.
    pub wanted: u64,
    /// Bytes of those that are missing.
    pub missing: u64,
    /// Bytes received in this session, wasted ones included.
    pub downloaded: u64,
    /// Bytes sent in this session.
    pub uploaded: u64,
    /// Bytes received that were bad, or that were here already.
    pub wasted: u64,
    /// Pieces that hashed wrong.
    pub failed_pieces: u64,
    /// Bytes per second received.
    pub download_rate: u64,
    /// Bytes per second sent.
    pub upload_rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// Connected peers that have everything.
    pub seeds: usize,
    /// Addresses known.
    pub known_peers: usize,
}

impl TorrentStats {
    /// Whether every piece is here, those of unwanted files too.
    #[must_use]
    pub fn is_seed(&self) -> bool {
        self.pieces > 0 && self.verified == self.pieces
    }

    /// Bytes that are missing, as trackers want to know; `None` until the metadata is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        (self.pieces > 0).then(|| self.total.saturating_sub(self.verified_bytes))
    }
}

/// Figures of one peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The connection.
    pub peer: PeerKey,
    /// The other end.
    pub address: SocketAddr,
    /// What it calls itself.
    pub id: PeerId,
    /// The client's name and version, if it told them.
    pub client: Option<String>,
    /// Pieces that it has.
    pub pieces: u32,
    /// Payload bytes received from it.
    pub downloaded: u64,
    /// Payload bytes sent to it.
    pub uploaded: u64,
    /// Bytes per second received from it.
    pub download_rate: u64,
    /// Bytes per second sent to it.
    pub upload_rate: u64,
    /// Whether we choke it.
    pub choked: bool,
    /// Whether it chokes us.
    pub chokes_us: bool,
    /// Whether it is interested in us.
    pub interested: bool,
    /// Whether we are interested in it.
    pub interesting: bool,
    /// Whether it has kept us waiting.
    pub snubbed: bool,
    /// Requests that we wait for.
    pub outstanding: usize,
}
