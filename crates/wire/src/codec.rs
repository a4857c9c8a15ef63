//! Cuts the stream after the handshake into messages ([BEP 3]): four bytes of length, one of number, the rest.
//!
//! A cursor by hand, since every payload byte passes here; a test holds it equal to a grammar.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::message::{Message, id};
use bytes::{Buf, BytesMut};
use unchoke_core::{Block, PieceIndex};

/// Decodes messages, with a limit on the length of each kind that holds before the first byte of the body is waited for.
///
/// ```
/// use bytes::BytesMut;
/// use unchoke_wire::{Codec, Message};
/// let mut input = BytesMut::from(&b"\0\0\0\x01\x02\0\0\0\x05"[..]);
/// assert_eq!(Codec::new().decode(&mut input)?, Some(Message::Interested));
/// assert_eq!(Codec::new().decode(&mut input)?, None);
/// # Ok::<(), unchoke_wire::CodecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: u32,
    max_bitfield: u32,
    max_extended: u32,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The length prefix is above every limit.
    #[error("message of {length} bytes is longer than {limit}")]
    TooLong {
        /// What the length prefix says.
        length: u32,
        /// The limit.
        limit: u32,
    },
    /// The length is not one that a message of this number can have.
    #[error("message {id} cannot have {length} bytes")]
    Length {
        /// The message's number.
        id: u8,
        /// What the length prefix says.
        length: u32,
    },
}

impl Codec {
    /// A codec with the default limits of [`ConnectionConfig`](crate::ConnectionConfig).
    #[must_use]
    pub fn new() -> Self {
        Self { max_message: MAX_MESSAGE, max_bitfield: MAX_BITFIELD, max_extended: MAX_EXTENDED }
    }

    /// Sets the longest message of any kind but `bitfield` and `extended`, in bytes after the length prefix.
    #[must_use]
    pub fn with_max_message(mut self, bytes: u32) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets the longest bitfield, in bytes.
    #[must_use]
    pub fn with_max_bitfield(mut self, bytes: u32) -> Self {
        self.max_bitfield = bytes;
        self
    }

    /// Sets the longest payload of an `extended` message, in bytes.
    #[must_use]
    pub fn with_max_extended(mut self, bytes: u32) -> Self {
        self.max_extended = bytes;
        self
    }

    /// Takes one message off the front of `input`; `None`, with `input` untouched, if it is not all there. The payload of a message is a
    /// slice of `input`'s memory, not a copy.
    ///
    /// # Errors
    /// As soon as length and number tell that no such message can be.
    pub fn decode(&self, input: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        let Some((prefix, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        if length == 0 {
            input.advance(4);
            return Ok(Some(Message::KeepAlive));
        }
        let limit = self.max_message.max(self.max_bitfield.saturating_add(1)).max(self.max_extended.saturating_add(2));
        if length > limit {
            return Err(CodecError::TooLong { length, limit });
        }
        let Some(&id) = rest.first() else { return Ok(None) };
        self.check(id, length)?;
        // A length that passed is far below the address space.
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        input.advance(5);
        let mut body = input.split_to(length.saturating_sub(1));
        Ok(Some(match id {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(PieceIndex(body.get_u32())),
            id::BITFIELD => Message::Bitfield(body.freeze()),
            id::REQUEST => Message::Request(range(&mut body)),
            id::PIECE => {
                let (piece, offset) = (PieceIndex(body.get_u32()), body.get_u32());
                // The body is no longer than a length prefix of 32 bits says.
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
                Message::Piece { block: Block { piece, offset, length }, data: body.freeze() }
            }
            id::CANCEL => Message::Cancel(range(&mut body)),
            id::PORT => Message::Port(body.get_u16()),
            id::SUGGEST_PIECE => Message::SuggestPiece(PieceIndex(body.get_u32())),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::REJECT_REQUEST => Message::RejectRequest(range(&mut body)),
            id::ALLOWED_FAST => Message::AllowedFast(PieceIndex(body.get_u32())),
            id::EXTENDED => Message::Extended { id: body.get_u8(), payload: body.freeze() },
            _ => Message::Unknown { id, payload_len: u32::try_from(body.len()).unwrap_or(u32::MAX) },
        }))
    }

    /// Whether a message of this number may have this length, which counts the number's byte.
    fn check(&self, id: u8, length: u32) -> Result<(), CodecError> {
        let fits = match id {
            id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => length == 1,
            id::PORT => length == 3,
            id::HAVE | id::SUGGEST_PIECE | id::ALLOWED_FAST => length == 5,
            id::REQUEST | id::CANCEL | id::REJECT_REQUEST => length == 13,
            id::PIECE => length >= 9 && length <= self.max_message,
            id::BITFIELD => length <= self.max_bitfield.saturating_add(1),
            id::EXTENDED => length >= 2 && length <= self.max_extended.saturating_add(2),
            _ => length <= self.max_message,
        };
        if fits { Ok(()) } else { Err(CodecError::Length { id, length }) }
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads what `check` has made sure are twelve bytes.
fn range(body: &mut BytesMut) -> Block {
    Block { piece: PieceIndex(body.get_u32()), offset: body.get_u32(), length: body.get_u32() }
}

/// One mebibyte of block and the nine bytes before it.
pub(crate) const MAX_MESSAGE: u32 = (1 << 20) + 9;
/// Bits for sixteen million pieces.
pub(crate) const MAX_BITFIELD: u32 = 256 * 1024;
/// Far above a metadata piece (16 KiB) or a list of a hundred peers.
pub(crate) const MAX_EXTENDED: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_bomb_is_refused_at_its_prefix() {
        for length in [2 * (1 << 20) + 2, 1 << 31, u32::MAX] {
            let mut input = BytesMut::from(&length.to_be_bytes()[..]);
            assert!(matches!(Codec::new().decode(&mut input), Err(CodecError::TooLong { .. })), "{length}");
        }
    }

    #[test]
    fn the_length_of_each_kind_is_checked_before_its_body_comes() {
        let codec = Codec::new().with_max_message(100).with_max_bitfield(7).with_max_extended(30);
        for id in 0..=25_u8 {
            let valid: Vec<u32> = match id {
                0..=3 | 14 | 15 => vec![1],
                9 => vec![3],
                4 | 13 | 17 => vec![5],
                6 | 8 | 16 => vec![13],
                7 => (9..=100).collect(),
                5 => (1..=8).collect(),
                20 => (2..=32).collect(),
                _ => (1..=100).collect(),
            };
            for length in 1..=100_u32 {
                let mut input = BytesMut::from(&length.to_be_bytes()[..]);
                input.extend_from_slice(&[id]);
                let found = codec.decode(&mut input);
                if valid.contains(&length) {
                    assert!(found.is_ok(), "{id} {length}");
                } else {
                    assert_eq!(found, Err(CodecError::Length { id, length }));
                }
            }
        }
    }

    #[test]
    fn payload_is_a_slice_of_the_input() {
        let mut input = BytesMut::from(&b"\0\0\0\x0c\x07\0\0\0\x01\0\0\0\0abc\0\0\0\0"[..]);
        let at = input[13..].as_ptr();
        let Ok(Some(Message::Piece { data, .. })) = Codec::new().decode(&mut input) else { panic!("no piece") };
        assert_eq!((data.as_ptr(), &data[..]), (at, &b"abc"[..]));
        assert_eq!(Codec::new().decode(&mut input), Ok(Some(Message::KeepAlive)));
    }
}
