//! Which address others see this node at ([BEP 42]): a vote.
//!
//! [BEP 42]: https://www.bittorrent.org/beps/bep_0042.html

use crate::endpoint::Endpoint;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Collects what others say. One network has one vote, only answers to queries count, and the outcome does not change more often than once an hour.
#[derive(Debug)]
pub(crate) struct ExternalAddress<E> {
    votes: Vec<(u64, E)>,
    chosen: Option<IpAddr>,
    /// Until then nobody is listened to.
    rest: Option<Instant>,
}

/// Votes that are needed, and kept.
const QUORUM: usize = 12;
/// How long an address is kept.
const REST: Duration = Duration::from_secs(3600);
/// How long an address that was confirmed is not asked about.
const PAUSE: Duration = Duration::from_secs(300);

impl<E> Default for ExternalAddress<E> {
    fn default() -> Self {
        Self { votes: Vec::new(), chosen: None, rest: None }
    }
}

impl<E: Endpoint> ExternalAddress<E> {
    /// Counts a vote. Returns the address when it is a new one.
    pub(crate) fn vote(&mut self, now: Instant, voter: SocketAddr, address: E) -> Option<SocketAddr> {
        if self.rest.is_some_and(|until| now < until) {
            return None;
        }
        let voter = network(voter.ip());
        self.votes.retain(|(known, _)| *known != voter);
        self.votes.push((voter, address));
        if self.votes.len() < QUORUM {
            return None;
        }
        let count = |ip: IpAddr| self.votes.iter().filter(|(_, vote)| vote.address().ip() == ip).count();
        let (_, winner) = self.votes.iter().copied().max_by_key(|(_, vote)| count(vote.address().ip()))?;
        let winner = winner.address();
        let has_won = count(winner.ip()).saturating_mul(3) > self.votes.len().saturating_mul(2);
        let is_new = self.chosen != Some(winner.ip());
        let keep_from = self.votes.len().saturating_sub(QUORUM.saturating_sub(1));
        self.votes.drain(..keep_from);
        if !has_won {
            return None;
        }
        *self = Self {
            chosen: Some(winner.ip()),
            rest: now.checked_add(if is_new { REST } else { PAUSE }),
            ..Self::default()
        };
        is_new.then_some(winner)
    }
}

/// The first 16 bits of an IPv4 address, the first 32 of an IPv6 one. On one machine each address is a voter of its own.
fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() => u64::from(u32::from(ip)) | 1 << 62,
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 16),
        IpAddr::V6(ip) => u64::try_from(u128::from(ip) >> 96).unwrap_or(0) | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::V4;

    fn voter(number: u8) -> SocketAddr {
        SocketAddr::from(([20, number, 1, 1], 1))
    }

    fn address(text: &str) -> V4 {
        V4::new(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn enough_networks_have_to_agree() {
        let now = Instant::now();
        let mut external = ExternalAddress::default();
        let here = address("1.2.3.4:5");
        assert!((0..200).all(|n| external.vote(now, SocketAddr::from(([20, 1, n, 1], 1)), here).is_none()));
        let told: Vec<_> = (0..12).filter_map(|n| external.vote(now, voter(n), here)).collect();
        assert_eq!(told, [here.address()]);
        assert!((0..100).all(|n| external.vote(now, voter(n), here).is_none()), "it is no news any more");
    }

    /// D10: a third of liars do not change the address, and it changes once an hour at most.
    #[test]
    fn d10_liars_do_not_move_us() {
        let now = Instant::now();
        let mut external = ExternalAddress::default();
        let (here, lie, there) = (address("1.2.3.4:5"), address("6.6.6.6:6"), address("2.2.2.2:2"));
        assert_eq!((0..20).filter_map(|n| external.vote(now, voter(n), here)).collect::<Vec<_>>(), [here.address()]);
        for n in 0..200_u8 {
            let later = now + Duration::from_secs(10_000 + u64::from(n));
            let said = if n % 5 < 2 { lie } else { here };
            assert_eq!(external.vote(later, voter(n), said), None);
        }
        let soon = now + Duration::from_secs(60);
        assert!((0..100).all(|n| external.vote(soon, voter(n), there).is_none()));
        let late = now + REST;
        assert!((0..100).any(|n| external.vote(late, voter(n), there) == Some(there.address())));
    }
}
