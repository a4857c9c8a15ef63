//! When a node does what keeps it in the network.

use crate::config::Config;
use crate::roots::{MAX_ROOTS, Roots};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use unchoke_core::Rng;

/// The timers of a node, and the addresses that it begins with.
#[derive(Debug)]
pub(crate) struct Upkeep {
    roots: Roots,
    probe_interval: Duration,
    refresh_interval: Duration,
    next_probe: Instant,
    next_refresh: Instant,
    /// Searches for our neighbourhood that have found too few.
    failures: u32,
    is_refreshing: bool,
    is_odd: bool,
    is_joined: bool,
    /// Buckets that are still to be filled after joining.
    fills: u32,
}

/// With fewer nodes than this a node has lost the network.
const ENOUGH: usize = 4;
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Between probes while there are few nodes.
const HURRY: Duration = Duration::from_millis(250);
/// Searches that fill buckets after joining.
const FILLS: u32 = 6;

impl Upkeep {
    pub(crate) fn new(now: Instant, config: &Config, rng: &mut Rng) -> Self {
        // Nodes that start together do not probe together.
        let spread = Duration::from_millis(rng.below(8000).into());
        Self {
            roots: Roots::default(),
            probe_interval: config.probe_interval,
            refresh_interval: config.refresh_interval,
            next_probe: later(now, config.probe_interval.saturating_add(spread)),
            next_refresh: later(now, config.refresh_interval),
            failures: 0,
            is_refreshing: false,
            is_odd: false,
            is_joined: false,
            fills: FILLS,
        }
    }

    /// Adds addresses of nodes that were there once. Those that are given to begin with keep their room.
    pub(crate) fn add_known(&mut self, nodes: &[SocketAddr]) {
        self.add_roots(nodes.get(..nodes.len().min(MAX_ROOTS / 2)).unwrap_or_default());
    }

    pub(crate) fn add_roots(&mut self, roots: &[SocketAddr]) {
        roots.iter().for_each(|root| self.roots.add(*root));
    }

    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// A search for our neighbourhood begins. Returns whether it is the first, the third and so on.
    pub(crate) fn handle_refresh(&mut self, now: Instant) -> bool {
        self.is_refreshing = true;
        self.next_refresh = later(now, self.refresh_interval);
        self.is_odd = !self.is_odd;
        self.is_odd
    }

    /// It, or a search that fills a bucket, has ended, and there are so many nodes in the tables. Returns whether this is the first time that there are enough.
    pub(crate) fn handle_refreshed(&mut self, now: Instant, nodes: usize) -> bool {
        let is_refresh = std::mem::replace(&mut self.is_refreshing, false);
        if nodes >= ENOUGH {
            self.failures = 0;
        } else if is_refresh {
            // The first attempts follow one another soon, the later ones do not harm a network that is gone.
            let wait = FIRST_RETRY.saturating_mul(1_u32.checked_shl(self.failures.min(6)).unwrap_or(64));
            self.failures = self.failures.saturating_add(1);
            self.next_refresh = later(now, wait.min(self.refresh_interval));
        }
        let is_first = !self.is_joined && nodes > 0;
        self.is_joined |= is_first;
        is_first
    }

    /// Whether the neighbourhood has to be looked up now.
    pub(crate) fn wants_refresh(&self, now: Instant) -> bool {
        !self.is_refreshing && self.next_refresh <= now
    }

    /// Whether the node has not found the network yet, and is not looking for it.
    pub(crate) fn wants_join(&self) -> bool {
        !self.is_joined && !self.is_refreshing
    }

    /// Whether a node has to be probed now; the next time is a while later.
    pub(crate) fn take_probe(&mut self, now: Instant) -> bool {
        let is_due = self.next_probe <= now;
        if is_due {
            self.next_probe = later(now, self.probe_interval);
        }
        is_due
    }

    /// The next probe shall come soon: there are few nodes, and one that may be one.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next_probe = self.next_probe.min(later(now, self.probe_interval.min(HURRY)));
    }

    /// The bits that the target of a search that fills a bucket shall have in common with our id, if there is to be one.
    pub(crate) fn take_fill(&mut self) -> Option<u32> {
        let left = self.fills.checked_sub(1).filter(|_| self.is_joined)?;
        self.fills = left;
        Some(left)
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        if self.is_refreshing { self.next_probe } else { self.next_probe.min(self.next_refresh) }
    }
}

fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    #[test]
    fn searches_that_fill_buckets_do_not_put_off_the_next_attempt_to_join() {
        let now = Instant::now();
        let mut upkeep = Upkeep::new(now, &Config::default(), &mut Seed::new([1; 32]).rng());
        upkeep.handle_refresh(now);
        assert!(upkeep.handle_refreshed(now, 1));
        while upkeep.take_fill().is_some() {
            assert!(!upkeep.handle_refreshed(now, 1));
        }
        assert!(upkeep.wants_refresh(now + FIRST_RETRY));
    }
}
