//! What the engine tells its owner.

use crate::ids::{PeerKey, TorrentKey};
use bytes::Bytes;
use std::net::SocketAddr;
use unchoke_core::{DiskError, PeerId, PieceIndex};
use unchoke_wire::ConnectionError;

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The info dictionary has come from peers and matches the info-hash. Open the store and call
    /// [`handle_metadata`](crate::Session::handle_metadata).
    Metadata {
        /// The torrent.
        torrent: TorrentKey,
        /// The bytes of the info dictionary.
        info: Bytes,
    },
    /// All pieces that the store may have held are checked; downloading starts.
    Checked {
        /// The torrent.
        torrent: TorrentKey,
        /// Pieces that are here.
        verified: u32,
    },
    /// A piece has been verified and written.
    PieceVerified {
        /// The torrent.
        torrent: TorrentKey,
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece hashed wrong and will be fetched again.
    PieceFailed {
        /// The torrent.
        torrent: TorrentKey,
        /// The piece.
        piece: PieceIndex,
    },
    /// A bounded store had to let a verified piece go, which was noticed when somebody asked for it. It counts as not wanted until
    /// [`set_file_priorities`](crate::Session::set_file_priorities) says otherwise.
    PieceEvicted {
        /// The torrent.
        torrent: TorrentKey,
        /// The piece.
        piece: PieceIndex,
    },
    /// Every piece that is wanted is verified and written. Told again when that becomes true anew, after more has become wanted.
    Completed {
        /// The torrent.
        torrent: TorrentKey,
    },
    /// All that was committed is durable.
    Synced {
        /// The torrent.
        torrent: TorrentKey,
    },
    /// The store failed. The torrent is paused, nothing verified is lost, and the store is tried again from time to time. After
    /// [`DiskError::Changed`] that helps only if the data is put back; [`Session::recheck`](crate::Session::recheck) takes it as it is.
    StorageFailed {
        /// The torrent.
        torrent: TorrentKey,
        /// Why.
        error: DiskError,
    },
    /// The store works again; the torrent goes on.
    StorageRecovered {
        /// The torrent.
        torrent: TorrentKey,
    },
    /// A peer has shaken hands.
    PeerConnected {
        /// The torrent.
        torrent: TorrentKey,
        /// The connection.
        peer: PeerKey,
        /// The other end.
        address: SocketAddr,
        /// What it calls itself.
        id: PeerId,
    },
    /// A peer that had shaken hands has gone.
    PeerDisconnected {
        /// The torrent.
        torrent: TorrentKey,
        /// The connection.
        peer: PeerKey,
        /// The other end.
        address: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// A peer has told where its node of the DHT is (BEP 5): at the address of the connection, with the port that it names. Nobody has
    /// tried yet whether it answers. Told once for each connection, and never of a torrent that is known to be private.
    DhtNode {
        /// The torrent.
        torrent: TorrentKey,
        /// The connection.
        peer: PeerKey,
        /// Where the node may be.
        address: SocketAddr,
    },
    /// A peer was caught sending bad data and is banned.
    PeerBanned {
        /// The torrent.
        torrent: TorrentKey,
        /// Its address.
        address: SocketAddr,
    },
    /// An extension of the caller's says something.
    Extension {
        /// The torrent.
        torrent: TorrentKey,
        /// The connection.
        peer: PeerKey,
        /// The extension's name.
        name: &'static str,
        /// What it says.
        event: unchoke_wire::ExtensionEvent,
    },
}

impl Event {
    /// The torrent that it is about.
    #[must_use]
    pub fn torrent(&self) -> Option<TorrentKey> {
        match self {
            Self::Metadata { torrent, .. }
            | Self::Checked { torrent, .. }
            | Self::PieceVerified { torrent, .. }
            | Self::PieceFailed { torrent, .. }
            | Self::PieceEvicted { torrent, .. }
            | Self::Completed { torrent }
            | Self::Synced { torrent }
            | Self::StorageFailed { torrent, .. }
            | Self::StorageRecovered { torrent }
            | Self::PeerConnected { torrent, .. }
            | Self::PeerDisconnected { torrent, .. }
            | Self::DhtNode { torrent, .. }
            | Self::PeerBanned { torrent, .. }
            | Self::Extension { torrent, .. } => Some(*torrent),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer broke the protocol or was silent too long.
    #[error("protocol")]
    Protocol(#[source] ConnectionError),
    /// The driver lost the connection, or the peer closed it.
    #[error("closed by the other side")]
    Remote,
    /// It is a connection to ourselves.
    #[error("connected to itself")]
    Itself,
    /// There is a connection to the same peer already.
    #[error("duplicate connection")]
    Duplicate,
    /// The peer wants a torrent that is not here, or another than was asked for.
    #[error("unknown torrent")]
    UnknownTorrent,
    /// Neither side needs anything from the other.
    #[error("neither side needs anything")]
    Redundant,
    /// The peer is banned.
    #[error("banned")]
    Banned,
    /// There are too many connections.
    #[error("too many connections")]
    TooMany,
    /// The torrent is suspended.
    #[error("torrent suspended")]
    Suspended,
    /// The torrent's data is checked anew.
    #[error("data is checked anew")]
    Rechecking,
    /// The torrent was removed.
    #[error("torrent removed")]
    Removed,
}
