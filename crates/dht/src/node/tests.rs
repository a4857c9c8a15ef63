use super::*;
use crate::event::{OpStats, Outcome};
use crate::krpc::{Announce, ErrorCode, Put};
use std::collections::BTreeMap;
use std::time::Duration;
use unchoke_core::Rng;
use unchoke_core::keys::SecretKey;

/// Nodes and the network between them, in virtual time.
struct Net {
    nodes: Vec<Node>,
    addresses: Vec<Vec<SocketAddr>>,
    by_address: BTreeMap<SocketAddr, usize>,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    now: Instant,
    sequence: u64,
    rng: Rng,
    lost_in_thousand: u32,
    events: Vec<Vec<DhtEvent>>,
    silent: std::collections::BTreeSet<usize>,
    datagrams: u64,
}

impl Net {
    fn new(seed: u8) -> Self {
        Self {
            nodes: Vec::new(),
            addresses: Vec::new(),
            by_address: BTreeMap::new(),
            flying: BTreeMap::new(),
            now: Instant::now(),
            sequence: 0,
            rng: Seed::new([seed; 32]).rng(),
            lost_in_thousand: 0,
            events: Vec::new(),
            silent: Default::default(),
            datagrams: 0,
        }
    }

    fn add(&mut self, config: Config, addresses: &[SocketAddr]) -> usize {
        let number = self.nodes.len();
        let node = Node::new(config, &self.rng.seed(), self.now);
        self.nodes.push(node);
        self.addresses.push(addresses.to_vec());
        self.events.push(Vec::new());
        self.by_address.extend(addresses.iter().map(|address| (*address, number)));
        number
    }

    /// So many nodes with IPv4 addresses that have found one another.
    fn joined(seed: u8, count: usize) -> Self {
        let mut net = Self::new(seed);
        for number in 0..count {
            net.add(Config::default(), &[v4(number)]);
            let root = v4(net.rng.below(number.max(1) as u32) as usize);
            let now = net.now;
            net.nodes[number].bootstrap(now, &[root]);
            net.run(Duration::from_millis(300));
        }
        net.run(Duration::from_secs(60));
        net
    }

    fn flush(&mut self) {
        for number in 0..self.nodes.len() {
            let mut buffer = Vec::new();
            while let Some(transmit) = self.nodes[number].poll_transmit(self.now, &mut buffer) {
                let datagram = std::mem::take(&mut buffer);
                self.datagrams += 1;
                let to = transmit.destination;
                let from = self.addresses[number].iter().copied().find(|it| it.is_ipv4() == to.is_ipv4());
                let latency = Duration::from_millis(10 + u64::from(self.rng.below(60)));
                if let Some(from) = from.filter(|_| self.rng.below(1000) >= self.lost_in_thousand) {
                    self.sequence += 1;
                    self.flying.insert((self.now + latency, self.sequence), (from, to, datagram));
                }
            }
            while let Some(event) = self.nodes[number].poll_event() {
                self.events[number].push(event);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.flush();
            let timeout = self.nodes.iter().filter_map(|node| node.poll_timeout()).min();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timeout.into_iter().chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            while let Some(entry) = self.flying.first_entry().filter(|it| it.key().0 <= self.now) {
                let (from, to, datagram) = entry.remove();
                if let Some(number) = self.by_address.get(&to).filter(|it| !self.silent.contains(it)) {
                    self.nodes[*number].handle_input(self.now, Path::from_remote(from), &datagram);
                }
            }
            for number in 0..self.nodes.len() {
                if self.nodes[number].poll_timeout().is_some_and(|at| at <= self.now) {
                    self.nodes[number].handle_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    /// Runs until an operation has ended.
    fn finish(&mut self, number: usize, op: OpId) -> (Outcome, OpStats) {
        for _ in 0..600 {
            self.run(Duration::from_millis(100));
            for event in &self.events[number] {
                if let DhtEvent::Done { op: done, outcome, stats } = event
                    && *done == op
                {
                    return (outcome.clone(), stats.clone());
                }
            }
        }
        panic!("the operation did not end");
    }

    fn peers(&self, number: usize, op: OpId) -> Vec<SocketAddr> {
        let found = self.events[number].iter().filter_map(|event| match event {
            DhtEvent::Peers { op: of, peers, .. } if *of == op => Some(peers.clone()),
            _ => None,
        });
        let mut all: Vec<SocketAddr> = found.flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn items(&self, number: usize, op: OpId) -> Vec<Item> {
        let found = self.events[number].iter().filter_map(|event| match event {
            DhtEvent::Item { op: of, item, .. } if *of == op => Some(item.clone()),
            _ => None,
        });
        found.collect()
    }
}

/// An address that is nobody's neighbour.
fn v4(number: usize) -> SocketAddr {
    SocketAddr::from(([20 + (number >> 16) as u8, (number >> 8) as u8, number as u8, 1], 6881))
}

fn v6(number: usize) -> SocketAddr {
    SocketAddr::from(([0x2600 + number as u16, 1, 2, 3, 0, 0, 0, 1], 6881))
}

const HASH: Id = Id::new([0x77; 20]);

#[test]
fn nodes_find_one_another_and_then_the_peers_of_a_torrent() {
    let mut net = Net::joined(1, 60);
    assert!(
        net.nodes.iter().all(|node| node.health().nodes_v4 >= 20),
        "{:?}",
        net.nodes.iter().map(|it| it.health().nodes_v4).collect::<Vec<_>>()
    );
    assert!(net.events.iter().all(|events| events.contains(&DhtEvent::Bootstrapped)));
    let now = net.now;
    let op = net.nodes[3].get_peers(now, HASH, Some(Announcement::new(4711)));
    let (outcome, stats) = net.finish(3, op);
    assert_eq!(outcome, Outcome::Finished { stored: 8, scrape: None });
    assert_eq!(stats.closest.len(), 8);
    for number in [0, 17, 59] {
        let now = net.now;
        let op = net.nodes[number].get_peers(now, HASH, None);
        let (_, stats) = net.finish(number, op);
        assert_eq!(net.peers(number, op), [SocketAddr::new(v4(3).ip(), 4711)]);
        assert!(stats.first.is_some_and(|first| first <= stats.took) && stats.sent < 40, "{stats:?}");
    }
}

/// Of the eight nearest nodes that there are, a search finds nearly all.
#[test]
fn a_search_ends_at_the_nearest_nodes() {
    let mut net = Net::joined(14, 100);
    net.run(Duration::from_secs(600));
    let mut found = 0;
    for number in 0..20 {
        let (now, target) = (net.now, Id::random(&mut net.rng));
        let op = net.nodes[number].find_node(now, target);
        let (_, stats) = net.finish(number, op);
        let mut ids: Vec<Id> = net.nodes.iter().map(|node| node.id(v4(0))).collect();
        ids.retain(|id| *id != net.nodes[number].id(v4(0)));
        ids.sort_by_key(|id| id.distance(target));
        found += ids[..8].iter().filter(|id| stats.closest.iter().any(|(it, _)| it == *id)).count();
    }
    assert!(found >= 152, "{found} of 160");
}

#[test]
fn items_are_stored_and_found_and_newer_ones_win() {
    let mut net = Net::joined(4, 40);
    let key = SecretKey::from_bytes(&[5; 32]);
    let long = format!("900:{}", "x".repeat(900));
    let values: [&[u8]; 2] = [b"5:hello", long.as_bytes()];
    for value in values {
        let item = Item::immutable(value).unwrap();
        let now = net.now;
        let op = net.nodes[1].put(now, item.clone(), None);
        assert_eq!(net.finish(1, op).0, Outcome::Finished { stored: 8, scrape: None });
        let now = net.now;
        let op = net.nodes[30].get_immutable(now, item.target());
        net.finish(30, op);
        assert_eq!(net.items(30, op), [item]);
    }
    for seq in [1, 2] {
        let item = Item::sign(&key, b"salt", seq, b"d1:ai1ee").unwrap();
        let now = net.now;
        let op = net.nodes[2].put(now, item, None);
        assert_eq!(net.finish(2, op).0, Outcome::Finished { stored: 8, scrape: None });
    }
    let now = net.now;
    let op = net.nodes[31].get_mutable(now, &key.public_key(), b"salt");
    net.finish(31, op);
    assert_eq!(net.items(31, op).last().and_then(Item::seq), Some(2));
    let now = net.now;
    let op = net.nodes[31].get_mutable(now, &key.public_key(), b"other");
    net.finish(31, op);
    assert!(net.items(31, op).is_empty());
    // An older version and a wrong expectation are refused by name.
    let table = [(1, None, ErrorCode::SEQ_TOO_LOW), (3, Some(7), ErrorCode::CAS_MISMATCH)];
    for (seq, cas, code) in table {
        let item = Item::sign(&key, b"salt", seq, b"i9e").unwrap();
        let now = net.now;
        let op = net.nodes[2].put(now, item, cas);
        assert_eq!(net.finish(2, op).0, Outcome::Refused(code));
    }
}

#[test]
fn one_node_is_asked_once_and_tells_whom_it_knows() {
    let mut net = Net::joined(6, 40);
    let now = net.now;
    let asker = net.add(Config::default(), &[v4(99)]);
    let target = net.nodes[7].id(v4(0));
    let ops = [
        net.nodes[asker].find_node_at(now, v4(7), target),
        net.nodes[asker].sample_infohashes_at(now, v4(7), target),
        net.nodes[asker].find_node_at(now, v4(98), target),
        net.nodes[asker].find_node_at(now, SocketAddr::new(v4(7).ip(), 0), target),
    ];
    let [found, sampled, silent, nobody] = ops.map(|op| net.finish(asker, op));
    assert_eq!((silent.0, silent.1.sent, silent.1.timeouts), (Outcome::NoNodes, 1, 1));
    assert_eq!((nobody.0, nobody.1.sent), (Outcome::NoNodes, 0), "nothing is sent to port 0");
    for ((outcome, stats), op) in [found, sampled].into_iter().zip(ops) {
        assert_eq!((outcome, stats.sent, stats.replied), (Outcome::Finished { stored: 0, scrape: None }, 1, 1));
        let told = net.events[asker].iter().find_map(|event| match event {
            DhtEvent::Nodes { op: of, id, from, nodes } if *of == op => Some((*id, *from, nodes.clone())),
            _ => None,
        });
        let (id, from, nodes) = told.unwrap();
        assert_eq!((id, from), (target, v4(7)));
        assert!(nodes.len() >= 5 && nodes.iter().all(|(id, at)| net.nodes[net.by_address[at]].id(*at) == *id));
    }
    let is_sample = |event: &DhtEvent| matches!(event, DhtEvent::Samples { op, .. } if *op == ops[1]);
    assert!(net.events[asker].iter().any(is_sample));
}

#[test]
fn seeds_and_peers_are_counted_and_torrents_are_sampled() {
    let mut net = Net::joined(3, 40);
    for number in 0..12 {
        let now = net.now;
        let announcement = Announcement::implied_port().with_seed(number % 3 == 0);
        let op = net.nodes[number].get_peers(now, HASH, Some(announcement));
        net.finish(number, op);
    }
    let now = net.now;
    let op = net.nodes[20].scrape(now, HASH);
    // The first answers of nodes that do not know us are short; those that know us tell all.
    let Outcome::Finished { scrape: Some(scrape), .. } = net.finish(20, op).0 else { panic!("no scrape") };
    assert_eq!((scrape.seeds.estimate().round() as u32, scrape.downloaders.estimate().round() as u32), (4, 8));
    let now = net.now;
    let op = net.nodes[20].get_downloaders(now, HASH);
    net.finish(20, op);
    let expected: Vec<SocketAddr> = (0..12).filter(|it| it % 3 != 0).map(v4).collect();
    assert_eq!(net.peers(20, op), expected);
    let now = net.now;
    let op = net.nodes[25].sample_infohashes(now, HASH);
    net.finish(25, op);
    assert!(net.events[25].iter().any(|event| matches!(event,
        DhtEvent::Samples { op: of, info_hashes, total: 1, .. } if *of == op && *info_hashes == [HASH])));
}

#[test]
fn both_families_are_searched_at_once() {
    let mut net = Net::new(4);
    for number in 0..40 {
        let addresses: &[SocketAddr] = match number % 3 {
            0 => &[v4(number), v6(number)],
            1 => &[v4(number)],
            _ => &[v6(number)],
        };
        let config = Config { v4: number % 3 != 2, v6: number % 3 != 1, ..Config::default() };
        net.add(config, addresses);
        let now = net.now;
        net.nodes[number].bootstrap(now, &[v4(0), v6(0)]);
        net.run(Duration::from_millis(300));
    }
    // By then all have taken ids that fit their addresses, and know one another by these.
    net.run(Duration::from_secs(300));
    let now = net.now;
    let op = net.nodes[3].get_peers(now, HASH, Some(Announcement::new(1)));
    // One or the other may just be taking its new id.
    let (outcome, _) = net.finish(3, op);
    assert!(matches!(outcome, Outcome::Finished { stored: 14..=16, .. }), "{outcome:?}");
    for (number, expected) in [(1, vec![SocketAddr::new(v4(3).ip(), 1)]), (2, vec![SocketAddr::new(v6(3).ip(), 1)])] {
        let now = net.now;
        let op = net.nodes[number].get_peers(now, HASH, None);
        net.finish(number, op);
        assert_eq!(net.peers(number, op), expected, "node {number}");
    }
}

#[test]
fn a_third_of_the_nodes_may_vanish() {
    let mut net = Net::joined(5, 60);
    let now = net.now;
    let op = net.nodes[3].get_peers(now, HASH, Some(Announcement::new(4711)));
    net.finish(3, op);
    net.silent = (0..60).filter(|it| it % 3 == 1).collect();
    net.lost_in_thousand = 20;
    let now = net.now;
    let op = net.nodes[0].get_peers(now, HASH, None);
    let (_, stats) = net.finish(0, op);
    assert_eq!(net.peers(0, op).len(), 1);
    assert!(stats.took < Duration::from_secs(3), "{stats:?}");
}

#[test]
fn nobody_in_reach_is_said_and_tried_again() {
    let mut net = Net::new(6);
    let lonely = net.add(Config::default(), &[v4(0)]);
    let now = net.now;
    net.nodes[lonely].bootstrap(now, &[v4(1)]);
    let op = net.nodes[lonely].get_peers(now, HASH, None);
    assert_eq!(net.finish(lonely, op).0, Outcome::NoNodes);
    let other = net.add(Config::default(), &[v4(1)]);
    net.run(Duration::from_secs(120));
    assert!(net.nodes[lonely].health().nodes_v4 == 1 && net.events[lonely].contains(&DhtEvent::Bootstrapped));
    assert!(net.nodes[other].health().is_reachable && !net.nodes[lonely].health().is_reachable);
}

#[test]
fn a_node_without_roots_joins_through_the_first_one_that_it_is_told_of() {
    let mut net = Net::joined(9, 40);
    let late = net.add(Config::default(), &[v4(40)]);
    net.run(Duration::from_secs(60));
    assert_eq!((net.nodes[late].health().nodes_v4, net.nodes[late].health().queries_out), (0, 0));
    let now = net.now;
    net.nodes[late].add_node(now, v4(7));
    net.run(Duration::from_secs(5));
    assert!(net.nodes[late].health().nodes_v4 >= 8, "{:?}", net.nodes[late].health());
    assert!(net.events[late].contains(&DhtEvent::Bootstrapped));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut net = Net::joined(seed, 30);
        let now = net.now;
        let op = net.nodes[3].get_peers(now, HASH, Some(Announcement::new(4711)));
        let (_, stats) = net.finish(3, op);
        (net.datagrams, stats, net.nodes.iter().map(Node::health).collect::<Vec<_>>())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn a_node_that_was_saved_finds_back_without_help() {
    let mut net = Net::joined(15, 40);
    let saved = net.nodes[7].save();
    let id = net.nodes[7].id(v4(0));
    let (seed, now) = (net.rng.seed(), net.now);
    net.nodes[7] = Node::restore(Config::default(), &saved, &seed, now).unwrap();
    assert_eq!((net.nodes[7].id(v4(0)), net.nodes[7].health().nodes_v4), (id, 0));
    net.run(Duration::from_secs(30));
    assert!(net.nodes[7].health().nodes_v4 >= 20, "{:?}", net.nodes[7].health());
    assert!(Node::restore(Config::default(), b"de", &seed, now).is_err());
}

/// What somebody sends who is no node.
fn ask(net: &mut Net, number: usize, from: SocketAddr, method: Method<'_>) -> (usize, Vec<Vec<u8>>) {
    let mut datagram = Vec::new();
    let query = Query { read_only: true, ..Query::new(Id::new([9; 20]), method) };
    Message::new(b"aa", Body::Query(query)).write(&mut datagram);
    net.nodes[number].handle_input(net.now, Path::from_remote(from), &datagram);
    let mut answers = Vec::new();
    let mut buffer = Vec::new();
    while let Some(transmit) = net.nodes[number].poll_transmit(net.now, &mut buffer) {
        if transmit.destination == from {
            answers.push(buffer.clone());
        }
        buffer.clear();
    }
    (datagram.len(), answers)
}

/// D3: three bytes for one, whatever is asked, of a node that has a lot to tell.
#[test]
fn d3_strangers_get_three_bytes_for_one() {
    let mut net = Net::joined(9, 60);
    let now = net.now;
    let key = SecretKey::from_bytes(&[5; 32]);
    let item = Item::sign(&key, b"", 1, format!("900:{}", "x".repeat(900)).as_bytes()).unwrap();
    net.nodes[0].store().put(now, &item, None, v4(1).ip()).unwrap();
    for number in 0..200 {
        net.nodes[0].store().announce_peer(now, HASH, v4(number + 100), false).unwrap();
    }
    let stranger: SocketAddr = "66.66.66.66:6".parse().unwrap();
    let methods = [
        Method::Ping,
        Method::FindNode { target: HASH },
        Method::GetPeers { info_hash: HASH, scrape: true, no_seed: false },
        Method::AnnouncePeer(Announce { info_hash: HASH, port: 1, implied_port: true, seed: false, token: b"" }),
        Method::Get { target: item.target(), newer_than: None },
        Method::Put(Put { token: b"", value: b"i1e", signed: None, salt: b"", cas: None }),
        Method::SampleInfohashes { target: HASH },
        Method::Unknown { name: b"x", target: Some(HASH) },
        Method::Unknown { name: b"x", target: None },
    ];
    for method in methods {
        let name = method.name().escape_ascii().to_string();
        let (asked, answers) = ask(&mut net, 0, stranger, method);
        let answered: usize = answers.iter().map(Vec::len).sum();
        assert!(answers.len() == 1 && answered <= 3 * asked, "{name}: {asked} gave {answered}");
    }
    // Malformed queries are refused briefly.
    let mut buffer = Vec::new();
    net.nodes[0].handle_input(now, Path::from_remote(stranger), b"d1:q1:x1:t1:a1:y1:qe");
    let refusal = net.nodes[0].poll_transmit(now, &mut buffer).unwrap();
    assert!(refusal.size <= 60, "{}", buffer.escape_ascii());
    net.nodes[0].handle_input(now, Path::from_remote(stranger), b"d1:t0:1:y1:qe");
    assert!(net.nodes[0].poll_transmit(now, &mut buffer).is_none(), "too short for an answer");
}

#[test]
fn a_token_of_one_address_is_none_of_another() {
    let mut net = Net::joined(10, 10);
    let [one, other]: [SocketAddr; 2] = ["66.66.66.66:6", "77.77.77.77:7"].map(|it| it.parse().unwrap());
    let (_, answers) = ask(&mut net, 0, one, Method::GetPeers { info_hash: HASH, scrape: false, no_seed: false });
    let mut tape = Tape::new();
    let Body::Reply(reply) = Message::read(&answers[0], &mut tape).unwrap().body else { panic!("no reply") };
    let token = reply.token.unwrap();
    let announce =
        |token| Method::AnnouncePeer(Announce { info_hash: HASH, port: 9, implied_port: false, seed: false, token });
    for (from, stored) in [(other, 0), (one, 1)] {
        let (_, answers) = ask(&mut net, 0, from, announce(token));
        let mut tape = Tape::new();
        let is_reply = matches!(Message::read(&answers[0], &mut tape).unwrap().body, Body::Reply(_));
        assert_eq!((is_reply, net.nodes[0].store().usage().peers), (stored == 1, stored));
    }
}

#[test]
fn an_operation_can_be_cancelled_and_others_wait_their_turn() {
    let mut net = Net::new(11);
    let number = net.add(Config { max_operations: 2, ..Config::default() }, &[v4(0)]);
    let now = net.now;
    net.nodes[number].upkeep.add_roots(&[v4(1)]);
    let ops: Vec<OpId> = (0..4).map(|_| net.nodes[number].find_node(now, HASH)).collect();
    assert_eq!(net.nodes[number].health().operations, 4);
    net.nodes[number].cancel(now, ops[0]);
    net.nodes[number].cancel(now, ops[3]);
    net.run(Duration::from_secs(30));
    let outcomes: Vec<(OpId, bool)> = net.events[number]
        .iter()
        .filter_map(|event| match event {
            DhtEvent::Done { op, outcome, .. } => Some((*op, *outcome == Outcome::Cancelled)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|(op, cancelled)| *cancelled == (*op == ops[0] || *op == ops[3])), "{outcomes:?}");
}

/// Lies about the ids of live nodes cost them nothing.
#[test]
fn a_live_node_stays_when_somebody_names_it_by_another_id() {
    let mut net = Net::joined(14, 40);
    let before = net.nodes[0].nodes();
    let now = net.now;
    let op = net.nodes[0].get_peers(now, HASH, None);
    let liars: Vec<(Id, SocketAddr)> = before.iter().map(|(_, address)| (Id::random(&mut net.rng), *address)).collect();
    for (id, address) in &liars {
        net.nodes[0].searches.handle_other_id(op, *id, *address);
    }
    net.finish(0, op);
    let after = net.nodes[0].nodes();
    assert!(before.iter().filter(|node| after.contains(node)).count() * 10 >= before.len() * 9, "{before:?} {after:?}");
}

#[test]
fn read_only_nodes_ask_and_are_told_to_nobody() {
    let mut net = Net::joined(62, 30);
    let quiet = net.add(Config { read_only: true, ..Config::default() }, &[v4(99)]);
    let now = net.now;
    net.nodes[quiet].bootstrap(now, &[v4(0)]);
    net.run(Duration::from_secs(300));
    assert!(net.nodes[quiet].health().nodes_v4 >= 15);
    assert!(net.nodes[..30].iter().all(|node| node.nodes().iter().all(|(_, address)| *address != v4(99))));
    let (_, answers) = ask(&mut net, quiet, v4(1), Method::Ping);
    assert!(answers.is_empty());
}

/// Upkeep of an idle node: no more than a query in five seconds.
#[test]
fn an_idle_node_is_quiet() {
    let mut net = Net::joined(13, 60);
    net.run(Duration::from_secs(600));
    let before: u64 = net.nodes.iter().map(|node| node.health().queries_out).sum();
    net.run(Duration::from_secs(3600));
    let after: u64 = net.nodes.iter().map(|node| node.health().queries_out).sum();
    let rate = (after - before) as f64 / 60.0 / 3600.0;
    assert!(rate <= 0.2, "{rate}");
}
