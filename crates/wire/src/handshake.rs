//! The handshake of 68 bytes that opens a connection ([BEP 3]), and the reserved bits in it ([BEP 4]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 4]: https://www.bittorrent.org/beps/bep_0004.html

use std::fmt;
use unchoke_core::{InfoHash, PeerId};

/// The eight reserved bytes, in which each side says which extensions it speaks. Bits without a getter are kept as they came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Reserved([u8; 8]);

impl Reserved {
    /// No bit set.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; 8])
    }

    /// Wraps the eight bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Says that the extension protocol (BEP 10) is spoken.
    #[must_use]
    pub const fn with_extension_protocol(self) -> Self {
        self.with(5, EXTENSION_PROTOCOL)
    }

    /// Says that the fast extension (BEP 6) is spoken.
    #[must_use]
    pub const fn with_fast(self) -> Self {
        self.with(7, FAST)
    }

    /// Says that there is a DHT node (BEP 5).
    #[must_use]
    pub const fn with_dht(self) -> Self {
        self.with(7, DHT)
    }

    /// Whether the extension protocol (BEP 10) is spoken.
    #[must_use]
    pub const fn extension_protocol(&self) -> bool {
        self.0[5] & EXTENSION_PROTOCOL != 0
    }

    /// Whether the fast extension (BEP 6) is spoken.
    #[must_use]
    pub const fn fast(&self) -> bool {
        self.0[7] & FAST != 0
    }

    /// Whether there is a DHT node (BEP 5).
    #[must_use]
    pub const fn dht(&self) -> bool {
        self.0[7] & DHT != 0
    }

    #[expect(clippy::indexing_slicing, reason = "both callers' positions are below eight")]
    const fn with(self, byte: usize, bit: u8) -> Self {
        let mut bytes = self.0;
        bytes[byte] |= bit;
        Self(bytes)
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({:016x})", u64::from_be_bytes(self.0))
    }
}

/// What each side says first: which torrent, who it is, and what it speaks.
///
/// ```
/// use unchoke_core::{InfoHash, PeerId};
/// use unchoke_wire::{Handshake, Reserved};
/// let ours = Handshake {
///     info_hash: InfoHash::new([1; 20]),
///     peer_id: PeerId::new(*b"-UC0100-abcdefghijkl"),
///     reserved: Reserved::new().with_fast(),
/// };
/// assert_eq!(Handshake::decode(&ours.encode())?, Some(ours));
/// # Ok::<(), unchoke_wire::HandshakeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 3 closes the set of fields")]
pub struct Handshake {
    /// The torrent's name on the wire.
    pub info_hash: InfoHash,
    /// What the sender calls itself.
    pub peer_id: PeerId,
    /// What the sender speaks.
    pub reserved: Reserved,
}

impl Handshake {
    /// The length in bytes.
    pub const LEN: usize = 68;

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let parts = PREFIX.iter().chain(self.reserved.as_bytes()).chain(self.info_hash.as_bytes());
        for (to, from) in bytes.iter_mut().zip(parts.chain(self.peer_id.as_bytes())) {
            *to = *from;
        }
        bytes
    }

    /// Reads a handshake from the front of `bytes`; `None` if more bytes are needed. What is not one is known from the first wrong byte.
    ///
    /// # Errors
    /// If the bytes do not begin with the protocol's name.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, HandshakeError> {
        if let Some(offset) = PREFIX.iter().zip(bytes).position(|(wanted, found)| wanted != found) {
            return Err(HandshakeError { offset });
        }
        let parts = || {
            let rest = bytes.get(PREFIX.len()..)?;
            let (reserved, rest) = rest.split_first_chunk::<8>()?;
            let (info_hash, rest) = rest.split_first_chunk::<20>()?;
            let (peer_id, _) = rest.split_first_chunk::<20>()?;
            Some(Self {
                info_hash: InfoHash::new(*info_hash),
                peer_id: PeerId::new(*peer_id),
                reserved: Reserved(*reserved),
            })
        };
        Ok(parts())
    }
}

/// Bytes that do not begin a BitTorrent handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a BitTorrent handshake: wrong byte at offset {offset}")]
#[non_exhaustive]
pub struct HandshakeError {
    /// The first wrong byte.
    pub offset: usize,
}

/// The length of the protocol's name, and the name (BEP 3).
const PREFIX: &[u8; 20] = b"\x13BitTorrent protocol";
const EXTENSION_PROTOCOL: u8 = 0x10;
const FAST: u8 = 0x04;
const DHT: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes(hash: [u8; 20], id: [u8; 20], reserved: [u8; 8], tail in prop::collection::vec(any::<u8>(), 0..9)) {
            let shake = Handshake {
                info_hash: InfoHash::new(hash),
                peer_id: PeerId::new(id),
                reserved: Reserved::from_bytes(reserved),
            };
            let mut bytes = shake.encode().to_vec();
            for short in 0..bytes.len() {
                prop_assert_eq!(Handshake::decode(&bytes[..short]), Ok(None));
            }
            bytes.extend(tail);
            prop_assert_eq!(Handshake::decode(&bytes), Ok(Some(shake)));
        }
    }

    #[test]
    fn tells_the_first_wrong_byte() {
        assert_eq!(Handshake::decode(b"GET / HTTP/1.1"), Err(HandshakeError { offset: 0 }));
        assert_eq!(Handshake::decode(b"\x13BitTorrent Protocol"), Err(HandshakeError { offset: 12 }));
    }

    #[test]
    fn reserved_bits_stand_where_their_beps_say() {
        let all = Reserved::new().with_extension_protocol().with_fast().with_dht();
        assert_eq!(all.as_bytes(), &[0, 0, 0, 0, 0, 0x10, 0, 0x05]);
        assert!(all.extension_protocol() && all.fast() && all.dht());
        assert!(!Reserved::new().extension_protocol() && !Reserved::new().fast() && !Reserved::new().dht());
    }
}
