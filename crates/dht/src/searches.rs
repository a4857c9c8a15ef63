//! All operations of a node: which are under way, which wait, and what their queries and answers lead to.

use crate::config::Config;
use crate::endpoint::{V4, V6, nodes};
use crate::event::{DhtEvent, OpId, Outcome};
use crate::families::{Family, Lookups, Tables};
use crate::filter::Filter;
use crate::id::Id;
use crate::item::Item;
use crate::krpc::{ErrorCode, Reply};
use crate::lookup::{Lookup, Source, Width};
use crate::operation::{Kind, Only, Operation, Storing};
use crate::queries::Queries;
use crate::roots::Roots;
use crate::secure::{is_contactable, is_secure};
use crate::size::NetworkSize;
use crate::table::K;
use crate::transactions::{Purpose, Transaction};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// All operations of a node.
#[derive(Debug)]
pub(crate) struct Searches {
    #[expect(clippy::vec_box, reason = "the list keeps its memory when it is empty, and operations are large")]
    under_way: Vec<Box<Operation>>,
    waiting: VecDeque<Box<Operation>>,
    next: u64,
    size: NetworkSize,
    /// Of the node's own searches, how many have ended and not been asked for.
    refreshed: u32,
    pub(crate) events: VecDeque<DhtEvent>,
}

/// Peers of one reply that are looked at.
const MAX_PEERS: usize = 200;
/// Nodes of one reply that are looked at, in each family.
const MAX_NODES: usize = 20;

impl Searches {
    pub(crate) fn new() -> Self {
        Self {
            under_way: Vec::new(),
            waiting: VecDeque::new(),
            next: 0,
            size: NetworkSize::default(),
            refreshed: 0,
            events: VecDeque::new(),
        }
    }

    /// Takes an operation in; it begins with the next [`advance`](Self::advance).
    pub(crate) fn begin(&mut self, now: Instant, target: Id, kind: Kind) -> OpId {
        let op = OpId(self.next);
        self.next = self.next.saturating_add(1);
        self.waiting.push_back(Box::new(Operation::new(op, target, kind, Lookups::default(), now)));
        op
    }

    /// As [`begin`](Self::begin), and asks only the node at this address, once.
    pub(crate) fn begin_at(&mut self, now: Instant, at: SocketAddr, target: Id, kind: Kind) -> OpId {
        let op = self.begin(now, target, kind);
        if let Some(operation) = self.waiting.back_mut() {
            operation.only = Some(Only { at, is_asked: false, has_ended: !is_contactable(at) });
        }
        op
    }

    /// Gives an operation that has not begun nodes to begin with.
    pub(crate) fn add_candidates(&mut self, op: OpId, candidates: &[(Id, SocketAddr)]) {
        if let Some(operation) = self.waiting.iter_mut().find(|it| it.op == op) {
            operation.candidates = candidates.into();
        }
    }

    /// Ends an operation.
    pub(crate) fn cancel(&mut self, now: Instant, op: OpId) {
        let under_way = self.under_way.iter().position(|it| it.op == op).map(|at| self.under_way.swap_remove(at));
        let waiting = self.waiting.iter().position(|it| it.op == op);
        if let Some(operation) = under_way.or_else(|| self.waiting.remove(waiting?)) {
            self.end(now, *operation, Outcome::Cancelled);
        }
    }

    /// The next event. When there are no more, their memory is let go.
    pub(crate) fn poll_event(&mut self) -> Option<DhtEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 0 {
            self.events = VecDeque::new();
        }
        event
    }

    /// Operations under way or waiting.
    pub(crate) fn len(&self) -> usize {
        self.under_way.len().saturating_add(self.waiting.len())
    }

    /// Whether one of the node's own searches has ended.
    pub(crate) fn poll_refreshed(&mut self) -> bool {
        let some = self.refreshed > 0;
        self.refreshed = self.refreshed.saturating_sub(1);
        some
    }

    /// About how many nodes the network has.
    pub(crate) fn size(&self) -> &NetworkSize {
        &self.size
    }

    /// Lets every operation take its next steps, as far as the pace allows.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        config: &Config,
        tables: &mut Tables,
        queries: &mut Queries,
        roots: &Roots,
    ) {
        loop {
            while self.under_way.len() < config.max_operations
                && let Some(mut operation) = self.waiting.pop_front()
            {
                if config.v4 && operation.only.is_none() {
                    start::<V4>(&mut operation, config, tables, roots);
                }
                if config.v6 && operation.only.is_none() {
                    start::<V6>(&mut operation, config, tables, roots);
                }
                self.under_way.push(operation);
            }
            let mut at = 0;
            let mut has_ended = false;
            while let Some(operation) = self.under_way.get_mut(at) {
                step_both(operation, now, tables, queries);
                if operation.has_searched() && widen(operation, config, &self.size) {
                    step_both(operation, now, tables, queries);
                }
                if operation.has_searched() && operation.storing.is_none() && operation.kind.stores() {
                    operation.storing = Some(storing(operation));
                }
                store_step(operation, now, tables, queries);
                if operation.is_done() {
                    has_ended = true;
                    let operation = self.under_way.remove(at);
                    let outcome = outcome(&operation);
                    self.end(now, *operation, outcome);
                } else {
                    at = at.saturating_add(1);
                }
            }
            if !has_ended || self.waiting.is_empty() {
                return;
            }
        }
    }

    /// Whether a node that has answered a step of a search may go into the table.
    pub(crate) fn may_keep(&mut self, op: OpId, id: Id, is_v4: bool) -> bool {
        let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) else { return false };
        if operation.only.is_some() {
            return false;
        }
        let Lookups { v4, v6 } = &mut operation.lookups;
        if is_v4 { v4.as_mut().is_none_or(|it| it.may_keep(id)) } else { v6.as_mut().is_none_or(|it| it.may_keep(id)) }
    }

    /// A step of a search was answered.
    pub(crate) fn handle_found(
        &mut self,
        now: Instant,
        config: &Config,
        op: OpId,
        from: SocketAddr,
        reply: &Reply<'_>,
    ) {
        fn found<E: Family>(operation: &mut Operation, from: SocketAddr, reply: &Reply<'_>) {
            if let (Some(lookup), Some(endpoint)) = (E::lookup(&mut operation.lookups), E::new(from)) {
                lookup.handle_reply(reply.id, endpoint, reply.token);
            }
        }
        let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) else { return };
        operation.stats.replied = operation.stats.replied.saturating_add(1);
        found::<V4>(operation, from, reply);
        found::<V6>(operation, from, reply);
        read_nodes::<V4>(operation, config, reply.id, reply.nodes);
        read_nodes::<V6>(operation, config, reply.id, reply.nodes6);
        if let Some(only) = &mut operation.only {
            only.has_ended = true;
            let nodes = told::<V4>(config, reply.nodes).chain(told::<V6>(config, reply.nodes6)).collect();
            self.events.push_back(DhtEvent::Nodes { op, id: reply.id, from, nodes });
        }
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
        if let (Some(value), Kind::Get { salt }) = (reply.value, &operation.kind)
            && let Ok(item) = Item::from_found(operation.target, value, salt, reply.signed)
            && operation.is_news(&item)
        {
            operation.found(now);
            operation.newest = Some(item.clone());
            self.events.push_back(DhtEvent::Item { op, from, item });
        }
        if let (Some(samples), Kind::Sample) = (reply.samples, &operation.kind) {
            operation.found(now);
            let info_hashes = samples.info_hashes.as_chunks().0.iter().map(|bytes| Id::new(*bytes)).collect();
            let (total, interval) = (samples.total, Duration::from_secs(samples.interval.min(MAX_INTERVAL).into()));
            self.events.push_back(DhtEvent::Samples { op, id: reply.id, from, info_hashes, total, interval });
        }
    }

    /// A node has stored what it was asked to, or refused it.
    pub(crate) fn handle_stored(&mut self, op: OpId, outcome: Result<(), ErrorCode>) {
        let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) else { return };
        operation.stats.replied = operation.stats.replied.saturating_add(1);
        if let Some(storing) = &mut operation.storing {
            storing.under_way = storing.under_way.saturating_sub(1);
            match outcome {
                Ok(()) => storing.stored = storing.stored.saturating_add(1),
                Err(code) => storing.refused.push(code),
            }
        }
    }

    /// A node that was asked by a wrong id has told the right one.
    pub(crate) fn handle_other_id(&mut self, op: OpId, id: Id, from: SocketAddr) {
        fn add<E: Family>(operation: &mut Operation, id: Id, from: SocketAddr) {
            if let (Some(lookup), Some(endpoint)) = (E::lookup(&mut operation.lookups), E::new(from)) {
                lookup.add(id, endpoint, Source::TABLE);
            }
        }
        let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) else { return };
        add::<V4>(operation, id, from);
        add::<V6>(operation, id, from);
    }

    /// A query takes long.
    pub(crate) fn handle_slow(&mut self, transaction: Transaction) {
        fn slow<E: Family>(operation: &mut Operation, transaction: Transaction) {
            if let (Some(lookup), Some(to)) = (E::lookup(&mut operation.lookups), E::new(transaction.to)) {
                lookup.handle_slow(transaction.id, to);
            }
        }
        let Purpose::Search(op) = transaction.purpose else { return };
        if let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) {
            slow::<V4>(operation, transaction);
            slow::<V6>(operation, transaction);
        }
    }

    /// A query will not be answered, or not as it should be.
    pub(crate) fn handle_failure(&mut self, transaction: Transaction, is_timeout: bool) {
        fn fail<E: Family>(operation: &mut Operation, transaction: Transaction) {
            if let (Some(lookup), Some(to)) = (E::lookup(&mut operation.lookups), E::new(transaction.to)) {
                lookup.handle_failure(transaction.id, to);
            }
        }
        let (Purpose::Search(op) | Purpose::Store(op)) = transaction.purpose else { return };
        let Some(operation) = self.under_way.iter_mut().find(|it| it.op == op) else { return };
        operation.stats.timeouts = operation.stats.timeouts.saturating_add(u32::from(is_timeout));
        if let Some(only) = &mut operation.only {
            only.has_ended = true;
        }
        if let (Purpose::Store(_), Some(storing)) = (transaction.purpose, &mut operation.storing) {
            storing.under_way = storing.under_way.saturating_sub(1);
        } else {
            fail::<V4>(operation, transaction);
            fail::<V6>(operation, transaction);
        }
    }

    fn end(&mut self, now: Instant, mut operation: Operation, outcome: Outcome) {
        if operation.kind == Kind::Refresh {
            if let Some(lookup) = &operation.lookups.v4 {
                self.size.add(operation.target, lookup.answered().map(|node| node.id));
            }
            self.refreshed = self.refreshed.saturating_add(1);
            return;
        }
        operation.stats.took = now.saturating_duration_since(operation.started);
        operation.stats.closest = closest(&operation);
        operation.stats.hops = hops(&operation);
        self.events.push_back(DhtEvent::Done { op: operation.op, outcome, stats: operation.stats });
    }
}

/// The longest time for which a sample may stay the same (BEP 51), in seconds.
const MAX_INTERVAL: u32 = 21_600;

fn width(config: &Config, closest: usize) -> Width {
    Width { closest, parallel: config.parallel.max(1), queries: config.max_queries }
}

/// Gives a search what the tables know.
fn start<E: Family>(operation: &mut Operation, config: &Config, tables: &Tables, roots: &Roots) {
    let table = E::table(tables);
    let mut lookup = Lookup::new(table.own(), operation.target, width(config, config.closest));
    let mut known = 0_usize;
    for node in table.closest(operation.target, config.closest.max(K)) {
        lookup.add(node.id, node.endpoint, Source::TABLE);
        known = known.saturating_add(1);
    }
    for (id, address) in &operation.candidates {
        if let Some(endpoint) = E::new(*address) {
            lookup.add(*id, endpoint, Source::TABLE);
            known = known.saturating_add(1);
        }
    }
    if known < K {
        E::roots(roots).iter().for_each(|root| lookup.add_root(*root));
    }
    *E::lookup(&mut operation.lookups) = Some(lookup);
}

/// Lets a search go on among more nodes if the nearest ones do not look right. It does so once.
fn widen(operation: &mut Operation, config: &Config, size: &NetworkSize) -> bool {
    fn is_odd<E: Family>(lookup: Option<&Lookup<E>>, target: Id, size: &NetworkSize) -> bool {
        lookup.is_some_and(|it| size.is_suspicious(target, it.answered().map(|node| node.id)))
    }
    let (target, lookups) = (operation.target, &operation.lookups);
    if operation.kind == Kind::Refresh || operation.stats.widened || operation.storing.is_some() {
        return false;
    }
    let is_odd = is_odd(lookups.v4.as_ref(), target, size) || is_odd(lookups.v6.as_ref(), target, size);
    if is_odd {
        operation.stats.widened = true;
        let width = width(config, config.closest_if_suspicious);
        operation.lookups.v4.as_mut().into_iter().for_each(|it| it.widen(width));
        operation.lookups.v6.as_mut().into_iter().for_each(|it| it.widen(width));
    }
    is_odd
}

fn step_both(operation: &mut Operation, now: Instant, tables: &mut Tables, queries: &mut Queries) {
    step::<V4>(operation, now, tables, queries);
    step::<V6>(operation, now, tables, queries);
    if let Some(Only { at, is_asked: is_asked @ false, has_ended: false }) = &mut operation.only
        && queries.may_send(now)
    {
        *is_asked = true;
        operation.stats.sent = 1;
        let method = operation.kind.search(operation.target);
        queries.send(now, tables.own(*at), *at, None, Purpose::Search(operation.op), method);
    }
}

/// Sends the queries of a search that are due.
fn step<E: Family>(operation: &mut Operation, now: Instant, tables: &mut Tables, queries: &mut Queries) {
    if operation.storing.is_some() || operation.has_searched() {
        return;
    }
    while queries.may_send(now)
        && let Some((id, endpoint)) = E::lookup(&mut operation.lookups).as_mut().and_then(Lookup::poll_query)
    {
        operation.stats.sent = operation.stats.sent.saturating_add(1);
        let table = E::table_mut(tables);
        if let Some(id) = id {
            table.handle_asked(now, id, endpoint);
        }
        let method = operation.kind.search(operation.target);
        queries.send(now, table.own(), endpoint.address(), id, Purpose::Search(operation.op), method);
    }
}

/// Sends the queries that store.
fn store_step(operation: &mut Operation, now: Instant, tables: &Tables, queries: &mut Queries) {
    let Operation { op, target, kind, storing: Some(storing), stats, .. } = operation else { return };
    while queries.may_send(now)
        && let Some((id, to, token)) = storing.left.pop_front()
    {
        if let Some(method) = kind.store(*target, &token) {
            storing.under_way = storing.under_way.saturating_add(1);
            stats.sent = stats.sent.saturating_add(1);
            queries.send(now, tables.own(to), to, Some(id), Purpose::Store(*op), method);
        }
    }
}

/// Nodes that a node has told of go into the search.
fn read_nodes<E: Family>(operation: &mut Operation, config: &Config, from: Id, list: Option<&[u8]>) {
    let Some(lookup) = E::lookup(&mut operation.lookups) else { return };
    let source = lookup.told_by(from);
    told::<E>(config, list)
        .filter_map(|(id, at)| Some((id, E::new(at)?)))
        .for_each(|(id, at)| lookup.add(id, at, source));
}

/// The nodes that a reply names and that can be asked.
fn told<'r, E: Family>(config: &Config, list: Option<&'r [u8]>) -> impl Iterator<Item = (Id, SocketAddr)> + use<'r, E> {
    let enforces = config.enforce_secure_ids;
    let named = nodes::<E>(list.unwrap_or_default()).take(MAX_NODES).map(|(id, endpoint)| (id, endpoint.address()));
    named.filter(move |(id, at)| is_contactable(*at) && (!enforces || is_secure(*id, at.ip())))
}

/// Who has to store what the operation is for: the nearest nodes that gave a token.
fn storing(operation: &Operation) -> Storing {
    fn nearest<E: Family>(lookup: Option<&Lookup<E>>, is_widened: bool) -> Vec<(Id, SocketAddr, Box<[u8]>)> {
        // Where the nearest nodes do not look right, more of them have to store it.
        let count = lookup.filter(|_| is_widened).map_or(K, Lookup::width);
        let answered = lookup.into_iter().flat_map(Lookup::answered).take(count);
        answered.filter_map(|it| Some((it.id, it.endpoint.address(), it.token.clone()?))).collect()
    }
    let mut left = nearest(operation.lookups.v4.as_ref(), operation.stats.widened);
    left.extend(nearest(operation.lookups.v6.as_ref(), operation.stats.widened));
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
