//! Points of the key space ([BEP 5]): node ids, info-hashes and the targets of items, and the distance between them.
//!
//! [BEP 5]: https://www.bittorrent.org/beps/bep_0005.html

use std::fmt;
use unchoke_core::{InfoHash, Rng, Sha1Hash};

/// A point of the key space: the id of a node, or what is looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 20]);

/// How far two points are apart, by the exclusive or of their bits. The smaller, the nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Distance(u64, u64, u32);

impl Distance {
    /// The part of the key space that is nearer, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0 as f64 / 2_f64.powi(64)
    }
}

impl Id {
    /// Bytes of an id.
    pub const LEN: usize = 20;
    /// Bits of an id.
    pub const BITS: u32 = 160;

    /// Wraps the 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Reads an id; `None` unless the slice has exactly 20 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Any point, each as likely as any other.
    #[must_use]
    pub fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 20];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// A random point that has just so many bits in common with this one, from the first on. All of them if there are no more.
    #[must_use]
    pub fn random_beside(self, common: u32, rng: &mut Rng) -> Self {
        let random = Self::random(rng);
        let mut bytes = self.0;
        for (number, (byte, random)) in (0_u32..).zip(bytes.iter_mut().zip(random.0)) {
            let before = common.saturating_sub(number.saturating_mul(8));
            // Bits up to `common` stay, the next one is flipped, the rest is random.
            let (kept, flipped) = match before {
                8.. => (0xff, 0),
                _ if number.saturating_mul(8) > common => (0, 0),
                bits => (!(0xff_u8 >> bits), 0x80_u8 >> bits),
            };
            *byte = *byte & kept | (!*byte & flipped) | (random & !kept & !flipped);
        }
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// How far another point is away.
    #[must_use]
    pub fn distance(self, other: Self) -> Distance {
        let ((a, a_low), (b, b_low)) = (self.parts(), other.parts());
        let high = a ^ b;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
        Distance((high >> 64) as u64, high as u64, a_low ^ b_low)
    }

    /// How many bits two points have in common, from the first on.
    #[must_use]
    pub fn common_bits(self, other: Self) -> u32 {
        let Distance(high, middle, low) = self.distance(other);
        match (high, middle) {
            (0, 0) => 128_u32.saturating_add(low.leading_zeros()),
            (0, _) => 64_u32.saturating_add(middle.leading_zeros()),
            _ => high.leading_zeros(),
        }
    }

    /// The point that is so far away from this one.
    pub(crate) fn at(self, distance: Distance) -> Self {
        let Distance(high, middle, low) = distance;
        let mut bytes = self.0;
        let parts = high.to_be_bytes().into_iter().chain(middle.to_be_bytes()).chain(low.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte ^= part);
        Self(bytes)
    }

    /// The first 128 bits and the rest, as numbers.
    const fn parts(self) -> (u128, u32) {
        let Self([high @ .., a, b, c, d]) = self;
        (u128::from_be_bytes(high), u32::from_be_bytes([a, b, c, d]))
    }
}

impl From<InfoHash> for Id {
    fn from(hash: InfoHash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<Id> for InfoHash {
    fn from(id: Id) -> Self {
        Self::new(id.0)
    }
}

impl From<Sha1Hash> for Id {
    fn from(hash: Sha1Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::Seed;

    proptest! {
        #[test]
        fn a_random_neighbour_has_just_so_many_bits_in_common(id in any::<[u8; 20]>(), common in 0_u32..160, seed in any::<[u8; 32]>()) {
            let id = Id::new(id);
            let other = id.random_beside(common, &mut Seed::new(seed).rng());
            prop_assert_eq!(id.common_bits(other), common);
        }

        #[test]
        fn distance_is_that_of_the_bytes(a in any::<[u8; 20]>(), b in any::<[u8; 20]>(), c in any::<[u8; 20]>()) {
            let xor = |one: [u8; 20], other: [u8; 20]| -> Vec<u8> { one.iter().zip(other).map(|(x, y)| x ^ y).collect() };
            let order = Id::new(a).distance(Id::new(b)).cmp(&Id::new(a).distance(Id::new(c)));
            prop_assert_eq!(order, xor(a, b).cmp(&xor(a, c)));
            prop_assert_eq!(Id::new(a).at(Id::new(a).distance(Id::new(b))), Id::new(b));
        }
    }

    #[test]
    fn equal_points_have_all_bits_in_common() {
        let id = Id::new([7; 20]);
        assert_eq!((id.common_bits(id), id.distance(id)), (160, Distance(0, 0, 0)));
        assert_eq!(id.random_beside(160, &mut Seed::new([1; 32]).rng()), id);
    }
}
