//! Node ids that depend on the address of the node ([BEP 42]), so that nobody can choose where in the key space to sit.
//!
//! [BEP 42]: https://www.bittorrent.org/beps/bep_0042.html

use crate::id::Id;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use unchoke_core::Rng;

/// An id that a node with this address may have.
#[must_use]
pub fn secure_id(ip: IpAddr, rng: &mut Rng) -> Id {
    let mut bytes = *Id::random(rng).as_bytes();
    let [first, second, third, .., last] = &mut bytes;
    let [a, b, c, _] = prefix(ip, *last).to_be_bytes();
    (*first, *second, *third) = (a, b, c & 0xf8 | *third & 0x07);
    Id::new(bytes)
}

/// Whether a node with this address may have this id. Addresses that are not global may have any.
#[must_use]
pub fn is_secure(id: Id, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if is_exempt(ip) {
        return true;
    }
    let [first, second, third, .., last] = *id.as_bytes();
    let [a, b, c, _] = prefix(ip, last).to_be_bytes();
    (first, second, third & 0xf8) == (a, b, c & 0xf8)
}

/// What the first 21 bits of the id have to be.
fn prefix(ip: IpAddr, last: u8) -> u32 {
    let random = last & 0x07;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            crc32c::crc32c(&[a & 0x03 | random << 5, b & 0x0f, c & 0x3f, d])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            crc32c::crc32c(&[a & 0x01 | random << 5, b & 0x03, c & 0x07, d & 0x0f, e & 0x1f, f & 0x3f, g & 0x7f, h])
        }
    }
}

/// Addresses of local networks: the node cannot know its own global one.
fn is_exempt(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => is_local_v6(ip),
    }
}

fn is_local_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
}

/// Whether a node can be there at all: an address of one machine, and a port.
#[must_use]
pub fn is_contactable(address: std::net::SocketAddr) -> bool {
    if address.port() == 0 {
        return false;
    }
    match address.ip() {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0 && first < 224 && ip != Ipv4Addr::BROADCAST
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            // A mapped address is one of IPv4, and Teredo (2001:0::/32) is gone.
            !ip.is_unspecified()
                && !ip.is_multicast()
                && ip.to_ipv4_mapped().is_none()
                && (first, second) != (0x2001, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::Seed;

    #[test]
    fn the_vectors_of_bep_42_hold() {
        let table: [(&str, [u8; 3], u8); 5] = [
            ("124.31.75.21", [0x5f, 0xbf, 0xbf], 1),
            ("21.75.31.124", [0x5a, 0x3c, 0xe9], 86),
            ("65.23.51.170", [0xa5, 0xd4, 0x32], 22),
            ("84.124.73.14", [0x1b, 0x03, 0x21], 65),
            ("43.213.53.83", [0xe5, 0x6f, 0x6c], 90),
        ];
        for (ip, [a, b, c], last) in table {
            let ip: IpAddr = ip.parse().unwrap();
            let mut bytes = [0xaa; 20];
            (bytes[0], bytes[1], bytes[2], bytes[19]) = (a, b, c, last);
            assert!(is_secure(Id::new(bytes), ip), "{ip}");
            bytes[1] ^= 1;
            assert!(!is_secure(Id::new(bytes), ip), "{ip}");
        }
    }

    #[test]
    fn what_cannot_be_a_node_is_not_contacted() {
        for address in [
            "0.1.2.3:1",
            "1.2.3.4:0",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::1]:1",
            "[::ffff:1.2.3.4]:1",
            "[2001::1]:1",
        ] {
            assert!(!is_contactable(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1:1", "10.0.0.1:6881", "8.8.8.8:65535", "[2001:db8::1]:1", "[::1]:1"] {
            assert!(is_contactable(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_for_an_address_fits_it(ip in any::<IpAddr>(), seed in any::<[u8; 32]>()) {
            prop_assert!(is_secure(secure_id(ip, &mut Seed::new(seed).rng()), ip));
        }
    }
}
