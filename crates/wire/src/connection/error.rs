//! Why a connection ends.

use crate::codec::CodecError;
use crate::extended::ExtendedHandshakeError;
use crate::extension::ExtensionError;
use crate::handshake::HandshakeError;
use unchoke_core::{BitfieldError, Block, InfoHash, PieceIndex};

/// Why a connection cannot go on. It is always the peer's doing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The stream does not begin with a handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The peer answered for another torrent.
    #[error("peer answered for info-hash {found}")]
    InfoHash {
        /// What it answered.
        found: InfoHash,
    },
    /// No handshake came in time.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// Nothing came for too long.
    #[error("peer was silent for too long")]
    IdleTimeout,
    /// The stream ended within a handshake or a message.
    #[error("stream ended within a handshake or a message")]
    Truncated,
    /// Bytes that are not a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Far more messages that bring nothing than any purpose needs.
    #[error("peer floods the connection with messages that bring nothing")]
    Chatter,
    /// A message that belongs to an extension which was not agreed on.
    #[error("message {id} was not agreed on")]
    NotNegotiated {
        /// The message's number.
        id: u8,
    },
    /// A bitfield, `have all` or `have none` after the peer had told what it has.
    #[error("message {id} came too late")]
    TooLate {
        /// The message's number.
        id: u8,
    },
    /// The bitfield does not fit the torrent.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
    /// There is no such piece.
    #[error("there is no piece {0}")]
    Piece(PieceIndex),
    /// The block is empty, too long or not within its piece.
    #[error("there is no block {0}")]
    Block(Block),
    /// More requests than may wait, from a peer that cannot be told so.
    #[error("more than {limit} requests")]
    TooManyRequests {
        /// Requests that may wait.
        limit: usize,
    },
    /// The peer keeps provoking answers and does not read them.
    #[error("{bytes} bytes of answers are not read")]
    Unread {
        /// Bytes waiting.
        bytes: usize,
    },
    /// The extended handshake is malformed.
    #[error(transparent)]
    ExtendedHandshake(#[from] ExtendedHandshakeError),
    /// The peer broke the rules of an extension.
    #[error("extension {name}")]
    Extension {
        /// The extension.
        name: &'static str,
        /// How.
        source: ExtensionError,
    },
}
