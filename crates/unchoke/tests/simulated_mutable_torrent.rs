//! A mutable torrent (BEP 46) in a simulated network whose nodes come and go, and some of which lie.

#![cfg(feature = "dht")]
#![allow(clippy::disallowed_methods, reason = "a world needs one instant to begin with")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke::core::keys::SecretKey;
use unchoke::core::{DatagramProtocol as _, InfoHash, Path, Rng, Seed};
use unchoke::dht::mutable_torrent::{ItemRequest, torrent_value};
use unchoke::dht::store::{
    MemoryStore, NoRoom, PeersWanted, PutError, RecordStore, SampleInfo, Scrape, StoreLimits, StoreUsage,
};
use unchoke::dht::{Config, DhtEvent, Id, Item, MutableTorrent, MutableTorrentConfig, MutableTorrentEvent, Node, OpId};
use unchoke_sim::{Churn, Distribution, Host, HostConfig, HostId, Loss, Net, Notice, World, WorldConfig};

const MINUTE: Duration = Duration::from_secs(60);
const SALT: &[u8] = b"releases";
const NODES: u8 = 60;
/// Those that stay, so that others can join through them.
const ROOTS: u8 = 4;
/// Those that tell of the first version only.
const LIARS: u8 = 6;

fn secret() -> Arc<SecretKey> {
    Arc::new(SecretKey::from_seed(&Seed::new([4; 32])))
}

fn version(number: u8) -> InfoHash {
    InfoHash::new([number; 20])
}

/// A node, and perhaps a mutable torrent that it looks after.
struct Machine {
    node: Node,
    torrent: Option<MutableTorrent>,
    /// What the torrent waits for.
    running: Option<Running>,
}

enum Running {
    /// A search, and the newest item that was found.
    Get(OpId, Option<Item>),
    Put(OpId),
}

impl Machine {
    fn new(now: Instant, seed: &Seed) -> Self {
        Self::with_node(now, Node::new(Config::default(), seed, now))
    }

    fn with_node(now: Instant, mut node: Node) -> Self {
        let roots: Vec<SocketAddr> = (0..ROOTS).map(address).collect();
        node.bootstrap(now, &roots);
        Self { node, torrent: None, running: None }
    }

    /// Begins to follow the key.
    fn follow(&mut self, now: Instant, seed: &Seed) -> &mut MutableTorrent {
        let (config, key) = (MutableTorrentConfig::default(), secret().public_key());
        self.torrent.get_or_insert(MutableTorrent::new(now, config, key, SALT, seed).unwrap())
    }

    fn begin(&mut self, now: Instant) {
        let Some(torrent) = &mut self.torrent else { return };
        if let Some(request) = torrent.poll_request() {
            self.running = Some(match request {
                ItemRequest::Put { item, cas } => Running::Put(self.node.put(now, item, cas)),
                _ => Running::Get(self.node.get_mutable(now, torrent.key(), torrent.salt()), None),
            });
        }
    }

    fn handle_event(&mut self, now: Instant, event: DhtEvent) {
        let Some(torrent) = &mut self.torrent else { return };
        match (event, &mut self.running) {
            (DhtEvent::Item { op, item, .. }, Some(Running::Get(running, found))) if op == *running => {
                *found = Some(item);
            }
            (DhtEvent::Done { op, outcome, .. }, Some(Running::Get(running, found))) if op == *running => {
                torrent.handle_found(now, found.take(), &outcome);
                self.running = None;
            }
            (DhtEvent::Done { op, outcome, .. }, Some(Running::Put(running))) if op == *running => {
                torrent.handle_stored(now, &outcome);
                self.running = None;
            }
            _ => {}
        }
    }
}

impl Host for Machine {
    type Event = MutableTorrentEvent;

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        let _ = self.node.handle_input(net.now(), path, datagram);
    }

    fn handle_timeout(&mut self, net: &mut Net<'_>) {
        self.node.handle_timeout(net.now());
        self.torrent.iter_mut().for_each(|torrent| torrent.handle_timeout(net.now()));
    }

    fn drive(&mut self, net: &mut Net<'_>) {
        let now = net.now();
        self.begin(now);
        while let Some(event) = self.node.poll_event() {
            self.handle_event(now, event);
            self.begin(now);
        }
        let mut buffer = Vec::new();
        while let Some(transmit) = self.node.poll_transmit(now, &mut buffer) {
            net.send(transmit.destination, &buffer);
            buffer.clear();
        }
    }

    fn poll_event(&mut self) -> Option<MutableTorrentEvent> {
        self.torrent.as_mut()?.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let torrent = self.torrent.as_ref().and_then(MutableTorrent::poll_timeout);
        [self.node.poll_timeout(), torrent].into_iter().flatten().min()
    }
}

/// A store that tells of an old version, whatever it is told.
struct Stale {
    honest: MemoryStore,
    old: Item,
}

impl RecordStore for Stale {
    fn has_room_for(&self, info_hash: Id) -> bool {
        self.honest.has_room_for(info_hash)
    }

    fn announce_peer(&mut self, now: Instant, info_hash: Id, peer: SocketAddr, seed: bool) -> Result<(), NoRoom> {
        self.honest.announce_peer(now, info_hash, peer, seed)
    }

    fn peers(&mut self, now: Instant, info_hash: Id, wanted: PeersWanted, rng: &mut Rng, out: &mut Vec<SocketAddr>) {
        self.honest.peers(now, info_hash, wanted, rng, out);
    }

    fn scrape(&mut self, now: Instant, info_hash: Id) -> Scrape {
        self.honest.scrape(now, info_hash)
    }

    fn put(&mut self, _now: Instant, _item: &Item, _cas: Option<i64>, _source: IpAddr) -> Result<(), PutError> {
        Ok(())
    }

    fn get(&mut self, _now: Instant, target: Id) -> Option<Item> {
        Some(self.old.clone()).filter(|old| old.target() == target)
    }

    fn sample(&mut self, now: Instant, count: usize, rng: &mut Rng, out: &mut Vec<Id>) -> SampleInfo {
        self.honest.sample(now, count, rng, out)
    }

    fn expire(&mut self, now: Instant) {
        self.honest.expire(now);
    }

    fn usage(&self) -> StoreUsage {
        self.honest.usage()
    }
}

/// No two nodes are neighbours.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([20, number, 0, 1], 6881))
}

/// What has come about.
struct Told {
    author: Vec<MutableTorrentEvent>,
    follower: Vec<MutableTorrentEvent>,
    /// The version that somebody finds who comes four hours later and knows nothing.
    newcomer: Option<i64>,
}

/// An author publishes two versions and leaves. Somebody who follows stays, or leaves as well.
fn run(follower_stays: bool) -> Told {
    let seed = Seed::new([46; 32]);
    let mut config = WorldConfig::default();
    config.link.loss = Loss::Random(0.01);
    let mut world: World<Machine> = World::new(Instant::now(), &seed, config);
    world.set_factory(|birth| Machine::new(birth.now, &birth.seed));
    let mean = |minutes: u32| Distribution::Exponential { mean: MINUTE * minutes };
    let churn = world.add_churn(Churn::new(mean(60), mean(20)));
    for number in 0..NODES {
        let mut host = HostConfig::new(address(number));
        let (now, seed) = (world.now(), seed.derive(&format!("node {number}")));
        if number >= ROOTS + LIARS {
            host.churn = Some(churn);
            world.spawn(host);
        } else if number >= ROOTS {
            let old = Item::sign(&secret(), SALT, 1, &torrent_value(version(1))).unwrap();
            let honest = MemoryStore::new(Id::random(&mut seed.rng()), StoreLimits::default());
            let node = Node::with_store(Config::default(), Box::new(Stale { honest, old }), &seed, now);
            world.add(host, Machine::with_node(now, node));
        } else {
            world.add(host, Machine::new(now, &seed));
        }
    }
    let mut add = |number: u8| {
        let machine = Machine::new(world.now(), &seed.derive(&format!("machine {number}")));
        world.add(HostConfig::new(address(number)), machine)
    };
    let (author, follower, newcomer) = (add(100), add(101), add(102));
    let follow = |world: &mut World<Machine>, host: HostId| {
        world.with(host, |it, net| {
            it.follow(net.now(), &Seed::new([host.number().to_le_bytes()[0]; 32]));
        });
    };
    let publish = move |world: &mut World<Machine>, number: u8| {
        world.with(author, |it, net| {
            let now = net.now();
            it.follow(now, &Seed::new([9; 32])).publish(now, secret(), version(number)).unwrap();
        });
    };
    world.at(5 * MINUTE, move |world| publish(world, 1));
    world.at(6 * MINUTE, move |world| follow(world, follower));
    world.at(10 * MINUTE, move |world| publish(world, 2));
    world.at(35 * MINUTE, move |world| {
        world.leave(author);
        if !follower_stays {
            world.leave(follower);
        }
    });
    world.at(240 * MINUTE, move |world| follow(world, newcomer));
    let mut told = Told { author: Vec::new(), follower: Vec::new(), newcomer: None };
    world.run_until(242 * MINUTE, |_, notice| match notice {
        Notice::Event { host, event } if host == author => told.author.push(event),
        Notice::Event { host, event } if host == follower => told.follower.push(event),
        _ => {}
    });
    told.newcomer = world.host(newcomer).and_then(|it| it.torrent.as_ref()?.newest()?.seq());
    told
}

#[test]
fn whoever_follows_keeps_a_torrent_alive_that_its_author_has_left_and_believes_no_older_version() {
    let told = run(true);
    let published = |event: &MutableTorrentEvent| match event {
        MutableTorrentEvent::Published { seq, info_hash, stored } => Some((*seq, *info_hash, *stored >= 4)),
        _ => None,
    };
    let published: Vec<_> = told.author.iter().filter_map(published).collect();
    assert_eq!(published, [(1, version(1), true), (2, version(2), true)], "{:?}", told.author);
    let updated = |event: &MutableTorrentEvent| match event {
        MutableTorrentEvent::Updated { seq, info_hash } => Some((*seq, *info_hash)),
        _ => None,
    };
    let updated: Vec<_> = told.follower.iter().filter_map(updated).collect();
    assert_eq!(updated, [(1, version(1)), (2, version(2))], "each version is told once, and an older one never");
    let again = told.follower.iter().filter(|it| matches!(it, MutableTorrentEvent::StoredAgain { seq: 2, .. }));
    assert!(again.count() >= 3, "{:?}", told.follower);
    assert_eq!(told.newcomer, Some(2));
}

#[test]
fn a_torrent_that_nobody_follows_is_forgotten() {
    // What the liars tell of is all that is left.
    assert!(run(false).newcomer < Some(2));
}
