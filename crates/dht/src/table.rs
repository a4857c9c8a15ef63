//! The routing table ([BEP 5]) of one address family.
//!
//! One bucket for each number of bits that a node's id has in common with ours, the first ones larger than the rest, which saves hops. Only who
//! has answered us is a live node; others wait in a small cache beside the bucket. A live node leaves when it stops answering, and never
//! because somebody else turns up.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use crate::endpoint::Endpoint;
use crate::id::{Distance, Id};
use crate::secure::is_secure;
use std::time::Instant;

/// How large a table may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Whether the first buckets have more places than the rest.
    pub(crate) wide: bool,
    /// Places of the other buckets.
    pub(crate) bucket: u8,
    /// Places in the cache beside a bucket.
    pub(crate) spares: u8,
}

/// The nodes of one address family.
#[derive(Debug)]
pub(crate) struct Table<E> {
    own: Id,
    limits: Limits,
    /// Times are kept as seconds since then.
    start: Instant,
    /// Bucket after bucket; in each the live ones come first, then the spares, of which the last one was added last.
    nodes: Vec<Node<E>>,
    /// By the bits in common with `own`; those that have more share the last one.
    buckets: [Bucket; BUCKETS],
    /// Buckets up to the last one that was ever used.
    depth: u8,
    /// Live nodes.
    live: u16,
    /// Until this second there is no spare that should be asked whether it is there, and no live node, as far as was known when it was looked.
    spares_rest: u32,
    live_rest: u32,
    /// Where in the list the live nodes are whose turn to be asked comes next.
    turn: u16,
}

/// How many nodes of the list a bucket has.
#[derive(Clone, Copy, Default, Debug)]
struct Bucket {
    live: u8,
    /// Known from queries, or live ones for which there was no room.
    spares: u8,
}

/// Where a bucket stands in the list.
#[derive(Clone, Copy, Default, Debug)]
struct Span {
    start: usize,
    /// Where the live ones end and the spares begin.
    middle: usize,
    end: usize,
}

/// A node that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node<E> {
    pub(crate) id: Id,
    pub(crate) endpoint: E,
    /// Queries in a row that it has not answered.
    failures: u8,
    /// It has answered a query of ours.
    verified: bool,
    /// Seconds since the start of the table when it was last heard of or asked.
    touched: u32,
}

/// Buckets. No network has so many nodes that more of them would be of use.
const BUCKETS: usize = 32;
/// Nodes that are told to others.
pub(crate) const K: usize = 8;
/// Places of the first buckets where they are wide.
const WIDE: [usize; 2] = [32, 16];
/// A node that has not answered so often in a row is gone.
const MAX_FAILURES: u8 = 3;
/// Nodes of a table that is small.
const SMALL: usize = 32;
/// With fewer nodes than this a table takes all that answer.
const FEW: usize = 8;
/// Nodes of one neighbourhood in a table.
const MAX_NEIGHBOURS: usize = 8;
/// Seconds after which somebody who has asked us may be asked whether it can be reached.
const SPARE_REST: u32 = 90;
/// Seconds for which a node that was heard of needs no question.
const FRESH: u32 = 300;
/// Seconds after which a spare gives way to another one.
const SPARE_AGE: u32 = 600;
/// By how many nodes the list grows.
const GROWTH: usize = 8;

impl<E: Endpoint> Table<E> {
    pub(crate) fn new(own: Id, limits: Limits, start: Instant) -> Self {
        let (nodes, buckets) = (Vec::new(), [Bucket::default(); BUCKETS]);
        Self { own, limits, start, nodes, buckets, depth: 0, live: 0, spares_rest: 0, live_rest: 0, turn: 0 }
    }

    pub(crate) fn own(&self) -> Id {
        self.own
    }

    /// Live nodes.
    pub(crate) fn len(&self) -> usize {
        self.live.into()
    }

    /// Whether there are so few nodes that every one that may be there is of use at once.
    pub(crate) fn is_small(&self) -> bool {
        self.len() < SMALL
    }

    /// Whether some wait beside the table.
    pub(crate) fn has_spares(&self) -> bool {
        self.nodes.len() > self.len()
    }

    /// Whether this node has answered and not failed since.
    pub(crate) fn knows(&self, id: Id, endpoint: E) -> bool {
        let span = self.number(id).map(|number| self.span(number)).unwrap_or_default();
        let mut all = self.slice(span.start, span.end).iter();
        all.any(|node| node.endpoint == endpoint && node.id == id && node.verified && node.failures == 0)
    }

    /// Whether this node is live or a spare.
    pub(crate) fn holds(&self, id: Id, endpoint: E) -> bool {
        let span = self.number(id).map(|number| self.span(number)).unwrap_or_default();
        self.slice(span.start, span.end).iter().any(|node| node.endpoint == endpoint && node.id == id)
    }

    /// Takes back all failures.
    pub(crate) fn forgive(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.failures = 0);
    }

    /// Live nodes that have not failed since they answered.
    pub(crate) fn good(&self) -> impl Iterator<Item = &Node<E>> {
        self.spans().flat_map(|span| self.live(span)).filter(|node| node.failures == 0)
    }

    /// All live nodes and spares that have answered, for the next start.
    pub(crate) fn verified(&self) -> impl Iterator<Item = &Node<E>> {
        self.nodes.iter().filter(|node| node.verified && node.failures == 0)
    }

    /// A node has answered a query of ours. If it is new, `may_add` says whether it may come in.
    pub(crate) fn handle_reply(&mut self, now: Instant, id: Id, endpoint: E, may_add: bool) {
        let Some(number) = self.number(id) else { return };
        let may_add = may_add || self.len() < FEW;
        let touched = self.seconds(now);
        let node = Node { id, endpoint, failures: 0, verified: true, touched };
        let span = self.span(number);
        if let Some(known) = self.live_mut(span).iter_mut().find(|known| known.id == id) {
            if known.endpoint == endpoint {
                *known = node;
            }
            // The id is taken: whoever comes with it from elsewhere has to wait until that one is gone.
            return;
        }
        let has_room = span.live() < self.capacity(number);
        let secure = || is_secure(id, endpoint.address().ip());
        let is_worse =
            |known: &Node<E>| known.failures > 0 || !is_secure(known.id, known.endpoint.address().ip()) && secure();
        let may_live = has_room || self.live(span).iter().any(is_worse);
        if !(may_live && may_add)
            && let Some(spare) = self.find_mut(id, endpoint)
        {
            *spare = node;
            self.spares_rest = 0;
            return;
        }
        if !may_add || !may_live && self.place_for_spare(span, touched, true).is_none() {
            return;
        }
        self.forget_others_at(endpoint, None);
        let span = self.span(number);
        let of_id = self.slice(span.middle, span.end).iter().position(|spare| spare.id == id);
        if let Some(at) = of_id {
            self.remove(number, span.middle.saturating_add(at));
        }
        let span = self.span(number);
        if !fits(self.live(span), endpoint, self.neighbours(endpoint)) {
            return;
        }
        if span.live() < self.capacity(number) {
            self.insert(number, span.middle, node, true);
        } else if let Some(worse) = self.live_mut(span).iter_mut().find(|known| is_worse(known)) {
            *worse = node;
        } else {
            self.add_spare(number, node);
        }
    }

    /// A node has asked us something. That it can be reached is not known.
    pub(crate) fn handle_query(&mut self, now: Instant, id: Id, endpoint: E) {
        let Some(number) = self.number(id) else { return };
        let touched = self.seconds(now);
        if let Some(known) = self.find_mut(id, endpoint) {
            known.touched = touched;
            return;
        }
        let span = self.span(number);
        let is_full = span.live() >= self.capacity(number) && span.end > span.middle;
        if is_full || self.place_for_spare(span, touched, false).is_none() {
            return;
        }
        if self.nodes.iter().any(|known| known.endpoint.host() == endpoint.host() || known.id == id) {
            return;
        }
        self.add_spare(number, Node { id, endpoint, failures: 0, verified: false, touched });
    }

    /// A node has not answered a query.
    pub(crate) fn handle_failure(&mut self, id: Id, endpoint: E) {
        let Some(number) = self.number(id) else { return };
        let span = self.span(number);
        let is_it = |node: &Node<E>| (node.id, node.endpoint) == (id, endpoint);
        let Some(at) = self.slice(span.start, span.end).iter().position(is_it) else { return };
        let at = span.start.saturating_add(at);
        if at >= span.middle {
            self.remove(number, at);
            return;
        }
        self.spares_rest = 0;
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.failures = node.failures.saturating_add(1);
        let failures = node.failures;
        // One that has answered before is worth more than one that does not now.
        let may_live =
            |spare: &Node<E>| spare.verified && fits(self.live(span), spare.endpoint, self.neighbours(spare.endpoint));
        let spare = self.slice(span.middle, span.end).iter().rposition(may_live);
        if let Some(spare) = spare.filter(|_| failures > 1) {
            let from = span.middle.saturating_add(spare);
            self.nodes.swap(at, from);
            self.live_rest = 0;
            self.remove(number, from);
        } else if failures >= MAX_FAILURES {
            self.remove(number, at);
        }
    }

    /// A node has been asked something.
    pub(crate) fn handle_asked(&mut self, now: Instant, id: Id, endpoint: E) {
        let touched = self.seconds(now);
        if let Some(node) = self.find_mut(id, endpoint) {
            node.touched = touched;
        }
    }

    /// Lets go of nodes at this address that have another id.
    pub(crate) fn forget_others_at(&mut self, endpoint: E, id: Option<Id>) {
        let is_other = |node: &Node<E>| node.endpoint.host() == endpoint.host() && Some(node.id) != id;
        while let Some(at) = self.nodes.iter().position(is_other) {
            let number = self.spans().position(|span| span.end > at);
            number.into_iter().for_each(|number| self.remove(number, at));
        }
    }

    /// The nodes nearest to `target` that can be told to others, `count` at most, the nearest first.
    pub(crate) fn closest(&self, target: Id, count: usize) -> impl Iterator<Item = &Node<E>> {
        let shared = (self.own.common_bits(target) as usize).min(BUCKETS.saturating_sub(1));
        let depth = usize::from(self.depth);
        let mut found: Vec<(Distance, &Node<E>)> = Vec::with_capacity(count.saturating_add(1));
        // Nodes that share as much with us as the target does are nearest to it; those that share more come next, all at once, because
        // the target parts from us and from them at the same bit; then those that share less, each bucket farther than the one before it.
        let own = shared..shared.saturating_add(1).min(depth);
        let beyond = own.end..depth;
        let nearer = (0..shared.min(depth)).rev().map(|number| number..number.saturating_add(1));
        for group in [own, beyond].into_iter().chain(nearer) {
            if found.len() >= count {
                break;
            }
            for node in group.flat_map(|number| self.live(self.span(number))).filter(|node| node.failures == 0) {
                let distance = node.id.distance(target);
                if found.len() >= count && found.last().is_some_and(|(farthest, _)| *farthest <= distance) {
                    continue;
                }
                let at = found.partition_point(|(nearer, _)| *nearer < distance);
                found.insert(at, (distance, node));
                found.truncate(count);
            }
        }
        found.into_iter().map(|(_, node)| node)
    }

    /// The node that most needs to be asked whether it is still there: a spare for which there is room, or the next live one in turn that nobody
    /// has asked or heard of for a while.
    pub(crate) fn poll_stale(&mut self, now: Instant) -> Option<Node<E>> {
        let seconds = self.seconds(now);
        if self.spares_rest <= seconds {
            match self.ready_spare(seconds) {
                Ok(spare) => return Some(spare),
                Err(until) => self.spares_rest = until,
            }
        }
        if self.live_rest > seconds {
            return None;
        }
        let (mut until, mut found) = (u32::MAX, None);
        let turn = usize::from(self.turn);
        let rest = self.spans().map(|span| span.start.max(turn)..span.middle);
        let begin = self.spans().map(|span| span.start..span.middle.min(turn));
        for at in rest.chain(begin).flatten() {
            let Some(node) = self.nodes.get(at) else { continue };
            let ready = node.touched.saturating_add(FRESH);
            if ready <= seconds {
                found = Some((at, *node));
                break;
            }
            until = until.min(ready);
        }
        let Some((at, node)) = found else {
            self.live_rest = until;
            return None;
        };
        self.turn = u16::try_from(at.saturating_add(1)).unwrap_or(0);
        Some(node)
    }

    /// A spare for which there is room and that may be asked, or the second until which there is none.
    fn ready_spare(&self, seconds: u32) -> Result<Node<E>, u32> {
        let mut until = u32::MAX;
        for number in (0..usize::from(self.depth)).rev() {
            let span = self.span(number);
            if span.middle == span.end {
                continue;
            }
            let has_room = span.live() < self.capacity(number) || self.live(span).iter().any(|node| node.failures > 0);
            for spare in self.slice(span.middle, span.end).iter().rev().filter(|_| has_room) {
                let ready = spare.touched.saturating_add(self.spare_rest(spare));
                if ready <= seconds {
                    return Ok(*spare);
                }
                until = until.min(ready);
            }
        }
        Err(until)
    }

    /// The number of bits in common that a lookup should have to fill the emptiest bucket that can be filled.
    pub(crate) fn emptiest(&self) -> Option<u32> {
        let (number, _) = self
            .buckets
            .iter()
            .map(|bucket| usize::from(bucket.live))
            .enumerate()
            .take(usize::from(self.depth).saturating_sub(3))
            .filter(|(number, live)| *live < self.capacity(*number).min(self.limits.bucket.into()))
            .min_by_key(|(_, live)| *live)?;
        u32::try_from(number).ok()
    }

    /// Seconds after which a spare may be asked whether it is there.
    fn spare_rest(&self, spare: &Node<E>) -> u32 {
        // Who asked us a moment ago can be reached only as long as its way out through a NAT is open; see whether it is later. A table with few
        // nodes cannot be choosy.
        if spare.verified || self.is_small() { 0 } else { SPARE_REST }
    }

    /// The seconds of an instant.
    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }

    fn capacity(&self, number: usize) -> usize {
        WIDE.get(number).copied().filter(|_| self.limits.wide).unwrap_or(self.limits.bucket.into())
    }

    fn number(&self, id: Id) -> Option<usize> {
        let common = self.own.common_bits(id);
        // Nobody else may have our id.
        (common < Id::BITS).then_some((common as usize).min(BUCKETS.saturating_sub(1)))
    }

    /// Where all buckets stand, the first one first.
    fn spans(&self) -> impl Iterator<Item = Span> {
        self.buckets.iter().scan(0_usize, |start, bucket| {
            let middle = start.saturating_add(bucket.live.into());
            let span = Span { start: *start, middle, end: middle.saturating_add(bucket.spares.into()) };
            *start = span.end;
            Some(span)
        })
    }

    /// Where a bucket stands.
    fn span(&self, number: usize) -> Span {
        self.spans().nth(number).unwrap_or_default()
    }

    fn slice(&self, start: usize, end: usize) -> &[Node<E>] {
        self.nodes.get(start..end).unwrap_or_default()
    }

    fn live(&self, span: Span) -> &[Node<E>] {
        self.slice(span.start, span.middle)
    }

    fn live_mut(&mut self, span: Span) -> &mut [Node<E>] {
        self.nodes.get_mut(span.start..span.middle).unwrap_or_default()
    }

    /// Which spare has to give way so that there is room for another one; the end if none has to. Verified ones stay if there are others.
    fn place_for_spare(&self, span: Span, seconds: u32, is_verified: bool) -> Option<usize> {
        if span.end.saturating_sub(span.middle) < self.limits.spares.into() {
            return Some(span.end);
        }
        let old = |spare: &Node<E>| seconds.saturating_sub(spare.touched) >= SPARE_AGE;
        let gives_way =
            |spare: &Node<E>| if is_verified { !spare.verified || old(spare) } else { !spare.verified && old(spare) };
        let at = self.slice(span.middle, span.end).iter().position(gives_way)?;
        Some(span.middle.saturating_add(at))
    }

    fn add_spare(&mut self, number: usize, node: Node<E>) {
        let span = self.span(number);
        let Some(place) = self.place_for_spare(span, node.touched, node.verified) else { return };
        if place < span.end {
            self.remove(number, place);
        }
        let span = self.span(number);
        self.insert(number, span.end, node, false);
    }

    /// Puts a node into the list, where it belongs to a bucket.
    fn insert(&mut self, number: usize, at: usize, node: Node<E>, is_live: bool) {
        let spare_rest = self.spare_rest(&node);
        let Some(bucket) = self.buckets.get_mut(number).filter(|_| at <= self.nodes.len()) else { return };
        let count = if is_live { &mut bucket.live } else { &mut bucket.spares };
        let Some(more) = count.checked_add(1) else { return };
        *count = more;
        self.live = self.live.saturating_add(is_live.into());
        self.depth = u8::try_from(number.saturating_add(1)).unwrap_or(u8::MAX).max(self.depth);
        let (rest, until) = if is_live { (FRESH, &mut self.live_rest) } else { (spare_rest, &mut self.spares_rest) };
        *until = node.touched.saturating_add(rest).min(*until);
        if self.nodes.len() == self.nodes.capacity() {
            self.nodes.reserve_exact(GROWTH);
        }
        self.nodes.insert(at, node);
    }

    /// Takes a node of a bucket out of the list.
    fn remove(&mut self, number: usize, at: usize) {
        let span = self.span(number);
        let Some(bucket) = self.buckets.get_mut(number).filter(|_| span.start <= at && at < span.end) else { return };
        let is_live = at < span.middle;
        let count = if is_live { &mut bucket.live } else { &mut bucket.spares };
        *count = count.saturating_sub(1);
        self.live = self.live.saturating_sub(is_live.into());
        if is_live {
            self.spares_rest = 0;
        }
        self.nodes.remove(at);
    }

    fn find_mut(&mut self, id: Id, endpoint: E) -> Option<&mut Node<E>> {
        let span = self.span(self.number(id)?);
        let mut all = self.nodes.get_mut(span.start..span.end)?.iter_mut();
        all.find(|node| node.endpoint == endpoint && node.id == id)
    }

    /// Live nodes of the same neighbourhood.
    fn neighbours(&self, endpoint: E) -> usize {
        let Some(network) = endpoint.network() else { return 0 };
        let live = self.spans().flat_map(|span| self.live(span));
        live.filter(|node| node.endpoint.network() == Some(network)).count()
    }
}

impl Span {
    fn live(self) -> usize {
        self.middle.saturating_sub(self.start)
    }
}

/// Whether a bucket may take one more node from this neighbourhood.
fn fits<E: Endpoint>(live: &[Node<E>], endpoint: E, neighbours: usize) -> bool {
    let network = endpoint.network();
    network.is_none() || neighbours < MAX_NEIGHBOURS && !live.iter().any(|node| node.endpoint.network() == network)
}

#[cfg(test)]
mod tests;
