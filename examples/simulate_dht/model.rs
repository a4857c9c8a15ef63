//! A node that follows the rules of another program, with real messages.

use crate::records::Records;
use crate::rules::{Rules, SearchRules, TableRules};
use crate::search::{Lookup, Purpose, Search};
use crate::table::Table;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_bencode::Tape;
use unchoke_core::{DatagramProtocol, Handled, Path, Rng, Seed, Transmit};
use unchoke_dht::Id;
use unchoke_dht::item::immutable_target;
use unchoke_dht::krpc::{Announce, Body, ErrorCode, Message, Method, Put, Query, Refusal, Reply, Values};

/// A lookup that was asked for has ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Finished {
    /// What it was asked for with.
    pub(crate) ticket: u32,
    pub(crate) lookup: Lookup,
}

/// A modelled node.
#[derive(Debug)]
pub(crate) struct ModelNode {
    rules: &'static Rules,
    id: Id,
    rng: Rng,
    born: Instant,
    /// Makes tokens.
    secret: u64,
    table: Table,
    records: Records,
    routers: Arc<[SocketAddr]>,
    pending: Vec<Pending>,
    searches: Vec<Search>,
    last_search: u32,
    outbox: VecDeque<(SocketAddrV4, Vec<u8>)>,
    events: VecDeque<Finished>,
    next_upkeep: Instant,
    /// Seconds on the node's clock.
    last_join: u32,
    last_purge: u32,
    last_expiry: u32,
}

/// A query that is waited for.
#[derive(Debug)]
struct Pending {
    transaction: u16,
    id: Option<Id>,
    to: SocketAddrV4,
    sent: Instant,
    is_late: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A step of a search.
    Visit(u32),
    /// The ping that comes with it.
    Ping(u32),
    /// Upkeep.
    Probe,
    Store,
}

/// For the extended table: how often a shallow table is filled again, in seconds.
const JOIN_AGAIN: u32 = 600;
/// For the extended table: the depth from which it is not.
const DEEP: usize = 4;
/// Between two looks for records that are too old, in seconds.
const EXPIRE: u32 = 120;
/// For the fixed table: between two looks for stale nodes, and between two searches for its own id, in seconds.
const PURGE: u32 = 5 * 60;
const REFRESH: u32 = 15 * 60;

thread_local! {
    /// Memory for parsing, which all nodes of a thread share.
    static TAPE: RefCell<Tape> = const { RefCell::new(Tape::new()) };
}

impl ModelNode {
    /// A node with an id, which joins through routers.
    pub(crate) fn new(
        rules: &'static Rules,
        id: Id,
        seed: &Seed,
        routers: Arc<[SocketAddr]>,
        own: &[SocketAddr],
        now: Instant,
    ) -> Self {
        let mut rng = seed.rng();
        let secret = rng.next_u64();
        let wait = rules.upkeep.mul_f64(f64::from(rng.below(1000)) / 1000.0);
        let mut node = Self {
            rules,
            id,
            secret,
            born: now,
            table: Table::new(id, rules),
            records: Records::default(),
            routers: routers.iter().filter(|it| !own.contains(it)).copied().collect(),
            pending: Vec::new(),
            searches: Vec::new(),
            last_search: 0,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            next_upkeep: now + wait,
            last_join: 0,
            last_purge: 0,
            last_expiry: 0,
            rng,
        };
        node.join(now);
        node
    }

    pub(crate) const fn id(&self) -> Id {
        self.id
    }

    /// Nodes that it knows.
    pub(crate) fn known(&self) -> usize {
        self.table.len()
    }

    /// Looks up peers. With a port it announces one; with a ticket it tells of the outcome.
    pub(crate) fn get_peers(&mut self, now: Instant, torrent: Id, announce: Option<u16>, ticket: Option<u32>) {
        self.begin(now, torrent, Purpose::Peers { announce, ticket });
    }

    /// Stores an immutable item, bencoded.
    pub(crate) fn put(&mut self, now: Instant, value: &[u8]) {
        self.begin(now, immutable_target(value), Purpose::Put(value.into()));
    }

    /// Looks up its own place.
    fn join(&mut self, now: Instant) {
        self.last_join = self.clock(now);
        self.begin(now, self.id, Purpose::Join);
    }

    /// Seconds since the node's beginning, from 1 on.
    fn clock(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.born).as_secs()).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn begin(&mut self, now: Instant, target: Id, purpose: Purpose) {
        self.last_search = self.last_search.wrapping_add(1);
        let mut search = Search::new(self.last_search, target, purpose, self.rules, now);
        let known = self.table.closest(target, true);
        let is_short = known.len() < self.rules.routers_below;
        known.iter().for_each(|it| search.add_known(it.id, it.at()));
        if is_short {
            for router in self.routers.iter() {
                if let SocketAddr::V4(at) = router {
                    search.add_router(Id::random(&mut self.rng), *at);
                }
            }
        }
        self.searches.push(search);
        self.advance(now, self.last_search);
    }

    /// Lets a search take its next steps, and ends it if there are none.
    fn advance(&mut self, now: Instant, number: u32) {
        let Some(place) = self.searches.iter().position(|it| it.number == number) else { return };
        while let Some((id, to)) = self.searches[place].poll_query() {
            let search = &mut self.searches[place];
            let target = search.target;
            let method = match &search.purpose {
                Purpose::Peers { .. } => Method::GetPeers { info_hash: target, scrape: false, no_seed: false },
                Purpose::Put(_) => Method::Get { target, newer_than: None },
                // The extended table is filled by the same query as torrents are looked up by.
                _ if self.rules.table == TableRules::Extended => {
                    Method::GetPeers { info_hash: target, scrape: false, no_seed: false }
                }
                Purpose::Join | Purpose::Refresh => Method::FindNode { target },
            };
            let pings = self.rules.search == SearchRules::AllAtOnce;
            search.lookup.queries += u32::from(pings);
            self.send(now, id, to, Kind::Visit(number), method);
            if pings {
                self.send(now, id, to, Kind::Ping(number), Method::Ping);
            }
        }
        let pings = self.pending.iter().filter(|it| it.kind == Kind::Ping(number)).count();
        if self.searches[place].is_done(pings) {
            let search = self.searches.swap_remove(place);
            self.finish(now, search);
        }
    }

    fn finish(&mut self, now: Instant, mut search: Search) {
        let lookup = search.finish(now);
        match &search.purpose {
            Purpose::Join if self.rules.table == TableRules::Extended => {
                for (id, at) in search.unasked().collect::<Vec<_>>() {
                    let method = self.filling(id);
                    self.send(now, Some(id), at, Kind::Probe, method);
                }
            }
            Purpose::Join | Purpose::Refresh => {}
            Purpose::Peers { announce, ticket } => {
                if let Some(port) = *announce {
                    for (to, token) in search.stores() {
                        let mut announce = Announce::new(search.target, port, token);
                        // A NAT may have chosen another port.
                        announce.implied_port = true;
                        self.send(now, None, to, Kind::Store, Method::AnnouncePeer(announce));
                    }
                }
                self.events.extend(ticket.map(|ticket| Finished { ticket, lookup }));
            }
            Purpose::Put(value) => {
                for (to, token) in search.stores() {
                    self.send(now, None, to, Kind::Store, Method::Put(Put::new(token, value)));
                }
            }
        }
    }

    /// The query that fills the extended table where somebody's bucket has room, and a ping where it has none.
    fn filling(&mut self, id: Id) -> Method<'static> {
        match self.table.target_beside(self.id.common_bits(id), &mut self.rng) {
            Some(info_hash) => Method::GetPeers { info_hash, scrape: false, no_seed: false },
            None => Method::Ping,
        }
    }

    fn send(&mut self, now: Instant, id: Option<Id>, to: SocketAddrV4, kind: Kind, method: Method<'_>) {
        let transaction = self.rng.next_u32().to_be_bytes();
        let [a, b, ..] = transaction;
        let mut bytes = Vec::with_capacity(128);
        Message::new(&[a, b], Body::Query(Query::new(self.id, method))).write(&mut bytes);
        self.outbox.push_back((to, bytes));
        let transaction = u16::from_be_bytes([a, b]);
        self.pending.push(Pending { transaction, id, to, sent: now, is_late: false, kind });
    }

    fn ping(&mut self, now: Instant, id: Id, to: SocketAddrV4) {
        if !self.pending.iter().any(|it| it.to == to && it.kind == Kind::Probe) {
            self.send(now, Some(id), to, Kind::Probe, Method::Ping);
        }
    }

    /// What allows an address to store something under a target.
    fn token(&self, ip: u32, target: Id) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = *target.as_bytes();
        let mut word = self.secret ^ u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        word = (word ^ u64::from(ip)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)).to_be_bytes()
    }

    fn handle_query(&mut self, now: Instant, from: SocketAddrV4, transaction: &[u8], query: &Query<'_>) {
        let clock = self.clock(now);
        let (mut nodes, mut values, token) = (Vec::new(), Vec::new(), self.token_for(from, query));
        let mut reply = Reply::new(self.id);
        let mut is_refused = false;
        match &query.method {
            Method::Ping => {}
            Method::FindNode { target } => self.write_nodes(*target, &mut nodes),
            Method::GetPeers { info_hash, .. } => {
                self.write_nodes(*info_hash, &mut nodes);
                values = self.records.peers(*info_hash);
                reply.token = Some(&token);
            }
            Method::Get { target, .. } => {
                self.write_nodes(*target, &mut nodes);
                reply.value = self.records.item(*target);
                reply.token = Some(&token);
            }
            Method::AnnouncePeer(announce) if announce.token == token => {
                let port = if announce.implied_port { from.port() } else { announce.port };
                self.records.announce(clock, announce.info_hash, SocketAddrV4::new(*from.ip(), port));
            }
            Method::Put(put) if put.token == token && put.signed.is_none() => {
                self.records.put(clock, immutable_target(put.value), put.value);
            }
            _ => is_refused = true,
        }
        reply.nodes = Some(&*nodes).filter(|nodes| !nodes.is_empty());
        reply.values = Some(Values::new(&values)).filter(|_| !values.is_empty());
        let refusal = Refusal { code: ErrorCode::PROTOCOL, text: b"refused" };
        let body = if is_refused { Body::Refusal(refusal) } else { Body::Reply(reply) };
        let mut message = Message::new(transaction, body);
        message.external = Some(from.into());
        let mut bytes = Vec::with_capacity(512);
        message.write(&mut bytes);
        self.outbox.push_back((from, bytes));
        if !query.read_only && !self.is_router(from) && self.table.handle_rumour(clock, query.id, from, true) {
            self.ping(now, query.id, from);
        }
    }

    fn token_for(&self, from: SocketAddrV4, query: &Query<'_>) -> [u8; 8] {
        let target = match &query.method {
            Method::GetPeers { info_hash, .. } => *info_hash,
            Method::AnnouncePeer(announce) => announce.info_hash,
            Method::Get { target, .. } => *target,
            Method::Put(put) => immutable_target(put.value),
            _ => self.id,
        };
        self.token(from.ip().to_bits(), target)
    }

    fn write_nodes(&self, target: Id, nodes: &mut Vec<u8>) {
        for entry in self.table.closest(target, false) {
            nodes.extend_from_slice(entry.id.as_bytes());
            nodes.extend_from_slice(&entry.at().ip().octets());
            nodes.extend_from_slice(&entry.at().port().to_be_bytes());
        }
    }

    /// Routers stand in no extended table.
    fn is_router(&self, at: SocketAddrV4) -> bool {
        self.rules.table == TableRules::Extended && self.routers.contains(&SocketAddr::V4(at))
    }

    fn handle_reply(&mut self, now: Instant, from: SocketAddrV4, transaction: &[u8], reply: &Reply<'_>) -> Handled {
        let Some(pending) = self.take(transaction, from) else { return Handled::Refused };
        let clock = self.clock(now);
        if self.rules.table == TableRules::Extended {
            for (id, at) in nodes(reply.nodes) {
                if !self.is_router(at) {
                    self.table.handle_rumour(clock, id, at, false);
                }
            }
        }
        if let Kind::Visit(number) = pending.kind
            && let Some(search) = self.searches.iter_mut().find(|it| it.number == number)
        {
            let hops = search.handle_reply(from, reply.id, reply.token);
            for (id, at) in nodes(reply.nodes) {
                if id != self.id
                    && let Some(hops) = hops
                {
                    search.add_told(id, at, hops);
                }
            }
            if reply.values.is_some() {
                search.handle_found(now);
            }
        }
        let rtt = now.saturating_duration_since(pending.sent).as_millis();
        if !self.is_router(from) {
            let rtt = u16::try_from(rtt).unwrap_or(u16::MAX - 1);
            if let Some((id, at)) = self.table.handle_reply(clock, reply.id, from, rtt) {
                self.ping(now, id, at);
            }
        }
        self.proceed(now, pending.kind);
        Handled::Taken
    }

    fn take(&mut self, transaction: &[u8], from: SocketAddrV4) -> Option<Pending> {
        let transaction = u16::from_be_bytes(transaction.try_into().ok()?);
        let place = self.pending.iter().position(|it| it.transaction == transaction && it.to == from)?;
        Some(self.pending.swap_remove(place))
    }

    fn proceed(&mut self, now: Instant, kind: Kind) {
        if let Kind::Visit(number) | Kind::Ping(number) = kind {
            self.advance(now, number);
        }
    }

    /// The time at which a node notices that a wait since `sent` is over.
    fn due(&self, sent: Instant, wait: Duration) -> Instant {
        let due = sent + wait;
        let tick = u64::try_from(self.rules.tick.as_micros()).unwrap_or(0);
        let after = u64::try_from(due.saturating_duration_since(self.born).as_micros()).unwrap_or(0);
        match after.checked_rem(tick) {
            None | Some(0) => due,
            Some(rest) => due + Duration::from_micros(tick - rest),
        }
    }

    /// When something is to be done about a query.
    fn deadline(&self, pending: &Pending) -> Instant {
        let wait = self.rules.short.filter(|_| !pending.is_late).unwrap_or(self.rules.timeout);
        self.due(pending.sent, wait)
    }

    fn handle_late(&mut self, now: Instant, place: usize) {
        let is_lost = self.pending[place].is_late || self.rules.short.is_none();
        if is_lost {
            let lost = self.pending.swap_remove(place);
            self.fail(now, lost.id, lost.to, lost.kind, true);
        } else {
            let late = &mut self.pending[place];
            late.is_late = true;
            let (id, to, kind) = (late.id, late.to, late.kind);
            self.fail(now, id, to, kind, false);
        }
    }

    fn fail(&mut self, now: Instant, id: Option<Id>, to: SocketAddrV4, kind: Kind, is_lost: bool) {
        if let Some(id) = id {
            self.table.handle_failure(id, to);
        }
        if let Kind::Visit(number) = kind
            && let Some(search) = self.searches.iter_mut().find(|it| it.number == number)
        {
            if is_lost { search.handle_failure(to) } else { search.handle_late(to) }
        }
        // The textbook asks twice before it gives somebody up.
        if self.rules.table == TableRules::Textbook
            && kind == Kind::Probe
            && let Some(id) = id
            && self.table.is_doubted(id, to)
        {
            self.ping(now, id, to);
        }
        self.proceed(now, kind);
    }

    fn handle_upkeep(&mut self, now: Instant) {
        self.next_upkeep = now + self.rules.upkeep;
        let clock = self.clock(now);
        if clock.saturating_sub(self.last_expiry) >= EXPIRE {
            self.last_expiry = clock;
            self.records.expire(clock);
        }
        match self.rules.table {
            TableRules::Extended => {
                if clock.saturating_sub(self.last_join) > JOIN_AGAIN && self.table.depth() < DEEP {
                    self.join(now);
                } else if let Some((id, to, target)) = self.table.next_probe(clock, &mut self.rng) {
                    let method = match target {
                        Some(info_hash) => Method::GetPeers { info_hash, scrape: false, no_seed: false },
                        None => Method::Ping,
                    };
                    self.send(now, Some(id), to, Kind::Probe, method);
                }
            }
            TableRules::Fixed => {
                if clock.saturating_sub(self.last_purge) >= PURGE {
                    self.last_purge = clock;
                    for (id, to) in self.table.purge(clock) {
                        self.ping(now, id, to);
                    }
                }
                if clock.saturating_sub(self.last_join) >= REFRESH || self.table.len() == 0 {
                    self.join(now);
                }
            }
            TableRules::Textbook => {
                while let Some(target) = self.table.stale_bucket(clock, &mut self.rng) {
                    self.begin(now, target, Purpose::Refresh);
                }
                if self.table.len() == 0 {
                    self.join(now);
                }
            }
        }
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddrV4, datagram: &[u8], tape: &mut Tape) -> Handled {
        let Ok(message) = Message::read(datagram, tape) else { return Handled::Refused };
        match &message.body {
            Body::Query(query) => {
                self.handle_query(now, from, message.transaction, query);
                Handled::Taken
            }
            Body::Reply(reply) => self.handle_reply(now, from, message.transaction, reply),
            Body::Refusal(_) => {
                let Some(pending) = self.take(message.transaction, from) else { return Handled::Refused };
                self.fail(now, pending.id, pending.to, pending.kind, true);
                Handled::Taken
            }
            _ => Handled::Refused,
        }
    }
}

impl DatagramProtocol for ModelNode {
    type Event = Finished;

    fn handle_input(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Handled {
        let SocketAddr::V4(from) = path.remote else { return Handled::NotMine };
        let mut tape = TAPE.take();
        let handled = self.handle_datagram(now, from, datagram, &mut tape);
        TAPE.set(tape);
        handled
    }

    fn handle_unreachable(&mut self, now: Instant, to: SocketAddr) {
        while let Some(place) = self.pending.iter().position(|it| SocketAddr::V4(it.to) == to) {
            let lost = self.pending.swap_remove(place);
            self.fail(now, lost.id, lost.to, lost.kind, true);
        }
    }

    fn handle_network_change(&mut self, _now: Instant) {}

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(place) = self.pending.iter().position(|it| self.deadline(it) <= now) {
            self.handle_late(now, place);
        }
        if now >= self.next_upkeep {
            self.handle_upkeep(now);
        }
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (to, bytes) = self.outbox.pop_front()?;
        buf.extend_from_slice(&bytes);
        Some(Transmit::new(to.into(), bytes.len()))
    }

    fn poll_event(&mut self) -> Option<Finished> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.pending.iter().map(|it| self.deadline(it)).chain([self.next_upkeep]).min()
    }
}

/// The nodes of a reply.
pub(crate) fn nodes(bytes: Option<&[u8]>) -> impl Iterator<Item = (Id, SocketAddrV4)> {
    let (nodes, _) = bytes.unwrap_or_default().as_chunks::<26>();
    nodes.iter().filter_map(|node| {
        let (id, rest) = node.split_at(Id::LEN);
        let [a, b, c, d, high, low] = rest.try_into().ok()?;
        let at = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
        Some((Id::from_slice(id)?, at))
    })
}
