//! What peers tell one another of their nodes of the DHT.

use crate::rig::{Made, Rig, make};
use bytes::{BufMut as _, BytesMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::{Outgoing, PeerId, Seed};
use unchoke_metainfo::{Builder, Info};
use unchoke_swarm::{Action, Content, Direction, Event, Session, SessionConfig, TorrentParams};
use unchoke_wire::{Handshake, Message, Reserved};

const LONG: Duration = Duration::from_secs(60);
/// The number of the `port` message (BEP 5).
const PORT: u8 = 9;

fn config(port: Option<u16>) -> SessionConfig {
    let mut config = SessionConfig::default();
    config.dht_ports.v4 = port;
    config
}

fn nodes(events: &[Event]) -> Vec<SocketAddr> {
    let address = |event: &Event| match event {
        Event::DhtNode { address, .. } => Some(*address),
        _ => None,
    };
    events.iter().filter_map(address).collect()
}

/// Lets a seed and a leech, whose nodes are at these ports, finish a download. Returns the nodes that each has heard of.
fn told(made: &Made, ports: [Option<u16>; 2]) -> [Vec<SocketAddr>; 2] {
    let mut rig = Rig::new(31);
    let (seed, leech) = (rig.seed(made, config(ports[0])), rig.leech(made, config(ports[1])));
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)));
    for node in [seed, leech] {
        let told = rig.nodes[node].sent.get(&PORT).copied().unwrap_or(0);
        assert_eq!(told, nodes(&rig.nodes[1 - node].events).len(), "what is told is heard, and nothing else");
    }
    [seed, leech].map(|node| nodes(&rig.nodes[node].events))
}

#[test]
fn peers_tell_one_another_of_their_nodes_if_both_have_one() {
    let made = make(100_000, 65_536);
    let node = |host, port| vec![SocketAddr::from(([10, 0, 0, host], port))];
    assert_eq!(told(&made, [Some(7001), Some(7002)]), [node(2, 7002), node(1, 7001)]);
    for ports in [[Some(7001), None], [None, Some(7002)], [None, None]] {
        assert_eq!(told(&made, ports), [vec![], vec![]], "{ports:?}");
    }
}

#[test]
fn peers_of_a_private_torrent_neither_tell_nor_hear_of_nodes() {
    let Made { info, bytes } = make(100_000, 65_536);
    let mut hasher = Builder::new("made", 65_536).single_file(bytes.len() as u64).private().hasher().unwrap();
    hasher.update(&bytes);
    let secret = Made { info: Arc::clone(hasher.finish().unwrap().info()), bytes };
    assert_eq!(told(&secret, [Some(7001), Some(7002)]), [vec![], vec![]]);
    // Whoever tells all the same is not heard, while with another torrent he is, once, and only with a port that there can be.
    let node = |port| SocketAddr::from(([192, 0, 2, 1], port));
    assert_eq!(hears(&secret.info, &[1, 2]), (false, vec![]));
    assert_eq!(hears(&info, &[0, 1, 2]), (true, vec![node(1)]));
}

/// What a session has heard of nodes from a peer that tells of these ports, and whether its handshake told that it has one itself.
fn hears(info: &Arc<Info>, ports: &[u16]) -> (bool, Vec<SocketAddr>) {
    let now = Instant::now();
    let mut session = Session::new(now, config(Some(7001)), &Seed::new([1; 32]));
    session.add_torrent(now, TorrentParams::from_content(info.info_hashes(), Content::new(Arc::clone(info))));
    let peer = session.handle_connected(now, "192.0.2.1:40000".parse().unwrap(), Direction::Incoming);
    let (info_hash, peer_id) = (info.info_hashes().wire(), PeerId::new([9; 20]));
    let theirs = Handshake { info_hash, peer_id, reserved: Reserved::new().with_dht() };
    let mut input = BytesMut::from(&theirs.encode()[..]);
    ports.iter().for_each(|port| Message::Port(*port).encode(&mut input));
    let _ = session.handle_input(now, peer, &mut input);
    let mut output = BytesMut::new();
    while let Some(action) = session.poll_action() {
        if let Action::Send { outgoing: Outgoing::Bytes(bytes), .. } = action {
            output.put(bytes);
        }
    }
    let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
    (Handshake::decode(&output).unwrap().unwrap().reserved.dht(), nodes(&events))
}
