//! Consecutive pieces that lie in one object, and the object's name.

use std::fmt;
use std::ops::Range;
use unchoke_core::{Geometry, PieceIndex};

/// The pieces from `first` to `last`, both included. An object of these pieces is their bytes one after the other; its name are the two numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Run {
    first: u32,
    last: u32,
}

impl Run {
    /// `None` if the first comes after the last.
    pub(super) fn new(first: u32, last: u32) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// A piece alone.
    pub(super) const fn of(piece: PieceIndex) -> Self {
        Self { first: piece.0, last: piece.0 }
    }

    /// Reads the name of an object. `None` if it is none of ours, or the torrent has no such pieces.
    pub(super) fn parse(name: &str, geometry: &Geometry) -> Option<Self> {
        let (first, last) = name.split_once('-')?;
        let run = Self::new(number(first)?, number(last)?)?;
        (run.last < geometry.piece_count()).then_some(run)
    }

    pub(super) const fn first(self) -> u32 {
        self.first
    }

    pub(super) const fn last(self) -> u32 {
        self.last
    }

    pub(super) fn pieces(self) -> impl Iterator<Item = PieceIndex> {
        (self.first..=self.last).map(PieceIndex)
    }

    pub(super) const fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is left of it on both sides of a piece.
    pub(super) fn without(self, piece: PieceIndex) -> impl Iterator<Item = Self> {
        let before = piece.0.checked_sub(1).and_then(|last| Self::new(self.first, last));
        let after = piece.0.checked_add(1).and_then(|first| Self::new(first, self.last));
        before.into_iter().chain(after)
    }

    /// The bytes of all its pieces.
    pub(super) fn len(self, geometry: &Geometry) -> u64 {
        self.pieces().filter_map(|piece| geometry.piece_len(piece)).map(u64::from).sum()
    }

    /// Where some of its pieces lie in its object.
    pub(super) fn range(self, part: Self, geometry: &Geometry) -> Range<u64> {
        let before = Self::new(self.first, part.first.saturating_sub(1)).filter(|_| part.first > self.first);
        let start = before.map_or(0, |before| before.len(geometry));
        start..start.saturating_add(part.len(geometry))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.first, self.last)
    }
}

/// Eight digits, as we write them.
fn number(text: &str) -> Option<u32> {
    let is_ours = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours { u32::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_no_other_is_taken_for_one() {
        let geometry = Geometry::aligned([100_000, 70_000], 32_768).unwrap();
        assert_eq!(geometry.piece_count(), 7);
        let run = Run::new(2, 5).unwrap();
        assert_eq!(run.to_string(), "00000002-00000005");
        assert_eq!(Run::parse("00000002-00000005", &geometry), Some(run));
        for name in ["", "-", "2-5", "00000005-00000002", "00000002-00000007", "0000000A-0000000b", "+0000001-00000002"]
        {
            assert_eq!(Run::parse(name, &geometry), None, "{name}");
        }
        let (short, whole) = (100_000 - 3 * 32_768, 32_768);
        assert_eq!(run.len(&geometry), whole + short + 2 * whole);
        assert_eq!(run.range(Run::of(PieceIndex(4)), &geometry), whole + short..2 * whole + short);
        assert_eq!(run.range(run, &geometry), 0..run.len(&geometry));
        assert_eq!(run.without(PieceIndex(2)).collect::<Vec<_>>(), [Run::new(3, 5).unwrap()]);
        assert_eq!(run.without(PieceIndex(4)).count(), 2);
    }
}
