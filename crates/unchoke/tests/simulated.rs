//! The protocols in a simulated network.

#![cfg(feature = "client")]
#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use bytes::Bytes;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke::core::{Block, Geometry, InfoHash, Path, PeerId, PieceIndex, Seed};
use unchoke::tracker::server::TrackerServer;
use unchoke::tracker::udp::{UdpConfig, UdpEvent, UdpServer, UdpTracker};
use unchoke::tracker::{AnnounceRequest, TrackerUrl};
use unchoke::wire::{Connection, ConnectionConfig, Event, Handshake, Message, Reserved};
use unchoke_sim::{
    DatagramHost, Either, Host, HostConfig, Link, Loss, NatConfig, NatKind, Net, Notice, NoticeKind, Rate, StreamHost,
    World, WorldConfig,
};

const SECOND: Duration = Duration::from_secs(1);

/// A tracker's machine.
struct TrackerHost {
    udp: UdpServer,
    table: TrackerServer,
}

impl Host for TrackerHost {
    type Event = UdpEvent;

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        if let Some(answer) = self.udp.answer(net.now(), path.remote, datagram, &mut self.table) {
            net.send(path.remote, &answer);
        }
    }
}

/// Announces of a hundred clients behind NATs, a fifth of whose datagrams are lost: how many got an answer, and the trace.
fn announces(seed: u8) -> (usize, usize, u64) {
    let seed = Seed::new([seed; 32]);
    let mut config = WorldConfig::default();
    config.link.loss = Loss::Random(0.2);
    let mut world = World::new(Instant::now(), &seed, config);
    let remote: SocketAddr = "192.0.2.1:6969".parse().unwrap();
    let server =
        TrackerHost { udp: UdpServer::new(world.now(), &seed), table: TrackerServer::new(seed.derive("tracker")) };
    let tracker = world.add(HostConfig::new(remote), Either::Right(server));
    let url = TrackerUrl::parse("udp://tracker.example:6969").unwrap();
    for n in 0..100 {
        let mut patience = UdpConfig::default();
        patience.first_wait = 2 * SECOND;
        let client = UdpTracker::new(&url, remote, &seed.derive(&format!("client {n}")), patience).unwrap();
        let nat = world.add_nat(&NatConfig::new(NatKind::ALL[n as usize % 4], [203, 0, 113, n].into()));
        let mut config = HostConfig::new("192.168.1.2:6881".parse().unwrap());
        config.nat = Some(nat);
        let id = world.add(config, Either::Left(DatagramHost::new(client)));
        world.at(SECOND * u32::from(n), move |world| {
            let request = AnnounceRequest::new(InfoHash::new([7; 20]), PeerId::new([n; 20]), 6881);
            world.with(id, |host, _| host.left_mut().map(|host| host.protocol.announce(&request)));
        });
    }
    let (mut answered, mut peers) = (0, BTreeSet::new());
    world.run_until(3600 * SECOND, |_, notice| {
        if let Notice::Event { event: UdpEvent::Announced { response, .. }, .. } = notice {
            answered += 1;
            peers.extend(response.peers);
        }
    });
    let Some(Either::Right(server)) = world.host(tracker) else { panic!("the tracker stays") };
    assert_eq!(server.table.peer_count(), 100);
    (answered, peers.len(), world.trace_hash().number())
}

#[test]
fn udp_announces_through_nats_survive_a_fifth_of_all_datagrams_lost() {
    let run = announces(1);
    assert_eq!(run, announces(1));
    let (answered, peers, _) = run;
    assert_eq!(answered, 100);
    // Those who came later are told of those before them.
    assert!(peers > 90, "{peers}");
}

#[test]
fn a_peer_is_served_at_the_rate_of_the_uplink() {
    let geometry = Geometry::new(1 << 20, 1 << 18).unwrap();
    let blocks: Vec<Block> = geometry
        .pieces()
        .flat_map(|piece| (0..1 << 18).step_by(1 << 14).map(move |offset| Block { piece, offset, length: 1 << 14 }))
        .collect();
    let shake = |number| {
        let reserved = Reserved::new().with_fast().with_extension_protocol();
        Handshake { info_hash: InfoHash::new([7; 20]), peer_id: PeerId::new([number; 20]), reserved }
    };
    let mut config = WorldConfig::default();
    config.link = Link::constant(Duration::from_millis(10));
    let mut world = World::new(Instant::now(), &Seed::new([1; 32]), config);
    let mut slow = Link::constant(Duration::from_millis(10));
    slow.up = Some(Rate::new(100_000));
    let (seed_address, leech_address) = ("192.0.2.1:6881".parse().unwrap(), "192.0.2.2:6881".parse().unwrap());
    let mut config = HostConfig::new(seed_address);
    config.link = Some(world.add_link(slow));
    let seed = StreamHost::new()
        .accepting(|now, _| Some(Connection::incoming(now, ConnectionConfig::default())))
        .reading(|block| Some(Bytes::from(vec![9; block.length as usize])));
    let seed = world.add(config, seed);
    let leech = world.add(HostConfig::new(leech_address), StreamHost::new());
    world.with(leech, |host, net| {
        let connection = Connection::outgoing(net.now(), ConnectionConfig::default(), shake(2), vec![]);
        host.connect(net, seed_address, connection);
    });
    let mut missing: BTreeSet<(PieceIndex, u32)> = blocks.iter().map(|it| (it.piece, it.offset)).collect();
    let mut done = None;
    world.run_until(60 * SECOND, |world, notice| {
        let Notice::Event { host: id, event } = notice else { return };
        let now = world.now();
        let NoticeKind::Protocol(said) = event.kind else { return };
        world.with(id, |host, _| {
            let Some(connection) = host.protocol_mut(event.stream) else { return };
            match said {
                Event::Handshake(_) if id == seed => {
                    connection.accept(now, shake(1), vec![]);
                    connection.set_geometry(&geometry);
                    connection.send(Message::HaveAll);
                    connection.unchoke(now);
                }
                Event::Handshake(_) => {
                    connection.set_geometry(&geometry);
                    connection.send(Message::Interested);
                }
                Event::Message(Message::Request(block)) => connection.serve(block),
                Event::Message(Message::Unchoke) => {
                    blocks.iter().for_each(|block| connection.send(Message::Request(*block)));
                }
                Event::Message(Message::Piece { block, .. }) => {
                    missing.remove(&(block.piece, block.offset));
                }
                _ => {}
            }
        });
        if missing.is_empty() && done.is_none() {
            done = Some(world.elapsed().as_secs_f64());
        }
    });
    // A mebibyte at 100 kB/s.
    assert!(done.is_some_and(|it| (10.4..10.9).contains(&it)), "{done:?}, {} blocks missing", missing.len());
}
