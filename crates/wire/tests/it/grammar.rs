//! The codec by hand and a grammar agree.

use bytes::{Bytes, BytesMut};
use nom::bytes::complete::take;
use nom::combinator::{all_consuming, map, rest};
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};
use proptest::prelude::*;
use unchoke_core::{Block, PieceIndex};
use unchoke_wire::{Codec, Message};

fn piece(i: &[u8]) -> IResult<&[u8], PieceIndex> {
    map(be_u32, PieceIndex).parse(i)
}

fn block(i: &[u8]) -> IResult<&[u8], Block> {
    map((piece, be_u32, be_u32), |(piece, offset, length)| Block { piece, offset, length }).parse(i)
}

fn data(i: &[u8]) -> IResult<&[u8], Message> {
    map((piece, be_u32, rest), |(piece, offset, data): (_, _, &[u8])| Message::Piece {
        block: Block { piece, offset, length: u32::try_from(data.len()).unwrap() },
        data: Bytes::copy_from_slice(data),
    })
    .parse(i)
}

fn extended(i: &[u8]) -> IResult<&[u8], Message> {
    map((be_u8, rest), |(id, payload): (_, &[u8])| Message::Extended { id, payload: Bytes::copy_from_slice(payload) })
        .parse(i)
}

fn empty(i: &[u8], message: Message) -> IResult<&[u8], Message> {
    Ok((i, message))
}

fn body(i: &[u8]) -> IResult<&[u8], Message> {
    let (i, id) = be_u8(i)?;
    match id {
        0 => empty(i, Message::Choke),
        1 => empty(i, Message::Unchoke),
        2 => empty(i, Message::Interested),
        3 => empty(i, Message::NotInterested),
        4 => map(piece, Message::Have).parse(i),
        5 => map(rest, |bits: &[u8]| Message::Bitfield(Bytes::copy_from_slice(bits))).parse(i),
        6 => map(block, Message::Request).parse(i),
        7 => data(i),
        8 => map(block, Message::Cancel).parse(i),
        9 => map(be_u16, Message::Port).parse(i),
        13 => map(piece, Message::SuggestPiece).parse(i),
        14 => empty(i, Message::HaveAll),
        15 => empty(i, Message::HaveNone),
        16 => map(block, Message::RejectRequest).parse(i),
        17 => map(piece, Message::AllowedFast).parse(i),
        20 => extended(i),
        _ => map(rest, |gone: &[u8]| Message::Unknown { id, payload_len: u32::try_from(gone.len()).unwrap() }).parse(i),
    }
}

/// `None` if more is needed, an error if no message can be.
fn grammar(i: &[u8]) -> Option<Result<(&[u8], Message), ()>> {
    let (i, length) = be_u32::<_, nom::error::Error<_>>(i).ok()?;
    if length == 0 {
        return Some(Ok((i, Message::KeepAlive)));
    }
    let (left, frame) = take::<_, _, nom::error::Error<_>>(length).parse(i).ok()?;
    Some(all_consuming(body).parse(frame).map(|(_, message)| (left, message)).map_err(drop))
}

fn blocks() -> impl Strategy<Value = Block> {
    any::<(u32, u32, u32)>().prop_map(|(piece, offset, length)| Block { piece: PieceIndex(piece), offset, length })
}

fn messages() -> impl Strategy<Value = Message> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(|piece| Message::Have(PieceIndex(piece))),
        bytes().prop_map(Message::Bitfield),
        blocks().prop_map(Message::Request),
        (blocks(), bytes()).prop_map(|(block, data)| {
            Message::Piece { block: Block { length: u32::try_from(data.len()).unwrap(), ..block }, data }
        }),
        blocks().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(|piece| Message::SuggestPiece(PieceIndex(piece))),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        blocks().prop_map(Message::RejectRequest),
        any::<u32>().prop_map(|piece| Message::AllowedFast(PieceIndex(piece))),
        (any::<u8>(), bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
    ]
}

/// One frame of any number and any length up to forty, well formed or not, whole or cut.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let parts = (0..24_u8, prop::collection::vec(any::<u8>(), 0..40), 0..50_usize);
    parts.prop_map(|(id, payload, keep)| {
        let length = u32::try_from(payload.len() + 1).unwrap();
        let mut frame = [&length.to_be_bytes()[..], &[id], &payload].concat();
        frame.truncate(keep.max(4));
        frame
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(messages in prop::collection::vec(messages(), 0..10)) {
        let mut wire = BytesMut::new();
        messages.iter().for_each(|message| message.encode(&mut wire));
        let codec = Codec::new();
        let found: Vec<_> = std::iter::from_fn(|| codec.decode(&mut wire).unwrap()).collect();
        prop_assert_eq!(found, messages);
        prop_assert!(wire.is_empty());
    }

    #[test]
    fn the_codec_equals_the_grammar(frame in frames()) {
        let mut input = BytesMut::from(&frame[..]);
        match (Codec::new().decode(&mut input), grammar(&frame)) {
            (Ok(Some(message)), Some(Ok((left, wanted)))) => {
                prop_assert_eq!(message, wanted);
                prop_assert_eq!(&input[..], left);
            }
            (Ok(None), None) => prop_assert_eq!(&input[..], &frame[..]),
            // The codec may know before the frame is whole.
            (Err(_), None | Some(Err(()))) => {}
            (found, wanted) => prop_assert!(false, "{:?} and {:?}", found, wanted),
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = Codec::new().decode(&mut input) {}
        prop_assert!(input.len() <= bytes.len());
    }
}
