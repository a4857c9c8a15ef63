//! The list of peers in a reply: compact addresses, 6 or 18 bytes each.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use unchoke_core::compact::{V4_LEN, V6_LEN, decode_v4, decode_v6};

/// Peers of a torrent, as bencoded strings one after another. What is no address is passed over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    items: &'a [u8],
}

impl<'a> Values<'a> {
    /// What [`push`](Self::push) has filled, or a bencoded list without its first and last byte.
    #[must_use]
    pub fn new(items: &'a [u8]) -> Self {
        Self { items }
    }

    /// Appends an address.
    pub fn push(items: &mut Vec<u8>, peer: SocketAddr) {
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => {
                items.extend_from_slice(b"6:");
                items.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                items.extend_from_slice(b"18:");
                items.extend_from_slice(&ip.octets());
            }
        }
        items.extend_from_slice(&peer.port().to_be_bytes());
    }

    /// The addresses.
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> + 'a {
        self.strings().filter_map(|item| match item.len() {
            V4_LEN => decode_v4(item).ok()?.next(),
            V6_LEN => decode_v6(item).ok()?.next(),
            _ => None,
        })
    }

    /// The strings, whether they are addresses or not.
    pub(super) fn strings(self) -> impl Iterator<Item = &'a [u8]> {
        Strings { rest: self.items }
    }

    /// The bytes between the first and the last byte of the list.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.items
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Bencoded strings, up to the first item that is none.
struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let colon = self.rest.iter().take(8).position(|byte| *byte == b':')?;
        let (digits, text) = self.rest.split_at_checked(colon)?;
        let length = digits.iter().try_fold(0_usize, |length, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
            length.checked_mul(10)?.checked_add(digit.into())
        })?;
        let (item, rest) = text.get(1..)?.split_at_checked(length)?;
        self.rest = rest;
        Some(item)
    }
}
