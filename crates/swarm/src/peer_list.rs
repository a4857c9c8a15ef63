//! The addresses that a torrent knows, and when to try which of them.

use crate::ids::PeerOrigin;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses that one torrent keeps.
const MAX_KNOWN: usize = 1000;
/// Half the wait after the first failure; it doubles with each further one.
const HALF_FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// Failures in a row after which an address is forgotten.
const MAX_FAILURES: u32 = 8;

#[derive(Debug)]
struct Candidate {
    origin: PeerOrigin,
    failures: u32,
    next_try: Option<Instant>,
    in_use: bool,
    /// It had everything when it was last seen.
    seed: bool,
}

impl Candidate {
    fn is_wanted(&self, complete: bool) -> bool {
        !(self.in_use || complete && self.seed)
    }
}

/// Whether strangers have named an address: they may name any number.
fn is_hearsay(origin: PeerOrigin) -> bool {
    matches!(origin, PeerOrigin::Pex | PeerOrigin::Dht)
}

/// The known addresses of one torrent.
#[derive(Debug, Default)]
pub(crate) struct PeerList {
    known: BTreeMap<SocketAddr, Candidate>,
    /// Where the search for the next candidate goes on, so that each address gets its turn.
    cursor: Option<SocketAddr>,
}

impl PeerList {
    /// Learns of an address. Port 0, unspecified and multicast addresses are not taken. Returns whether it is new.
    pub(crate) fn add(&mut self, address: SocketAddr, origin: PeerOrigin) -> bool {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return false;
        }
        if self.known.contains_key(&address) {
            return false;
        }
        if self.known.len() >= MAX_KNOWN && !self.evict(origin) {
            return false;
        }
        self.known.insert(address, Candidate { origin, failures: 0, next_try: None, in_use: false, seed: false });
        true
    }

    /// Makes room by forgetting an address that failed, or one that strangers named if the new one is from a better source.
    fn evict(&mut self, origin: PeerOrigin) -> bool {
        let worst = self.known.iter().filter(|(_, candidate)| !candidate.in_use);
        let worst = worst.max_by_key(|(_, candidate)| (candidate.failures, is_hearsay(candidate.origin)));
        let found = worst
            .filter(|(_, candidate)| candidate.failures > 0 || (is_hearsay(candidate.origin) && !is_hearsay(origin)))
            .map(|(address, _)| *address);
        found.is_some_and(|address| self.known.remove(&address).is_some())
    }

    /// The next address to connect to; it counts as in use from now on. Who has everything itself passes over seeds.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        complete: bool,
        refused: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let ready = |(address, candidate): &(&SocketAddr, &Candidate)| {
            candidate.is_wanted(complete) && candidate.next_try.is_none_or(|at| at <= now) && !refused(**address)
        };
        let after = self.cursor.and_then(|cursor| {
            let range = (std::ops::Bound::Excluded(cursor), std::ops::Bound::Unbounded);
            self.known.range(range).find(ready).map(|(address, _)| *address)
        });
        let found = after.or_else(|| self.known.iter().find(ready).map(|(address, _)| *address))?;
        self.cursor = Some(found);
        if let Some(candidate) = self.known.get_mut(&found) {
            candidate.in_use = true;
        }
        Some(found)
    }

    /// A connection to the address stands, whoever opened it.
    pub(crate) fn connected(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.in_use = true;
            candidate.failures = 0;
        }
    }

    /// The connection failed, or ended. After a useful one a new attempt may come soon.
    pub(crate) fn released(&mut self, now: Instant, address: SocketAddr, useful: bool) {
        let Some(candidate) = self.known.get_mut(&address) else { return };
        candidate.in_use = false;
        candidate.failures = if useful { 0 } else { candidate.failures.saturating_add(1) };
        if candidate.failures >= MAX_FAILURES && candidate.origin != PeerOrigin::Manual {
            self.known.remove(&address);
            return;
        }
        let doubled = HALF_FIRST_RETRY.saturating_mul(1 << candidate.failures.min(12));
        candidate.next_try = now.checked_add(doubled.min(LAST_RETRY));
    }

    /// Whoever did not fail is tried as soon as there is a turn.
    pub(crate) fn retry_soon(&mut self) {
        self.known
            .values_mut()
            .filter(|candidate| candidate.failures == 0)
            .for_each(|candidate| candidate.next_try = None);
    }

    /// The peer at this address has everything.
    pub(crate) fn is_seed(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.known.get_mut(&address) {
            candidate.seed = true;
        }
    }

    /// Whether there is anybody to connect to, now or later.
    pub(crate) fn has_candidates(&self, complete: bool) -> bool {
        self.known.values().any(|candidate| candidate.is_wanted(complete))
    }

    #[cfg(test)]
    fn next_try(&self) -> Option<Instant> {
        self.known.values().filter(|candidate| !candidate.in_use).filter_map(|candidate| candidate.next_try).min()
    }

    /// The number of addresses known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    #[test]
    fn a_failing_address_is_tried_ever_less_often_and_then_forgotten() {
        let (mut list, mut now) = (PeerList::default(), start());
        assert!(list.add(address(1), PeerOrigin::Tracker));
        let mut waits = Vec::new();
        while list.len() > 0 {
            assert_eq!(list.next(now, false, |_| false), Some(address(1)));
            assert_eq!(list.next(now, false, |_| false), None);
            list.released(now, address(1), false);
            let Some(at) = list.next_try() else { break };
            waits.push(at - now);
            now = at;
        }
        assert!(waits.is_sorted() && waits.len() == 7, "{waits:?}");
    }

    #[test]
    fn every_address_gets_its_turn() {
        let (mut list, now) = (PeerList::default(), start());
        (1..=20).for_each(|number| assert!(list.add(address(number), PeerOrigin::Pex)));
        let tried: Vec<_> = std::iter::from_fn(|| list.next(now, false, |_| false)).collect();
        assert_eq!(tried, (1..=20).map(address).collect::<Vec<_>>());
    }

    #[test]
    fn strangers_cannot_fill_the_list_against_the_tracker() {
        for stranger in [PeerOrigin::Pex, PeerOrigin::Dht] {
            let mut list = PeerList::default();
            (1..=2000).for_each(|number| {
                list.add(address(number), stranger);
            });
            assert_eq!(list.len(), MAX_KNOWN);
            assert!(!list.add(address(5000), PeerOrigin::Pex));
            assert!(!list.add(address(5000), PeerOrigin::Dht));
            assert!(list.add(address(5001), PeerOrigin::Tracker));
        }
    }

    #[test]
    fn useless_addresses_are_not_taken() {
        let mut list = PeerList::default();
        assert!(!list.add("0.0.0.0:5".parse().unwrap(), PeerOrigin::Pex));
        assert!(!list.add("224.0.0.1:5".parse().unwrap(), PeerOrigin::Pex));
        assert!(!list.add("10.0.0.1:0".parse().unwrap(), PeerOrigin::Pex));
        assert!(list.add("[::ffff:10.0.0.1]:5".parse().unwrap(), PeerOrigin::Pex));
        assert!(!list.add("10.0.0.1:5".parse().unwrap(), PeerOrigin::Pex));
    }
}
