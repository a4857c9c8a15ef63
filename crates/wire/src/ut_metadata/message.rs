//! The three messages of [BEP 9]: a bencoded dictionary, and after it, in one of them, plain data.
//!
//! [BEP 9]: https://www.bittorrent.org/beps/bep_0009.html

use crate::extended::limits;
use crate::extension::ExtensionError;
use bytes::Bytes;
use std::ops::Range;
use unchoke_bencode::{Value, decode_prefix, encode};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) piece: u32,
    pub(super) body: Body,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Body {
    Request,
    Data { total: Option<i64>, data: Bytes },
    Reject,
}

/// Bytes of every piece but the last.
pub(super) const PIECE_LEN: u32 = 16 * 1024;
const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;

pub(super) fn piece_count(size: u32) -> u32 {
    size.div_ceil(PIECE_LEN)
}

/// Where a piece lies within the dictionary; `None` if there is no such piece.
pub(super) fn piece_range(size: u32, piece: u32) -> Option<Range<usize>> {
    let start = piece.checked_mul(PIECE_LEN).filter(|start| *start < size)?;
    Some(start as usize..start.saturating_add(PIECE_LEN).min(size) as usize)
}

/// Reads a message; `None` if it is of a kind that is to be ignored.
pub(super) fn decode(payload: &Bytes) -> Result<Option<Message>, ExtensionError> {
    let (document, end) = decode_prefix(payload, &limits())?;
    let root = document.root().as_dict().ok_or(ExtensionError::Key { key: "msg_type" })?;
    let int = |key: &[u8]| root.get(key).and_then(Value::as_int);
    let kind = int(b"msg_type").ok_or(ExtensionError::Key { key: "msg_type" })?;
    let body = match kind {
        REQUEST => Body::Request,
        DATA => Body::Data { total: int(b"total_size"), data: payload.slice(end..) },
        REJECT => Body::Reject,
        _ => return Ok(None),
    };
    let piece = int(b"piece").and_then(|piece| u32::try_from(piece).ok());
    Ok(Some(Message { piece: piece.ok_or(ExtensionError::Key { key: "piece" })?, body }))
}

pub(super) fn encode_request(piece: u32) -> Bytes {
    head(REQUEST, piece, None).into()
}

pub(super) fn encode_reject(piece: u32) -> Bytes {
    head(REJECT, piece, None).into()
}

pub(super) fn encode_data(piece: u32, total: u32, data: &[u8]) -> Bytes {
    let mut out = head(DATA, piece, Some(total));
    out.extend_from_slice(data);
    out.into()
}

fn head(kind: i64, piece: u32, total: Option<u32>) -> Vec<u8> {
    encode(|v| {
        v.dict(|d| {
            d.int("msg_type", kind);
            d.int("piece", i64::from(piece));
            if let Some(total) = total {
                d.int("total_size", i64::from(total));
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn b1_nesting_in_a_metadata_message_costs_no_stack() {
        let work = || {
            for depth in [1_000, 100_000, 1_000_000] {
                for (open, close) in [("l", "e"), ("d1:a", "e"), ("d1:al", "ee")] {
                    for input in [
                        open.repeat(depth) + &close.repeat(depth),
                        open.repeat(depth),
                        format!("d8:msg_type{}", open.repeat(depth)),
                    ] {
                        assert!(decode(&input.into()).is_err());
                    }
                }
            }
        };
        std::thread::Builder::new().stack_size(64 * 1024).spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn messages_look_like_those_of_the_bep() {
        assert_eq!(&encode_request(0)[..], b"d8:msg_typei0e5:piecei0ee");
        assert_eq!(&encode_data(0, 34_256, b"xx")[..], b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexx");
        assert_eq!(&encode_reject(0)[..], b"d8:msg_typei2e5:piecei0ee");
    }

    #[test]
    fn pieces_cover_the_dictionary() {
        for size in [1, PIECE_LEN - 1, PIECE_LEN, PIECE_LEN + 1, 3 * PIECE_LEN] {
            let lengths: usize = (0..piece_count(size)).map(|piece| piece_range(size, piece).unwrap().len()).sum();
            assert_eq!(lengths, size as usize);
            assert_eq!(piece_range(size, piece_count(size)), None);
        }
        assert_eq!(piece_range(u32::MAX, u32::MAX), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(piece: u32, total: u32, data in prop::collection::vec(any::<u8>(), 0..50)) {
            let found = decode(&encode_data(piece, total, &data)).unwrap();
            let body = Body::Data { total: Some(i64::from(total)), data: data.into() };
            prop_assert_eq!(found, Some(Message { piece, body }));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes.into());
        }
    }
}
