//! The table of a modelled node: who is known, kept by the rules of its policy.

use crate::rules::{Rules, TableRules};
use std::net::{Ipv4Addr, SocketAddrV4};
use unchoke_core::Rng;
use unchoke_dht::Id;

/// Somebody who is known.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    ip: u32,
    port: u16,
    /// Milliseconds of a round trip.
    rtt: u16,
    /// Seconds on the node's clock when it last answered.
    seen: u32,
    /// When it was last asked or answered; 0 if never.
    asked: u32,
    fails: u8,
    /// It has answered at least once.
    is_proven: bool,
}

#[derive(Default, Debug)]
struct Bucket {
    live: Vec<Entry>,
    spare: Vec<Entry>,
}

/// All who are known.
#[derive(Debug)]
pub(crate) struct Table {
    own: Id,
    rules: &'static Rules,
    buckets: Vec<Bucket>,
    /// The addresses of all entries: one has one.
    ips: Vec<u32>,
    /// For the textbook: when each bucket last changed.
    changed: Vec<u32>,
}

/// Replacements beside each bucket.
const SPARES: usize = 8;
/// Seconds after which the textbook and the fixed table doubt a node.
const STALE: u32 = 15 * 60;
/// Seconds after which the fixed table pings a node.
const PING_AFTER: u32 = 5 * 60;
/// Failures in a row after which the extended table drops a node that nobody can replace.
const MAX_FAILS: u8 = 20;
/// Failures in a row after which the textbook has a node for bad.
const BAD: u8 = 2;

impl Entry {
    fn new(id: Id, at: SocketAddrV4) -> Self {
        let (ip, port) = (at.ip().to_bits(), at.port());
        Self { id, ip, port, rtt: u16::MAX, seen: 0, asked: 0, fails: 0, is_proven: false }
    }

    fn proven(id: Id, at: SocketAddrV4, now: u32, rtt: u16) -> Self {
        Self { rtt, seen: now, asked: now, is_proven: true, ..Self::new(id, at) }
    }

    pub(crate) fn at(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(self.ip), self.port)
    }

    fn is(&self, at: SocketAddrV4) -> bool {
        self.ip == at.ip().to_bits() && self.port == at.port()
    }

    fn is_confirmed(&self) -> bool {
        self.is_proven && self.fails == 0
    }
}

impl Table {
    pub(crate) fn new(own: Id, rules: &'static Rules) -> Self {
        Self { own, rules, buckets: Vec::new(), ips: Vec::new(), changed: Vec::new() }
    }

    /// Nodes that may be told of.
    pub(crate) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.live.len()).sum()
    }

    /// Whether the node with this address is known under this id.
    fn knows(&self, id: Id, at: SocketAddrV4) -> bool {
        let bucket = self.buckets.get(self.index(id));
        bucket.is_some_and(|it| it.live.iter().chain(&it.spare).any(|it| it.id == id && it.is(at)))
    }

    /// A node has answered. Returns one that shall be pinged, to see whether it can be replaced.
    pub(crate) fn handle_reply(&mut self, now: u32, id: Id, at: SocketAddrV4, rtt: u16) -> Option<(Id, SocketAddrV4)> {
        if id == self.own {
            return None;
        }
        match self.rules.table {
            TableRules::Extended => self.add_extended(Entry::proven(id, at, now, rtt), now),
            TableRules::Fixed => self.add_fixed(Entry::proven(id, at, now, rtt), now),
            TableRules::Textbook => return self.add_textbook(Entry::proven(id, at, now, rtt), now),
        }
        None
    }

    /// Somebody has told of a node, or it has asked. Returns whether it shall be pinged.
    pub(crate) fn handle_rumour(&mut self, now: u32, id: Id, at: SocketAddrV4, has_asked: bool) -> bool {
        if id == self.own {
            return false;
        }
        if self.rules.table == TableRules::Extended {
            self.add_extended(Entry::new(id, at), now);
            return false;
        }
        if !has_asked || self.knows(id, at) {
            return false;
        }
        let index = self.index(id);
        let Some(bucket) = self.buckets.get(index) else { return true };
        let has_room = bucket.live.len() < self.limit(index);
        let is_last = index.saturating_add(1) == self.buckets.len();
        has_room
            || self.rules.table == TableRules::Textbook && is_last
            || bucket.live.iter().any(|it| now.saturating_sub(it.seen) > STALE)
    }

    /// A node has not answered.
    pub(crate) fn handle_failure(&mut self, id: Id, at: SocketAddrV4) {
        let index = self.index(id);
        let rules = self.rules.table;
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if let Some(place) = bucket.live.iter().position(|it| it.id == id && it.is(at)) {
            let entry = &mut bucket.live[place];
            entry.fails = entry.fails.saturating_add(1);
            let is_lost = match rules {
                TableRules::Extended => !bucket.spare.is_empty() || entry.fails >= MAX_FAILS,
                TableRules::Fixed => false,
                TableRules::Textbook => entry.fails >= BAD && !bucket.spare.is_empty(),
            };
            if is_lost {
                let lost = bucket.live.remove(place);
                self.forget_ip(lost.ip);
                self.promote(index);
            }
        } else if let Some(entry) = bucket.spare.iter_mut().find(|it| it.id == id && it.is(at)) {
            entry.fails = entry.fails.saturating_add(1);
        }
    }

    /// For the textbook: whether a node has failed, and not yet so often that it is bad.
    pub(crate) fn is_doubted(&self, id: Id, at: SocketAddrV4) -> bool {
        let bucket = self.buckets.get(self.index(id));
        bucket
            .is_some_and(|bucket| bucket.live.iter().any(|it| it.id == id && it.is(at) && (1..BAD).contains(&it.fails)))
    }

    /// The nodes to tell of, or to begin a search with, in the order of the policy.
    pub(crate) fn closest(&self, target: Id, with_failing: bool) -> Vec<&Entry> {
        let begin = self.index(target).min(self.buckets.len().saturating_sub(1));
        let count = self.rules.k;
        let mut found: Vec<&Entry> = Vec::with_capacity(count);
        let takes = |entry: &&Entry| match self.rules.table {
            TableRules::Extended => with_failing || entry.is_confirmed(),
            TableRules::Fixed => true,
            TableRules::Textbook => entry.fails < BAD,
        };
        match self.rules.table {
            TableRules::Extended => {
                for bucket in self.buckets.iter().skip(begin).chain(self.buckets.iter().take(begin).rev()) {
                    let before = found.len();
                    if before >= count {
                        break;
                    }
                    found.extend(bucket.live.iter().filter(takes));
                    if found.len() > count {
                        nearest_first(&mut found, before, count, target);
                    }
                }
            }
            TableRules::Fixed => {
                let farther = self.buckets.iter().take(begin.saturating_add(1)).rev();
                let nearer = self.buckets.iter().skip(begin.saturating_add(1));
                found.extend(farther.chain(nearer).flat_map(|bucket| &bucket.live).take(count));
            }
            TableRules::Textbook => {
                found.extend(self.buckets.iter().skip(begin).flat_map(|bucket| &bucket.live).filter(takes));
                for bucket in self.buckets.iter().take(begin).rev() {
                    if found.len() >= count {
                        break;
                    }
                    found.extend(bucket.live.iter().filter(takes));
                }
                nearest_first(&mut found, 0, count, target);
            }
        }
        found.truncate(count);
        found
    }

    /// For the extended table: whom to ask next, and for which target; without one a ping will do.
    pub(crate) fn next_probe(&mut self, now: u32, rng: &mut Rng) -> Option<(Id, SocketAddrV4, Option<Id>)> {
        let last = self.buckets.len().checked_sub(1)?;
        let mut oldest: Option<&mut Entry> = None;
        let limits: Vec<usize> = (0..self.buckets.len()).map(|index| self.limit(index)).collect();
        for (index, bucket) in self.buckets.iter_mut().enumerate().rev() {
            let wants = index == last || bucket.live.len() < limits[index];
            let unproven = bucket.spare.iter_mut().find(|it| wants && !it.is_proven && it.asked == 0);
            let never = bucket.live.iter().position(|it| it.asked == 0);
            if never.is_none()
                && let Some(entry) = unproven
            {
                oldest = Some(entry);
                break;
            }
            let entry = match never {
                Some(place) => bucket.live.get_mut(place),
                None => bucket.live.iter_mut().min_by_key(|it| it.asked),
            };
            if let Some(entry) = entry
                && oldest.as_ref().is_none_or(|known| entry.asked < known.asked)
            {
                oldest = Some(entry);
            }
            if never.is_some() {
                break;
            }
        }
        let entry = oldest?;
        entry.asked = now;
        let (id, at) = (entry.id, entry.at());
        Some((id, at, self.target_beside(self.own.common_bits(id), rng)))
    }

    /// What to ask somebody with so many bits in common for: a point in what lies nearer, unless its bucket is full.
    pub(crate) fn target_beside(&self, common: u32, rng: &mut Rng) -> Option<Id> {
        let is_full = self
            .buckets
            .get(common as usize)
            .is_some_and(|bucket| bucket.live.len() >= self.limit(common as usize) && bucket.spare.len() >= SPARES);
        if is_full { None } else { Some(random_within(self.own, common.saturating_add(1), rng)) }
    }

    /// For the fixed table: drops those that have not answered for long, and tells whom to ping.
    pub(crate) fn purge(&mut self, now: u32) -> Vec<(Id, SocketAddrV4)> {
        let mut due = Vec::new();
        for bucket in &mut self.buckets {
            bucket.live.retain(|it| now.saturating_sub(it.seen) <= STALE);
            let waiting = bucket.live.iter().filter(|it| now.saturating_sub(it.seen) > PING_AFTER);
            due.extend(waiting.map(|it| (it.id, it.at())));
        }
        due
    }

    /// For the textbook: a point in a bucket that has not changed for a quarter of an hour.
    pub(crate) fn stale_bucket(&mut self, now: u32, rng: &mut Rng) -> Option<Id> {
        let index = self.changed.iter().position(|changed| now.saturating_sub(*changed) > STALE)?;
        self.changed[index] = now;
        let is_last = index.saturating_add(1) == self.buckets.len();
        let common = u32::try_from(index).unwrap_or(Id::BITS);
        Some(if is_last { random_within(self.own, common, rng) } else { self.own.random_beside(common, rng) })
    }

    /// For the extended table: how many buckets in a row are at least half full.
    pub(crate) fn depth(&self) -> usize {
        self.buckets.iter().skip(1).take_while(|bucket| bucket.live.len() >= self.rules.k / 2).count()
    }

    fn limit(&self, index: usize) -> usize {
        match (self.rules.table, index) {
            (TableRules::Extended, 0..4) => self.rules.k << (4 - index),
            _ => self.rules.k,
        }
    }

    fn index(&self, id: Id) -> usize {
        let common = self.own.common_bits(id) as usize;
        match self.rules.table {
            TableRules::Fixed => common,
            _ => common.min(self.buckets.len().saturating_sub(1)),
        }
    }

    /// The number of the id's bucket, which is there afterwards.
    fn bucket(&mut self, id: Id, now: u32) -> usize {
        let index = self.index(id);
        while self.buckets.len() <= index {
            self.buckets.push(Bucket::default());
            self.changed.push(now);
        }
        index
    }

    fn add_fixed(&mut self, entry: Entry, now: u32) {
        let index = self.bucket(entry.id, now);
        let limit = self.limit(index);
        let live = &mut self.buckets[index].live;
        if let Some(place) = live.iter().position(|it| it.id == entry.id) {
            if live[place].ip == entry.ip {
                live.remove(place);
                live.push(entry);
            }
        } else if live.len() < limit {
            live.push(entry);
        } else if now.saturating_sub(live[0].seen) > STALE {
            live.remove(0);
            live.push(entry);
        }
    }

    fn add_textbook(&mut self, entry: Entry, now: u32) -> Option<(Id, SocketAddrV4)> {
        loop {
            let index = self.bucket(entry.id, now);
            let limit = self.limit(index);
            let is_last = index.saturating_add(1) == self.buckets.len();
            self.changed[index] = now;
            let Bucket { live, spare } = &mut self.buckets[index];
            if let Some(known) = live.iter_mut().find(|it| it.id == entry.id) {
                if known.ip == entry.ip && known.port == entry.port {
                    *known = entry;
                }
                return None;
            }
            if live.len() < limit {
                live.push(entry);
                return None;
            }
            if let Some(bad) = live.iter_mut().find(|it| it.fails >= BAD) {
                *bad = entry;
                return None;
            }
            if is_last && index < 159 {
                self.split(now);
                continue;
            }
            let doubtful = live.iter().filter(|it| now.saturating_sub(it.seen) > STALE).min_by_key(|it| it.seen);
            let doubtful = doubtful.map(|it| (it.id, it.at()));
            if doubtful.is_some() {
                // The newcomer waits for the outcome.
                spare.clear();
                spare.push(entry);
            }
            return doubtful;
        }
    }

    fn add_extended(&mut self, mut entry: Entry, now: u32) {
        if self.ips.contains(&entry.ip) && !self.add_known_ip(&entry, now) {
            return;
        }
        loop {
            let index = self.bucket(entry.id, now);
            let (limit, is_last) = (self.limit(index), index.saturating_add(1) == self.buckets.len());
            let Bucket { live, spare } = &mut self.buckets[index];
            let network = entry.ip >> 8;
            let is_taken = |it: &Entry| it.id == entry.id || it.ip >> 8 == network;
            if live.iter().chain(&*spare).any(is_taken) {
                return;
            }
            if entry.is_proven && live.len() < limit {
                live.push(entry.clone());
                self.ips.push(entry.ip);
                return;
            }
            let is_crowded = {
                let bit = |id: Id| u32::try_from(index).is_ok_and(|index| self.own.common_bits(id) > index);
                live.iter().any(|it| bit(it.id) != bit(entry.id))
            };
            let above = index.checked_sub(1).and_then(|above| self.buckets.get(above));
            let may_split = above.is_none_or(|it| it.live.len() > 1) && index < 50;
            if is_last && may_split && entry.is_confirmed() && is_crowded {
                self.split(now);
                continue;
            }
            if entry.is_confirmed() && self.replace(index, limit, &mut entry) {
                return;
            }
            self.add_spare(index, entry);
            return;
        }
    }

    /// The address has an entry already. Returns whether the new one may get in all the same.
    fn add_known_ip(&mut self, entry: &Entry, now: u32) -> bool {
        let at = entry.at();
        for index in 0..self.buckets.len() {
            let Bucket { live, spare } = &mut self.buckets[index];
            let Some(known) = live.iter_mut().chain(&mut *spare).find(|it| it.is(at)) else { continue };
            if known.id == entry.id {
                known.fails = 0;
                if entry.is_proven {
                    known.rtt = if known.rtt == u16::MAX { entry.rtt } else { known.rtt / 3 * 2 + entry.rtt / 3 };
                    known.asked = entry.asked;
                    known.seen = entry.seen;
                    known.is_proven = true;
                }
                self.promote(index);
            } else if entry.is_proven {
                // Another id at the same place: neither is believed.
                live.retain(|it| !it.is(at));
                spare.retain(|it| !it.is(at));
                for it in live.iter_mut().filter(|it| it.asked.saturating_add(300) < now) {
                    it.asked = 0;
                }
                self.forget_ip(entry.ip);
                self.promote(index);
            }
            return false;
        }
        // Another port of the same address.
        false
    }

    /// Puts a node in the place of a failing one, or of one in the same part of the bucket that takes longer to answer.
    fn replace(&mut self, index: usize, limit: usize, entry: &mut Entry) -> bool {
        let is_last = index.saturating_add(1) == self.buckets.len();
        let part = |id: Id| part_of(id, index.saturating_add(usize::from(!is_last)), limit);
        let live = &mut self.buckets[index].live;
        let most = live.iter().enumerate().max_by_key(|(_, it)| it.fails).filter(|(_, it)| it.fails > 0);
        let place = most.map(|(place, _)| place).or_else(|| {
            let same = |it: &Entry| part(it.id) == part(entry.id);
            let slowest = live.iter().enumerate().filter(|(_, it)| same(it)).max_by_key(|(_, it)| it.rtt);
            if let Some((place, it)) = slowest {
                return Some(place).filter(|_| entry.rtt < it.rtt);
            }
            let mut parts = vec![0_u16; limit];
            live.iter().for_each(|it| parts[part(it.id)] += 1);
            let crowded = live.iter().enumerate().filter(|(_, it)| parts[part(it.id)] > 1);
            crowded.max_by_key(|(_, it)| it.rtt).map(|(place, _)| place)
        });
        let Some(place) = place else { return false };
        let old = std::mem::replace(&mut live[place], entry.clone());
        self.forget_ip(old.ip);
        self.ips.push(entry.ip);
        true
    }

    fn add_spare(&mut self, index: usize, entry: Entry) {
        let spare = &mut self.buckets[index].spare;
        if spare.len() >= SPARES {
            let worst = spare.iter().position(|it| !it.is_proven);
            let worst = worst.or_else(|| {
                let slowest = spare.iter().enumerate().max_by_key(|(_, it)| (it.fails, it.rtt));
                slowest.filter(|(_, it)| it.fails > 0 || entry.rtt < it.rtt).map(|(place, _)| place)
            });
            let Some(worst) = worst else { return };
            let old = spare.remove(worst);
            self.forget_ip(old.ip);
        }
        self.buckets[index].spare.push(entry.clone());
        self.ips.push(entry.ip);
    }

    /// Fills a bucket with replacements that have answered, the fastest first.
    fn promote(&mut self, index: usize) {
        let limit = self.limit(index);
        let Bucket { live, spare } = &mut self.buckets[index];
        while live.len() < limit {
            let best = spare.iter().enumerate().filter(|(_, it)| it.is_proven).min_by_key(|(_, it)| it.rtt);
            let Some((place, _)) = best else { break };
            live.push(spare.remove(place));
        }
    }

    /// Splits the last bucket.
    fn split(&mut self, now: u32) {
        let index = self.buckets.len().saturating_sub(1);
        let (own, limit, new_limit) = (self.own, self.limit(index), self.limit(index.saturating_add(1)));
        let mut new = Bucket::default();
        let is_nearer = |it: &Entry| own.common_bits(it.id) as usize > index;
        let old = &mut self.buckets[index];
        let (nearer, stay): (Vec<Entry>, Vec<Entry>) = old.live.drain(..).partition(is_nearer);
        let (nearer_spare, stay_spare): (Vec<Entry>, Vec<Entry>) = old.spare.drain(..).partition(is_nearer);
        for (bucket, live, spare, limit) in
            [(&mut *old, stay, stay_spare, limit), (&mut new, nearer, nearer_spare, new_limit)]
        {
            bucket.live = live;
            let beyond = bucket.live.split_off(bucket.live.len().min(limit));
            for entry in beyond.into_iter().chain(spare) {
                if entry.is_proven && bucket.live.len() < limit {
                    bucket.live.push(entry);
                } else {
                    bucket.spare.push(entry);
                }
            }
        }
        self.buckets.push(new);
        self.changed.push(now);
    }

    fn forget_ip(&mut self, ip: u32) {
        if let Some(place) = self.ips.iter().position(|it| *it == ip) {
            self.ips.swap_remove(place);
        }
    }
}

/// Keeps so many entries: the first ones as they are, and of the others the nearest, in their order.
fn nearest_first(found: &mut Vec<&Entry>, kept: usize, count: usize, target: Id) {
    let others = &mut found[kept..];
    if let Some(last) = count.saturating_sub(kept).checked_sub(1).filter(|last| *last < others.len()) {
        others.select_nth_unstable_by_key(last, |it| it.id.distance(target));
    }
    found.truncate(count);
    found[kept..].sort_unstable_by_key(|it| it.id.distance(target));
}

/// A point that has at least so many bits in common with another.
pub(crate) fn random_within(own: Id, common: u32, rng: &mut Rng) -> Id {
    let mut bytes = *Id::random(rng).as_bytes();
    for (number, (byte, own)) in (0_u32..).zip(bytes.iter_mut().zip(own.as_bytes())) {
        let mask = match common.saturating_sub(number.saturating_mul(8)) {
            8.. => 0xff,
            bits => !(0xff_u8 >> bits),
        };
        *byte = *own & mask | *byte & !mask;
    }
    Id::new(bytes)
}

/// In which part of a bucket an id is, of as many as the bucket has places: the bits after the first `from` ones.
fn part_of(id: Id, from: usize, parts: usize) -> usize {
    let mut part = 0;
    for bit in from..from.saturating_add(parts.ilog2() as usize) {
        let byte = id.as_bytes().get(bit / 8).copied().unwrap_or(0);
        part = part << 1 | usize::from(byte >> (7 - bit % 8) & 1);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Policy;
    use unchoke_core::Seed;

    fn rules(name: &str) -> &'static Rules {
        match Policy::named(name) {
            Some(Policy::Model(rules)) => rules,
            other => panic!("{other:?}"),
        }
    }

    fn filled(name: &str) -> (Table, Rng) {
        let mut rng = Seed::new([3; 32]).rng();
        let mut table = Table::new(Id::random(&mut rng), rules(name));
        for number in 0..3000_u32 {
            let at = SocketAddrV4::new(Ipv4Addr::from_bits(0x1400_0001 + (number << 8)), 6881);
            let _ = table.handle_reply(1, Id::random(&mut rng), at, 100);
        }
        (table, rng)
    }

    #[test]
    fn tables_fill_as_far_as_their_rules_let_them() {
        let limits = [("libtorrent", [128, 64, 32, 16, 8]), ("mainline", [20; 5]), ("bep5", [8; 5])];
        for (name, limits) in limits {
            let (table, _) = filled(name);
            let lengths: Vec<usize> = table.buckets.iter().take(5).map(|bucket| bucket.live.len()).collect();
            assert_eq!(lengths, limits, "{name}");
        }
    }

    #[test]
    fn who_fails_is_replaced_by_one_that_has_answered() {
        let (mut table, _) = filled("libtorrent");
        let gone = table.buckets[4].live[0].clone();
        let spare = table.buckets[4].spare.len();
        table.handle_failure(gone.id, gone.at());
        assert!(!table.knows(gone.id, gone.at()));
        assert_eq!((table.buckets[4].live.len(), table.buckets[4].spare.len()), (8, spare - 1));
    }

    #[test]
    fn the_textbook_tells_of_the_nearest_that_it_knows() {
        let (table, mut rng) = filled("bep5");
        let target = Id::random(&mut rng);
        let mut all: Vec<Id> = table.buckets.iter().flat_map(|bucket| &bucket.live).map(|it| it.id).collect();
        all.sort_unstable_by_key(|id| id.distance(target));
        let told: Vec<Id> = table.closest(target, false).iter().map(|it| it.id).collect();
        assert_eq!(told, all[..8]);
    }
}
