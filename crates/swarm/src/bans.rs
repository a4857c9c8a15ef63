//! Peers that were caught.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use unchoke_core::PeerId;

/// Culprits that are remembered; the oldest are forgotten first.
const MAX_BANS: usize = 4096;

/// Who may not connect any more, for the life of the session.
///
/// An address is shared by all who sit behind one router (or on one machine), and an incoming connection's port says nothing. So the whole
/// address is banned only if no other peer that is connected shares it; otherwise the endpoint and the peer id are.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    addresses: BTreeSet<IpAddr>,
    endpoints: BTreeSet<SocketAddr>,
    ids: BTreeSet<(IpAddr, PeerId)>,
    order: VecDeque<(SocketAddr, PeerId)>,
}

impl Bans {
    /// Returns whether that is news.
    pub(crate) fn ban(&mut self, endpoint: SocketAddr, id: PeerId, address_is_shared: bool) -> bool {
        let known = self.endpoints.contains(&endpoint) && self.ids.contains(&(endpoint.ip(), id));
        if !known {
            self.endpoints.insert(endpoint);
            self.ids.insert((endpoint.ip(), id));
            self.order.push_back((endpoint, id));
        }
        if !address_is_shared {
            self.addresses.insert(endpoint.ip());
        }
        while self.order.len() > MAX_BANS
            && let Some((endpoint, id)) = self.order.pop_front()
        {
            self.endpoints.remove(&endpoint);
            self.ids.remove(&(endpoint.ip(), id));
            self.addresses.remove(&endpoint.ip());
        }
        !known
    }

    pub(crate) fn refuses_address(&self, endpoint: SocketAddr) -> bool {
        self.addresses.contains(&endpoint.ip()) || self.endpoints.contains(&endpoint)
    }

    /// A peer id is only a claim: it counts together with the address that it came from.
    pub(crate) fn refuses_id(&self, ip: IpAddr, id: PeerId) -> bool {
        self.ids.contains(&(ip, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_behind_one_address_are_not_banned_with_the_culprit() {
        let mut bans = Bans::default();
        let (bad, good) = ("10.0.0.1:5".parse().unwrap(), "10.0.0.1:6".parse().unwrap());
        assert!(bans.ban(bad, PeerId::new([1; 20]), true));
        assert!(bans.refuses_address(bad) && bans.refuses_id(bad.ip(), PeerId::new([1; 20])));
        let elsewhere = "10.0.0.2:5".parse::<SocketAddr>().unwrap();
        assert!(!bans.refuses_id(elsewhere.ip(), PeerId::new([1; 20])), "whose id was borrowed is innocent");
        assert!(!bans.refuses_address(good) && !bans.refuses_id(bad.ip(), PeerId::new([2; 20])));
        assert!(!bans.ban(bad, PeerId::new([1; 20]), false), "it was banned before");
        assert!(bans.refuses_address(good));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut bans = Bans::default();
        let culprit = |number: u32| SocketAddr::from((number.to_be_bytes(), 6881));
        (0..10_000).for_each(|number| assert!(bans.ban(culprit(number), PeerId::new([0; 20]), number % 2 == 0)));
        assert!(bans.refuses_address(culprit(9_999)) && !bans.refuses_address(culprit(1)));
        assert_eq!((bans.order.len(), bans.endpoints.len(), bans.ids.len()), (MAX_BANS, MAX_BANS, MAX_BANS));
        assert_eq!(bans.addresses.len(), MAX_BANS / 2);
    }
}
