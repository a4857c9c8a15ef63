//! The messages of the peer wire protocol ([BEP 3]), of the fast extension ([BEP 6]) and the envelope of the extension protocol ([BEP 10]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 6]: https://www.bittorrent.org/beps/bep_0006.html
//! [BEP 10]: https://www.bittorrent.org/beps/bep_0010.html

use bytes::{BufMut, Bytes, BytesMut};
use unchoke_core::{Block, PieceIndex};

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Message {
    /// Nothing, said to keep the connection open.
    KeepAlive,
    /// The sender will serve no requests for now.
    Choke,
    /// The sender will serve requests.
    Unchoke,
    /// The sender wants something that the receiver has.
    Interested,
    /// The sender wants nothing that the receiver has.
    NotInterested,
    /// The sender has this piece.
    Have(PieceIndex),
    /// The pieces that the sender has, as [`Bitfield`](unchoke_core::Bitfield) writes them.
    Bitfield(Bytes),
    /// The sender wants this block.
    Request(Block),
    /// A block.
    Piece {
        /// Which one.
        block: Block,
        /// Its bytes, `block.length` of them.
        data: Bytes,
    },
    /// The sender no longer wants this block.
    Cancel(Block),
    /// The port of the sender's DHT node (BEP 5).
    Port(u16),
    /// The sender suggests to ask for this piece (BEP 6).
    SuggestPiece(PieceIndex),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// The sender will not serve this request (BEP 6).
    RejectRequest(Block),
    /// The sender serves requests for this piece even while it chokes (BEP 6).
    AllowedFast(PieceIndex),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// 0 for the extended handshake, else the number that the receiver gave to the extension.
        id: u8,
        /// What follows the number.
        payload: Bytes,
    },
    /// A message of a kind that is not known here; it was skipped.
    Unknown {
        /// Its number.
        id: u8,
        /// Bytes that followed the number.
        payload_len: u32,
    },
}

/// Message numbers (BEP 3, 5, 6, 10).
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST_PIECE: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT_REQUEST: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
}

impl Message {
    /// Appends the wire form. An [`Unknown`](Self::Unknown) message, whose content is gone, appends nothing.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => frame(out, id::CHOKE, &[]),
            Self::Unchoke => frame(out, id::UNCHOKE, &[]),
            Self::Interested => frame(out, id::INTERESTED, &[]),
            Self::NotInterested => frame(out, id::NOT_INTERESTED, &[]),
            Self::Have(piece) => frame(out, id::HAVE, &[&piece.0.to_be_bytes()]),
            Self::Bitfield(bits) => frame(out, id::BITFIELD, &[bits]),
            Self::Request(block) => frame(out, id::REQUEST, &[&range(*block)]),
            Self::Piece { block, data } => {
                frame(out, id::PIECE, &[&block.piece.0.to_be_bytes(), &block.offset.to_be_bytes(), data]);
            }
            Self::Cancel(block) => frame(out, id::CANCEL, &[&range(*block)]),
            Self::Port(port) => frame(out, id::PORT, &[&port.to_be_bytes()]),
            Self::SuggestPiece(piece) => frame(out, id::SUGGEST_PIECE, &[&piece.0.to_be_bytes()]),
            Self::HaveAll => frame(out, id::HAVE_ALL, &[]),
            Self::HaveNone => frame(out, id::HAVE_NONE, &[]),
            Self::RejectRequest(block) => frame(out, id::REJECT_REQUEST, &[&range(*block)]),
            Self::AllowedFast(piece) => frame(out, id::ALLOWED_FAST, &[&piece.0.to_be_bytes()]),
            Self::Extended { id, payload } => frame(out, id::EXTENDED, &[&[*id], payload]),
            Self::Unknown { .. } => {}
        }
    }

    /// The message's number; `None` for a keep-alive, which has none.
    #[must_use]
    pub fn id(&self) -> Option<u8> {
        Some(match self {
            Self::KeepAlive => return None,
            Self::Choke => id::CHOKE,
            Self::Unchoke => id::UNCHOKE,
            Self::Interested => id::INTERESTED,
            Self::NotInterested => id::NOT_INTERESTED,
            Self::Have(_) => id::HAVE,
            Self::Bitfield(_) => id::BITFIELD,
            Self::Request(_) => id::REQUEST,
            Self::Piece { .. } => id::PIECE,
            Self::Cancel(_) => id::CANCEL,
            Self::Port(_) => id::PORT,
            Self::SuggestPiece(_) => id::SUGGEST_PIECE,
            Self::HaveAll => id::HAVE_ALL,
            Self::HaveNone => id::HAVE_NONE,
            Self::RejectRequest(_) => id::REJECT_REQUEST,
            Self::AllowedFast(_) => id::ALLOWED_FAST,
            Self::Extended { .. } => id::EXTENDED,
            Self::Unknown { id, .. } => *id,
        })
    }

    /// Whether only peers that both speak the fast extension (BEP 6) may send it.
    #[must_use]
    pub fn needs_fast(&self) -> bool {
        matches!(
            self,
            Self::SuggestPiece(_) | Self::HaveAll | Self::HaveNone | Self::RejectRequest(_) | Self::AllowedFast(_)
        )
    }
}

/// All of a `piece` message but the block itself.
pub(crate) fn piece_header(block: Block) -> [u8; 13] {
    let length = block.length.saturating_add(9).to_be_bytes();
    let (piece, offset) = (block.piece.0.to_be_bytes(), block.offset.to_be_bytes());
    let mut header = [0; 13];
    let parts = length.iter().chain(&[id::PIECE]).chain(&piece).chain(&offset);
    for (to, from) in header.iter_mut().zip(parts) {
        *to = *from;
    }
    header
}

fn frame(out: &mut BytesMut, id: u8, parts: &[&[u8]]) {
    let length = parts.iter().fold(1_usize, |sum, part| sum.saturating_add(part.len()));
    out.reserve(length.saturating_add(4));
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(id);
    for part in parts {
        out.put_slice(part);
    }
}

fn range(block: Block) -> [u8; 12] {
    let mut bytes = [0; 12];
    let parts = [block.piece.0, block.offset, block.length].map(u32::to_be_bytes);
    for (to, from) in bytes.iter_mut().zip(parts.as_flattened()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_header_begins_the_message_that_it_stands_for() {
        let block = Block { piece: PieceIndex(0x0102), offset: 0x4000, length: 3 };
        let mut whole = BytesMut::new();
        Message::Piece { block, data: Bytes::from_static(b"abc") }.encode(&mut whole);
        assert_eq!(&whole[..13], piece_header(block));
        assert_eq!(&whole[..], b"\0\0\0\x0c\x07\0\0\x01\x02\0\0\x40\0abc");
    }

    #[test]
    fn a_request_is_seventeen_bytes() {
        let mut out = BytesMut::new();
        Message::Request(Block { piece: PieceIndex(1), offset: 2, length: 3 }).encode(&mut out);
        assert_eq!(&out[..], b"\0\0\0\x0d\x06\0\0\0\x01\0\0\0\x02\0\0\0\x03");
    }
}
