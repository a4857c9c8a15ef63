//! Addresses of nodes as they are kept and sent: 6 bytes of IPv4 or 18 of IPv6.

use crate::id::Id;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address of a node in one family.
pub(crate) trait Endpoint: Copy + Ord + std::fmt::Debug + Send {
    /// Bytes of a node in a list of nodes.
    const NODE_LEN: usize;

    /// An address of this family.
    fn new(address: SocketAddr) -> Option<Self>;

    /// Reads what stands in a list of nodes behind the id.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// The bytes.
    fn as_bytes(&self) -> &[u8];

    /// The address.
    fn address(self) -> SocketAddr;

    /// What tells the owner of the address: a whole address of IPv4, the upper half of one of IPv6.
    fn host(self) -> u64;

    /// What tells the neighbourhood of the address: the first 24 bits of IPv4, 48 of IPv6. `None` where all nodes may be neighbours.
    fn network(self) -> Option<u64>;
}

/// An address of IPv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct V4([u8; 6]);

/// An address of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct V6([u8; 18]);

impl Endpoint for V4 {
    const NODE_LEN: usize = Id::LEN + 6;

    fn new(address: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let ([a, b, c, d], [high, low]) = (ip.octets(), address.port().to_be_bytes());
        Some(Self([a, b, c, d, high, low]))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn address(self) -> SocketAddr {
        let [a, b, c, d, high, low] = self.0;
        SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))
    }

    fn host(self) -> u64 {
        let [a, b, c, d, high, low] = self.0;
        let ip = u32::from_be_bytes([a, b, c, d]);
        // On one machine or one local network each port may be a node of its own.
        let port = if is_local(Ipv4Addr::from(ip)) { u16::from_be_bytes([high, low]) } else { 0 };
        u64::from(ip) << 16 | u64::from(port)
    }

    fn network(self) -> Option<u64> {
        let [a, b, c, ..] = self.0;
        let is_local = is_local(Ipv4Addr::new(a, b, c, 0));
        (!is_local).then(|| u64::from(u32::from_be_bytes([0, a, b, c])))
    }
}

impl Endpoint for V6 {
    const NODE_LEN: usize = Id::LEN + 18;

    fn new(address: SocketAddr) -> Option<Self> {
        let IpAddr::V6(ip) = address.ip() else { return None };
        let mut bytes = [0; 18];
        let parts = ip.octets().into_iter().chain(address.port().to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Some(Self(bytes))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn address(self) -> SocketAddr {
        let [ip @ .., high, low] = self.0;
        SocketAddr::new(Ipv6Addr::from(ip).into(), u16::from_be_bytes([high, low]))
    }

    fn host(self) -> u64 {
        let [upper @ .., _, _, _, _, _, _, _, _, high, low] = self.0;
        let port = if self.is_local() { u64::from(u16::from_be_bytes([high, low])) } else { 0 };
        u64::from_be_bytes(upper) ^ port
    }

    fn network(self) -> Option<u64> {
        let [a, b, c, d, e, f, ..] = self.0;
        (!self.is_local()).then(|| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

impl V6 {
    fn is_local(self) -> bool {
        let [ip @ .., _, _] = self.0;
        let ip = Ipv6Addr::from(ip);
        ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
    }
}

fn is_local(ip: Ipv4Addr) -> bool {
    ip.is_loopback() || ip.is_private() || ip.is_link_local()
}

/// The nodes of a list as it comes in a message; what is left over at its end is passed over.
pub(crate) fn nodes<E: Endpoint>(list: &[u8]) -> impl Iterator<Item = (Id, E)> + '_ {
    list.chunks_exact(E::NODE_LEN).filter_map(|node| {
        let (id, endpoint) = node.split_at_checked(Id::LEN)?;
        Some((Id::from_slice(id)?, E::from_bytes(endpoint)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_kept_as_it_is(address in any::<SocketAddr>()) {
            let plain = SocketAddr::new(address.ip(), address.port());
            let found = V4::new(address).map(V4::address).or(V6::new(address).map(V6::address));
            prop_assert_eq!(found, Some(plain));
        }
    }

    #[test]
    fn ports_tell_hosts_apart_only_where_all_are_neighbours() {
        let hosts = |one: &str, other: &str| {
            let endpoint = |text: &str| V4::new(text.parse().unwrap()).unwrap();
            endpoint(one).host() == endpoint(other).host()
        };
        assert!(hosts("8.8.8.8:1", "8.8.8.8:2") && !hosts("8.8.8.8:1", "8.8.8.9:1"));
        assert!(!hosts("127.0.0.1:1", "127.0.0.1:2"));
        let networks = |text: &str| V4::new(text.parse().unwrap()).unwrap().network();
        assert_eq!(networks("8.8.8.8:1"), networks("8.8.8.9:7"));
        assert_eq!(networks("10.0.0.1:1"), None);
    }
}
