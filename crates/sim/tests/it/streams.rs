//! Streams: order, rates, windows, loss, closing.

use crate::pinger::{MS, SECOND, address, plain_config};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{Block, Outgoing, PieceIndex, Seed, StreamProtocol};
use unchoke_sim::{
    ConnectError, Cut, Distribution, Groups, HostConfig, HostId, Link, Loss, NatConfig, NatKind, Notice, NoticeKind,
    Rate, StreamHost, Unreachable, World, WorldConfig,
};

/// Sends what it is told to and tells how much has come; every byte is that of its place in the stream.
#[derive(Debug, Default)]
struct Counter {
    out: VecDeque<Outgoing>,
    offered: u64,
    sent: usize,
    received: u64,
    ended: bool,
    unreadable: usize,
    events: VecDeque<u64>,
}

#[derive(Debug)]
struct Disorder;

impl std::fmt::Display for Disorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a byte is not in its place")
    }
}

impl std::error::Error for Disorder {}

impl Counter {
    fn offer(&mut self, bytes: u64) {
        let range = self.offered..self.offered + bytes;
        self.offered += bytes;
        self.out.push_back(Outgoing::Bytes(range.map(|at| (at % 251) as u8).collect()));
    }
}

impl StreamProtocol for Counter {
    type Event = u64;
    type Error = Disorder;

    fn handle_input(&mut self, _now: Instant, input: &mut BytesMut) -> Result<(), Disorder> {
        for byte in input.split() {
            if u64::from(byte) != self.received % 251 {
                return Err(Disorder);
            }
            self.received += 1;
        }
        self.events.push_back(self.received);
        Ok(())
    }

    fn handle_end(&mut self, _now: Instant) -> Result<(), Disorder> {
        self.ended = true;
        Ok(())
    }

    fn handle_sent(&mut self, _now: Instant, bytes: usize) {
        self.sent += bytes;
    }

    fn handle_unreadable(&mut self, _now: Instant, _block: Block) {
        self.unreadable += 1;
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), Disorder> {
        Ok(())
    }

    fn poll_transmit(&mut self, _now: Instant, _piece_budget: usize) -> Option<Outgoing> {
        self.out.pop_front()
    }

    fn poll_event(&mut self) -> Option<u64> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

type CounterWorld = World<StreamHost<Counter>>;

fn world(config: WorldConfig) -> CounterWorld {
    World::new(Instant::now(), &Seed::new([1; 32]), config)
}

fn server() -> StreamHost<Counter> {
    StreamHost::new().accepting(|_, _| Some(Counter::default()))
}

fn with_uplink(world: &mut CounterWorld, last: u8, rate: u64) -> HostConfig {
    let mut link = Link::constant(10 * MS);
    link.up = Some(Rate::new(rate));
    let mut config = HostConfig::new(address(last));
    config.link = Some(world.add_link(link));
    config
}

fn send(world: &mut CounterWorld, from: HostId, to: SocketAddr, bytes: u64) {
    let mut counter = Counter::default();
    counter.offer(bytes);
    world.with(from, |host, net| host.connect(net, to, counter)).unwrap();
}

/// Runs until a host has received so many bytes over one stream; when that is.
fn received(world: &mut CounterWorld, at: HostId, bytes: u64, until: Duration) -> Option<Duration> {
    while let Some(notice) = world.next(until) {
        if let Notice::Event { host, event } = notice
            && host == at
        {
            match event.kind {
                NoticeKind::Protocol(count) if count >= bytes => return Some(world.elapsed()),
                NoticeKind::Broken(error) => panic!("{error}"),
                _ => {}
            }
        }
    }
    None
}

/// How the opening of a stream ends, and when.
fn failure(world: &mut CounterWorld) -> Option<(Duration, ConnectError)> {
    while let Some(notice) = world.next(100 * SECOND) {
        if let Notice::Event { event, .. } = notice {
            match event.kind {
                NoticeKind::Failed(error) => return Some((world.elapsed(), error)),
                NoticeKind::Connected => return None,
                _ => {}
            }
        }
    }
    panic!("nothing came of it")
}

#[test]
fn bytes_come_in_order_at_the_rate_of_the_slower_line() {
    for (up, down) in [(1_000_000, None), (50_000_000, Some(1_000_000))] {
        let mut world = world(plain_config());
        let config = with_uplink(&mut world, 1, up);
        let one = world.add(config, StreamHost::new());
        let mut link = Link::constant(10 * MS);
        link.down = down.map(Rate::new);
        let mut config = HostConfig::new(address(2));
        config.link = Some(world.add_link(link));
        let two = world.add(config, server());
        send(&mut world, one, address(2), 3_000_000);
        let at = received(&mut world, two, 3_000_000, 10 * SECOND).unwrap();
        assert!((3000 * MS..3100 * MS).contains(&at), "{at:?}");
    }
}

#[test]
fn streams_of_one_host_share_its_line_alike() {
    let mut world = world(plain_config());
    let config = with_uplink(&mut world, 1, 1_000_000);
    let one = world.add(config, StreamHost::new());
    for last in 2..=5 {
        world.add(HostConfig::new(address(last)), server());
        send(&mut world, one, address(last), 10_000_000);
    }
    world.skip_to(8 * SECOND);
    let shares: Vec<u64> = (1..=4).map(|n| world.traffic(HostId::from_number(n)).bytes_received).collect();
    assert!(shares.iter().all(|it| it.abs_diff(2_000_000) < 50_000), "{shares:?}");
}

#[test]
fn without_limits_a_stream_carries_a_window_in_each_round_trip() {
    let mut config = plain_config();
    config.stream_window = 100_000;
    let mut world = world(config);
    let one = world.add(HostConfig::new(address(1)), StreamHost::new());
    let two = world.add(HostConfig::new(address(2)), server());
    send(&mut world, one, address(2), 1_000_000);
    // 40 ms to open it; the tenth window leaves nine round trips later and takes 20 ms.
    assert_eq!(received(&mut world, two, 1_000_000, 10 * SECOND), Some((40 + 9 * 40 + 20) * MS));
}

#[test]
fn loss_costs_time_and_jitter_no_order() {
    let mut config = plain_config();
    config.link.loss = Loss::Random(0.02);
    config.link.jitter = Distribution::Uniform { low: Duration::ZERO, high: 100 * MS };
    let mut world = world(config);
    let one = world.add(HostConfig::new(address(1)), StreamHost::new());
    let two = world.add(HostConfig::new(address(2)), server());
    send(&mut world, one, address(2), 5_000_000);
    let at = received(&mut world, two, 5_000_000, 60 * SECOND).unwrap();
    assert!(at > 400 * MS, "{at:?}");
}

#[test]
fn a_stream_waits_for_a_short_cut_and_ends_in_a_long_one() {
    for (length, arrives) in [(5, true), (50, false)] {
        let mut world = world(plain_config());
        let config = with_uplink(&mut world, 1, 1_000_000);
        let one = world.add(config, StreamHost::new());
        let two = world.add(HostConfig::new(address(2)), server());
        world.set_groups(one, Groups::one(0));
        world.cut(Cut::blackout(Groups::one(0)).from(SECOND).until(SECOND + length * SECOND));
        send(&mut world, one, address(2), 2_000_000);
        let at = received(&mut world, two, 2_000_000, 200 * SECOND);
        assert_eq!(at.is_some_and(|at| at > 5 * SECOND), arrives, "{at:?}");
        assert_eq!(world.host(one).unwrap().streams().count(), usize::from(arrives));
        assert_eq!(world.host(two).unwrap().streams().count(), usize::from(arrives));
    }
}

#[test]
fn who_cannot_be_reached_refuses_or_is_silent() {
    let silent = (20 * SECOND, ConnectError::TimedOut);
    for (unreachable, wanted) in [(Unreachable::Silent, silent), (Unreachable::Told, (40 * MS, ConnectError::Refused))]
    {
        let mut config = plain_config();
        config.unreachable = unreachable;
        let mut world = world(config);
        let one = world.add(HostConfig::new(address(1)), StreamHost::new());
        send(&mut world, one, address(9), 1);
        assert_eq!(failure(&mut world), Some(wanted));
    }
}

#[test]
fn a_nat_lets_streams_out_and_in_only_by_a_forwarded_port() {
    let public: SocketAddr = "203.0.113.1:6881".parse().unwrap();
    let inner: SocketAddr = "192.168.1.2:6881".parse().unwrap();
    for kind in [NatKind::FullCone, NatKind::Symmetric] {
        let mut world = world(plain_config());
        let nat = world.add_nat(&NatConfig::new(kind, public.ip()));
        let mut config = HostConfig::new(inner);
        config.nat = Some(nat);
        let inside = world.add(config, server());
        let outside = world.add(HostConfig::new(address(1)), server());
        send(&mut world, inside, address(1), 1);
        assert_eq!(failure(&mut world), None);
        send(&mut world, outside, public, 1);
        assert!(matches!(failure(&mut world), Some((_, ConnectError::TimedOut))));
        world.forward_port(nat, 6881, inner);
        send(&mut world, outside, public, 1);
        assert_eq!(failure(&mut world), None);
    }
}

#[test]
fn a_host_that_goes_down_closes_its_streams() {
    let mut world = world(plain_config());
    let one = world.add(HostConfig::new(address(1)), StreamHost::new());
    let two = world.add(HostConfig::new(address(2)), server());
    send(&mut world, one, address(2), 10);
    world.skip_to(SECOND);
    world.leave(two);
    let mut closed = None;
    world.run_until(2 * SECOND, |world, notice| {
        if let Notice::Event { host, event } = notice {
            assert!(matches!(event.kind, NoticeKind::Closed));
            closed = Some((host, world.elapsed()));
        }
    });
    assert_eq!(closed, Some((one, SECOND + 20 * MS)));
}

#[test]
fn blocks_are_read_where_the_protocol_names_them() {
    let block = |piece| Block { piece: PieceIndex(piece), offset: 0, length: 4 };
    let piece = |piece| Outgoing::Piece { header: std::array::from_fn(|n| n as u8), block: block(piece) };
    let mut world = world(plain_config());
    let source = move |it: Block| (it == block(0)).then(|| Bytes::from_static(&[13, 14, 15, 16]));
    let one = world.add(HostConfig::new(address(1)), StreamHost::new().reading(source));
    let two = world.add(HostConfig::new(address(2)), server());
    let counter = Counter { out: VecDeque::from([piece(1), piece(0)]), ..Counter::default() };
    let stream = world.with(one, |host, net| host.connect(net, address(2), counter)).unwrap();
    assert_eq!(received(&mut world, two, 17, SECOND), Some(60 * MS));
    world.with(one, |host, _| {
        let counter = host.protocol_mut(stream).unwrap();
        assert_eq!((counter.unreadable, counter.sent), (1, 17));
    });
}
