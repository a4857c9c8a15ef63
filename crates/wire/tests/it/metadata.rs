//! Fetching the info dictionary from peers that lie, are slow, or have it.

use crate::pair::{Pair, all, drain, events, shake};
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};
use unchoke_core::hash::sha1;
use unchoke_core::{InfoHashes, StreamProtocol};
use unchoke_wire::{
    Connection, ConnectionConfig, ConnectionError, Event, ExtensionEvent, Message, SharedMetadata, UtMetadata,
};

fn pair(ours: &SharedMetadata, theirs: &SharedMetadata) -> Pair {
    let extension = |shared: &SharedMetadata| vec![Box::new(UtMetadata::new(shared.clone())) as _];
    Pair::open(all(), ConnectionConfig::default(), extension(ours), extension(theirs))
}

fn outcome(pair: &mut Pair) -> Vec<ExtensionEvent> {
    let extension = |event| match event {
        Event::Extension { name: "ut_metadata", event } => Some(event),
        _ => None,
    };
    events(&mut pair.a).into_iter().filter_map(extension).collect()
}

fn truth() -> Bytes {
    (0..50_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>().into()
}

#[test]
fn one_honest_peer_among_a_hundred_liars_is_enough() {
    let truth = truth();
    let ours = SharedMetadata::wanted(InfoHashes::v1(sha1(&truth)));
    let mut lie = truth.to_vec();
    lie[40_000] ^= 1;
    let lie = SharedMetadata::known(lie.into());
    for _ in 0..100 {
        let mut liar = pair(&ours, &lie);
        liar.exchange().unwrap();
        assert_eq!(outcome(&mut liar), [ExtensionEvent::MetadataFailed]);
        assert_eq!(ours.get(), None);
    }
    let mut honest = pair(&ours, &SharedMetadata::known(truth.clone()));
    honest.exchange().unwrap();
    assert_eq!(outcome(&mut honest), [ExtensionEvent::Metadata(truth.clone())]);
    assert_eq!(ours.get(), Some(truth.clone()));
    let mut late = pair(&ours, &SharedMetadata::known(truth));
    late.exchange().unwrap();
    assert_eq!(outcome(&mut late), []);
}

/// A connection of ours whose peer names a length and then answers nothing.
fn silent(ours: &SharedMetadata, now: Instant, size: usize) -> Connection {
    let extension = vec![Box::new(UtMetadata::new(ours.clone())) as _];
    let mut connection = Connection::outgoing(now, ConnectionConfig::default(), shake(1, all()), extension);
    let mut input = BytesMut::from(&shake(2, all()).encode()[..]);
    let payload = format!("d1:md11:ut_metadatai3ee13:metadata_sizei{size}ee").into();
    Message::Extended { id: 0, payload }.encode(&mut input);
    connection.handle_input(now, &mut input).unwrap();
    connection
}

/// Numbers of the pieces that a connection asks for now.
fn asks(connection: &mut Connection, now: Instant) -> usize {
    let wire = drain(connection, now);
    wire.windows(13).filter(|bytes| bytes == b"8:msg_typei0e").count()
}

#[test]
fn three_fetch_at_a_time_and_another_takes_over_from_a_silent_one() {
    let (start, truth) = (Instant::now(), truth());
    let ours = SharedMetadata::wanted(InfoHashes::v1(sha1(&truth)));
    let mut peers: Vec<_> = (0..4).map(|_| silent(&ours, start, truth.len())).collect();
    assert_eq!(peers.iter_mut().map(|peer| asks(peer, start)).collect::<Vec<_>>(), [4, 4, 4, 0]);
    assert_eq!(peers[3].poll_timeout(), Some(start + Duration::from_secs(1)));
    assert_eq!(peers[0].poll_timeout(), Some(start + Duration::from_secs(10)));
    let later = start + Duration::from_secs(10);
    for peer in &mut peers {
        peer.handle_timeout(later).unwrap();
    }
    assert_eq!(asks(&mut peers[3], later), 4);
    assert_eq!(asks(&mut peers[0], later), 0, "waits before it tries again");
    assert_eq!(asks(&mut peers[0], start + Duration::from_secs(40)), 4);
    drop(peers);
    assert_eq!(asks(&mut silent(&ours, later, truth.len()), later), 4, "dropped connections hold no slot");
}

#[test]
fn an_absurd_length_is_not_believed() {
    let now = Instant::now();
    let ours = SharedMetadata::wanted(InfoHashes::v1(sha1(b"")));
    for size in [0, (64 << 20) + 1, u32::MAX as usize] {
        assert_eq!(asks(&mut silent(&ours, now, size), now), 0, "{size}");
    }
}

#[test]
fn data_that_contradicts_the_handshake_ends_the_connection() {
    let (now, ours) = (Instant::now(), SharedMetadata::wanted(InfoHashes::v1(sha1(b"x"))));
    let bad: [&[u8]; 3] = [
        b"d8:msg_typei1e5:piecei0e10:total_sizei100eexx",
        b"d8:msg_typei1e5:piecei0e10:total_sizei99eex",
        b"no dictionary",
    ];
    for payload in bad {
        let mut connection = silent(&ours, now, 99);
        assert_eq!(asks(&mut connection, now), 1);
        let mut input = BytesMut::new();
        Message::Extended { id: 1, payload: Bytes::from_static(payload) }.encode(&mut input);
        let found = connection.handle_input(now, &mut input);
        assert!(matches!(found, Err(ConnectionError::Extension { name: "ut_metadata", .. })), "{found:?}");
    }
}

#[test]
fn a_peer_is_served_three_times_and_then_refused() {
    let now = Instant::now();
    let theirs = SharedMetadata::known(Bytes::from_static(b"d4:name1:xe"));
    let mut connection = silent(&theirs, now, 99);
    let mut input = BytesMut::new();
    for _ in 0..5 {
        let payload = Bytes::from_static(b"d8:msg_typei0e5:piecei0ee");
        Message::Extended { id: 1, payload }.encode(&mut input);
    }
    connection.handle_input(now, &mut input).unwrap();
    let wire = drain(&mut connection, now);
    let count = |kind: &[u8]| wire.windows(kind.len()).filter(|bytes| *bytes == kind).count();
    assert_eq!((count(b"msg_typei1e"), count(b"msg_typei2e"), count(b"d4:name1:xe")), (3, 2, 3));
}
