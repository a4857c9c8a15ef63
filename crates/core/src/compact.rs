//! Compact peer lists: 6 bytes for an IPv4 peer ([BEP 23]), 18 for an IPv6 one ([BEP 7]), big-endian ports.
//!
//! [BEP 7]: https://www.bittorrent.org/beps/bep_0007.html
//! [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of one IPv4 peer.
pub const V4_LEN: usize = 6;
/// Bytes of one IPv6 peer.
pub const V6_LEN: usize = 18;

/// A compact list whose length is not a multiple of one entry's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("compact list of {length} bytes is not made of {entry}-byte entries")]
#[non_exhaustive]
pub struct CompactError {
    /// Bytes that came.
    pub length: usize,
    /// Bytes of one entry.
    pub entry: usize,
}

/// Appends a peer to the list of its address family; an IPv6-mapped IPv4 address counts as IPv4.
pub fn encode(peer: SocketAddr, v4: &mut Vec<u8>, v6: &mut Vec<u8>) {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => {
            v4.extend_from_slice(&ip.octets());
            v4.extend_from_slice(&peer.port().to_be_bytes());
        }
        IpAddr::V6(ip) => {
            v6.extend_from_slice(&ip.octets());
            v6.extend_from_slice(&peer.port().to_be_bytes());
        }
    }
}

/// Reads a list of IPv4 peers.
///
/// # Errors
/// If the length is not a multiple of six.
pub fn decode_v4(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = SocketAddr> + '_, CompactError> {
    let (entries, []) = bytes.as_chunks::<V4_LEN>() else {
        return Err(CompactError { length: bytes.len(), entry: V4_LEN });
    };
    Ok(entries.iter().map(|[a, b, c, d, high, low]| {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])))
    }))
}

/// Reads a list of IPv6 peers.
///
/// # Errors
/// If the length is not a multiple of 18.
pub fn decode_v6(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = SocketAddr> + '_, CompactError> {
    let (entries, []) = bytes.as_chunks::<V6_LEN>() else {
        return Err(CompactError { length: bytes.len(), entry: V6_LEN });
    };
    Ok(entries.iter().map(|entry| {
        let [octets @ .., high, low] = entry;
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(*octets), u16::from_be_bytes([*high, *low]), 0, 0))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rejects_a_list_with_a_torn_entry() {
        assert_eq!(decode_v4(&[0; 7]).err(), Some(CompactError { length: 7, entry: 6 }));
        assert_eq!(decode_v6(&[0; 17]).err(), Some(CompactError { length: 17, entry: 18 }));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(peers in prop::collection::vec(any::<SocketAddr>(), 0..20)) {
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            for peer in &peers {
                encode(*peer, &mut v4, &mut v6);
            }
            let back: Vec<_> = decode_v4(&v4).unwrap().chain(decode_v6(&v6).unwrap()).collect();
            let mut wanted: Vec<_> = peers.iter().map(|p| SocketAddr::new(p.ip().to_canonical(), p.port())).collect();
            wanted.sort_by_key(SocketAddr::is_ipv6);
            prop_assert_eq!(back, wanted);
        }
    }
}
