//! Streams as a host of one's own sees them: back-pressure, the end, and the address that something is sent from.

use crate::pinger::{MS, SECOND, address, plain_config};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{Path, Seed};
use unchoke_sim::{Host, HostConfig, HostId, Net, Notice, StreamEvent, StreamId, World};

/// Tells all that happens to its streams and does nothing by itself.
#[derive(Default)]
struct Teller {
    events: std::collections::VecDeque<(StreamId, StreamEvent)>,
    datagrams: Vec<Path>,
}

impl Host for Teller {
    type Event = (StreamId, StreamEvent);

    fn handle_datagram(&mut self, _net: &mut Net<'_>, path: Path, _datagram: &[u8]) {
        self.datagrams.push(path);
    }

    fn handle_stream(&mut self, _net: &mut Net<'_>, stream: StreamId, event: StreamEvent) {
        self.events.push_back((stream, event));
    }

    fn poll_event(&mut self) -> Option<(StreamId, StreamEvent)> {
        self.events.pop_front()
    }
}

const WINDOW: usize = 50_000;

fn pair() -> (World<Teller>, HostId, HostId) {
    let mut config = plain_config();
    config.stream_window = WINDOW;
    let mut world = World::new(Instant::now(), &Seed::new([1; 32]), config);
    let one = world.add(HostConfig::new(address(1)), Teller::default());
    let two = world.add(HostConfig::new(address(2)), Teller::default());
    (world, one, two)
}

/// What happens until a time, with the host that it happens to.
fn told(world: &mut World<Teller>, until: Duration) -> Vec<(HostId, StreamId, StreamEvent)> {
    let mut told = Vec::new();
    while let Some(notice) = world.next(until) {
        if let Notice::Event { host, event: (stream, event) } = notice {
            told.push((host, stream, event));
        }
    }
    told
}

/// An open stream: the end of the one who opened it, and the other.
fn open(world: &mut World<Teller>, one: HostId) -> (StreamId, StreamId) {
    let ours = world.with(one, |_, net| net.connect(address(2))).unwrap();
    let told = told(world, SECOND);
    let [(_, theirs, StreamEvent::Accepted { .. }), (_, opened, StreamEvent::Connected)] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(opened, ours);
    (ours, theirs)
}

fn data(told: &[(HostId, StreamId, StreamEvent)]) -> usize {
    told.iter().map(|(.., event)| if let StreamEvent::Data(bytes) = event { bytes.len() } else { 0 }).sum()
}

fn sent(told: &[(HostId, StreamId, StreamEvent)]) -> usize {
    told.iter().map(|(.., event)| if let StreamEvent::Sent(bytes) = event { *bytes } else { 0 }).sum()
}

#[test]
fn who_does_not_read_holds_the_sender_to_a_window_and_the_end_comes_last() {
    let (mut world, one, two) = pair();
    let (ours, theirs) = open(&mut world, one);
    world.with(two, |_, net| net.pause(theirs));
    world.with(one, |_, net| {
        net.write(ours, Bytes::from(vec![7; 200_000]));
        net.finish(ours);
        net.write(ours, Bytes::from_static(b"after the end"));
    });
    let before = told(&mut world, 10 * SECOND);
    assert_eq!((data(&before), sent(&before)), (0, WINDOW));
    assert_eq!(world.with(one, |_, net| net.unsent(ours)), Some(200_000 - WINDOW));
    world.with(two, |_, net| net.resume(theirs));
    let after = told(&mut world, 20 * SECOND);
    assert_eq!((data(&after), sent(&after)), (200_000, 200_000 - WINDOW));
    assert_eq!(after.last(), Some(&(two, theirs, StreamEvent::End)));
    // The way back is open still.
    world.with(two, |_, net| net.write(theirs, Bytes::from_static(b"thanks")));
    assert_eq!(data(&told(&mut world, 21 * SECOND)), 6);
}

#[test]
fn closing_tells_the_other_side_after_what_was_sent_before() {
    let (mut world, one, two) = pair();
    let (ours, theirs) = open(&mut world, one);
    world.with(one, |_, net| net.write(ours, Bytes::from_static(b"last words")));
    world.skip_to(SECOND + MS);
    world.with(one, |_, net| net.close(ours));
    // A stream of another host is not to be touched.
    world.with(one, |_, net| net.write(theirs, Bytes::from_static(b"forged")));
    let told = told(&mut world, 2 * SECOND);
    let [(host, _, StreamEvent::Data(_)), (last, stream, StreamEvent::Closed)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*host, *last, *stream), (two, two, theirs));
}

#[test]
fn a_datagram_leaves_from_the_address_that_is_named() {
    let (mut world, one, two) = pair();
    let second: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    world.set_addresses(one, vec![address(1), second]);
    world.with(one, |_, net| {
        net.send(address(2), b"a");
        net.send_from(second, address(2), b"b");
        net.send_from(address(77), address(2), b"c");
    });
    world.skip_to(SECOND);
    let datagrams = &world.host(two).unwrap().datagrams;
    assert_eq!(datagrams.iter().map(|it| it.remote).collect::<Vec<_>>(), [address(1), second]);
    assert!(datagrams.iter().all(|it| it.local == Some(address(2))));
}
