//! The rules of the wire.

use crate::pair::{Pair, all, drain, events, shake};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::time::{Duration, Instant};
use unchoke_core::{Block, Geometry, InfoHash, Outgoing, PieceIndex, StreamProtocol};
use unchoke_wire::{
    Connection, ConnectionConfig, ConnectionError, Event, Handshake, LocalInfo, Message, Reserved, SwarmChange,
};

fn block(piece: u32) -> Block {
    Block { piece: PieceIndex(piece), offset: 0, length: 16_384 }
}

fn said(messages: &[Message]) -> BytesMut {
    let mut wire = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut wire));
    wire
}

/// What `b` makes of these messages of its peer.
fn hear(pair: &mut Pair, messages: &[Message]) -> Result<Vec<Event>, ConnectionError> {
    pair.b.handle_input(pair.now, &mut said(messages))?;
    Ok(events(&mut pair.b))
}

#[test]
fn blocks_are_asked_for_served_and_counted() {
    let mut pair = Pair::plain(all());
    pair.b.unchoke(pair.now);
    pair.a.send(Message::Request(block(1)));
    pair.exchange().unwrap();
    assert_eq!(events(&mut pair.a), [Event::Message(Message::Unchoke)]);
    assert_eq!(events(&mut pair.b), [Event::Message(Message::Request(block(1)))]);
    pair.b.serve(block(1));
    assert_eq!((pair.b.queued_uploads(), pair.b.queued_upload_bytes()), (1, 16_384));
    assert_eq!(pair.b.poll_transmit(pair.now, 16_383), None, "no budget");
    pair.exchange().unwrap();
    let [Event::Message(Message::Piece { block: found, data })] = &events(&mut pair.a)[..] else { panic!("no piece") };
    assert_eq!((*found, data.len()), (block(1), 16_384));
    assert_eq!((pair.a.payload_received(), pair.b.payload_sent(), pair.b.unsent_bytes()), (16_384, 16_384, 0));
}

#[test]
fn a_choke_rejects_all_but_allowed_fast_pieces() {
    let mut pair = Pair::plain(all());
    pair.b.set_allowed_fast(vec![PieceIndex(2)]);
    pair.b.unchoke(pair.now);
    pair.b.unchoke(pair.now);
    (1..=3).for_each(|piece| pair.b.serve(block(piece)));
    pair.b.choke(pair.now);
    pair.b.choke(pair.now);
    pair.b.serve(block(4));
    pair.exchange().unwrap();
    let heard: Vec<Message> = events(&mut pair.a)
        .into_iter()
        .map(|event| match event {
            Event::Message(Message::Piece { block, .. }) => Message::Request(block),
            Event::Message(message) => message,
            other => panic!("{other:?}"),
        })
        .collect();
    let wanted = [
        Message::AllowedFast(PieceIndex(2)),
        Message::Unchoke,
        Message::Choke,
        Message::RejectRequest(block(1)),
        Message::RejectRequest(block(3)),
        Message::RejectRequest(block(4)),
        Message::Request(block(2)),
    ];
    assert_eq!(heard, wanted);
}

#[test]
fn a_choked_peer_is_told_only_if_it_speaks_the_fast_extension() {
    let mut fast = Pair::plain(all());
    assert_eq!(hear(&mut fast, &[Message::Request(block(1))]).unwrap(), []);
    assert_eq!(drain(&mut fast.b, fast.now), said(&[Message::RejectRequest(block(1))]));
    let mut slow = Pair::plain(Reserved::new());
    assert_eq!(hear(&mut slow, &[Message::Request(block(1))]).unwrap(), []);
    assert!(drain(&mut slow.b, slow.now).is_empty());
}

#[test]
fn messages_that_were_not_agreed_on_end_the_connection() {
    for message in [
        Message::HaveAll,
        Message::HaveNone,
        Message::SuggestPiece(PieceIndex(0)),
        Message::RejectRequest(block(0)),
        Message::AllowedFast(PieceIndex(0)),
        Message::Extended { id: 0, payload: Bytes::from_static(b"de") },
    ] {
        let id = message.id().unwrap();
        let found = hear(&mut Pair::plain(Reserved::new()), &[message]);
        assert!(matches!(found, Err(ConnectionError::NotNegotiated { id: found }) if found == id), "{found:?}");
    }
}

#[test]
fn while_the_shape_is_unknown_a_bitfield_comes_first_or_not_at_all() {
    let firsts = [Message::HaveAll, Message::HaveNone, Message::Bitfield(Bytes::new()), Message::Have(PieceIndex(0))];
    for first in &firsts {
        for second in &firsts[..3] {
            let found = hear(&mut Pair::plain(all()), &[first.clone(), second.clone()]);
            assert!(matches!(found, Err(ConnectionError::TooLate { .. })), "{first:?} {second:?}");
        }
        let found = hear(&mut Pair::plain(all()), &[Message::Interested, first.clone(), Message::Have(PieceIndex(1))]);
        assert_eq!(found.unwrap().len(), 3);
    }
}

#[test]
fn once_the_shape_is_known_a_bitfield_may_be_sent_anew() {
    let geometry = Geometry::new(10 * 32_768, 32_768).unwrap();
    let again = [Message::HaveAll, Message::Bitfield(Bytes::from_static(&[0xff, 0xc0])), Message::HaveAll];
    let mut pair = Pair::plain(all());
    pair.b.set_geometry(&geometry);
    assert_eq!(hear(&mut pair, &again).unwrap().len(), 3);
    let found = hear(&mut pair, &[Message::HaveNone]);
    assert!(matches!(found, Err(ConnectionError::TooLate { .. })));
}

#[test]
fn what_does_not_fit_the_torrent_ends_the_connection_once_its_shape_is_known() {
    let geometry = Geometry::new(10 * 32_768 - 1, 32_768).unwrap();
    let beyond = Block { piece: PieceIndex(9), offset: 16_384, length: 16_384 };
    let bad = [
        Message::Have(PieceIndex(10)),
        Message::AllowedFast(PieceIndex(10)),
        Message::Bitfield(Bytes::from_static(&[0])),
        Message::Bitfield(Bytes::from_static(&[0, 0, 0])),
        Message::Bitfield(Bytes::from_static(&[0, 0x20])),
        Message::Cancel(beyond),
        Message::Request(beyond),
        Message::Request(Block { length: u32::MAX, ..beyond }),
        Message::RejectRequest(block(10)),
        Message::Piece { block: block(10), data: Bytes::from_static(&[0; 16_384]) },
    ];
    for message in bad {
        let mut pair = Pair::plain(all());
        pair.b.set_geometry(&geometry);
        pair.b.unchoke(pair.now);
        assert!(hear(&mut pair, std::slice::from_ref(&message)).is_err(), "{message:?}");
    }
    let mut pair = Pair::plain(all());
    assert_eq!(hear(&mut pair, &[Message::Have(PieceIndex(10))]).unwrap().len(), 1, "unknown shape");
    let mut pair = Pair::plain(all());
    pair.b.set_geometry(&geometry);
    assert_eq!(hear(&mut pair, &[Message::Bitfield(Bytes::from_static(&[0xff, 0xc0]))]).unwrap().len(), 1);
}

#[test]
fn requests_beyond_the_limit_are_rejected_or_end_the_connection() {
    let requests = vec![Message::Request(block(1)); 501];
    let mut pair = Pair::plain(all());
    pair.b.unchoke(pair.now);
    drain(&mut pair.b, pair.now);
    assert_eq!(hear(&mut pair, &requests).unwrap().len(), 500);
    assert_eq!(drain(&mut pair.b, pair.now), said(&[Message::RejectRequest(block(1))]));
    let mut pair = Pair::plain(Reserved::new());
    pair.b.unchoke(pair.now);
    assert!(matches!(hear(&mut pair, &requests), Err(ConnectionError::TooManyRequests { limit: 500 })));
}

#[test]
fn a_peer_that_does_not_read_its_rejections_is_dropped() {
    let mut pair = Pair::plain(all());
    let many = vec![Message::Request(block(1)); 10_000];
    let outcome = (0..10).try_for_each(|_| {
        while pair.b.poll_transmit(pair.now, 0).is_some() {}
        hear(&mut pair, &many).map(drop)
    });
    assert!(matches!(outcome, Err(ConnectionError::Unread { .. })), "{outcome:?}");
    assert!(pair.b.unsent_bytes() <= 1 << 20);
}

#[test]
fn a_peer_that_makes_us_talk_and_does_not_listen_is_ended() {
    let mut pair = Pair::plain(all());
    let outcome = (0..1_000_000).try_for_each(|_| {
        // Whatever the peer says, its owner here has something to say to it.
        pair.b.send(Message::Interested);
        while pair.b.poll_transmit(pair.now, 0).is_some() {}
        hear(&mut pair, &[Message::Cancel(block(1))]).map(drop)
    });
    assert!(matches!(outcome, Err(ConnectionError::Unread { .. })), "{outcome:?}");
    assert!(pair.b.unsent_bytes() < 5 << 20);
}

#[test]
fn a_cancelled_request_leaves_the_queue() {
    let mut pair = Pair::plain(all());
    pair.b.unchoke(pair.now);
    drain(&mut pair.b, pair.now);
    pair.b.serve(block(1));
    let cancel = Message::Cancel(block(1));
    let found = hear(&mut pair, &[cancel.clone(), cancel.clone()]).unwrap();
    assert_eq!(found, [Event::Cancelled(block(1)), Event::Message(cancel.clone())]);
    assert_eq!(drain(&mut pair.b, pair.now), said(&[Message::RejectRequest(block(1))]));
    let both = [Message::Request(block(2)), Message::Request(block(1)), cancel];
    assert_eq!(hear(&mut pair, &both).unwrap(), [Event::Message(Message::Request(block(2)))]);
    assert_eq!(drain(&mut pair.b, pair.now), said(&[Message::RejectRequest(block(1))]));
}

#[test]
fn an_unreadable_block_is_rejected_and_not_counted() {
    let mut pair = Pair::plain(all());
    pair.b.unchoke(pair.now);
    drain(&mut pair.b, pair.now);
    pair.b.serve(block(1));
    assert!(matches!(pair.b.poll_transmit(pair.now, usize::MAX), Some(Outgoing::Piece { .. })));
    assert_eq!(pair.b.unsent_bytes(), 13 + 16_384);
    pair.b.handle_unreadable(pair.now, block(1));
    assert_eq!(pair.b.unsent_bytes(), 0);
    assert_eq!(drain(&mut pair.b, pair.now), said(&[Message::RejectRequest(block(1))]));
    assert_eq!(pair.b.payload_sent(), 0);
}

#[test]
fn an_answer_for_another_torrent_ends_the_connection() {
    let now = Instant::now();
    let mut a = Connection::outgoing(now, ConnectionConfig::default(), shake(1, all()), vec![]);
    let other = Handshake { info_hash: InfoHash::new([8; 20]), ..shake(2, all()) };
    let found = a.handle_input(now, &mut BytesMut::from(&other.encode()[..]));
    assert!(matches!(found, Err(ConnectionError::InfoHash { .. })));
    assert_eq!(events(&mut a), []);
}

#[test]
fn an_incoming_connection_waits_for_its_owner() {
    let now = Instant::now();
    let mut b = Connection::incoming(now, ConnectionConfig::default());
    let mut input = BytesMut::from(&shake(1, all()).encode()[..]);
    input.put(said(&[Message::Interested]));
    b.handle_input(now, &mut input).unwrap();
    assert_eq!(events(&mut b), [Event::Handshake(shake(1, all()))]);
    assert_eq!((input.len(), b.poll_transmit(now, 0)), (5, None));
    b.set_local(LocalInfo::default());
    b.accept(now, shake(2, all()), vec![]);
    b.handle_input(now, &mut input).unwrap();
    assert_eq!(events(&mut b), [Event::Message(Message::Interested)]);
    b.handle_end(now).unwrap();
}

#[test]
fn a_stream_that_ends_within_something_is_truncated() {
    let now = Instant::now();
    let mut b = Connection::incoming(now, ConnectionConfig::default());
    assert!(matches!(b.handle_end(now), Err(ConnectionError::Truncated)));
    let mut pair = Pair::plain(all());
    pair.b.handle_input(now, &mut BytesMut::from(&[0, 0][..])).unwrap();
    assert!(matches!(pair.b.handle_end(now), Err(ConnectionError::Truncated)));
}

#[test]
fn silence_is_broken_by_us_and_ends_the_peer() {
    let second = Duration::from_secs(1);
    let mut pair = Pair::plain(all());
    let start = pair.now;
    assert_eq!(pair.b.poll_timeout(), Some(start + 100 * second));
    pair.b.handle_timeout(start + 99 * second).unwrap();
    assert_eq!(pair.b.poll_transmit(start + 99 * second, 0), None);
    pair.b.handle_timeout(start + 100 * second).unwrap();
    assert_eq!(drain(&mut pair.b, start + 100 * second), said(&[Message::KeepAlive]));
    assert_eq!(pair.b.poll_timeout(), Some(start + 120 * second));
    assert!(matches!(pair.b.handle_timeout(start + 120 * second), Err(ConnectionError::IdleTimeout)));
    pair.a.handle_input(start + 110 * second, &mut said(&[Message::KeepAlive])).unwrap();
    pair.a.handle_timeout(start + 120 * second).unwrap();

    let mut silent = Connection::incoming(start, ConnectionConfig::default());
    assert_eq!(silent.poll_timeout(), Some(start + 10 * second));
    assert!(matches!(silent.handle_timeout(start + 10 * second), Err(ConnectionError::HandshakeTimeout)));
}

#[test]
fn changes_reach_the_peer_in_the_order_of_its_words() {
    use unchoke_wire::{DontHave, ExtensionEvent, UploadOnly};
    let both = || vec![Box::new(UploadOnly::new()) as _, Box::new(DontHave::new()) as _];
    let mut pair = Pair::open(all(), ConnectionConfig::default(), both(), both());
    pair.a.send(Message::Have(PieceIndex(3)));
    pair.a.handle_change(pair.now, &SwarmChange::PieceLost(PieceIndex(3)));
    pair.a.handle_change(pair.now, &SwarmChange::UploadOnly(true));
    pair.exchange().unwrap();
    let wanted = [
        Event::Message(Message::Have(PieceIndex(3))),
        Event::Extension { name: "upload_only", event: ExtensionEvent::UploadOnly(true) },
        Event::Extension { name: "lt_donthave", event: ExtensionEvent::DontHave(PieceIndex(3)) },
    ];
    assert_eq!(events(&mut pair.b), wanted);
}

proptest! {
    #[test]
    fn any_cutting_of_the_stream_gives_the_same_events(cuts in prop::collection::vec(1..90_usize, 1..40)) {
        let now = Instant::now();
        let mut wire = BytesMut::from(&shake(2, all()).encode()[..]);
        wire.put(said(&[
            Message::Extended { id: 0, payload: Bytes::from_static(b"d1:v1:xe") },
            Message::Bitfield(Bytes::from_static(&[0xff])),
            Message::KeepAlive,
            Message::Unchoke,
            Message::Piece { block: Block { length: 200, ..block(1) }, data: Bytes::from_static(&[5; 200]) },
            Message::Extended { id: 9, payload: Bytes::from_static(b"?") },
        ]));
        let fresh = || Connection::outgoing(now, ConnectionConfig::default(), shake(1, all()), vec![]);
        let mut whole = fresh();
        whole.handle_input(now, &mut wire.clone()).unwrap();
        let (mut cut, mut buffer, mut left) = (fresh(), BytesMut::new(), &wire[..]);
        let mut sizes = cuts.iter().cycle();
        while !left.is_empty() {
            let (chunk, rest) = left.split_at((*sizes.next().unwrap()).min(left.len()));
            buffer.extend_from_slice(chunk);
            cut.handle_input(now, &mut buffer).unwrap();
            left = rest;
        }
        let wanted = events(&mut whole);
        prop_assert_eq!(wanted.len(), 6);
        prop_assert_eq!(events(&mut cut), wanted);
    }

    #[test]
    fn any_bytes_after_the_handshake_are_taken_or_refused(bytes in prop::collection::vec(0..24_u8, 0..300)) {
        let mut pair = Pair::plain(all());
        let mut input = BytesMut::from(&bytes[..]);
        let _ = pair.b.handle_input(pair.now, &mut input);
        prop_assert!(events(&mut pair.b).len() <= bytes.len() / 5);
    }
}
