//! The node: tables, searches and answers wired together.

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::endpoint::{Endpoint as _, V4, V6, nodes};
use crate::event::{DhtEvent, Health, OpId};
use crate::external::ExternalAddress;
use crate::families::{Family, Tables};
use crate::id::Id;
use crate::item::{Item, mutable_target};
use crate::krpc::{Body, Malformed, Message, Method, Query, Refusal, Reply};
use crate::limiter::Inbound;
use crate::operation::{Announcement, Kind};
use crate::queries::Queries;
use crate::searches::Searches;
use crate::secure::{is_contactable, is_secure, secure_id};
use crate::server::{Afterwards, Asked, Server};
use crate::state::{State, StateError};
use crate::store::{MemoryStore, RecordStore};
use crate::table::{K, Limits, Table};
use crate::transactions::{Due, Purpose, Transaction};
use crate::upkeep::Upkeep;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use unchoke_bencode::Tape;
use unchoke_core::keys::PublicKey;
use unchoke_core::{DatagramProtocol, Handled, Path, Seed, Transmit};

/// A node of the DHT, with a table for each address family.
///
/// It is a [`DatagramProtocol`]: datagrams and time go in, datagrams, events and a deadline come out. Whatever it is asked to do is an
/// operation with a number, which ends with one [`DhtEvent::Done`].
pub struct Node {
    config: Arc<Config>,
    tables: Tables,
    server: Server,
    queries: Queries,
    searches: Searches,
    inbound: Inbound,
    external: Externals,
    upkeep: Upkeep,
    health: Health,
}

impl Node {
    /// A node that keeps records in memory. Nodes of one process may share a configuration.
    #[must_use]
    pub fn new(config: impl Into<Arc<Config>>, seed: &Seed, now: Instant) -> Self {
        let config = config.into();
        let id = Id::random(&mut seed.derive("id").rng());
        let store = MemoryStore::new(id, config.store);
        Self::with_id(id, config, Box::new(store), seed, now)
    }

    /// A node that keeps records elsewhere.
    #[must_use]
    pub fn with_store(config: impl Into<Arc<Config>>, store: Box<dyn RecordStore>, seed: &Seed, now: Instant) -> Self {
        Self::with_id(Id::random(&mut seed.derive("id").rng()), config.into(), store, seed, now)
    }

    pub(crate) fn with_id(
        id: Id,
        config: Arc<Config>,
        mut store: Box<dyn RecordStore>,
        seed: &Seed,
        now: Instant,
    ) -> Self {
        store.handle_id(id);
        let mut rng = seed.derive("node").rng();
        let limits = limits(&config);
        Self {
            tables: Tables { v4: Table::new(id, limits, now), v6: Table::new(id, limits, now) },
            server: Server::new(now, store, &mut rng),
            searches: Searches::new(),
            inbound: Inbound::new(now, rng.next_u64(), config.inbound_per_second, config.inbound_burst),
            external: Externals::default(),
            upkeep: Upkeep::new(now, &config, &mut rng),
            health: Health::default(),
            queries: Queries::new(now, &config, rng),
            config,
        }
    }

    /// A node that goes on where another one was [saved](Self::save): it has its ids, and asks the nodes that it knew whether they are there.
    ///
    /// # Errors
    /// If the bytes are no state of a node.
    pub fn restore(
        config: impl Into<Arc<Config>>,
        state: &[u8],
        seed: &Seed,
        now: Instant,
    ) -> Result<Self, StateError> {
        let config = config.into();
        let store = Box::new(MemoryStore::new(State::read(state)?.id, config.store));
        Self::restore_with_store(config, state, store, seed, now)
    }

    /// As [`restore`](Self::restore), and keeps records elsewhere, perhaps in a store that has those of the earlier run.
    ///
    /// # Errors
    /// If the bytes are no state of a node.
    pub fn restore_with_store(
        config: impl Into<Arc<Config>>,
        state: &[u8],
        store: Box<dyn RecordStore>,
        seed: &Seed,
        now: Instant,
    ) -> Result<Self, StateError> {
        let state = State::read(state)?;
        let mut node = Self::with_id(state.id, config.into(), store, seed, now);
        node.tables.v6 = Table::new(state.id6, limits(&node.config), now);
        node.upkeep.add_known(&state.nodes);
        node.refresh(now);
        Ok(node)
    }

    /// What [`restore`](Self::restore) needs, in bencode. The nodes are those that have answered.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        State::write(&self.tables)
    }

    /// Joins the network through nodes of which only the address is known. The addresses are kept, to begin again with when all others are gone.
    pub fn bootstrap(&mut self, now: Instant, roots: &[SocketAddr]) {
        self.upkeep.add_roots(roots);
        self.refresh(now);
    }

    /// Adds a node that may be there, such as a peer's `port` message tells of (BEP 5). Once the first one has answered, the node joins the
    /// network through it.
    pub fn add_node(&mut self, now: Instant, address: SocketAddr) {
        if is_contactable(address) && !self.queries.is_asked(address) {
            self.ping(now, address);
        }
    }

    /// Looks up the nodes nearest to a point.
    pub fn find_node(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, target, Kind::FindNode)
    }

    /// Looks up the peers of a torrent, and announces a peer if there is an announcement.
    pub fn get_peers(&mut self, now: Instant, info_hash: Id, announce: Option<Announcement>) -> OpId {
        self.begin(now, info_hash, Kind::GetPeers { scrape: false, no_seed: false, announce })
    }

    /// As [`get_peers`](Self::get_peers), beginning with nodes that another search has found to be near.
    pub(crate) fn announce_among(
        &mut self,
        now: Instant,
        info_hash: Id,
        announcement: Announcement,
        near: &[(Id, SocketAddr)],
    ) -> OpId {
        let kind = Kind::GetPeers { scrape: false, no_seed: false, announce: Some(announcement) };
        let op = self.searches.begin(now, info_hash, kind);
        self.searches.add_candidates(op, near);
        self.advance(now);
        op
    }

    /// Whether it knows anybody.
    pub(crate) fn is_connected(&self) -> bool {
        self.tables.v4.good().next().is_some() || self.tables.v6.good().next().is_some()
    }

    /// Looks up peers of a torrent that are no seeds.
    pub fn get_downloaders(&mut self, now: Instant, info_hash: Id) -> OpId {
        self.begin(now, info_hash, Kind::GetPeers { scrape: false, no_seed: true, announce: None })
    }

    /// Looks up how many peers and seeds a torrent has (BEP 33). [`Outcome::Finished`](crate::Outcome::Finished) tells.
    pub fn scrape(&mut self, now: Instant, info_hash: Id) -> OpId {
        self.begin(now, info_hash, Kind::GetPeers { scrape: true, no_seed: false, announce: None })
    }

    /// Looks up an immutable item (BEP 44).
    pub fn get_immutable(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, target, Kind::Get { salt: Box::default() })
    }

    /// Looks up the newest item of a key (BEP 44).
    pub fn get_mutable(&mut self, now: Instant, key: &PublicKey, salt: &[u8]) -> OpId {
        self.begin(now, mutable_target(key, salt), Kind::Get { salt: salt.into() })
    }

    /// Stores an item (BEP 44). With `cas`, only where the stored one has this sequence number.
    pub fn put(&mut self, now: Instant, item: Item, cas: Option<i64>) -> OpId {
        self.begin(now, item.target(), Kind::Put { item: Box::new(item), cas })
    }

    /// Asks the nodes on the way to a point which torrents they know (BEP 51).
    pub fn sample_infohashes(&mut self, now: Instant, target: Id) -> OpId {
        self.begin(now, target, Kind::Sample)
    }

    /// Asks one node, of which only the address is known, for those that it knows nearest to a point:
    /// [`DhtEvent::Nodes`]. It is asked once, and nobody else is.
    pub fn find_node_at(&mut self, now: Instant, at: SocketAddr, target: Id) -> OpId {
        self.begin_at(now, at, target, Kind::FindNode)
    }

    /// As [`find_node_at`](Self::find_node_at), and asks which torrents it knows (BEP 51). Some nodes refuse that.
    pub fn sample_infohashes_at(&mut self, now: Instant, at: SocketAddr, target: Id) -> OpId {
        self.begin_at(now, at, target, Kind::Sample)
    }

    /// Ends an operation. Its last event says so.
    pub fn cancel(&mut self, now: Instant, op: OpId) {
        self.searches.cancel(now, op);
        self.advance(now);
    }

    /// Our id in the family of an address.
    #[must_use]
    pub fn id(&self, family_of: SocketAddr) -> Id {
        self.tables.own(family_of)
    }

    /// How the node fares.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            nodes_v4: self.tables.v4.good().count(),
            nodes_v6: self.tables.v6.good().count(),
            operations: self.searches.len(),
            queries_out: self.queries.sent.0,
            bytes_out: self.health.bytes_out.saturating_add(self.queries.sent.1),
            ..self.health
        }
    }

    /// About how many nodes the network has, as far as that is known (IPv4).
    #[must_use]
    pub fn network_size(&self) -> Option<f64> {
        self.searches.size().get()
    }

    /// The nodes of both tables that answer, with their ids.
    #[must_use]
    pub fn nodes(&self) -> Vec<(Id, SocketAddr)> {
        let v4 = self.tables.v4.good().map(|node| (node.id, node.endpoint.address()));
        let v6 = self.tables.v6.good().map(|node| (node.id, node.endpoint.address()));
        v4.chain(v6).collect()
    }

    /// What is kept for others.
    pub fn store(&mut self) -> &mut dyn RecordStore {
        self.server.store()
    }

    fn begin(&mut self, now: Instant, target: Id, kind: Kind) -> OpId {
        let op = self.searches.begin(now, target, kind);
        self.advance(now);
        op
    }

    fn begin_at(&mut self, now: Instant, at: SocketAddr, target: Id, kind: Kind) -> OpId {
        let op = self.searches.begin_at(now, at, target, kind);
        self.advance(now);
        op
    }

    /// Lets every operation take its next steps, and begins what follows from those that have ended.
    fn advance(&mut self, now: Instant) {
        let Self { config, tables, queries, searches, upkeep, .. } = self;
        searches.advance(now, config, tables, queries, upkeep.roots());
        while searches.poll_refreshed() {
            let nodes = tables.v4.len().saturating_add(tables.v6.len());
            if upkeep.handle_refreshed(now, nodes) {
                searches.events.push_back(DhtEvent::Bootstrapped);
            }
            // A node that has just joined knows its neighbours and few others.
            if let Some(common) = upkeep.take_fill() {
                let own = if config.v4 { tables.v4.own() } else { tables.v6.own() };
                searches.begin(now, own.random_beside(common, &mut queries.rng), Kind::Refresh);
                searches.advance(now, config, tables, queries, upkeep.roots());
            }
        }
    }

    fn ping(&mut self, now: Instant, to: SocketAddr) {
        if self.queries.may_send(now) {
            self.queries.send(now, self.tables.own(to), to, None, Purpose::Probe, Method::Ping);
        }
    }

    fn handle_query(&mut self, now: Instant, from: SocketAddr, transaction: &[u8], query: &Query<'_>, size: usize) {
        self.health.queries_in = self.health.queries_in.saturating_add(1);
        let is_known = self.tables.knows(query.id, from);
        self.health.is_reachable = self.health.is_reachable || !is_known && !self.queries.is_asked(from);
        if self.config.read_only {
            return;
        }
        let asked = Asked { now, from, transaction, query, size, is_known };
        let (sent, afterwards) = self.server.answer(asked, &self.config, &self.tables, &mut self.queries);
        self.health.replies_out = self.health.replies_out.saturating_add(1);
        self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
        if afterwards == Afterwards::Ping {
            self.ping(now, from);
        }
        if !query.read_only && self.may_be_node(query.id, from) {
            self.tables.handle_query(now, query.id, from);
            self.hurry(now);
        }
    }

    /// While there are few nodes, those that may be some are asked soon.
    fn hurry(&mut self, now: Instant) {
        let (v4, v6) = (&self.tables.v4, &self.tables.v6);
        if v4.is_small() && v4.has_spares() || v6.is_small() && v6.has_spares() {
            self.upkeep.hurry(now);
        }
    }

    fn handle_reply(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>, reply: &Reply<'_>) -> Handled {
        let Some(transaction) = self.queries.finish(now, message.transaction, from) else { return Handled::Refused };
        self.health.replies_in = self.health.replies_in.saturating_add(1);
        if let Some(expected) = transaction.id.filter(|expected| *expected != reply.id) {
            self.handle_other_id(now, from, expected, reply.id, transaction);
            return Handled::Taken;
        }
        let may_keep = match transaction.purpose {
            Purpose::Search(op) => self.searches.may_keep(op, reply.id, from.is_ipv4()),
            Purpose::Probe | Purpose::Store(_) => true,
        };
        if self.may_be_node(reply.id, from) {
            self.tables.handle_reply(now, reply.id, from, may_keep);
        }
        let is_known = self.tables.knows(reply.id, from);
        let sent = self.server.handle_proof(from, is_known, &mut self.queries.outbox);
        self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
        if let Some(external) = message.external
            && external.is_ipv4() == from.is_ipv4()
            && let Some(address) = self.external.vote(now, from, external)
        {
            self.handle_external(now, address);
        }
        match transaction.purpose {
            Purpose::Probe => {
                self.handle_told(now, reply);
                // Somebody has brought us a node, and the network may be behind it.
                if self.upkeep.wants_join() && self.tables.knows(reply.id, from) {
                    self.refresh(now);
                }
            }
            Purpose::Search(op) => self.searches.handle_found(now, &self.config, op, from, reply),
            Purpose::Store(op) => self.searches.handle_stored(op, Ok(())),
        }
        self.advance(now);
        Handled::Taken
    }

    /// Somebody answers with another id than it was asked by. Either it has a new one, or whoever told of it has lied.
    fn handle_other_id(&mut self, now: Instant, from: SocketAddr, expected: Id, id: Id, transaction: Transaction) {
        if self.tables.holds(expected, from) {
            self.tables.forget(from);
        }
        self.searches.handle_failure(transaction, false);
        let is_known = self.tables.holds(id, from);
        if self.may_be_node(id, from) {
            if is_known {
                self.tables.handle_reply(now, id, from, false);
            } else {
                self.tables.handle_query(now, id, from);
            }
            if let Purpose::Search(op) = transaction.purpose {
                self.searches.handle_other_id(op, id, from);
            }
        }
        self.advance(now);
    }

    /// Nodes that a probe has told of wait beside the table until it is their turn to be asked.
    fn handle_told(&mut self, now: Instant, reply: &Reply<'_>) {
        let v4 = nodes::<V4>(reply.nodes.unwrap_or_default()).map(|(id, at)| (id, at.address()));
        let v6 = nodes::<V6>(reply.nodes6.unwrap_or_default()).map(|(id, at)| (id, at.address()));
        for (id, address) in v4.take(K).chain(v6.take(K)) {
            if self.may_be_node(id, address) {
                self.tables.handle_query(now, id, address);
            }
        }
        self.hurry(now);
    }

    fn handle_refusal(&mut self, now: Instant, from: SocketAddr, transaction: &[u8], refusal: &Refusal<'_>) -> Handled {
        let Some(transaction) = self.queries.finish(now, transaction, from) else { return Handled::Refused };
        match transaction.purpose {
            Purpose::Store(op) => self.searches.handle_stored(op, Err(refusal.code)),
            Purpose::Search(_) => self.searches.handle_failure(transaction, false),
            // No node refuses a ping or the nodes that it knows.
            Purpose::Probe => self.handle_lost(now, transaction, false),
        }
        self.advance(now);
        Handled::Taken
    }

    /// A query will not be answered.
    fn handle_lost(&mut self, now: Instant, transaction: Transaction, is_timeout: bool) {
        if let Some(id) = transaction.id {
            self.tables.handle_failure(id, transaction.to);
        }
        self.searches.handle_failure(transaction, is_timeout);
        self.advance(now);
    }

    /// The vote on our address has an outcome: if our id does not fit it, we take another one (BEP 42).
    fn handle_external(&mut self, now: Instant, address: SocketAddr) {
        fn change<E: Family>(node: &mut Node, now: Instant, id: Id) {
            let limits = limits(&node.config);
            let before = std::mem::replace(E::table_mut(&mut node.tables), Table::new(id, limits, now));
            for known in before.verified() {
                E::table_mut(&mut node.tables).handle_reply(now, known.id, known.endpoint, true);
            }
        }
        self.searches.events.push_back(DhtEvent::ExternalAddress(address));
        if is_secure(self.tables.own(address), address.ip()) {
            return;
        }
        let id = secure_id(address.ip(), &mut self.queries.rng);
        if address.is_ipv4() {
            change::<V4>(self, now, id);
        } else {
            change::<V6>(self, now, id);
        }
        if address.is_ipv4() || !self.config.v4 {
            self.server.store().handle_id(id);
        }
        self.refresh(now);
    }

    /// Whether a node with this id and address may be in the tables.
    fn may_be_node(&self, id: Id, address: SocketAddr) -> bool {
        let is_wanted = if address.is_ipv4() { self.config.v4 } else { self.config.v6 };
        is_wanted && is_contactable(address) && (!self.config.enforce_secure_ids || is_secure(id, address.ip()))
    }

    /// Does what keeps the node in the network.
    fn handle_upkeep(&mut self, now: Instant) {
        if self.upkeep.wants_refresh(now)
            && (self.upkeep.roots().len() > 0 || self.tables.v4.len().saturating_add(self.tables.v6.len()) > 0)
        {
            self.refresh(now);
        }
        if self.upkeep.take_probe(now) {
            self.probe::<V4>(now);
            self.probe::<V6>(now);
            self.hurry(now);
        }
    }

    /// Asks the node that most needs it, by a question whose answer fills the table where that is empty.
    fn probe<E: Family>(&mut self, now: Instant) {
        let table = E::table_mut(&mut self.tables);
        let Some(node) = table.poll_stale(now).filter(|_| self.queries.may_send(now)) else { return };
        let own = table.own();
        let method = match table.emptiest() {
            Some(common) => Method::FindNode { target: own.random_beside(common, &mut self.queries.rng) },
            None => Method::Ping,
        };
        table.handle_asked(now, node.id, node.endpoint);
        self.queries.send(now, own, node.endpoint.address(), Some(node.id), Purpose::Probe, method);
    }

    /// Looks up the neighbourhood of our own id. With two of them it is the turn of one and then of the other.
    fn refresh(&mut self, now: Instant) {
        let is_odd = self.upkeep.handle_refresh(now);
        let Tables { v4, v6 } = &self.tables;
        let target = if self.config.v4 && (!self.config.v6 || is_odd) { v4.own() } else { v6.own() };
        self.begin(now, target, Kind::Refresh);
    }
}

impl DatagramProtocol for Node {
    type Event = DhtEvent;

    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        // A message of KRPC is a dictionary, and nothing else on such a socket begins like one.
        if datagram.first() != Some(&b'd') {
            return Handled::NotMine;
        }
        let from = path.remote;
        self.health.bytes_in = self.health.bytes_in.saturating_add(datagram.len() as u64);
        let is_welcome = is_contactable(from) && (self.queries.is_asked(from) || self.inbound.take(now, from.ip()));
        let handled = if is_welcome { self.handle_datagram(now, from, datagram) } else { Handled::Refused };
        if handled == Handled::Refused {
            self.health.refused = self.health.refused.saturating_add(1);
        }
        handled
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        // The way there may be broken at our end, so that it counts against no node of the tables.
        for transaction in self.queries.abandon(to) {
            self.searches.handle_failure(transaction, false);
        }
        self.advance(now);
    }

    fn handle_network_change(&mut self, now: Instant) {
        self.external = Externals::default();
        self.health.is_reachable = false;
        self.tables.forgive();
        self.refresh(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.queries.poll_due(now) {
            match due {
                Due::Slow(transaction) => {
                    self.searches.handle_slow(transaction);
                    self.advance(now);
                }
                Due::Lost(transaction) => self.handle_lost(now, transaction, true),
            }
        }
        self.server.handle_timeout(now, &mut self.queries.rng);
        self.handle_upkeep(now);
        self.advance(now);
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.queries.outbox.poll(buf).map(|(to, size)| Transmit::new(to, size))
    }

    fn poll_event(&mut self) -> Option<DhtEvent> {
        self.searches.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let queries = self.queries.poll_timeout(self.searches.len() > 0);
        [queries, Some(self.server.poll_timeout()), Some(self.upkeep.poll_timeout())].into_iter().flatten().min()
    }
}

impl Node {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Handled {
        let mut tape = Tape::with_capacity(TOKENS);
        match Message::read(datagram, &mut tape) {
            Ok(message) => match &message.body {
                Body::Query(query) => {
                    self.handle_query(now, from, message.transaction, query, datagram.len());
                    Handled::Taken
                }
                Body::Reply(reply) => self.handle_reply(now, from, &message, reply),
                Body::Refusal(refusal) => self.handle_refusal(now, from, message.transaction, refusal),
            },
            Err(Malformed { transaction: Some(transaction), .. }) if !self.config.read_only => {
                let sent = Server::refuse(transaction, from, datagram.len(), &mut self.queries.outbox);
                self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
                Handled::Refused
            }
            Err(_) => Handled::Refused,
        }
    }
}

/// Our address in each family.
#[derive(Debug, Default)]
struct Externals {
    v4: ExternalAddress<V4>,
    v6: ExternalAddress<V6>,
}

impl Externals {
    /// Counts a vote. Returns the address when it is a new one.
    fn vote(&mut self, now: Instant, voter: SocketAddr, address: SocketAddr) -> Option<SocketAddr> {
        match (V4::new(address), V6::new(address)) {
            (Some(address), _) => self.v4.vote(now, voter, address),
            (None, Some(address)) => self.v6.vote(now, voter, address),
            (None, None) => None,
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.tables.v4.own())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Values in nearly any message.
const TOKENS: usize = 48;

fn limits(config: &Config) -> Limits {
    Limits { wide: config.wide_buckets, bucket: config.bucket_size.max(1), spares: config.spares }
}
