//! The contract of an extension over [BEP 10], and what extensions and the owner of a connection tell each other.
//!
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html

use crate::extended::{ExtendedHandshake, ExtendedHandshakeExtra};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::{Block, PieceIndex};

/// One extension on one connection. The connection numbers it, frames its messages and passes on what happens.
///
/// Like the connection, it does no I/O and reads no clock.
pub trait Extension: Send {
    /// The name in the extended handshake.
    fn name(&self) -> &'static str;

    /// Adds keys to our extended handshake.
    fn fill_handshake(&self, _extra: &mut ExtendedHandshakeExtra) {}

    /// The peer has sent an extended handshake, perhaps not its first. It may or may not name this extension.
    fn handle_handshake(&mut self, _now: Instant, _theirs: &ExtendedHandshake) {}

    /// A message of this extension has come, without its number.
    ///
    /// # Errors
    /// If the peer broke the rules so that the connection should end.
    fn handle_input(&mut self, now: Instant, payload: Bytes) -> Result<(), ExtensionError>;

    /// Time has passed. A spurious call is a no-op.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// Block bytes sent and received on this connection so far, each a total; called when one has grown.
    fn handle_transfer(&mut self, _now: Instant, _sent: u64, _received: u64) {}

    /// A block that the peer sent is part of a piece that has passed its hash.
    fn handle_verified(&mut self, _now: Instant, _block: Block) {}

    /// Something has changed in the swarm or on our side.
    fn handle_change(&mut self, _now: Instant, _change: &SwarmChange) {}

    /// The next message, without its number. Polled only while the peer speaks this extension.
    #[must_use]
    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes>;

    /// The next event. Polled after every `handle_*` call.
    #[must_use]
    fn poll_event(&mut self) -> Option<ExtensionEvent> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// What an extension tells the owner of the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExtensionEvent {
    /// The peer told of other peers (BEP 11).
    PeersFound {
        /// Peers that can be connected to.
        peers: Vec<SocketAddr>,
        /// Peers that the sender has lost.
        dropped: Vec<SocketAddr>,
    },
    /// The info dictionary has been fetched from this peer and matches the info-hash (BEP 9).
    Metadata(Bytes),
    /// This peer sent an info dictionary that does not match the info-hash (BEP 9).
    MetadataFailed,
    /// Whether the peer now wants nothing (BEP 21).
    UploadOnly(bool),
    /// The peer no longer has this piece (BEP 54).
    DontHave(PieceIndex),
    /// What the peer bids for our upload.
    Credit(u64),
    /// Block bytes that may be sent to the peer in all.
    Allowance {
        /// The total of [`Connection::payload_sent`](crate::Connection::payload_sent) not to be passed.
        upload_until: u64,
    },
    /// Something that only the extension's user understands.
    Custom(Bytes),
}

/// What the owner of the connections tells their extensions.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SwarmChange {
    /// There is a connection to this peer.
    PeerJoined {
        /// Where it can be connected to.
        addr: SocketAddr,
        /// What is known of it.
        flags: PexFlags,
    },
    /// The connection to this peer has ended.
    PeerLeft {
        /// The address it joined with.
        addr: SocketAddr,
    },
    /// Whether we now want nothing (BEP 21).
    UploadOnly(bool),
    /// We no longer have this piece (BEP 54).
    PieceLost(PieceIndex),
}

/// What peer exchange tells of a peer ([BEP 11](https://www.bittorrent.org/beps/bep_0011.html)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PexFlags(u8);

impl PexFlags {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Wraps the byte of the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte of the wire.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        self.0
    }

    /// It prefers encryption.
    #[must_use]
    pub const fn with_prefers_encryption(self) -> Self {
        Self(self.0 | 0x01)
    }

    /// It is a seed or uploads only.
    #[must_use]
    pub const fn with_upload_only(self) -> Self {
        Self(self.0 | 0x02)
    }

    /// It speaks uTP.
    #[must_use]
    pub const fn with_utp(self) -> Self {
        Self(self.0 | 0x04)
    }

    /// It has been connected to, so others can, too.
    #[must_use]
    pub const fn with_reachable(self) -> Self {
        Self(self.0 | 0x10)
    }

    /// Whether it is a seed or uploads only.
    #[must_use]
    pub const fn upload_only(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Whether it has been connected to.
    #[must_use]
    pub const fn reachable(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// How a peer broke the rules of an extension.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The message does not begin with a bencoded value.
    #[error("message is not bencoded")]
    Bencode(#[from] unchoke_bencode::Error),
    /// A key is missing or its value makes no sense.
    #[error("message has no valid `{key}`")]
    Key {
        /// The key.
        key: &'static str,
    },
    /// No message of this extension has this length.
    #[error("message cannot have {length} bytes")]
    Length {
        /// Bytes that came.
        length: usize,
    },
    /// Something that only the extension's author understands.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}
