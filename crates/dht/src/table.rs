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
use std::time::{Duration, Instant};

/// How large a table may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Whether the first four buckets have 128, 64, 32 and 16 places.
    pub(crate) wide: bool,
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
    /// By the bits in common with `own`.
    buckets: Vec<Bucket<E>>,
}

#[derive(Debug)]
struct Bucket<E> {
    live: Vec<Node<E>>,
    /// Known from queries, or live ones for which there was no room. The last one is the one heard of last.
    spares: Vec<Node<E>>,
}

/// A node that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node<E> {
    pub(crate) id: Id,
    pub(crate) endpoint: E,
    /// Round-trip time in milliseconds.
    pub(crate) rtt: u16,
    /// Queries in a row that it has not answered.
    failures: u8,
    /// It has answered a query of ours.
    verified: bool,
    /// Seconds since the start of the table when it was last heard of.
    heard: u32,
    /// The same for when it was last asked.
    asked: u32,
}

/// Nodes in a bucket, and nodes that are told to others.
pub(crate) const K: usize = 8;
/// A node that has not answered so often in a row is gone.
const MAX_FAILURES: u8 = 3;
/// Nodes of a table that is small.
const SMALL: usize = 32;
/// Nodes of one neighbourhood in a table.
const MAX_NEIGHBOURS: usize = 8;

impl<E: Endpoint> Table<E> {
    pub(crate) fn new(own: Id, limits: Limits, start: Instant) -> Self {
        Self { own, limits, start, buckets: Vec::new() }
    }

    pub(crate) fn own(&self) -> Id {
        self.own
    }

    /// Live nodes.
    pub(crate) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.live.len()).sum()
    }

    /// Whether there are so few nodes that every one that may be there is of use at once.
    pub(crate) fn is_small(&self) -> bool {
        self.len() < SMALL
    }

    /// Whether some wait beside the table.
    pub(crate) fn has_spares(&self) -> bool {
        self.buckets.iter().any(|bucket| !bucket.spares.is_empty())
    }

    /// Whether this node has answered and not failed since.
    pub(crate) fn knows(&self, id: Id, endpoint: E) -> bool {
        let bucket = self.number(id).and_then(|number| self.buckets.get(number));
        bucket.is_some_and(|bucket| {
            let mut all = bucket.live.iter().chain(&bucket.spares);
            all.any(|node| node.id == id && node.endpoint == endpoint && node.verified && node.failures == 0)
        })
    }

    /// Live nodes that have not failed since they answered.
    pub(crate) fn good(&self) -> impl Iterator<Item = &Node<E>> {
        self.buckets.iter().flat_map(|bucket| &bucket.live).filter(|node| node.failures == 0)
    }

    /// All live nodes and spares that have answered, for the next start.
    pub(crate) fn verified(&self) -> impl Iterator<Item = &Node<E>> {
        let all = self.buckets.iter().flat_map(|bucket| bucket.live.iter().chain(&bucket.spares));
        all.filter(|node| node.verified && node.failures == 0)
    }

    /// The seconds of an instant.
    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }

    fn capacity(&self, number: usize) -> usize {
        match number {
            0..=3 if self.limits.wide => 128_usize >> number,
            _ => K,
        }
    }

    fn number(&self, id: Id) -> Option<usize> {
        let common = self.own.common_bits(id);
        // Nobody else may have our id.
        (common < Id::BITS).then_some(common as usize)
    }

    /// A node has answered a query of ours.
    pub(crate) fn handle_reply(&mut self, now: Instant, id: Id, endpoint: E, rtt: Duration) {
        let Some(number) = self.number(id) else { return };
        let rtt = u16::try_from(rtt.as_millis()).unwrap_or(u16::MAX);
        let heard = self.seconds(now);
        self.forget_others_at(endpoint, Some(id));
        let neighbours = self.neighbours(endpoint);
        let capacity = self.capacity(number);
        let bucket = self.bucket_mut(number);
        let node = Node { id, endpoint, rtt, failures: 0, verified: true, heard, asked: heard };
        if let Some(known) = bucket.live.iter_mut().find(|known| known.id == id) {
            if known.endpoint == endpoint {
                let rtt = (known.rtt / 4).saturating_mul(3).saturating_add(rtt / 4);
                *known = Node { rtt, asked: known.asked, ..node };
            } else if known.failures > 0 {
                *known = node;
            }
            // The id is taken by one that answers: whoever comes with it from elsewhere has to wait.
            return;
        }
        bucket.spares.retain(|spare| spare.id != id);
        if !fits(&bucket.live, endpoint, neighbours) {
            return;
        }
        if bucket.live.len() < capacity {
            bucket.live.push(node);
            return;
        }
        let is_better = |known: &Node<E>| {
            known.failures > 0
                || !is_secure(known.id, known.endpoint.address().ip()) && is_secure(id, endpoint.address().ip())
        };
        match bucket.live.iter_mut().find(|known| is_better(known)) {
            Some(worse) => *worse = node,
            None => self.push_spare(number, node),
        }
    }

    /// A node has asked us something. That it can be reached is not known.
    pub(crate) fn handle_query(&mut self, now: Instant, id: Id, endpoint: E) {
        let Some(number) = self.number(id) else { return };
        let heard = self.seconds(now);
        if let Some(known) = self.find_mut(id, endpoint) {
            known.heard = heard;
            return;
        }
        let capacity = self.capacity(number);
        let is_full = |bucket: &Bucket<E>| bucket.live.len() >= capacity && !bucket.spares.is_empty();
        if self.buckets.get(number).is_some_and(is_full) || self.limits.spares == 0 {
            return;
        }
        let mut all = self.buckets.iter().flat_map(|bucket| bucket.live.iter().chain(&bucket.spares));
        if all.any(|known| known.endpoint.host() == endpoint.host() || known.id == id) {
            return;
        }
        let node = Node { id, endpoint, rtt: u16::MAX, failures: 0, verified: false, heard, asked: heard };
        self.push_spare(number, node);
    }

    /// A node has not answered a query.
    pub(crate) fn handle_failure(&mut self, id: Id, endpoint: E) {
        let Some(number) = self.number(id) else { return };
        let Some(bucket) = self.buckets.get_mut(number) else { return };
        bucket.spares.retain(|spare| (spare.id, spare.endpoint) != (id, endpoint));
        let Some(at) = bucket.live.iter().position(|node| (node.id, node.endpoint) == (id, endpoint)) else { return };
        let Some(node) = bucket.live.get_mut(at) else { return };
        node.failures = node.failures.saturating_add(1);
        let failures = node.failures;
        // One that has answered before is worth more than one that does not now.
        let spare = bucket.spares.iter().rposition(|spare| spare.verified);
        if let Some(spare) = spare.filter(|_| failures > 1) {
            bucket.live.swap_remove(at);
            let spare = bucket.spares.remove(spare);
            bucket.live.push(spare);
        } else if failures >= MAX_FAILURES {
            bucket.live.swap_remove(at);
        }
    }

    /// A node has been asked something.
    pub(crate) fn handle_asked(&mut self, now: Instant, id: Id, endpoint: E) {
        let asked = self.seconds(now);
        if let Some(node) = self.find_mut(id, endpoint) {
            node.asked = asked;
        }
    }

    /// Lets go of nodes at this address that have another id.
    pub(crate) fn forget_others_at(&mut self, endpoint: E, id: Option<Id>) {
        let is_other = |node: &Node<E>| node.endpoint.host() == endpoint.host() && Some(node.id) != id;
        for bucket in &mut self.buckets {
            bucket.live.retain(|node| !is_other(node));
            bucket.spares.retain(|node| !is_other(node));
        }
    }

    /// The nodes nearest to `target` that can be told to others, `count` at most, the nearest first.
    pub(crate) fn closest(&self, target: Id, count: usize) -> Vec<Node<E>> {
        let shared = self.own.common_bits(target) as usize;
        let mut found: Vec<(Distance, Node<E>)> = Vec::with_capacity(count.saturating_add(1));
        // Nodes that share as much with us as the target does are nearest to it; those that share more come next, all at once, because
        // the target parts from us and from them at the same bit; then those that share less, each bucket farther than the one before it.
        let (nearer, from) = self.buckets.split_at_checked(shared).unwrap_or((&self.buckets, &[]));
        let (own, beyond) = from.split_at_checked(1).unwrap_or((&[], &[]));
        for group in [own, beyond].into_iter().chain(nearer.chunks(1).rev()) {
            if found.len() >= count {
                break;
            }
            for node in group.iter().flat_map(|bucket| &bucket.live).filter(|node| node.failures == 0) {
                let distance = node.id.distance(target);
                if found.len() >= count && found.last().is_some_and(|(farthest, _)| *farthest <= distance) {
                    continue;
                }
                let at = found.partition_point(|(nearer, _)| *nearer < distance);
                found.insert(at, (distance, *node));
                found.truncate(count);
            }
        }
        found.into_iter().map(|(_, node)| node).collect()
    }

    /// The node that most needs to be asked whether it is still there: a spare for which there is room, or the live one that was asked longest ago.
    pub(crate) fn stalest(&self, now: Instant) -> Option<Node<E>> {
        let seconds = self.seconds(now);
        // A table with few nodes cannot be choosy.
        let rest = if self.is_small() { 0 } else { SPARE_REST };
        for (number, bucket) in self.buckets.iter().enumerate().rev() {
            let has_room =
                bucket.live.len() < self.capacity(number) || bucket.live.iter().any(|node| node.failures > 0);
            // Who asked us a moment ago can be reached only as long as its way out through a NAT is open; see whether it is later.
            let waits = |spare: &&Node<E>| spare.verified || seconds.saturating_sub(spare.heard) >= rest;
            if let Some(spare) = bucket.spares.iter().rev().filter(|_| has_room).find(waits) {
                return Some(*spare);
            }
        }
        let live = self.buckets.iter().flat_map(|bucket| &bucket.live);
        let stalest = live.min_by_key(|node| node.asked.max(node.heard))?;
        Some(*stalest).filter(|node| seconds.saturating_sub(node.asked.max(node.heard)) >= FRESH)
    }

    /// The number of bits in common that a lookup should have to fill the emptiest bucket that can be filled.
    pub(crate) fn emptiest(&self) -> Option<u32> {
        let deepest = self.buckets.len();
        let (number, _) = self
            .buckets
            .iter()
            .enumerate()
            .take(deepest.saturating_sub(3))
            .filter(|(number, bucket)| bucket.live.len() < self.capacity(*number).min(K))
            .min_by_key(|(_, bucket)| bucket.live.len())?;
        u32::try_from(number).ok()
    }

    fn push_spare(&mut self, number: usize, node: Node<E>) {
        let limit = usize::from(self.limits.spares);
        if limit == 0 {
            return;
        }
        let spares = &mut self.bucket_mut(number).spares;
        if spares.len() >= limit {
            // Verified ones stay if there are others to let go of.
            let oldest = spares.iter().position(|spare| !spare.verified);
            match (oldest, node.verified) {
                (Some(oldest), _) => drop(spares.remove(oldest)),
                (None, true) => drop(spares.remove(0)),
                (None, false) => return,
            }
        }
        spares.push(node);
    }

    fn bucket_mut(&mut self, number: usize) -> &mut Bucket<E> {
        if self.buckets.len() <= number {
            let empty = || Bucket { live: Vec::new(), spares: Vec::new() };
            self.buckets.resize_with(number.saturating_add(1), empty);
        }
        // It was made just now if it was not there.
        let at = number.min(self.buckets.len().saturating_sub(1));
        #[expect(clippy::indexing_slicing, reason = "there is at least one bucket, and `at` is below their number")]
        &mut self.buckets[at]
    }

    fn find_mut(&mut self, id: Id, endpoint: E) -> Option<&mut Node<E>> {
        let number = self.number(id)?;
        let bucket = self.buckets.get_mut(number)?;
        bucket.live.iter_mut().chain(&mut bucket.spares).find(|node| (node.id, node.endpoint) == (id, endpoint))
    }

    /// Live nodes of the same neighbourhood.
    fn neighbours(&self, endpoint: E) -> usize {
        let Some(network) = endpoint.network() else { return 0 };
        let live = self.buckets.iter().flat_map(|bucket| &bucket.live);
        live.filter(|node| node.endpoint.network() == Some(network)).count()
    }
}

/// Whether a bucket may take one more node from this neighbourhood.
fn fits<E: Endpoint>(live: &[Node<E>], endpoint: E, neighbours: usize) -> bool {
    let network = endpoint.network();
    network.is_none() || neighbours < MAX_NEIGHBOURS && !live.iter().any(|node| node.endpoint.network() == network)
}

/// Seconds after which somebody who has asked us may be asked whether it can be reached.
const SPARE_REST: u32 = 90;
/// Seconds for which a node that was heard of needs no question.
const FRESH: u32 = 300;

#[cfg(test)]
mod tests;
