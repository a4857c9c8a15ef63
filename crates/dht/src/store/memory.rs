//! Records in memory.

use super::{NoRoom, PeersWanted, PutError, RecordStore, SampleInfo, Scrape, StoreUsage};
use crate::id::{Distance, Id};
use crate::item::Item;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use unchoke_core::Rng;

/// What a [`MemoryStore`] keeps at most.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreLimits {
    /// Torrents. When there are more, the farthest from the node's id goes.
    pub torrents: usize,
    /// Peers of one torrent. When there are more, the one that announced itself longest ago goes.
    pub peers: usize,
    /// Peers of all torrents. When there are more, the torrent that has most loses the one that announced itself longest ago.
    pub all_peers: usize,
    /// Items. When there are more, the farthest goes.
    pub items: usize,
    /// The part of all items, and of all torrents, that one address may have brought: one in so many. At least four.
    pub share: usize,
    /// How long a peer is kept without being announced again.
    pub peer_lifetime: Duration,
    /// How long an item is kept without being put again (BEP 44 says two hours).
    pub item_lifetime: Duration,
    /// How long a sample stays the same (BEP 51).
    pub sample_interval: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            torrents: 4000,
            peers: 500,
            all_peers: 50_000,
            items: 1000,
            share: 16,
            peer_lifetime: Duration::from_secs(45 * 60),
            item_lifetime: Duration::from_secs(2 * 60 * 60),
            sample_interval: Duration::from_secs(15 * 60),
        }
    }
}

/// Records in memory, bounded and fair: what is far from the node goes first, and nobody can fill it alone.
#[derive(Debug)]
pub struct MemoryStore {
    own: Id,
    limits: StoreLimits,
    /// By their distance from `own`.
    torrents: BTreeMap<Distance, Torrent>,
    pub(super) items: BTreeMap<Distance, Stored>,
    /// Peers of all torrents.
    peers: usize,
    /// How many torrents and items each neighbourhood has brought first.
    sources: BTreeMap<u64, u32>,
    sample: Vec<Id>,
    sampled: Option<Instant>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Torrent {
    pub(super) source: IpAddr,
    pub(super) peers: Vec<Peer>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Peer {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) seed: bool,
    pub(super) announced: Instant,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stored {
    pub(super) item: Item,
    pub(super) source: IpAddr,
    pub(super) put: Instant,
}

/// Info-hashes of a sample, of which some ask for fewer.
const SAMPLE: usize = 20;
/// A torrent with fewer peers has no room for more.
const FEW: usize = 8;
/// Ports of one address among the peers of a torrent.
const MAX_PORTS: usize = 4;

impl MemoryStore {
    /// An empty store of a node.
    #[must_use]
    pub fn new(own: Id, limits: StoreLimits) -> Self {
        Self {
            own,
            limits,
            torrents: BTreeMap::new(),
            items: BTreeMap::new(),
            peers: 0,
            sources: BTreeMap::new(),
            sample: Vec::new(),
            sampled: None,
        }
    }

    /// Whether somebody may bring one more record.
    fn may_bring(&self, source: IpAddr) -> bool {
        let all = self.limits.torrents.saturating_add(self.limits.items);
        let share = all.checked_div(self.limits.share).unwrap_or(all).max(4);
        self.sources.get(&neighbourhood(source)).is_none_or(|brought| (*brought as usize) < share)
    }

    fn brought(&mut self, source: IpAddr) {
        let count = self.sources.entry(neighbourhood(source)).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn gone(&mut self, source: IpAddr) {
        let source = neighbourhood(source);
        if let Some(count) = self.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Makes room for a torrent by dropping the farthest, unless this one would be the farthest.
    fn make_room(&mut self, distance: Distance) -> Result<(), NoRoom> {
        if self.torrents.len() < self.limits.torrents {
            return Ok(());
        }
        match self.torrents.last_key_value() {
            Some((farthest, _)) if *farthest > distance => {}
            _ => return Err(NoRoom),
        }
        if let Some((_, torrent)) = self.torrents.pop_last() {
            self.peers = self.peers.saturating_sub(torrent.peers.len());
            self.gone(torrent.source);
        }
        Ok(())
    }

    /// Takes in a torrent of an earlier run, as far as the limits allow.
    #[cfg(feature = "redb")]
    pub(super) fn restore_torrent(&mut self, info_hash: Id, mut torrent: Torrent) {
        let distance = self.own.distance(info_hash);
        torrent.peers.sort_unstable_by_key(|peer| std::cmp::Reverse(peer.announced));
        torrent.peers.truncate(self.limits.peers);
        if torrent.peers.is_empty() || !self.may_bring(torrent.source) || self.make_room(distance).is_err() {
            return;
        }
        self.brought(torrent.source);
        self.peers = self.peers.saturating_add(torrent.peers.len());
        self.torrents.insert(distance, torrent);
        while self.peers > self.limits.all_peers.max(1) {
            self.drop_peer();
        }
    }

    /// All torrents.
    #[cfg(feature = "redb")]
    pub(super) fn torrents(&self) -> impl Iterator<Item = (Id, &Torrent)> {
        self.torrents.iter().map(|(distance, torrent)| (self.own.at(*distance), torrent))
    }

    /// Takes in an item of an earlier run, if the limits allow.
    #[cfg(feature = "redb")]
    pub(super) fn restore_item(&mut self, stored: Stored) {
        let put = stored.put;
        // There is none to be compared with, so whether there is room decides.
        let _ = self.put(put, &stored.item, None, stored.source);
    }

    /// Makes room for a peer by dropping the oldest of the torrent that has most.
    fn make_room_for_peer(&mut self) {
        while self.peers >= self.limits.all_peers.max(1) {
            self.drop_peer();
        }
    }

    /// Drops the oldest peer of the torrent that has most.
    fn drop_peer(&mut self) {
        self.peers = self.peers.saturating_sub(1);
        let largest = self.torrents.values_mut().map(|torrent| &mut torrent.peers).max_by_key(|peers| peers.len());
        let Some(peers) = largest else { return };
        if let Some((oldest, _)) = peers.iter().enumerate().min_by_key(|(_, peer)| peer.announced) {
            peers.swap_remove(oldest);
        }
    }
}

impl RecordStore for MemoryStore {
    fn has_room_for(&self, info_hash: Id) -> bool {
        let distance = self.own.distance(info_hash);
        self.torrents.len() < self.limits.torrents
            || self.torrents.contains_key(&distance)
            || self.torrents.last_key_value().is_some_and(|(farthest, _)| *farthest > distance)
    }

    fn announce_peer(&mut self, now: Instant, info_hash: Id, peer: SocketAddr, seed: bool) -> Result<(), NoRoom> {
        let distance = self.own.distance(info_hash);
        let source = peer.ip();
        if !self.torrents.contains_key(&distance) {
            if !self.may_bring(source) {
                return Err(NoRoom);
            }
            self.make_room(distance)?;
            self.brought(source);
            self.torrents.insert(distance, Torrent { source, peers: Vec::with_capacity(1) });
        }
        let limit = self.limits.peers;
        let Some(torrent) = self.torrents.get_mut(&distance) else { return Err(NoRoom) };
        let peer = Peer { ip: source, port: peer.port(), seed, announced: now };
        let same_host = torrent.peers.iter().filter(|known| known.ip == source).count();
        let place = if let Some(known) = torrent.peers.iter_mut().find(|known| known.address() == peer.address()) {
            Some(known)
        } else if same_host >= MAX_PORTS {
            torrent.peers.iter_mut().filter(|known| known.ip == source).min_by_key(|known| known.announced)
        } else if torrent.peers.len() >= limit {
            torrent.peers.iter_mut().min_by_key(|known| known.announced)
        } else {
            None
        };
        match place {
            Some(place) => *place = peer,
            None if limit == 0 => return Err(NoRoom),
            None => {
                self.make_room_for_peer();
                if let Some(torrent) = self.torrents.get_mut(&distance) {
                    // Most torrents have few peers.
                    torrent.peers.reserve_exact(if torrent.peers.len() < FEW { 1 } else { 0 });
                    torrent.peers.push(peer);
                    self.peers = self.peers.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    fn peers(&mut self, now: Instant, info_hash: Id, wanted: PeersWanted, rng: &mut Rng, out: &mut Vec<SocketAddr>) {
        let lifetime = self.limits.peer_lifetime;
        let Some(torrent) = self.torrents.get(&self.own.distance(info_hash)) else { return };
        let start = out.len();
        let fits = |peer: &&Peer| {
            peer.ip.is_ipv6() == wanted.v6
                && !(wanted.no_seed && peer.seed)
                && now.saturating_duration_since(peer.announced) < lifetime
        };
        // Each is as likely as any other to be among those that are told.
        for (number, peer) in torrent.peers.iter().filter(fits).enumerate() {
            if number < wanted.count {
                out.push(peer.address());
                continue;
            }
            let at = rng.below(u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)) as usize;
            if let Some(place) = out.get_mut(start..).and_then(|chosen| chosen.get_mut(at)) {
                *place = peer.address();
            }
        }
    }

    fn scrape(&mut self, now: Instant, info_hash: Id) -> Scrape {
        let mut scrape = Scrape::default();
        let Some(torrent) = self.torrents.get(&self.own.distance(info_hash)) else { return scrape };
        for peer in &torrent.peers {
            if now.saturating_duration_since(peer.announced) < self.limits.peer_lifetime {
                let filter = if peer.seed { &mut scrape.seeds } else { &mut scrape.downloaders };
                filter.insert(peer.ip);
            }
        }
        scrape
    }

    fn put(&mut self, now: Instant, item: &Item, cas: Option<i64>, source: IpAddr) -> Result<(), PutError> {
        let distance = self.own.distance(item.target());
        if let Some(stored) = self.items.get_mut(&distance) {
            PutError::check(Some(&stored.item), item, cas)?;
            stored.item = item.clone();
            stored.put = now;
            return Ok(());
        }
        if !self.may_bring(source) {
            return Err(PutError::NoRoom);
        }
        if self.items.len() >= self.limits.items {
            match self.items.last_key_value() {
                Some((farthest, _)) if *farthest > distance => {}
                _ => return Err(PutError::NoRoom),
            }
            if let Some((_, stored)) = self.items.pop_last() {
                self.gone(stored.source);
            }
        }
        self.brought(source);
        self.items.insert(distance, Stored { item: item.clone(), source, put: now });
        Ok(())
    }

    fn get(&mut self, now: Instant, target: Id) -> Option<Item> {
        let stored = self.items.get(&self.own.distance(target))?;
        let age = now.saturating_duration_since(stored.put);
        (age < self.limits.item_lifetime).then(|| stored.item.clone())
    }

    fn sample(&mut self, now: Instant, count: usize, rng: &mut Rng, out: &mut Vec<Id>) -> SampleInfo {
        let interval = self.limits.sample_interval;
        let is_due = self.sampled.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if is_due {
            self.sampled = Some(now);
            self.sample.clear();
            for (number, distance) in self.torrents.keys().enumerate() {
                let info_hash = self.own.at(*distance);
                if number < SAMPLE {
                    self.sample.push(info_hash);
                    continue;
                }
                let at = rng.below(u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)) as usize;
                if let Some(place) = self.sample.get_mut(at) {
                    *place = info_hash;
                }
            }
        }
        out.extend(self.sample.iter().take(count));
        let left = self.sampled.map_or(interval, |at| interval.saturating_sub(now.saturating_duration_since(at)));
        SampleInfo {
            total: u32::try_from(self.torrents.len()).unwrap_or(u32::MAX),
            interval: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
        }
    }

    fn expire(&mut self, now: Instant) {
        let (peer_lifetime, item_lifetime) = (self.limits.peer_lifetime, self.limits.item_lifetime);
        let mut gone = Vec::new();
        let mut peers = 0_usize;
        self.torrents.retain(|_, torrent| {
            torrent.peers.retain(|peer| now.saturating_duration_since(peer.announced) < peer_lifetime);
            let is_empty = torrent.peers.is_empty();
            peers = peers.saturating_add(torrent.peers.len());
            gone.extend(is_empty.then_some(torrent.source));
            !is_empty
        });
        self.items.retain(|_, stored| {
            let is_old = now.saturating_duration_since(stored.put) >= item_lifetime;
            gone.extend(is_old.then_some(stored.source));
            !is_old
        });
        self.peers = peers;
        gone.into_iter().for_each(|source| self.gone(source));
    }

    fn handle_id(&mut self, own: Id) {
        if own != self.own {
            let before = std::mem::replace(&mut self.own, own);
            let torrents = std::mem::take(&mut self.torrents).into_iter();
            self.torrents = torrents.map(|(at, torrent)| (own.distance(before.at(at)), torrent)).collect();
            let items = std::mem::take(&mut self.items).into_values();
            self.items = items.map(|it| (own.distance(it.item.target()), it)).collect();
        }
    }

    fn usage(&self) -> StoreUsage {
        StoreUsage { torrents: self.torrents.len(), peers: self.peers, items: self.items.len() }
    }
}

impl Peer {
    const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// Whoever has one address of IPv6 has a whole network of them. No network of IPv6 that is in use looks like an address of IPv4 here.
fn neighbourhood(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 64).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;
    use unchoke_core::Seed;
    use unchoke_core::keys::SecretKey;

    #[test]
    fn keeps_the_contract() {
        contract::check(|own| Box::new(MemoryStore::new(own, StoreLimits::default())), Instant::now());
    }

    /// D6, and the rows on floods of the store.
    #[test]
    fn a_flood_leaves_room_for_what_is_near_and_for_others() {
        let (now, mut rng) = (Instant::now(), Seed::new([1; 32]).rng());
        let own = Id::random(&mut rng);
        let mut store = MemoryStore::new(own, StoreLimits { torrents: 200, items: 100, ..StoreLimits::default() });
        let near: Vec<Id> = (0..20).map(|_| own.random_beside(20, &mut rng)).collect();
        for (number, id) in (1_u8..).zip(&near) {
            store.announce_peer(now, *id, SocketAddr::from(([10, 0, 0, number], 1)), false).unwrap();
        }
        let flooder = |number: u32| IpAddr::from([20, 0, (number % 16) as u8, 1]);
        for number in 0..20_000 {
            let _ = store.announce_peer(now, Id::random(&mut rng), SocketAddr::new(flooder(number), 1), false);
            let key = SecretKey::from_bytes(&[(number % 250) as u8; 32]);
            if number < 500 {
                let item = Item::sign(&key, &number.to_be_bytes(), 1, b"i1e").unwrap();
                let _ = store.put(now, &item, None, flooder(number));
            }
        }
        let usage = store.usage();
        assert!(usage.torrents <= 200 && usage.items <= 100, "{usage:?}");
        for id in near {
            let mut peers = Vec::new();
            store.peers(now, id, PeersWanted { v6: false, no_seed: false, count: 9 }, &mut rng, &mut peers);
            assert_eq!(peers.len(), 1);
        }
        let alone = MemoryStore::new(own, StoreLimits { torrents: 200, items: 100, ..StoreLimits::default() });
        let mut store = alone;
        for _ in 0..1000 {
            let _ = store.announce_peer(now, Id::random(&mut rng), SocketAddr::new(flooder(1), 1), false);
        }
        assert_eq!(store.usage().torrents, 300 / 16);
    }

    #[test]
    fn peers_that_are_told_are_chosen_evenly() {
        let (now, mut rng) = (Instant::now(), Seed::new([2; 32]).rng());
        let mut store = MemoryStore::new(Id::new([0; 20]), StoreLimits::default());
        let id = Id::new([5; 20]);
        for number in 0..100 {
            store.announce_peer(now, id, SocketAddr::from(([30, 0, 0, number], 1)), number % 2 == 0).unwrap();
        }
        let mut seen = BTreeMap::new();
        for _ in 0..1000 {
            let mut peers = Vec::new();
            store.peers(now, id, PeersWanted { v6: false, no_seed: true, count: 10 }, &mut rng, &mut peers);
            assert_eq!(peers.len(), 10);
            peers.into_iter().for_each(|peer| *seen.entry(peer).or_insert(0) += 1);
        }
        assert_eq!(seen.len(), 50);
        assert!(seen.values().all(|times| (120..280).contains(times)), "{seen:?}");
    }
}
