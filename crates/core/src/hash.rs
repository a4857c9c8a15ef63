//! Digests and hashing: SHA-1 for v1 pieces and info-hashes ([BEP 3]), SHA-256 for v2 ([BEP 52]).
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

mod lanes;

use sha1::Digest as _;
use std::fmt;

pub use lanes::{Backend, MAX_LANES, Sha1Lanes, Sha256Lanes, lanes, sha1_each, sha256_each};

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The length of the digest in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes of a digest.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Reads a digest; `None` unless the slice has exactly [`Self::LEN`] bytes.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

digest! {
    /// A SHA-1 digest: 20 bytes, displayed as 40 hexadecimal digits.
    Sha1Hash, 20
}
digest! {
    /// A SHA-256 digest: 32 bytes, displayed as 64 hexadecimal digits.
    Sha256Hash, 32
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What a piece must hash to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PieceHash {
    /// The SHA-1 of the piece's bytes (BEP 3).
    V1(Sha1Hash),
    /// The root of the merkle tree over the piece's blocks (BEP 52).
    V2(PieceRoot),
    /// Both: the torrent is a hybrid, and a piece that fits one description alone is wrong (BEP 52, "Upgrade Path").
    Hybrid(Sha1Hash, PieceRoot),
}

/// The root of the merkle tree over the blocks of one piece (BEP 52), and the shape of that tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 52 closes the set of fields")]
pub struct PieceRoot {
    /// The root.
    pub root: Sha256Hash,
    /// Bytes of the piece that belong to its file. What follows is padding of a hybrid torrent and no part of the tree.
    pub length: u32,
    /// Leaves of the tree, those that stand for nothing included: a power of two.
    pub leaves: u32,
}

/// SHA-1 of one run of bytes.
#[must_use]
pub fn sha1(bytes: &[u8]) -> Sha1Hash {
    Sha1Hash(sha1::Sha1::digest(bytes).into())
}

/// SHA-256 of one run of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Hash {
    Sha256Hash(sha2::Sha256::digest(bytes).into())
}

/// Whether these bytes were made to have the SHA-1 digest of others, by any of the published attacks (counter-cryptanalysis).
///
/// A v1 torrent has nothing but SHA-1, so two files can pass for one; v2 and hybrid torrents are safe from it. No honest file is told to be one.
/// This takes many times as long as [`sha1`], so it is for data at rest and not for every piece that arrives.
#[cfg(feature = "collision-detection")]
#[must_use]
pub fn is_sha1_collision(bytes: &[u8]) -> bool {
    sha1_checked::Sha1::try_digest(bytes).has_collision()
}

/// SHA-1 fed in parts.
///
/// ```
/// use unchoke_core::hash::{Sha1, sha1};
/// let mut hasher = Sha1::new();
/// hasher.update(b"one ");
/// hasher.update(b"piece");
/// assert_eq!(hasher.finish(), sha1(b"one piece"));
/// ```
#[derive(Clone, Default)]
pub struct Sha1(sha1::Sha1);

impl Sha1 {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Sha1Hash {
        Sha1Hash(self.0.finalize().into())
    }
}

/// SHA-256 fed in parts.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Sha256Hash {
        Sha256Hash(self.0.finalize().into())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(..)")
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha1(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        // FIPS 180-4, the one-block example message "abc".
        assert_eq!(sha1(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sha256(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn slices_of_another_length_are_no_digest() {
        assert_eq!(Sha1Hash::from_slice(&[0; 19]), None);
        assert_eq!(Sha256Hash::from_slice(&[7; 32]), Some(Sha256Hash::new([7; 32])));
    }
}
