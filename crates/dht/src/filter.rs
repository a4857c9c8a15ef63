//! Bloom filters of the peers of a torrent ([BEP 33]), from which their number is estimated without counting anybody twice.
//!
//! [BEP 33]: https://www.bittorrent.org/beps/bep_0033.html

use std::fmt;
use std::net::IpAddr;
use unchoke_core::hash::sha1;

/// A set of addresses of which only the size can be told.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter([u8; 256]);

const BITS: u32 = 2048;

impl Filter {
    /// A filter of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; 256])
    }

    /// A filter that came in a reply.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; 256]) -> Self {
        Self(*bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 256] {
        &self.0
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => sha1(&ip.octets()),
            IpAddr::V6(ip) => sha1(&ip.octets()),
        };
        let [a, b, c, d, ..] = *hash.as_bytes();
        for bit in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            let bit = u32::from(bit) % BITS;
            if let Some(byte) = self.0.get_mut((bit / 8) as usize) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// Adds all that is in another filter.
    pub fn union(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(to, from)| *to |= from);
    }

    /// About how many addresses it holds. More than some 6,000 cannot be told apart.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        let zeros = f64::from(zeros.clamp(1, BITS));
        let bits = f64::from(BITS);
        ((zeros / bits).ln() / (2.0 * (1.0 - 1.0 / bits).ln())).max(0.0)
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter(about {:.0})", self.estimate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of BEP 33: 192.0.2.0 to 192.0.2.255 and 2001:DB8:: to 2001:DB8::3E7.
    #[test]
    fn the_vector_of_bep_33_holds() {
        let mut filter = Filter::new();
        for last in 0..=255_u8 {
            filter.insert(IpAddr::from([192, 0, 2, last]));
        }
        for last in 0..=0x3e7_u16 {
            filter.insert(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]));
        }
        let hex: String = filter.as_bytes()[..32].iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, "F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75");
        assert!((filter.estimate() - 1224.9308).abs() < 0.001, "{}", filter.estimate());
    }

    #[test]
    fn an_empty_filter_holds_nothing_and_a_union_both() {
        let (mut one, mut other) = (Filter::new(), Filter::new());
        assert!(one.estimate().abs() < 1e-9);
        one.insert("192.0.2.1".parse().unwrap());
        other.insert("192.0.2.2".parse().unwrap());
        one.union(&other);
        assert_eq!(one.estimate().round() as u32, 2);
        assert!(Filter::from_bytes(&[0xff; 256]).estimate() > 6000.0);
    }
}
