//! The answers to queries.
//!
//! Nobody who has not shown that datagrams reach it gets more than three bytes for each that it has sent, so that a forged address does not make
//! a weapon of this node. It has shown it when it has answered a query of ours, or come back with a token. An item that is too long for that
//! waits until the one who asks has answered a ping.

use crate::config::{Config, refusal_text};
use crate::endpoint::{Endpoint as _, V4, V6};
use crate::families::Tables;
use crate::id::Id;
use crate::item::Item;
use crate::krpc::{Announce, Body, ErrorCode, Message, Method, Put, Query, Refusal, Reply, Samples, Values, Want};
use crate::outbox::Outbox;
use crate::queries::Queries;
use crate::store::{PeersWanted, RecordStore};
use crate::token::Tokens;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use unchoke_core::Rng;

/// What answering takes.
pub(crate) struct Server {
    store: Box<dyn RecordStore>,
    tokens: Tokens,
    proven: Proven,
    /// Answers that wait for a sign of whoever asked.
    deferred: VecDeque<(SocketAddr, Box<[u8]>)>,
    expired: Instant,
}

/// A query and where it came from.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'q> {
    pub(crate) now: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) transaction: &'q [u8],
    pub(crate) query: &'q Query<'q>,
    /// Bytes of the datagram.
    pub(crate) size: usize,
    /// The sender is in a table, and has answered us.
    pub(crate) is_known: bool,
}

/// What a query leads to besides its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Afterwards {
    Nothing,
    /// The sender has to be asked whether it is there; then it gets its answer.
    Ping,
}

/// Addresses of each family that have lately shown that they receive. Those of IPv4 stand here, as nearly every query is compared with them.
#[derive(Default)]
struct Proven {
    v4: [Option<V4>; MAX_PROVEN],
    /// The place of the next one.
    next: usize,
    /// The latest last.
    v6: VecDeque<V6>,
}

impl Proven {
    fn contains(&self, address: SocketAddr) -> bool {
        match V4::new(address) {
            Some(endpoint) => self.v4.contains(&Some(endpoint)),
            None => V6::new(address).is_some_and(|endpoint| self.v6.contains(&endpoint)),
        }
    }

    fn add(&mut self, address: SocketAddr) {
        if self.contains(address) {
            return;
        }
        if let Some(endpoint) = V4::new(address) {
            self.v4.get_mut(self.next).into_iter().for_each(|place| *place = Some(endpoint));
            self.next = self.next.saturating_add(1) % MAX_PROVEN;
        } else if let Some(endpoint) = V6::new(address) {
            if self.v6.len() >= MAX_PROVEN {
                self.v6.pop_front();
            }
            self.v6.push_back(endpoint);
        }
    }
}

const MAX_PROVEN: usize = 8;
const MAX_DEFERRED: usize = 32;
/// Bytes of an answer to an item's query at most, when the receiver has shown that it is there.
const MAX_ITEM_REPLY: usize = 1400;
/// How many bytes may leave for each that has come.
const AMPLIFICATION: usize = 3;
const PEERS_MAX: usize = 100;
const SAMPLES_MAX: usize = 20;

impl Server {
    pub(crate) fn new(now: Instant, store: Box<dyn RecordStore>, rng: &mut Rng) -> Self {
        let (proven, deferred) = (Proven::default(), VecDeque::new());
        Self { store, tokens: Tokens::new(now, rng), proven, deferred, expired: now }
    }

    pub(crate) fn store(&mut self) -> &mut dyn RecordStore {
        &mut *self.store
    }

    /// Somebody has answered a query of ours. If it is not in a table, it is remembered here.
    pub(crate) fn handle_proof(&mut self, from: SocketAddr, is_known: bool, outbox: &mut Outbox) -> usize {
        if !is_known {
            self.proven.add(from);
        }
        let mut sent = 0_usize;
        self.deferred.retain(|(to, datagram)| {
            let is_theirs = *to == from;
            if is_theirs {
                sent = sent.saturating_add(outbox.push(from, |out| out.extend_from_slice(datagram)));
            }
            !is_theirs
        });
        sent
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        self.tokens.handle_timeout(now, rng);
        if now.saturating_duration_since(self.expired) >= EXPIRE_EVERY {
            self.expired = now;
            self.store.expire(now);
            self.deferred.clear();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.tokens.poll_timeout()
    }

    /// Refuses a query of so many bytes that makes no sense, unless the answer would be too long for it.
    pub(crate) fn refuse(transaction: &[u8], to: SocketAddr, size: usize, outbox: &mut Outbox) -> usize {
        if REFUSAL.saturating_add(transaction.len()) > size.saturating_mul(AMPLIFICATION) {
            return 0;
        }
        let code = ErrorCode::PROTOCOL;
        let body = Body::Refusal(Refusal { code, text: refusal_text(code) });
        outbox.push(to, |out| Message::new(transaction, body).write(out))
    }

    /// Answers a query. Returns the bytes of the answer, and what else is to be done.
    pub(crate) fn answer(
        &mut self,
        asked: Asked<'_>,
        config: &Config,
        tables: &Tables,
        queries: &mut Queries,
    ) -> (usize, Afterwards) {
        let Queries { rng, outbox, .. } = queries;
        let Asked { now, from, query, size, is_known, .. } = asked;
        let is_proven = is_known || self.proven.contains(from);
        let budget = if is_proven { config.max_reply } else { size.saturating_mul(AMPLIFICATION) };
        let mut room = Room { left: budget.saturating_sub(ENVELOPE).saturating_sub(asked.transaction.len()) };
        let own = tables.own(from);
        let mut reply = Reply::new(own);
        let token;
        let mut full = None;
        let mut found = Found::default();
        let (mut samples, mut sample_info) = (Vec::new(), None);
        let outcome = match &query.method {
            Method::Ping => Ok(()),
            Method::FindNode { target } => {
                found.nodes(tables, query, from, *target, &mut room);
                Ok(())
            }
            Method::Unknown { target: Some(target), .. } => {
                found.nodes(tables, query, from, *target, &mut room);
                Ok(())
            }
            Method::Unknown { target: None, .. } => Err(ErrorCode::METHOD_UNKNOWN),
            Method::GetPeers { info_hash, scrape, no_seed } => {
                if self.store.has_room_for(*info_hash) {
                    token = self.tokens.make(from.ip(), *info_hash);
                    reply.token = Some(&token);
                }
                let filters = (*scrape && room.take(FILTERS)).then(|| self.store.scrape(now, *info_hash));
                self.find_peers(asked, *info_hash, *no_seed, rng, &mut room, &mut found.values);
                found.nodes(tables, query, from, *info_hash, &mut room);
                full = filters;
                Ok(())
            }
            Method::AnnouncePeer(announce) => self.announce(now, from, announce),
            Method::Get { target, newer_than } => {
                token = self.tokens.make(from.ip(), *target);
                reply.token = Some(&token);
                let item = self.store.get(now, *target);
                return self.answer_get(asked, reply, item, *newer_than, is_proven, tables, room, outbox);
            }
            Method::Put(put) => self.put(now, from, put),
            Method::SampleInfohashes { target } => {
                // Samples are what was asked for: nodes get what they leave, or half of the room if that is scarce.
                let part = Room { left: if room.left > 800 { room.left.saturating_sub(300) } else { room.left / 2 } };
                let count = part.fit(SAMPLES, Id::LEN, SAMPLES_MAX);
                sample_info = Some(self.store.sample(now, count, rng, &mut samples));
                room.take(SAMPLES.saturating_add(samples.len().saturating_mul(Id::LEN)));
                found.nodes(tables, query, from, *target, &mut room);
                Ok(())
            }
        };
        if let Err(code) = outcome {
            let body = Body::Refusal(Refusal { code, text: refusal_text(code) });
            return (outbox.push(from, |out| Message::new(asked.transaction, body).write(out)), Afterwards::Nothing);
        }
        found.attach(&mut reply, query);
        if let Some(scrape) = &full {
            (reply.seeds, reply.downloaders) = (Some(scrape.seeds.as_bytes()), Some(scrape.downloaders.as_bytes()));
        }
        let info_hashes: Vec<u8> = samples.iter().flat_map(|id| *id.as_bytes()).collect();
        reply.samples =
            sample_info.map(|info| Samples { info_hashes: &info_hashes, total: info.total, interval: info.interval });
        (send(asked, reply, config.version.as_ref(), outbox), Afterwards::Nothing)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `answer`")]
    fn answer_get(
        &mut self,
        asked: Asked<'_>,
        reply: Reply<'_>,
        item: Option<Item>,
        newer_than: Option<i64>,
        is_proven: bool,
        tables: &Tables,
        room: Room,
        outbox: &mut Outbox,
    ) -> (usize, Afterwards) {
        let Asked { from, query, transaction, .. } = asked;
        let Method::Get { target, .. } = query.method else { return (0, Afterwards::Nothing) };
        let mut found = Found::default();
        let with_item = |reply: &Reply<'_>, found: &Found, item: &Item| {
            let mut reply = reply.clone();
            found.attach_nodes(&mut reply);
            reply.seq = item.seq();
            // BEP 44: who has this version already gets no more than its number.
            if newer_than.is_none_or(|seen| item.seq().is_none_or(|seq| seq > seen)) {
                (reply.value, reply.signed) = (Some(item.value()), item.signed());
            }
            let mut datagram = Vec::new();
            Message { external: Some(from), ..Message::new(transaction, Body::Reply(reply)) }.write(&mut datagram);
            datagram
        };
        if let Some(item) = item {
            let limit = if is_proven { MAX_ITEM_REPLY } else { asked.size.saturating_mul(AMPLIFICATION) };
            let mut own_room = Room { left: limit.saturating_sub(ENVELOPE + ITEM).saturating_sub(item.value().len()) };
            found.nodes(tables, query, from, target, &mut own_room);
            let datagram = with_item(&reply, &found, &item);
            if datagram.len() <= limit {
                return (outbox.push(from, |out| out.extend_from_slice(&datagram)), Afterwards::Nothing);
            }
            if !query.read_only && !is_proven {
                if self.deferred.len() >= MAX_DEFERRED {
                    self.deferred.pop_front();
                }
                self.deferred.push_back((from, datagram.into()));
                return (0, Afterwards::Ping);
            }
        }
        let mut room = room;
        found.nodes(tables, query, from, target, &mut room);
        let mut reply = reply;
        found.attach_nodes(&mut reply);
        (send(asked, reply, None, outbox), Afterwards::Nothing)
    }

    /// Peers of a torrent, in no more than half of the room if that is scarce.
    fn find_peers(
        &mut self,
        Asked { now, from, .. }: Asked<'_>,
        info_hash: Id,
        no_seed: bool,
        rng: &mut Rng,
        room: &mut Room,
        values: &mut Vec<u8>,
    ) {
        let each = if from.is_ipv4() { 8 } else { 21 };
        let part = Room { left: if room.left > 600 { room.left.saturating_sub(300) } else { room.left / 2 } };
        let count = part.fit(VALUES_KEY, each, PEERS_MAX);
        let wanted = PeersWanted { v6: from.is_ipv6(), no_seed, count };
        let mut peers = Vec::new();
        self.store.peers(now, info_hash, wanted, rng, &mut peers);
        peers.iter().for_each(|peer| Values::push(values, *peer));
        let used = if values.is_empty() { 0 } else { VALUES_KEY.saturating_add(values.len()) };
        room.take(used);
    }

    fn announce(&mut self, now: Instant, from: SocketAddr, announce: &Announce<'_>) -> Result<(), ErrorCode> {
        if !self.tokens.is_valid(announce.token, from.ip(), announce.info_hash) {
            return Err(ErrorCode::PROTOCOL);
        }
        let port = if announce.implied_port { from.port() } else { announce.port };
        let peer = SocketAddr::new(from.ip(), port);
        self.store.announce_peer(now, announce.info_hash, peer, announce.seed).map_err(|_| ErrorCode::SERVER)
    }

    fn put(&mut self, now: Instant, from: SocketAddr, put: &Put<'_>) -> Result<(), ErrorCode> {
        let target = put.signed.map_or_else(
            || crate::item::immutable_target(put.value),
            |signed| crate::item::mutable_target(&unchoke_core::keys::PublicKey::new(*signed.key), put.salt),
        );
        // The token first: it is cheap to check, and a signature is not.
        if !self.tokens.is_valid(put.token, from.ip(), target) {
            return Err(ErrorCode::PROTOCOL);
        }
        let item = Item::from_put(put).map_err(|error| error.code())?;
        self.store.put(now, &item, put.cas, from.ip()).map_err(|error| error.code())
    }
}

/// What a reply carries besides its ids.
#[derive(Default)]
struct Found {
    nodes: Vec<u8>,
    nodes6: Vec<u8>,
    values: Vec<u8>,
}

impl Found {
    /// Puts into a reply what was found for it.
    fn attach<'s>(&'s self, reply: &mut Reply<'s>, query: &Query<'_>) {
        let has_nodes = !matches!(query.method, Method::Ping | Method::AnnouncePeer(_) | Method::Put(_));
        if has_nodes {
            self.attach_nodes(reply);
        }
        if matches!(query.method, Method::GetPeers { .. }) && !self.values.is_empty() {
            reply.values = Some(Values::new(&self.values));
        }
    }

    fn attach_nodes<'s>(&'s self, reply: &mut Reply<'s>) {
        reply.nodes = (!self.nodes.is_empty() || self.nodes6.is_empty()).then_some(&self.nodes[..]);
        reply.nodes6 = (!self.nodes6.is_empty()).then_some(&self.nodes6[..]);
    }

    /// The nodes nearest to a target, of the families that are asked for, as far as there is room.
    fn nodes(&mut self, tables: &Tables, query: &Query<'_>, from: SocketAddr, target: Id, room: &mut Room) {
        let want = query.want.unwrap_or(Want { v4: from.is_ipv4(), v6: from.is_ipv6() });
        self.nodes.clear();
        self.nodes6.clear();
        if want.v4 {
            let count = room.fit(NODES_KEY, V4::NODE_LEN, crate::table::K);
            tables.write_closest::<V4>(target, count, &mut self.nodes);
            room.take(NODES_KEY.saturating_add(self.nodes.len()));
        }
        if want.v6 {
            let count = room.fit(NODES_KEY, V6::NODE_LEN, crate::table::K);
            tables.write_closest::<V6>(target, count, &mut self.nodes6);
            room.take(NODES_KEY.saturating_add(self.nodes6.len()));
        }
    }
}

/// Writes a reply into the outbox.
fn send(asked: Asked<'_>, reply: Reply<'_>, version: Option<&[u8; 4]>, outbox: &mut Outbox) -> usize {
    let message = Message {
        external: Some(asked.from),
        version: version.map(<[u8; 4]>::as_slice),
        ..Message::new(asked.transaction, Body::Reply(reply))
    };
    outbox.push(asked.from, |out| message.write(out))
}

/// Bytes that a reply may still grow by.
#[derive(Clone, Copy)]
struct Room {
    left: usize,
}

impl Room {
    /// How many things of one size fit behind a key.
    fn fit(self, key: usize, each: usize, most: usize) -> usize {
        self.left.saturating_sub(key).checked_div(each).unwrap_or(0).min(most)
    }

    /// Takes room if there is so much.
    fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

/// What the refusal of a query that makes no sense has but its transaction id.
const REFUSAL: usize = 51;
/// What every reply has but its transaction id: keys, the id, an address, a token and a version.
const ENVELOPE: usize = 110;
/// `5:nodes208:` and `6:nodes6304:`.
const NODES_KEY: usize = 12;
/// `6:valuesle`.
const VALUES_KEY: usize = 10;
/// `4:BFpe256:` and the filter, twice.
const FILTERS: usize = 2 * (10 + 256);
/// `8:intervali21600e3:numi4294967295e7:samples400:`.
const SAMPLES: usize = 48;
/// The keys and what else makes an item a mutable one.
const ITEM: usize = 3 + 38 + 71 + 29;
const EXPIRE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
