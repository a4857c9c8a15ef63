//! What the engine calls its torrents and peers.

use std::fmt;

/// The name of one torrent within one session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TorrentKey(pub(crate) u32);

/// The name of one connection within one session. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerKey(pub(crate) u64);

impl PeerKey {
    /// A key by its number, for tests of pickers and chokers that run without a session.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the connection, counted from the start of the session.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Direction {
    /// The other side.
    Incoming,
    /// This side, because of an [`Action::Connect`](crate::Action::Connect) for this torrent.
    Outgoing(TorrentKey),
}

/// Whether a driver may read on from a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a driver either reads or does not")]
pub enum Flow {
    /// Read on.
    Continue,
    /// Do not read until [`Action::Resume`](crate::Action::Resume): memory or a rate limit is used up.
    Pause,
}

/// Where the engine learned of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum PeerOrigin {
    /// A tracker's answer.
    Tracker,
    /// Peer exchange (BEP 11).
    Pex,
    /// The DHT (BEP 5).
    Dht,
    /// The caller: a fixed list, a magnet link's `x.pe`.
    Manual,
    /// The peer itself connected.
    Incoming,
}
