//! What names a torrent: the hash of its info dictionary ([BEP 3], [BEP 52]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use crate::hash::{Sha1Hash, Sha256Hash, write_hex};
use std::fmt;

/// The 20 bytes that handshakes, trackers and the DHT name a torrent by: a v1 info-hash, or a v2 one cut to 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash([u8; 20]);

impl InfoHash {
    /// Wraps the 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Reads an info-hash; `None` unless the slice has exactly 20 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<Sha1Hash> for InfoHash {
    fn from(hash: Sha1Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<Sha256Hash> for InfoHash {
    /// Cuts a v2 info-hash to the 20 bytes that the wire has room for (BEP 52).
    fn from(hash: Sha256Hash) -> Self {
        let mut bytes = [0; 20];
        bytes.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// All the names of one torrent: a v1 info-hash, a v2 info-hash, or (hybrid) both. At least one is always there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InfoHashes {
    v1: Option<Sha1Hash>,
    v2: Option<Sha256Hash>,
}

impl InfoHashes {
    /// A v1 torrent.
    #[must_use]
    pub const fn v1(hash: Sha1Hash) -> Self {
        Self { v1: Some(hash), v2: None }
    }

    /// A v2 torrent.
    #[must_use]
    pub const fn v2(hash: Sha256Hash) -> Self {
        Self { v1: None, v2: Some(hash) }
    }

    /// A hybrid torrent, which has both names.
    #[must_use]
    pub const fn hybrid(v1: Sha1Hash, v2: Sha256Hash) -> Self {
        Self { v1: Some(v1), v2: Some(v2) }
    }

    /// The v1 info-hash, if the torrent has one.
    #[must_use]
    pub const fn get_v1(&self) -> Option<Sha1Hash> {
        self.v1
    }

    /// The v2 info-hash, if the torrent has one.
    #[must_use]
    pub const fn get_v2(&self) -> Option<Sha256Hash> {
        self.v2
    }

    /// The name to use on the wire where there is room for one: v1 if there is one, else v2 cut to 20 bytes.
    #[must_use]
    pub fn wire(&self) -> InfoHash {
        match (self.v1, self.v2) {
            (Some(v1), _) => v1.into(),
            (None, Some(v2)) => v2.into(),
            (None, None) => InfoHash([0; 20]),
        }
    }

    /// Whether `name` is one of this torrent's names on the wire.
    #[must_use]
    pub fn matches(&self, name: InfoHash) -> bool {
        self.names().any(|own| own == name)
    }

    /// What peers may call the torrent: one name, or two for a hybrid one.
    pub fn names(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.v1.map(InfoHash::from).into_iter().chain(self.v2.map(InfoHash::from))
    }
}

impl fmt::Display for InfoHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.v1, &self.v2) {
            (Some(v1), _) => v1.fmt(f),
            (None, Some(v2)) => v2.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{sha1, sha256};

    #[test]
    fn a_hybrid_answers_to_both_names() {
        let both = InfoHashes::hybrid(sha1(b"x"), sha256(b"x"));
        assert!(both.matches(sha1(b"x").into()) && both.matches(sha256(b"x").into()));
        assert!(!InfoHashes::v1(sha1(b"x")).matches(sha256(b"x").into()));
        assert_eq!(InfoHashes::v2(sha256(b"x")).wire().as_bytes(), &sha256(b"x").as_bytes()[..20]);
    }
}
