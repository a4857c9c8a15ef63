//! A host with several addresses (BEP 45) in a simulated network.

#![cfg(feature = "dht")]
#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke::core::Seed;
use unchoke::dht::{Announcement, Config, DhtEvent, Id, MultiHomed, OpId, Outcome};
use unchoke_sim::{DatagramHost, HostConfig, HostId, Notice, World, WorldConfig};

const NODES: u8 = 60;
const TORRENT: Id = Id::new([0x77; 20]);

fn v4(number: u8) -> SocketAddr {
    SocketAddr::from(([20 + number, number, 1, 1], 6881))
}

fn v6(number: u8) -> SocketAddr {
    SocketAddr::from(([0x2600 + u16::from(number), 1, 2, 3, 0, 0, 0, 1], 6881))
}

type Hosts = World<DatagramHost<MultiHomed>>;

fn add(world: &mut Hosts, locals: &[SocketAddr]) -> HostId {
    let now = world.now();
    let seed = Seed::new([1; 32]).derive(&locals[0].to_string());
    let mut host = MultiHomed::new(&Config::default(), locals, &seed, now);
    host.bootstrap(now, &[v4(0), v4(1), v6(0), v6(1)]);
    let mut config = HostConfig::new(locals[0]);
    config.addresses = locals.to_vec();
    world.add(config, DatagramHost::new(host))
}

/// Runs until the operation has ended, and gives its outcome and the peers that were found.
fn finish(world: &mut Hosts, id: HostId, op: OpId) -> (Outcome, u32, BTreeSet<SocketAddr>) {
    let (mut peers, mut done) = (BTreeSet::new(), None);
    world.run_until(world.elapsed() + Duration::from_secs(30), |_, notice| {
        let Notice::Event { host, event } = notice else { return };
        match event {
            DhtEvent::Peers { op: of, peers: told, .. } if (host, of) == (id, op) => peers.extend(told),
            DhtEvent::Done { op: of, outcome, stats } if (host, of) == (id, op) => done = Some((outcome, stats.sent)),
            _ => {}
        }
    });
    let (outcome, sent) = done.unwrap();
    (outcome, sent, peers)
}

fn run(seed: u8) -> (u32, u64) {
    let mut world = World::new(Instant::now(), &Seed::new([seed; 32]), WorldConfig::default());
    let nodes: Vec<HostId> = (0..NODES).map(|number| add(&mut world, &[v4(number), v6(number)])).collect();
    // Two addresses of IPv4 and three of IPv6.
    let locals = [v4(100), v4(101), v6(100), v6(101), v6(102)];
    let host = add(&mut world, &locals);
    world.run_until(Duration::from_secs(120), |_, _| {});
    let ask = |world: &mut Hosts, id, announce| {
        let op = world.with(id, |host, net| host.protocol.get_peers(net.now(), TORRENT, announce)).unwrap();
        finish(world, id, op)
    };
    let (outcome, sent, _) = ask(&mut world, host, Some(Announcement::new(4711)));
    // Eight for each address, but for what is lost.
    assert!(matches!(outcome, Outcome::Finished { stored: 30.., .. }), "{outcome:?}");
    for id in [nodes[3], nodes[40]] {
        let (_, _, peers) = ask(&mut world, id, None);
        assert_eq!(peers, locals.map(|local| SocketAddr::new(local.ip(), 4711)).into());
    }
    // Nodes of the host have places of their own in the tables of the others. Not all: where a bucket is full, who came first stays.
    let known: BTreeSet<SocketAddr> = nodes
        .iter()
        .filter_map(|id| world.host(*id))
        .flat_map(|host| host.protocol.known())
        .map(|(_, at)| at)
        .filter(|at| locals.contains(at))
        .collect();
    let count = |is_v4| known.iter().filter(|at| at.is_ipv4() == is_v4).count();
    assert!(count(true) > 0 && count(false) > 1, "{known:?}");
    (sent, world.trace_hash().number())
}

#[test]
fn a_host_announces_all_of_its_addresses() {
    let (sent, trace) = run(1);
    assert_eq!((sent, trace), run(1));
    // An announce from one address of each family takes a search and sixteen announces.
    assert!(sent < 3 * 90, "{sent}");
}
