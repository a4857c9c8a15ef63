//! A host with several addresses ([BEP 45]): a node for each of them, behind one face.
//!
//! [BEP 45]: https://www.bittorrent.org/beps/bep_0045.html

mod operations;

use crate::config::Config;
use crate::event::{DhtEvent, Health, OpId};
use crate::id::Id;
use crate::item::Item;
use crate::node::Node;
use crate::operation::Announcement;
use crate::store::MemoryStore;
use operations::{Cancel, Operations};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use unchoke_core::keys::PublicKey;
use unchoke_core::{DatagramProtocol, Handled, Path, Seed, Transmit};

/// The nodes of a host with several addresses ([BEP 45]). With one address of each family it is as good as a [`Node`].
///
/// Others see as many nodes as there are addresses: each has an id, a table and tokens of its own, and what is asked at one address is
/// answered from there. An address of IPv4 and one of IPv6 share a node. What is looked up or stored is looked up by one of the nodes, in
/// turn. An announce goes out from every address, as nodes keep what they see of a peer: from one after the other, each a second after the one
/// before, and beginning with the nodes that that one has found.
///
/// Each node keeps [records](Config::store) for others, so so much more memory is taken. Addresses should be far apart: nodes may take those of
/// one /24 or /64 for one host, and of ports of one address they keep one.
///
/// The driver tells in [`Path::local`] where each datagram came to, and sends each from [`Transmit::source`].
///
/// [BEP 45]: https://www.bittorrent.org/beps/bep_0045.html
#[derive(Debug)]
pub struct MultiHomed {
    homes: Vec<Home>,
    operations: Operations,
    events: VecDeque<DhtEvent>,
    /// Whose turn it is to send.
    turn: usize,
    /// Whose turn it is to search.
    searcher: usize,
    is_bootstrapped: bool,
}

/// A node and where it lives.
#[derive(Debug)]
struct Home {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
    node: Node,
}

impl Home {
    fn local(&self, remote: SocketAddr) -> Option<SocketAddr> {
        if remote.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl MultiHomed {
    /// Nodes for these local addresses, which are all there are: a family without one is not used.
    #[must_use]
    pub fn new(config: &Config, locals: &[SocketAddr], seed: &Seed, now: Instant) -> Self {
        let base = Id::random(&mut seed.derive("id").rng());
        let mut v4 = locals.iter().copied().filter(SocketAddr::is_ipv4);
        let mut v6 = locals.iter().copied().filter(SocketAddr::is_ipv6);
        let mut homes = Vec::new();
        for number in 0..=u16::MAX {
            let (v4, v6) = (v4.next(), v6.next());
            if v4.is_none() && v6.is_none() && number > 0 {
                break;
            }
            let mut config = config.clone();
            config.v4 &= v4.is_some();
            config.v6 &= v6.is_some();
            let id = apart(base, number);
            let store = Box::new(MemoryStore::new(id, config.store));
            let seed = seed.derive(&format!("home {number}"));
            homes.push(Home { v4, v6, node: Node::with_id(id, Arc::new(config), store, &seed, now) });
        }
        Self {
            homes,
            operations: Operations::default(),
            events: VecDeque::new(),
            turn: 0,
            searcher: 0,
            is_bootstrapped: false,
        }
    }

    /// The nodes, in the order of their addresses.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.homes.iter().map(|home| &home.node)
    }

    /// As [`Node::bootstrap`], for each node.
    pub fn bootstrap(&mut self, now: Instant, roots: &[SocketAddr]) {
        self.homes.iter_mut().for_each(|home| home.node.bootstrap(now, roots));
    }

    /// As [`Node::add_node`], for each node.
    pub fn add_node(&mut self, now: Instant, address: SocketAddr) {
        for home in &mut self.homes {
            if home.local(address).is_some() {
                home.node.add_node(now, address);
            }
        }
    }

    /// As [`Node::find_node`].
    pub fn find_node(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, |node| node.find_node(now, target))
    }

    /// As [`Node::get_peers`]. With an announcement every address is announced.
    pub fn get_peers(&mut self, now: Instant, info_hash: Id, announce: Option<Announcement>) -> OpId {
        let first = self.next_searcher();
        let Some(home) = self.homes.get_mut(first) else { return self.operations.none() };
        let inner = home.node.get_peers(now, info_hash, announce);
        let op = self.operations.begin(first, inner);
        if let Some(announcement) = announce {
            let others = (0..self.homes.len()).filter(|number| *number != first).collect();
            self.operations.announce_also(op, now, info_hash, announcement, others);
        }
        self.collect(now);
        op
    }

    /// As [`Node::get_downloaders`].
    pub fn get_downloaders(&mut self, now: Instant, info_hash: Id) -> OpId {
        self.begin(now, |node| node.get_downloaders(now, info_hash))
    }

    /// As [`Node::scrape`].
    pub fn scrape(&mut self, now: Instant, info_hash: Id) -> OpId {
        self.begin(now, |node| node.scrape(now, info_hash))
    }

    /// As [`Node::get_immutable`].
    pub fn get_immutable(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, |node| node.get_immutable(now, target))
    }

    /// As [`Node::get_mutable`].
    pub fn get_mutable(&mut self, now: Instant, key: &PublicKey, salt: &[u8]) -> OpId {
        self.begin(now, |node| node.get_mutable(now, key, salt))
    }

    /// As [`Node::put`].
    pub fn put(&mut self, now: Instant, item: Item, cas: Option<i64>) -> OpId {
        self.begin(now, |node| node.put(now, item, cas))
    }

    /// As [`Node::sample_infohashes`].
    pub fn sample_infohashes(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, |node| node.sample_infohashes(now, target))
    }

    /// As [`Node::find_node_at`], by a node that has an address of this family.
    pub fn find_node_at(&mut self, now: Instant, at: SocketAddr, target: Id) -> OpId {
        self.begin_at(now, at, |node| node.find_node_at(now, at, target))
    }

    /// As [`Node::sample_infohashes_at`], by a node that has an address of this family.
    pub fn sample_infohashes_at(&mut self, now: Instant, at: SocketAddr, target: Id) -> OpId {
        self.begin_at(now, at, |node| node.sample_infohashes_at(now, at, target))
    }

    /// As [`Node::cancel`].
    pub fn cancel(&mut self, now: Instant, op: OpId) {
        match self.operations.cancel(now, op) {
            Some(Cancel::At(home, op)) => {
                if let Some(home) = self.homes.get_mut(home) {
                    home.node.cancel(now, op);
                }
            }
            Some(Cancel::Done(event)) => self.events.push_back(event),
            None => {}
        }
        self.collect(now);
    }

    /// How all nodes fare together. A node that several of them know counts once.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut all = Health::default();
        for health in self.nodes().map(Node::health) {
            all.queries_out = all.queries_out.saturating_add(health.queries_out);
            all.replies_in = all.replies_in.saturating_add(health.replies_in);
            all.queries_in = all.queries_in.saturating_add(health.queries_in);
            all.replies_out = all.replies_out.saturating_add(health.replies_out);
            all.refused = all.refused.saturating_add(health.refused);
            all.bytes_out = all.bytes_out.saturating_add(health.bytes_out);
            all.bytes_in = all.bytes_in.saturating_add(health.bytes_in);
            all.is_reachable |= health.is_reachable;
            all.operations = all.operations.saturating_add(health.operations);
        }
        let known = self.known();
        all.nodes_v4 = known.iter().filter(|(_, at)| at.is_ipv4()).count();
        all.nodes_v6 = known.len().saturating_sub(all.nodes_v4);
        all.operations = all.operations.saturating_add(self.operations.pausing());
        all
    }

    /// As [`Node::network_size`], of the first node that knows it.
    #[must_use]
    pub fn network_size(&self) -> Option<f64> {
        self.nodes().find_map(Node::network_size)
    }

    /// The nodes of all tables that answer, each once, with their ids.
    #[must_use]
    pub fn known(&self) -> Vec<(Id, SocketAddr)> {
        let known: BTreeSet<(Id, SocketAddr)> = self.nodes().flat_map(Node::nodes).collect();
        known.into_iter().collect()
    }

    fn begin(&mut self, now: Instant, begin: impl FnOnce(&mut Node) -> OpId) -> OpId {
        let number = self.next_searcher();
        self.begin_by(now, number, begin)
    }

    fn begin_at(&mut self, now: Instant, at: SocketAddr, begin: impl FnOnce(&mut Node) -> OpId) -> OpId {
        let mut homes = self.homes.iter();
        let number = homes.position(|home| home.local(at).is_some()).unwrap_or(0);
        self.begin_by(now, number, begin)
    }

    fn begin_by(&mut self, now: Instant, number: usize, begin: impl FnOnce(&mut Node) -> OpId) -> OpId {
        let Some(home) = self.homes.get_mut(number) else { return self.operations.none() };
        let inner = begin(&mut home.node);
        let op = self.operations.begin(number, inner);
        self.collect(now);
        op
    }

    /// The next node that is connected, or the next one if none is.
    fn next_searcher(&mut self) -> usize {
        let count = self.homes.len().max(1);
        let next = |from: usize| from.saturating_add(1).checked_rem(count).unwrap_or(0);
        let first = self.searcher.checked_rem(count).unwrap_or(0);
        let mut chosen = first;
        for _ in 0..count {
            if self.homes.get(chosen).is_some_and(|home| home.node.is_connected()) {
                break;
            }
            chosen = next(chosen);
        }
        self.searcher = next(chosen);
        chosen
    }

    /// Takes what the nodes tell, and begins what follows from it.
    fn collect(&mut self, now: Instant) {
        loop {
            for number in 0..self.homes.len() {
                while let Some(event) = self.homes.get_mut(number).and_then(|home| home.node.poll_event()) {
                    self.handle_event(now, number, event);
                }
            }
            let Some(step) = self.operations.poll_step(now) else { return };
            if let Some(home) = self.homes.get_mut(step.home) {
                let inner = home.node.announce_among(now, step.info_hash, step.announcement, &step.near);
                self.operations.begun(step.op, step.home, inner);
            }
        }
    }

    fn handle_event(&mut self, now: Instant, home: usize, event: DhtEvent) {
        let is_news = event != DhtEvent::Bootstrapped || !std::mem::replace(&mut self.is_bootstrapped, true);
        if is_news {
            self.events.extend(self.operations.handle_event(now, home, event));
        }
    }

    fn home_of(&mut self, path: Path) -> Option<&mut Home> {
        match path.local {
            Some(local) => self.homes.iter_mut().find(|home| home.v4 == Some(local) || home.v6 == Some(local)),
            None => {
                let mut possible = self.homes.iter_mut().filter(|home| home.local(path.remote).is_some());
                possible.next().filter(|_| possible.next().is_none())
            }
        }
    }
}

impl DatagramProtocol for MultiHomed {
    type Event = DhtEvent;

    /// A datagram to an address that is nobody's is not taken. [`Path::local`] may be missing where there is one address of the family.
    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        let Some(home) = self.home_of(path) else { return Handled::NotMine };
        let handled = home.node.handle_input(now, path, datagram);
        self.collect(now);
        handled
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        self.homes.iter_mut().for_each(|home| home.node.handle_unreachable(now, to));
        self.collect(now);
    }

    fn handle_network_change(&mut self, now: Instant) {
        self.homes.iter_mut().for_each(|home| home.node.handle_network_change(now));
        self.collect(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for home in &mut self.homes {
            if home.node.poll_timeout().is_some_and(|at| at <= now) {
                home.node.handle_timeout(now);
            }
        }
        self.collect(now);
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let count = self.homes.len();
        for _ in 0..count {
            let turn = self.turn.checked_rem(count)?;
            self.turn = turn.saturating_add(1);
            let home = self.homes.get_mut(turn)?;
            if let Some(transmit) = home.node.poll_transmit(now, buf) {
                let source = home.local(transmit.destination);
                return Some(source.map_or(transmit, |source| transmit.with_source(source)));
            }
        }
        None
    }

    fn poll_event(&mut self) -> Option<DhtEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let nodes = self.nodes().filter_map(DatagramProtocol::poll_timeout).min();
        nodes.into_iter().chain(self.operations.poll_timeout()).min()
    }
}

/// The id of the node with this number: its first bits, in reverse order, count up, so that all are far from one another.
fn apart(base: Id, number: u16) -> Id {
    let mut bytes = *base.as_bytes();
    for (byte, flip) in bytes.iter_mut().zip(number.reverse_bits().to_be_bytes()) {
        *byte ^= flip;
    }
    Id::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn locals() -> [SocketAddr; 3] {
        ["20.0.0.1:6881", "21.0.0.1:6881", "[2600::1]:6881"].map(|it| it.parse().unwrap())
    }

    #[test]
    fn each_address_has_an_id_far_from_the_others() {
        let seed = Seed::new([1; 32]);
        let base = Id::random(&mut seed.derive("id").rng());
        let first: BTreeSet<u8> = (0..256).map(|number| apart(base, number).as_bytes()[0]).collect();
        assert_eq!(first.len(), 256);
        let host = MultiHomed::new(&Config::default(), &locals(), &seed, Instant::now());
        let ids: Vec<Id> = host.nodes().map(|node| node.id(locals()[0])).collect();
        assert_eq!(ids.len(), 2, "two of IPv4, and IPv6 is at home with the first of them");
        assert_ne!(ids[0].as_bytes()[0] & 0x80, ids[1].as_bytes()[0] & 0x80);
    }

    #[test]
    fn what_is_asked_at_one_address_is_answered_from_there() {
        let now = Instant::now();
        let mut host = MultiHomed::new(&Config::default(), &locals(), &Seed::new([1; 32]), now);
        let query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        for (number, local) in locals().into_iter().enumerate().take(2) {
            let remote = SocketAddr::from(([30, number as u8, 1, 1], 6881));
            let path = |local| {
                let mut path = Path::from_remote(remote);
                path.local = local;
                path
            };
            assert_eq!(host.handle_input(now, path(None), query), Handled::NotMine, "there are two");
            assert_eq!(host.handle_input(now, path(Some(remote)), query), Handled::NotMine);
            assert_eq!(host.handle_input(now, path(Some(local)), query), Handled::Taken);
            let mut answer = Vec::new();
            let sent = host.poll_transmit(now, &mut answer).unwrap();
            assert_eq!((sent.destination, sent.source), (remote, Some(local)));
            let id = *host.nodes().nth(number).unwrap().id(local).as_bytes();
            assert!(answer.windows(20).any(|it| it == id));
        }
        let six = Path::from_remote("[2700::1]:1".parse().unwrap());
        assert_eq!(host.handle_input(now, six, query), Handled::Taken, "there is but one address of IPv6");
    }

    #[test]
    fn an_announce_can_be_cancelled_between_two_addresses() {
        let mut now = Instant::now();
        let mut host = MultiHomed::new(&Config::default(), &locals(), &Seed::new([1; 32]), now);
        let done = |host: &mut MultiHomed| std::iter::from_fn(|| host.poll_event()).collect::<Vec<_>>();
        let op = host.get_peers(now, Id::new([1; 20]), Some(Announcement::new(1)));
        // Nobody is known, so the search of the first address has ended, and the second one waits for its turn.
        assert_eq!((done(&mut host), host.health().operations), (Vec::new(), 1));
        host.cancel(now, op);
        let ended = done(&mut host);
        assert!(
            matches!(&ended[..], [DhtEvent::Done { op: of, outcome: crate::Outcome::Cancelled, .. }] if *of == op),
            "{ended:?}"
        );
        let op = host.get_peers(now, Id::new([1; 20]), Some(Announcement::new(1)));
        now += Duration::from_secs(2);
        host.handle_timeout(now);
        let ended = done(&mut host);
        assert!(
            matches!(&ended[..], [DhtEvent::Done { op: of, outcome: crate::Outcome::NoNodes, .. }] if *of == op),
            "{ended:?}"
        );
        assert_eq!(host.health().operations, 0);
    }
}
