//! What a node takes, counted by the allocator: idle in a large network, and under a flood.

use crate::others::Others;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::{DatagramProtocol as _, Path, Seed};
use unchoke_dht::krpc::{Body, Message, Method, Query};
use unchoke_dht::store::PeersWanted;
use unchoke_dht::{Config, Id, Node};

/// Counts for each thread by itself, because tests run side by side.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// In a network of ten thousand, an hour after it has joined, asked by two nodes a second, with nothing to do for its owner.
#[test]
fn an_idle_node_takes_eight_kibibytes() {
    let (mut others, now) = (Others::new(10_000, 0), Instant::now());
    let before = LIVE.get();
    let mut node = Box::new(Node::new(Config::default(), &Seed::new([2; 32]), now));
    let root = others.nodes[17].1;
    node.bootstrap(now, &[root]);
    let now = others.run(&mut node, now, Duration::from_secs(3500), 2);
    let taken = LIVE.get() - before;
    assert!(node.health().nodes_v4 >= 100, "{:?}", node.health());
    assert!(taken <= 8192, "{taken} bytes, {} nodes", node.health().nodes_v4);
    assert!(node.poll_timeout().is_some_and(|at| at + Duration::from_millis(100) > now));
}

/// Gets a token and announces a peer.
fn announce(node: &mut Node, now: Instant, from: SocketAddr, info_hash: Id) -> Option<()> {
    let mut reply = Vec::new();
    let method = Method::GetPeers { info_hash, scrape: false, no_seed: false };
    let mut query = Vec::new();
    Message::new(b"aa", Body::Query(Query::new(Id::new([7; 20]), method))).write(&mut query);
    node.handle_input(now, Path::from_remote(from), &query);
    node.poll_transmit(now, &mut reply)?;
    let mut tape = Tape::new();
    let Body::Reply(found) = Message::read(&reply, &mut tape).ok()?.body else { return None };
    query.clear();
    query.extend_from_slice(b"d1:ad2:id20:");
    query.extend_from_slice(&[7; 20]);
    query.extend_from_slice(b"9:info_hash20:");
    query.extend_from_slice(info_hash.as_bytes());
    query.extend_from_slice(b"4:porti6881e5:token8:");
    query.extend_from_slice(found.token?);
    query.extend_from_slice(b"e1:q13:announce_peer1:t2:ab1:y1:qe");
    node.handle_input(now, Path::from_remote(from), &query);
    reply.clear();
    while node.poll_transmit(now, &mut reply).is_some() {}
    reply.ends_with(b"1:y1:re").then_some(())
}

/// A million torrents that nobody looks for, from four thousand addresses, after a hundred honest ones near the node.
#[test]
fn a_million_announces_leave_room_for_honest_ones_and_take_bounded_memory() {
    let (now, before) = (Instant::now(), LIVE.get());
    let mut config = Config::default();
    (config.inbound_per_second, config.inbound_burst) = (0, 0);
    let mut node = Node::new(config, &Seed::new([3; 32]), now);
    let own = node.id(SocketAddr::from(([20, 1, 1, 1], 1)));
    let mut rng = Seed::new([4; 32]).rng();
    let honest: Vec<(SocketAddr, Id)> = (0..100)
        .map(|number| (SocketAddr::from(([40, number, 1, 1], 6881)), own.random_beside(14, &mut rng)))
        .collect();
    for (from, info_hash) in &honest {
        announce(&mut node, now, *from, *info_hash).unwrap();
    }
    for number in 0..1_000_000_u32 {
        let [_, _, a, b] = (number % 4096).to_be_bytes();
        let _ = announce(&mut node, now, SocketAddr::from(([60 + a, b, 1, 1], 6881)), Id::random(&mut rng));
    }
    let wanted = PeersWanted { v6: false, no_seed: false, count: 8 };
    let is_left = |(from, info_hash): &&(SocketAddr, Id)| {
        let mut found = Vec::new();
        node.store().peers(now, *info_hash, wanted, &mut rng, &mut found);
        found.contains(from)
    };
    let left = honest.iter().filter(is_left).count();
    assert!(left >= 95, "{left} of 100 honest torrents are left");
    let usage = node.store().usage();
    assert_eq!(usage.torrents, 4000, "{usage:?}");
    let taken = LIVE.get() - before;
    assert!(taken <= 4 << 20, "{taken} bytes");
}
