//! The core of a tracker server: which peers share which torrent. It knows neither HTTP nor UDP.

use crate::announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, MAX_PEERS, ScrapeEntry, ScrapeResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::{InfoHash, Rng, Seed};

/// What a tracker server is willing to hold and to give.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// How often clients are to announce. A peer that has been silent for two intervals is forgotten.
    pub interval: Duration,
    /// Torrents, in all. Beyond it new ones are refused.
    pub max_swarms: usize,
    /// Peers, over all torrents. Beyond it new ones are answered and not remembered.
    pub max_peers: usize,
    /// Peers in an answer to a client that does not say how many it wants.
    pub default_peers: usize,
    /// Peers in an answer, whatever the client wants; at most [`MAX_PEERS`].
    pub max_answer: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1800),
            max_swarms: 100_000,
            max_peers: 1_000_000,
            default_peers: 50,
            max_answer: 200,
        }
    }
}

/// Why the server refuses an announce; the text is fit for a failure reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There is no room for another torrent.
    #[error("tracker is full")]
    Full,
    /// A peer must be reachable.
    #[error("port 0 is not a port")]
    PortZero,
}

/// The table of swarms. A peer is known by the address that its announces come from and the port that it names, so nobody can
/// speak for an address that is not his; the peer id plays no part.
#[derive(Debug)]
pub struct TrackerServer {
    config: ServerConfig,
    swarms: BTreeMap<InfoHash, Swarm>,
    peers: usize,
    rng: Rng,
    next_sweep: Option<Instant>,
}

#[derive(Debug, Default)]
struct Swarm {
    peers: Vec<Peer>,
    index: BTreeMap<SocketAddr, usize>,
    seeders: u32,
    completed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    is_seeder: bool,
    heard: Instant,
}

impl TrackerServer {
    /// A server that knows no torrent, with the default limits.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self::with_config(seed, ServerConfig::default())
    }

    /// A server with these limits.
    #[must_use]
    pub fn with_config(seed: Seed, config: ServerConfig) -> Self {
        Self { config, swarms: BTreeMap::new(), peers: 0, rng: seed.rng(), next_sweep: None }
    }

    /// Takes an announce that came from `from` (its port is that of the connection, not the peer's) and answers it with a
    /// random sample of the others. Seeds are told to seeds at their start only, and those that stop are told nobody.
    ///
    /// # Errors
    /// [`ServerError`] if the peer cannot be taken.
    pub fn announce(
        &mut self,
        now: Instant,
        request: &AnnounceRequest,
        from: SocketAddr,
    ) -> Result<AnnounceResponse, ServerError> {
        if request.port == 0 {
            return Err(ServerError::PortZero);
        }
        if self.next_sweep.is_none() {
            self.next_sweep = now.checked_add(self.config.interval);
        }
        let ip = from.ip().to_canonical();
        let address = SocketAddr::new(ip, request.port);
        let mut response = AnnounceResponse::new(self.config.interval);
        response.external_ip = Some(ip);
        let is_stopped = request.event == Some(AnnounceEvent::Stopped);
        if !self.swarms.contains_key(&request.info_hash) {
            if is_stopped {
                return Ok(response);
            }
            if self.swarms.len() >= self.config.max_swarms {
                return Err(ServerError::Full);
            }
        }
        let swarm = self.swarms.entry(request.info_hash).or_default();
        let before = swarm.remove(address);
        self.peers = self.peers.saturating_sub(usize::from(before.is_some()));
        if !is_stopped && self.peers < self.config.max_peers {
            let is_seeder = request.left == 0;
            let was_leecher = before.is_some_and(|peer| !peer.is_seeder);
            if request.event == Some(AnnounceEvent::Completed) && is_seeder && was_leecher {
                swarm.completed = swarm.completed.saturating_add(1);
            }
            swarm.insert(Peer { address, is_seeder, heard: now });
            self.peers = self.peers.saturating_add(1);
        }
        response.seeders = Some(swarm.seeders);
        response.leechers = Some(swarm.leechers());
        if !is_stopped {
            let asked = request.num_want.map_or(self.config.default_peers, |count| count as usize);
            let want = asked.min(self.config.max_answer).min(MAX_PEERS);
            let oldest = now.checked_sub(self.config.interval.saturating_mul(2));
            // Who starts with a magnet link does not know yet how much is left, and some say nothing is.
            let needs_nothing = request.left == 0 && request.event != Some(AnnounceEvent::Started);
            response.peers = swarm.sample(&mut self.rng, want, |peer| {
                let is_alive = oldest.is_none_or(|oldest| peer.heard >= oldest);
                is_alive && peer.address != address && !(peer.is_seeder && needs_nothing)
            });
        }
        Ok(response)
    }

    /// Takes a scrape: one entry per info-hash, in the same order, with zeros for torrents that nobody shares.
    #[must_use]
    pub fn scrape(&self, hashes: &[InfoHash]) -> ScrapeResponse {
        let entry = |info_hash: &InfoHash| {
            let mut entry = ScrapeEntry::new(*info_hash);
            if let Some(swarm) = self.swarms.get(info_hash) {
                (entry.seeders, entry.leechers, entry.completed) = (swarm.seeders, swarm.leechers(), swarm.completed);
            }
            entry
        };
        ScrapeResponse::new(hashes.iter().map(entry).collect())
    }

    /// Forgets the peers that have been silent for two intervals. A spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        if let Some(oldest) = now.checked_sub(self.config.interval.saturating_mul(2)) {
            for swarm in self.swarms.values_mut() {
                swarm.forget(oldest);
            }
            self.swarms.retain(|_, swarm| !swarm.peers.is_empty());
            self.peers = self.swarms.values().map(|swarm| swarm.peers.len()).sum();
        }
        let is_empty = self.swarms.is_empty();
        self.next_sweep = if is_empty { None } else { now.checked_add(self.config.interval) };
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). Ask again after every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_sweep
    }

    /// Torrents that are shared at the moment.
    #[must_use]
    pub fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    /// Peers over all torrents.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.peers
    }
}

impl Swarm {
    fn leechers(&self) -> u32 {
        u32::try_from(self.peers.len()).unwrap_or(u32::MAX).saturating_sub(self.seeders)
    }

    fn insert(&mut self, peer: Peer) {
        self.index.insert(peer.address, self.peers.len());
        self.peers.push(peer);
        self.seeders = self.seeders.saturating_add(u32::from(peer.is_seeder));
    }

    fn remove(&mut self, address: SocketAddr) -> Option<Peer> {
        let at = self.index.remove(&address)?;
        if at >= self.peers.len() {
            return None;
        }
        let peer = self.peers.swap_remove(at);
        if let Some(moved) = self.peers.get(at) {
            self.index.insert(moved.address, at);
        }
        self.seeders = self.seeders.saturating_sub(u32::from(peer.is_seeder));
        Some(peer)
    }

    fn forget(&mut self, oldest: Instant) {
        let silent: Vec<_> = self.peers.iter().filter(|peer| peer.heard < oldest).map(|peer| peer.address).collect();
        for address in silent {
            self.remove(address);
        }
    }

    /// Up to `want` different peers that `fits` accepts. In a large swarm twice as many are drawn as are wanted, so that the
    /// cost follows the answer and not the swarm.
    fn sample(&self, rng: &mut Rng, want: usize, fits: impl Fn(&Peer) -> bool) -> Vec<SocketAddr> {
        let draws = want.saturating_mul(2).saturating_add(1);
        let total = self.peers.len();
        let mut drawn: Vec<usize> = if total <= draws {
            (0..total).collect()
        } else {
            // Floyd's way of drawing without repetition.
            let mut chosen = BTreeSet::new();
            for bound in total.saturating_sub(draws)..total {
                let pick = rng.below(u32::try_from(bound.saturating_add(1)).unwrap_or(u32::MAX)) as usize;
                chosen.insert(if chosen.contains(&pick) { bound } else { pick });
            }
            chosen.into_iter().collect()
        };
        for last in (1..drawn.len()).rev() {
            let other = rng.below(u32::try_from(last.saturating_add(1)).unwrap_or(u32::MAX)) as usize;
            drawn.swap(last, other);
        }
        let peers = drawn.into_iter().filter_map(|at| self.peers.get(at));
        peers.filter(|peer| fits(peer)).take(want).map(|peer| peer.address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::PeerId;

    fn request(port: u16, left: u64) -> AnnounceRequest {
        let mut request = AnnounceRequest::new(InfoHash::new([1; 20]), PeerId::new([2; 20]), port);
        request.left = left;
        request
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 50_000))
    }

    fn server(config: ServerConfig) -> TrackerServer {
        TrackerServer::with_config(Seed::new([7; 32]), config)
    }

    #[test]
    fn peers_are_told_of_one_another() {
        let (mut server, now) = (server(ServerConfig::default()), Instant::now());
        assert_eq!(server.announce(now, &request(1, 0), from(1)).unwrap().peers, []);
        let reply = server.announce(now, &request(2, 9), from(2)).unwrap();
        assert_eq!(reply.peers, ["192.0.2.1:1".parse().unwrap()]);
        assert_eq!((reply.seeders, reply.leechers), (Some(1), Some(1)));
        assert_eq!(server.announce(now, &request(3, 0), from(3)).unwrap().peers, ["192.0.2.2:2".parse().unwrap()]);
        assert_eq!(server.peer_count(), 3);
    }

    #[test]
    fn who_starts_with_nothing_left_may_hold_a_magnet_link_and_is_told_of_seeds() {
        let (mut server, now) = (server(ServerConfig::default()), Instant::now());
        let seed: SocketAddr = "192.0.2.1:1".parse().unwrap();
        server.announce(now, &request(1, 0), from(1)).unwrap();
        let mut magnet = request(2, 0);
        magnet.event = Some(AnnounceEvent::Started);
        assert_eq!(server.announce(now, &magnet, from(2)).unwrap().peers, [seed]);
        assert_eq!(server.announce(now, &request(2, 0), from(2)).unwrap().peers, []);
    }

    #[test]
    fn a_peer_completes_once_and_leaves_when_it_stops() {
        let (mut server, now) = (server(ServerConfig::default()), Instant::now());
        server.announce(now, &request(1, 5), from(1)).unwrap();
        let mut done = request(1, 0);
        done.event = Some(AnnounceEvent::Completed);
        server.announce(now, &done, from(1)).unwrap();
        server.announce(now, &done, from(1)).unwrap();
        let entry = server.scrape(&[done.info_hash]).entries[0];
        assert_eq!((entry.seeders, entry.leechers, entry.completed), (1, 0, 1));
        done.event = Some(AnnounceEvent::Stopped);
        assert_eq!(server.announce(now, &done, from(1)).unwrap().peers, []);
        assert_eq!(server.peer_count(), 0);
    }

    #[test]
    fn silent_peers_are_forgotten_after_two_intervals() {
        let (mut server, start) = (server(ServerConfig::default()), Instant::now());
        server.announce(start, &request(1, 0), from(1)).unwrap();
        let mut now = start;
        while let Some(at) = server.poll_timeout() {
            now = at;
            server.handle_timeout(now);
        }
        assert_eq!(server.swarm_count(), 0);
        assert_eq!(now - start, Duration::from_secs(3 * 1800));
    }

    #[test]
    fn limits_hold() {
        let mut config = ServerConfig::default();
        (config.max_swarms, config.max_peers) = (1, 10);
        let (mut server, now) = (server(config), Instant::now());
        for port in 1..50 {
            server.announce(now, &request(port, 1), from(1)).unwrap();
        }
        assert_eq!(server.peer_count(), 10);
        let mut other = request(1, 1);
        other.info_hash = InfoHash::new([9; 20]);
        assert_eq!(server.announce(now, &other, from(1)), Err(ServerError::Full));
        assert_eq!(server.announce(now, &request(0, 1), from(1)), Err(ServerError::PortZero));
    }

    #[test]
    fn a_large_swarm_is_sampled_without_repetition() {
        let (mut server, now) = (server(ServerConfig::default()), Instant::now());
        for port in 1..=2000 {
            server.announce(now, &request(port, 1), from(1)).unwrap();
        }
        let mut asked = request(1, 1);
        asked.num_want = Some(u32::MAX);
        let draw = |server: &mut TrackerServer| -> BTreeSet<SocketAddr> {
            let peers = server.announce(now, &asked, from(1)).unwrap().peers;
            assert_eq!(peers.len(), 200);
            peers.into_iter().collect()
        };
        let (first, second) = (draw(&mut server), draw(&mut server));
        assert_eq!(first.len(), 200);
        assert_ne!(first, second);
    }
}
