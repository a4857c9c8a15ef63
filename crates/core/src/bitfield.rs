//! Which pieces somebody has ([BEP 3], message `bitfield`): the first piece is the highest bit of the first byte.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::piece::PieceIndex;
use std::fmt;

/// A set of pieces, one bit each.
///
/// ```
/// use unchoke_core::{Bitfield, PieceIndex};
/// let mut have = Bitfield::new(10);
/// have.insert(PieceIndex(0));
/// have.insert(PieceIndex(9));
/// assert_eq!(have.to_bytes(), [0b1000_0000, 0b0100_0000]);
/// assert_eq!(Bitfield::from_bytes(&have.to_bytes(), 10)?, have);
/// # Ok::<(), unchoke_core::BitfieldError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

/// Why bytes are not a bitfield of the wanted length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// The number of bytes is not the number of pieces divided by eight, rounded up.
    #[error("bitfield has {found} bytes where {wanted} are due")]
    Length {
        /// Bytes that the number of pieces asks for.
        wanted: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A bit after the last piece is set.
    #[error("bitfield sets a spare bit")]
    SpareBit,
}

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "every index is checked against `len` first; counts are bounded by `len`"
)]
impl Bitfield {
    /// An empty set over `len` pieces.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len, ones: 0 }
    }

    /// The set of all of `len` pieces.
    #[must_use]
    pub fn full(len: u32) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64) as usize];
        if let (Some(last), rest @ 1..) = (words.last_mut(), len % 64) {
            *last = u64::MAX << (64 - rest);
        }
        Self { words, len, ones: len }
    }

    /// Reads the wire form. The length must fit exactly and spare bits must be zero.
    ///
    /// # Errors
    /// [`BitfieldError`] tells which of the two failed.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        let wanted = len.div_ceil(8) as usize;
        if bytes.len() != wanted {
            return Err(BitfieldError::Length { wanted, found: bytes.len() });
        }
        let mut words = Vec::with_capacity(wanted.div_ceil(8));
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            words.push(u64::from_be_bytes(word));
        }
        if let (Some(last), rest @ 1..) = (words.last(), len % 64)
            && last << rest != 0
        {
            return Err(BitfieldError::SpareBit);
        }
        let ones = words.iter().map(|word| word.count_ones()).sum();
        Ok(Self { words, len, ones })
    }

    /// The wire form, spare bits zero.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes
    }

    /// The number of pieces that the set ranges over.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the set ranges over no piece at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of pieces in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether the piece is in the set; `false` for a piece out of range.
    #[must_use]
    pub fn contains(&self, piece: PieceIndex) -> bool {
        piece.0 < self.len && self.words[(piece.0 / 64) as usize] & bit(piece) != 0
    }

    /// Puts a piece in; returns whether it is new. A piece out of range is not put in.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        if piece.0 >= self.len || self.contains(piece) {
            return false;
        }
        self.words[(piece.0 / 64) as usize] |= bit(piece);
        self.ones += 1;
        true
    }

    /// Takes a piece out; returns whether it was in.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        if !self.contains(piece) {
            return false;
        }
        self.words[(piece.0 / 64) as usize] &= !bit(piece);
        self.ones -= 1;
        true
    }

    /// The pieces in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.words.iter().enumerate().flat_map(|(number, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let zeros = rest.leading_zeros();
                (zeros < 64).then(|| {
                    rest &= !(1 << (63 - zeros));
                    // `number` counts words of a set whose length fits in 32 bits.
                    PieceIndex(u32::try_from(number).unwrap_or(u32::MAX / 64) * 64 + zeros)
                })
            })
        })
    }

    /// Whether `self` holds a piece that `other` lacks: whether a peer with `self` is of interest to one with `other`.
    #[must_use]
    pub fn has_any_beyond(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(mine, theirs)| mine & !theirs != 0)
            || self.words.iter().skip(other.words.len()).any(|word| *word != 0)
    }
}

fn bit(piece: PieceIndex) -> u64 {
    (1 << 63) >> (piece.0 % 64)
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({}/{})", self.ones, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn rejects_wrong_length_and_spare_bits() {
        assert_eq!(Bitfield::from_bytes(&[0], 9), Err(BitfieldError::Length { wanted: 2, found: 1 }));
        assert_eq!(Bitfield::from_bytes(&[0, 0x40], 9), Err(BitfieldError::SpareBit));
        assert!(Bitfield::from_bytes(&[0, 0x80], 9).unwrap().contains(PieceIndex(8)));
        assert!(Bitfield::from_bytes(&[], 0).unwrap().is_full());
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(len in 0u32..300, ops in prop::collection::vec((0u32..310, any::<bool>()), 0..200)) {
            let (mut field, mut model) = (Bitfield::new(len), BTreeSet::new());
            for (piece, put) in ops {
                let piece = PieceIndex(piece);
                if put {
                    prop_assert_eq!(field.insert(piece), piece.0 < len && model.insert(piece));
                } else {
                    prop_assert_eq!(field.remove(piece), model.remove(&piece));
                }
            }
            prop_assert_eq!(field.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(field.count() as usize, model.len());
            prop_assert_eq!(&Bitfield::from_bytes(&field.to_bytes(), len).unwrap(), &field);
            prop_assert_eq!(Bitfield::full(len).has_any_beyond(&field), !field.is_full());
            prop_assert!(!field.has_any_beyond(&Bitfield::full(len)));
        }

        #[test]
        fn a_full_set_holds_everything(len in 0u32..300) {
            prop_assert_eq!(Bitfield::full(len).iter().count(), len as usize);
            prop_assert!(Bitfield::from_bytes(&Bitfield::full(len).to_bytes(), len).unwrap().is_full());
        }
    }
}
