//! The node: tables, searches and answers wired together.

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::endpoint::{Endpoint as _, V4, V6, nodes};
use crate::event::{DhtEvent, Health, OpId, Outcome};
use crate::external::ExternalAddress;
use crate::families::{Family, Lookups, Tables};
use crate::filter::Filter;
use crate::id::Id;
use crate::item::{Item, mutable_target};
use crate::krpc::{Body, Malformed, Message, Method, Query, Refusal, Reply, Want};
use crate::limiter::{Inbound, Pacer};
use crate::lookup::{Lookup, Width};
use crate::operation::{Announcement, Kind, Operation, Storing};
use crate::outbox::Outbox;
use crate::rtt::RoundTrips;
use crate::secure::{is_contactable, is_secure, secure_id};
use crate::server::{Afterwards, Asked, Server};
use crate::size::NetworkSize;
use crate::store::{MemoryStore, RecordStore};
use crate::table::{K, Limits, Table};
use crate::transactions::{Due, Purpose, Transaction, Transactions};
use crate::upkeep::Upkeep;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::keys::PublicKey;
use unchoke_core::{DatagramProtocol, Handled, Path, Rng, Seed, Transmit};

/// A node of the DHT, with a table for each address family.
///
/// It is a [`DatagramProtocol`]: datagrams and time go in, datagrams, events and a deadline come out. Whatever it is asked to do is an
/// operation with a number, which ends with one [`DhtEvent::Done`].
pub struct Node {
    config: Config,
    rng: Rng,
    tables: Tables,
    server: Server,
    transactions: Transactions,
    operations: Vec<Operation>,
    waiting: VecDeque<Operation>,
    next_op: u64,
    round_trips: RoundTrips,
    inbound: Inbound,
    pacer: Pacer,
    external: ExternalAddress,
    size: NetworkSize,
    upkeep: Upkeep,
    outbox: Outbox,
    events: VecDeque<DhtEvent>,
    health: Health,
    tape: Tape,
}

impl Node {
    /// A node that keeps records in memory.
    #[must_use]
    pub fn new(config: Config, seed: &Seed, now: Instant) -> Self {
        let id = Id::random(&mut seed.derive("id").rng());
        let store = MemoryStore::new(id, config.store);
        Self::with_id(id, config, Box::new(store), seed, now)
    }

    /// A node that keeps records elsewhere.
    #[must_use]
    pub fn with_store(config: Config, store: Box<dyn RecordStore>, seed: &Seed, now: Instant) -> Self {
        Self::with_id(Id::random(&mut seed.derive("id").rng()), config, store, seed, now)
    }

    fn with_id(id: Id, config: Config, store: Box<dyn RecordStore>, seed: &Seed, now: Instant) -> Self {
        let mut rng = seed.derive("node").rng();
        let limits = Limits { wide: config.wide_buckets, spares: config.spares };
        Self {
            tables: Tables { v4: Table::new(id, limits, now), v6: Table::new(id, limits, now) },
            server: Server::new(now, store, &mut rng),
            transactions: Transactions::default(),
            operations: Vec::new(),
            waiting: VecDeque::new(),
            next_op: 0,
            round_trips: RoundTrips::new(),
            inbound: Inbound::new(now, rng.next_u64(), config.inbound_per_second, config.inbound_burst),
            pacer: Pacer::new(now, config.queries_per_second, config.query_burst),
            external: ExternalAddress::default(),
            size: NetworkSize::default(),
            upkeep: Upkeep::new(now, &config, &mut rng),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            health: Health::default(),
            tape: Tape::new(),
            rng,
            config,
        }
    }

    /// Joins the network through nodes of which only the address is known. The addresses are kept, to begin again with when all others are gone.
    pub fn bootstrap(&mut self, now: Instant, roots: &[SocketAddr]) {
        self.upkeep.add_roots(roots);
        self.refresh(now);
    }

    /// Adds a node that may be there, such as a peer's `port` message tells of (BEP 5).
    pub fn add_node(&mut self, now: Instant, address: SocketAddr) {
        if is_contactable(address) && !self.transactions.is_asked(address) && self.pacer.take(now) {
            self.send_query(now, address, None, Purpose::Probe, Method::Ping);
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

    /// Looks up peers of a torrent that are no seeds.
    pub fn get_downloaders(&mut self, now: Instant, info_hash: Id) -> OpId {
        self.begin(now, info_hash, Kind::GetPeers { scrape: false, no_seed: true, announce: None })
    }

    /// Looks up how many peers and seeds a torrent has (BEP 33). [`Outcome::Finished`] tells.
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

    /// Ends an operation. Its last event says so.
    pub fn cancel(&mut self, now: Instant, op: OpId) {
        if let Some(at) = self.operations.iter().position(|it| it.op == op) {
            let operation = self.operations.swap_remove(at);
            self.end(now, operation, Outcome::Cancelled);
        } else if let Some(at) = self.waiting.iter().position(|it| it.op == op)
            && let Some(operation) = self.waiting.remove(at)
        {
            self.end(now, operation, Outcome::Cancelled);
        }
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
            operations: self.operations.len().saturating_add(self.waiting.len()),
            ..self.health
        }
    }

    /// About how many nodes the network has, as far as that is known (IPv4).
    #[must_use]
    pub fn network_size(&self) -> Option<f64> {
        self.size.get()
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
        let op = OpId(self.next_op);
        self.next_op = self.next_op.saturating_add(1);
        let operation = Operation::new(op, target, kind, Lookups::default(), now);
        self.waiting.push_back(operation);
        self.advance(now);
        op
    }

    /// Gives a search what the tables know.
    fn start_search<E: Family>(&mut self, operation: &mut Operation, roots: &[SocketAddr]) {
        let width = self.width(self.config.closest);
        let table = E::table(&self.tables);
        let mut lookup = Lookup::new(table.own(), operation.target, width);
        let start = table.closest(operation.target, K.saturating_mul(2));
        for node in &start {
            lookup.add(node.id, node.endpoint, 1);
        }
        if start.len() < K {
            roots.iter().filter_map(|root| E::new(*root)).for_each(|root| lookup.add_root(root));
        }
        *E::lookup(&mut operation.lookups) = Some(lookup);
    }

    fn width(&self, closest: usize) -> Width {
        Width { closest, parallel: self.config.parallel, queries: self.config.max_queries }
    }

    /// Lets every operation take its next steps, as far as the pace allows.
    fn advance(&mut self, now: Instant) {
        while self.operations.len() < self.config.max_operations
            && let Some(mut operation) = self.waiting.pop_front()
        {
            let roots = self.upkeep.roots().to_vec();
            if self.config.v4 {
                self.start_search::<V4>(&mut operation, &roots);
            }
            if self.config.v6 {
                self.start_search::<V6>(&mut operation, &roots);
            }
            self.operations.push(operation);
        }
        let mut operations = std::mem::take(&mut self.operations);
        let mut ended = Vec::new();
        for (at, operation) in operations.iter_mut().enumerate() {
            self.step::<V4>(now, operation);
            self.step::<V6>(now, operation);
            if operation.has_searched() && self.widen(operation) {
                self.step::<V4>(now, operation);
                self.step::<V6>(now, operation);
            }
            if operation.has_searched() && operation.storing.is_none() && operation.kind.stores() {
                operation.storing = Some(storing(operation));
            }
            self.store_step(now, operation);
            if operation.is_done() {
                ended.push(at);
            }
        }
        let mut gone = Vec::with_capacity(ended.len());
        for at in ended.into_iter().rev() {
            gone.push(operations.swap_remove(at));
        }
        operations.append(&mut self.operations);
        self.operations = operations;
        let has_ended = !gone.is_empty();
        for operation in gone.into_iter().rev() {
            let outcome = outcome(&operation);
            self.end(now, operation, outcome);
        }
        if has_ended && !self.waiting.is_empty() {
            self.advance(now);
        }
    }

    /// Lets a search go on among more nodes if the nearest ones do not look right. It does so once.
    fn widen(&self, operation: &mut Operation) -> bool {
        fn is_odd<E: Family>(lookup: Option<&Lookup<E>>, target: Id, size: &NetworkSize) -> bool {
            lookup.is_some_and(|it| size.is_suspicious(target, it.answered().map(|node| node.id)))
        }
        let (target, lookups) = (operation.target, &operation.lookups);
        if operation.kind == Kind::Refresh || operation.stats.widened || operation.storing.is_some() {
            return false;
        }
        let is_odd = is_odd(lookups.v4.as_ref(), target, &self.size) || is_odd(lookups.v6.as_ref(), target, &self.size);
        if is_odd {
            operation.stats.widened = true;
            let width = self.width(self.config.closest_if_suspicious);
            operation.lookups.v4.as_mut().into_iter().for_each(|it| it.widen(width));
            operation.lookups.v6.as_mut().into_iter().for_each(|it| it.widen(width));
        }
        is_odd
    }

    /// Sends the queries of a search that are due.
    fn step<E: Family>(&mut self, now: Instant, operation: &mut Operation) {
        if operation.storing.is_some() || operation.has_searched() {
            return;
        }
        let (op, method) = (operation.op, operation.kind.search(operation.target));
        while self.pacer.has_left(now)
            && let Some((id, endpoint)) = E::lookup(&mut operation.lookups).as_mut().and_then(Lookup::poll_query)
        {
            self.pacer.take(now);
            operation.stats.sent = operation.stats.sent.saturating_add(1);
            if let Some(id) = id {
                E::table_mut(&mut self.tables).handle_asked(now, id, endpoint);
            }
            self.send_query(now, endpoint.address(), id, Purpose::Search(op), method.clone());
        }
    }

    /// Sends the queries that store.
    fn store_step(&mut self, now: Instant, operation: &mut Operation) {
        let Operation { op, target, kind, storing: Some(storing), stats, .. } = operation else { return };
        while self.pacer.has_left(now)
            && let Some((id, to, token)) = storing.left.pop_front()
        {
            if let Some(method) = kind.store(*target, &token) {
                self.pacer.take(now);
                storing.under_way = storing.under_way.saturating_add(1);
                stats.sent = stats.sent.saturating_add(1);
                self.send_query(now, to, Some(id), Purpose::Store(*op), method);
            }
        }
    }

    fn end(&mut self, now: Instant, mut operation: Operation, outcome: Outcome) {
        if operation.kind == Kind::Refresh {
            if let Some(lookup) = &operation.lookups.v4 {
                self.size.add(operation.target, lookup.answered().map(|node| node.id));
            }
            let found = self.tables.v4.len().saturating_add(self.tables.v6.len());
            if self.upkeep.handle_refreshed(now, found) {
                self.events.push_back(DhtEvent::Bootstrapped);
            }
            // A node that has just joined knows its neighbours and few others.
            if self.upkeep.take_fill() {
                let own = if self.config.v4 { self.tables.v4.own() } else { self.tables.v6.own() };
                let common = self.upkeep.next_fill();
                let target = own.random_beside(common, &mut self.rng);
                self.begin(now, target, Kind::Refresh);
            }
            return;
        }
        operation.stats.took = now.saturating_duration_since(operation.started);
        operation.stats.closest = closest(&operation);
        operation.stats.hops = hops(&operation);
        self.events.push_back(DhtEvent::Done { op: operation.op, outcome, stats: operation.stats });
    }

    fn send_query(&mut self, now: Instant, to: SocketAddr, id: Option<Id>, purpose: Purpose, method: Method<'_>) {
        let patience = self.round_trips.patience();
        let number = self.transactions.begin(now, to, id, purpose, patience, &mut self.rng);
        let has_nodes = !matches!(method, Method::Ping | Method::AnnouncePeer(_) | Method::Put(_));
        let want = (has_nodes && self.config.v4 && self.config.v6).then_some(Want { v4: true, v6: true });
        let read_only = self.config.read_only;
        let query = Query { read_only, want, ..Query::new(self.tables.own(to), method) };
        let version = self.config.version;
        let message =
            Message { version: version.as_ref().map(<[u8; 4]>::as_slice), ..Message::new(&number, Body::Query(query)) };
        let sent = self.outbox.push(to, |out| message.write(out));
        self.health.queries_out = self.health.queries_out.saturating_add(1);
        self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
    }

    fn handle_query(&mut self, now: Instant, from: SocketAddr, transaction: &[u8], query: &Query<'_>, size: usize) {
        self.health.queries_in = self.health.queries_in.saturating_add(1);
        self.health.is_reachable |= !self.transactions.is_asked(from) && !self.tables.knows(from);
        if self.config.read_only {
            return;
        }
        let asked = Asked { now, from, transaction, query, size };
        let (sent, afterwards) = self.server.answer(asked, &self.config, &self.tables, &mut self.rng, &mut self.outbox);
        self.health.replies_out = self.health.replies_out.saturating_add(1);
        self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
        if afterwards == Afterwards::Ping && self.pacer.take(now) {
            self.send_query(now, from, None, Purpose::Probe, Method::Ping);
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
        let Some(transaction) = self.transactions.finish(message.transaction, from, self.round_trips.patience()) else {
            return Handled::Refused;
        };
        self.health.replies_in = self.health.replies_in.saturating_add(1);
        let rtt = now.saturating_duration_since(transaction.sent);
        self.round_trips.add(rtt);
        let sent = self.server.handle_proof(from, &mut self.outbox);
        self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
        if transaction.id.is_some_and(|expected| expected != reply.id) {
            // Whoever answers with another id than it is known by is not to be believed.
            self.tables.forget(from);
            self.handle_lost(now, transaction, false);
            return Handled::Taken;
        }
        if self.may_be_node(reply.id, from) {
            self.tables.handle_reply(now, reply.id, from, rtt);
        }
        if let Some(external) = message.external
            && external.is_ipv4() == from.is_ipv4()
            && let Some(address) = self.external.vote(now, from, external)
        {
            self.handle_external(now, address);
        }
        match transaction.purpose {
            Purpose::Probe => self.handle_told(now, reply),
            Purpose::Search(op) => self.handle_found(now, op, from, reply),
            Purpose::Store(op) => {
                if let Some(operation) = self.operations.iter_mut().find(|it| it.op == op) {
                    operation.stats.replied = operation.stats.replied.saturating_add(1);
                    if let Some(storing) = &mut operation.storing {
                        storing.under_way = storing.under_way.saturating_sub(1);
                        storing.stored = storing.stored.saturating_add(1);
                    }
                }
            }
        }
        self.advance(now);
        Handled::Taken
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

    /// A step of a search was answered.
    fn handle_found(&mut self, now: Instant, op: OpId, from: SocketAddr, reply: &Reply<'_>) {
        fn found<E: Family>(operation: &mut Operation, from: SocketAddr, reply: &Reply<'_>) {
            if let (Some(lookup), Some(endpoint)) = (E::lookup(&mut operation.lookups), E::new(from)) {
                lookup.handle_reply(reply.id, endpoint, reply.token);
            }
        }
        let Some(at) = self.operations.iter().position(|it| it.op == op) else { return };
        let mut operation = self.operations.swap_remove(at);
        operation.stats.replied = operation.stats.replied.saturating_add(1);
        found::<V4>(&mut operation, from, reply);
        found::<V6>(&mut operation, from, reply);
        self.read_nodes::<V4>(&mut operation, reply.id, reply.nodes);
        self.read_nodes::<V6>(&mut operation, reply.id, reply.nodes6);
        if let Some(values) = reply.values.filter(|_| matches!(operation.kind, Kind::GetPeers { .. })) {
            let peers: Vec<SocketAddr> = values.iter().take(MAX_PEERS).filter(|it| is_contactable(*it)).collect();
            if !peers.is_empty() {
                operation.found(now);
                self.events.push_back(DhtEvent::Peers { op, from, peers });
            }
        }
        if let Some(scrape) = &mut operation.scrape {
            reply.seeds.into_iter().for_each(|filter| scrape.seeds.union(&Filter::from_bytes(filter)));
            reply.downloaders.into_iter().for_each(|filter| scrape.downloaders.union(&Filter::from_bytes(filter)));
        }
        if let (Some(value), Kind::Get { salt }) = (reply.value, &operation.kind) {
            match Item::from_found(operation.target, value, salt, reply.signed) {
                Ok(item) if operation.is_news(&item) => {
                    operation.found(now);
                    operation.newest = Some(item.clone());
                    self.events.push_back(DhtEvent::Item { op, from, item });
                }
                Ok(_) => {}
                Err(_) => self.health.refused = self.health.refused.saturating_add(1),
            }
        }
        if let (Some(samples), Kind::Sample) = (reply.samples, &operation.kind) {
            operation.found(now);
            let info_hashes = samples.info_hashes.as_chunks().0.iter().map(|bytes| Id::new(*bytes)).collect();
            let (total, interval) = (samples.total, Duration::from_secs(samples.interval.min(21600).into()));
            self.events.push_back(DhtEvent::Samples { op, id: reply.id, from, info_hashes, total, interval });
        }
        self.operations.push(operation);
    }

    /// Nodes that a node has told of go into the search.
    fn read_nodes<E: Family>(&mut self, operation: &mut Operation, from: Id, list: Option<&[u8]>) {
        let Some(lookup) = E::lookup(&mut operation.lookups) else { return };
        let hops = lookup.hops_behind(from);
        for (id, endpoint) in nodes::<E>(list.unwrap_or_default()).take(MAX_NODES) {
            let address = endpoint.address();
            if is_contactable(address) && (!self.config.enforce_secure_ids || is_secure(id, address.ip())) {
                lookup.add(id, endpoint, hops);
            }
        }
    }

    fn handle_refusal(&mut self, now: Instant, from: SocketAddr, transaction: &[u8], refusal: &Refusal<'_>) -> Handled {
        let patience = self.round_trips.patience();
        let Some(transaction) = self.transactions.finish(transaction, from, patience) else { return Handled::Refused };
        match transaction.purpose {
            Purpose::Store(op) => {
                if let Some(operation) = self.operations.iter_mut().find(|it| it.op == op)
                    && let Some(storing) = &mut operation.storing
                {
                    storing.under_way = storing.under_way.saturating_sub(1);
                    storing.refused.push(refusal.code);
                }
            }
            Purpose::Probe | Purpose::Search(_) => self.fail_search(transaction),
        }
        self.advance(now);
        Handled::Taken
    }

    /// A query will not be answered.
    fn handle_lost(&mut self, now: Instant, transaction: Transaction, is_timeout: bool) {
        if let Some(id) = transaction.id {
            self.tables.handle_failure(id, transaction.to);
        }
        let op = match transaction.purpose {
            Purpose::Probe => None,
            Purpose::Search(op) | Purpose::Store(op) => Some(op),
        };
        if let Some(operation) = self.operations.iter_mut().find(|it| Some(it.op) == op) {
            operation.stats.timeouts = operation.stats.timeouts.saturating_add(u32::from(is_timeout));
            if let (Purpose::Store(_), Some(storing)) = (transaction.purpose, &mut operation.storing) {
                storing.under_way = storing.under_way.saturating_sub(1);
            }
        }
        self.fail_search(transaction);
        self.advance(now);
    }

    fn fail_search(&mut self, transaction: Transaction) {
        fn fail<E: Family>(operation: &mut Operation, transaction: Transaction) {
            if let (Some(lookup), Some(to)) = (E::lookup(&mut operation.lookups), E::new(transaction.to)) {
                lookup.handle_failure(transaction.id, to);
            }
        }
        let Purpose::Search(op) = transaction.purpose else { return };
        if let Some(operation) = self.operations.iter_mut().find(|it| it.op == op) {
            fail::<V4>(operation, transaction);
            fail::<V6>(operation, transaction);
        }
    }

    fn handle_slow(&mut self, now: Instant, transaction: Transaction) {
        fn slow<E: Family>(operation: &mut Operation, transaction: Transaction) {
            if let (Some(lookup), Some(to)) = (E::lookup(&mut operation.lookups), E::new(transaction.to)) {
                lookup.handle_slow(transaction.id, to);
            }
        }
        if let Purpose::Search(op) = transaction.purpose
            && let Some(operation) = self.operations.iter_mut().find(|it| it.op == op)
        {
            slow::<V4>(operation, transaction);
            slow::<V6>(operation, transaction);
        }
        self.advance(now);
    }

    /// The vote on our address has an outcome: if our id does not fit it, we take another one (BEP 42).
    fn handle_external(&mut self, now: Instant, address: SocketAddr) {
        fn change<E: Family>(node: &mut Node, now: Instant, id: Id) {
            let limits = Limits { wide: node.config.wide_buckets, spares: node.config.spares };
            let before = std::mem::replace(E::table_mut(&mut node.tables), Table::new(id, limits, now));
            for known in before.verified() {
                let rtt = Duration::from_millis(known.rtt.into());
                E::table_mut(&mut node.tables).handle_reply(now, known.id, known.endpoint, rtt);
            }
        }
        self.events.push_back(DhtEvent::ExternalAddress(address));
        if is_secure(self.tables.own(address), address.ip()) {
            return;
        }
        let id = secure_id(address.ip(), &mut self.rng);
        if address.is_ipv4() {
            change::<V4>(self, now, id);
        } else {
            change::<V6>(self, now, id);
        }
        self.refresh(now);
    }

    /// Whether a node with this id and address may be in the tables.
    fn may_be_node(&self, id: Id, address: SocketAddr) -> bool {
        is_contactable(address) && (!self.config.enforce_secure_ids || is_secure(id, address.ip()))
    }

    /// Does what keeps the node in the network.
    fn handle_upkeep(&mut self, now: Instant) {
        if self.upkeep.wants_refresh(now)
            && (!self.upkeep.roots().is_empty() || self.tables.v4.len().saturating_add(self.tables.v6.len()) > 0)
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
        let table = E::table(&self.tables);
        let Some(node) = table.stalest(now) else { return };
        if !self.pacer.take(now) {
            return;
        }
        let own = table.own();
        let method = match table.emptiest() {
            Some(common) => Method::FindNode { target: own.random_beside(common, &mut self.rng) },
            None => Method::Ping,
        };
        E::table_mut(&mut self.tables).handle_asked(now, node.id, node.endpoint);
        self.send_query(now, node.endpoint.address(), Some(node.id), Purpose::Probe, method);
    }

    /// Looks up the neighbourhood of our own id.
    fn refresh(&mut self, now: Instant) {
        self.upkeep.handle_refresh(now);
        let target = if self.config.v4 { self.tables.v4.own() } else { self.tables.v6.own() };
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
        let is_welcome =
            is_contactable(from) && (self.transactions.is_asked(from) || self.inbound.take(now, from.ip()));
        let handled = if is_welcome { self.handle_datagram(now, from, datagram) } else { Handled::Refused };
        if handled == Handled::Refused {
            self.health.refused = self.health.refused.saturating_add(1);
        }
        handled
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        for transaction in self.transactions.abandon(to) {
            self.handle_lost(now, transaction, false);
        }
    }

    fn handle_network_change(&mut self, now: Instant) {
        self.external = ExternalAddress::default();
        self.health.is_reachable = false;
        self.refresh(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.transactions.poll_due(now, self.round_trips.patience()) {
            match due {
                Due::Slow(transaction) => self.handle_slow(now, transaction),
                Due::Lost(transaction) => self.handle_lost(now, transaction, true),
            }
        }
        self.server.handle_timeout(now, &mut self.rng);
        self.handle_upkeep(now);
        self.advance(now);
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.outbox.poll(buf).map(|(to, size)| Transmit::new(to, size))
    }

    fn poll_event(&mut self) -> Option<DhtEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let pace = (!self.operations.is_empty() && self.pacer.is_empty()).then(|| self.pacer.ready_at());
        [self.transactions.poll_timeout(), Some(self.server.poll_timeout()), Some(self.upkeep.poll_timeout()), pace]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Node {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Handled {
        let mut tape = std::mem::take(&mut self.tape);
        let handled = match Message::read(datagram, &mut tape) {
            Ok(message) => match &message.body {
                Body::Query(query) => {
                    self.handle_query(now, from, message.transaction, query, datagram.len());
                    Handled::Taken
                }
                Body::Reply(reply) => self.handle_reply(now, from, &message, reply),
                Body::Refusal(refusal) => self.handle_refusal(now, from, message.transaction, refusal),
            },
            Err(Malformed { transaction: Some(transaction), .. }) if !self.config.read_only => {
                let sent = Server::refuse(transaction, from, &mut self.outbox);
                self.health.bytes_out = self.health.bytes_out.saturating_add(sent as u64);
                Handled::Refused
            }
            Err(_) => Handled::Refused,
        };
        self.tape = tape;
        handled
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

/// Peers of one reply that are looked at.
const MAX_PEERS: usize = 200;
/// Nodes of one reply that are looked at, in each family.
const MAX_NODES: usize = 20;

/// Who has to store what the operation is for: the nearest nodes that gave a token.
fn storing(operation: &Operation) -> Storing {
    fn nearest<E: Family>(lookup: Option<&Lookup<E>>) -> Vec<(Id, SocketAddr, Box<[u8]>)> {
        // Where the nearest nodes do not look right, more of them have to store it.
        let count = lookup.map_or(K, Lookup::width);
        let answered = lookup.into_iter().flat_map(Lookup::answered).take(count);
        answered.filter_map(|it| Some((it.id, it.endpoint.address(), it.token.clone()?))).collect()
    }
    let mut left = nearest(operation.lookups.v4.as_ref());
    left.extend(nearest(operation.lookups.v6.as_ref()));
    Storing { left: left.into(), ..Storing::default() }
}

fn closest(operation: &Operation) -> Vec<(Id, SocketAddr)> {
    fn nearest<E: Family>(lookup: Option<&Lookup<E>>) -> impl Iterator<Item = (Id, SocketAddr)> {
        lookup.into_iter().flat_map(Lookup::answered).take(K).map(|it| (it.id, it.endpoint.address()))
    }
    nearest(operation.lookups.v4.as_ref()).chain(nearest(operation.lookups.v6.as_ref())).collect()
}

fn hops(operation: &Operation) -> u8 {
    let v4 = operation.lookups.v4.as_ref().and_then(|it| it.answered().next()).map(|it| it.hops);
    let v6 = operation.lookups.v6.as_ref().and_then(|it| it.answered().next()).map(|it| it.hops);
    v4.max(v6).unwrap_or(0)
}

fn outcome(operation: &Operation) -> Outcome {
    let scrape = operation.scrape.clone();
    match &operation.storing {
        _ if operation.stats.replied == 0 => Outcome::NoNodes,
        Some(Storing { stored: 0, refused, .. }) if !refused.is_empty() => {
            let count = |code| refused.iter().filter(|it| **it == code).count();
            let most = refused.iter().copied().max_by_key(|code| count(*code));
            most.map_or(Outcome::NoNodes, Outcome::Refused)
        }
        Some(storing) => Outcome::Finished { stored: storing.stored, scrape },
        None => Outcome::Finished { stored: 0, scrape },
    }
}
