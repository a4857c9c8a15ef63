//! Pieces and blocks ([BEP 3]): indices, lengths, and the arithmetic between them.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use std::fmt;
use std::sync::Arc;

/// The length of a block that clients request, in bytes: 16 KiB by convention (BEP 3).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The longest piece that a [`Geometry`] accepts, in bytes.
pub const MAX_PIECE_LEN: u32 = 1 << 29;

/// The number of a piece within its torrent, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an index is a number and stays one")]
pub struct PieceIndex(pub u32);

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A byte range within one piece, as `request`, `piece` and `cancel` messages name it.
///
/// Nothing is promised about its bounds until [`Geometry::contains`] has said so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 3 closes the set of fields")]
pub struct Block {
    /// The piece that the block lies in.
    pub piece: PieceIndex,
    /// Bytes from the start of the piece.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

impl Block {
    /// The end of the block within its piece, in bytes; `None` if that overflows.
    #[must_use]
    pub fn end(&self) -> Option<u32> {
        self.offset.checked_add(self.length)
    }

    /// The number of this block within its piece when the piece is cut into blocks of [`BLOCK_LEN`].
    #[must_use]
    pub fn number(&self) -> u32 {
        self.offset / BLOCK_LEN
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}:{}", self.piece, self.offset, self.length)
    }
}

/// Why a [`Geometry`] cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// The piece length is 0 or above [`MAX_PIECE_LEN`].
    #[error("piece length {0} is not within 1..={MAX_PIECE_LEN}")]
    PieceLength(u64),
    /// The torrent would have more than `u32::MAX` pieces.
    #[error("{0} bytes are too many pieces of this length")]
    TooManyPieces(u64),
}

/// How a torrent's bytes are cut into pieces and blocks. All piece arithmetic lives here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    total: u64,
    /// Where the last piece ends. Beyond `total` if there are gaps between files.
    end: u64,
    piece_len: u32,
    pieces: u32,
    /// The pieces before the last that are shorter than the rest, in order, with their lengths.
    short: Option<Arc<[(PieceIndex, u32)]>>,
}

#[expect(clippy::arithmetic_side_effects, reason = "bounds are established by `new` and by the index checks")]
impl Geometry {
    /// Cuts `total` bytes into pieces of `piece_len` bytes, the last one shorter if need be.
    ///
    /// # Errors
    /// If the piece length is out of range or the pieces cannot be counted in 32 bits.
    pub fn new(total: u64, piece_len: u64) -> Result<Self, GeometryError> {
        let length = checked_length(piece_len)?;
        let pieces = u32::try_from(total.div_ceil(piece_len)).map_err(|_| GeometryError::TooManyPieces(total))?;
        Ok(Self { total, end: total, piece_len: length, pieces, short: None })
    }

    /// Cuts each of these files into pieces of `piece_len` bytes of its own, the last one of each file shorter if need be ([BEP 52]).
    ///
    /// [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn aligned(lengths: impl IntoIterator<Item = u64>, piece_len: u64) -> Result<Self, GeometryError> {
        let length = checked_length(piece_len)?;
        let (mut total, mut pieces, mut short) = (0_u64, 0_u32, Vec::new());
        let mut end = 0;
        for file in lengths {
            total = total.checked_add(file).ok_or(GeometryError::TooManyPieces(u64::MAX))?;
            let more = u32::try_from(file.div_ceil(piece_len)).ok().and_then(|more| pieces.checked_add(more));
            pieces = more.ok_or(GeometryError::TooManyPieces(total))?;
            if let Ok(rest) = u32::try_from(file % piece_len)
                && file > 0
            {
                end = u64::from(pieces) * piece_len - if rest == 0 { 0 } else { piece_len - u64::from(rest) };
                if rest > 0 {
                    short.push((PieceIndex(pieces - 1), rest));
                }
            }
        }
        // Where the torrent ends says how long its last piece is.
        short.pop_if(|(piece, _)| piece.0 + 1 == pieces);
        let short = (!short.is_empty()).then(|| short.into());
        Ok(Self { total, end, piece_len: length, pieces, short })
    }

    /// All bytes of the torrent. Where files are [aligned](Self::aligned) to pieces, what lies between them does not count.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.total
    }

    /// The length of every piece but the last, in bytes.
    #[must_use]
    pub fn piece_length(&self) -> u32 {
        self.piece_len
    }

    /// The number of pieces.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        self.pieces
    }

    /// The length of one piece in bytes, or `None` if there is no such piece.
    #[must_use]
    pub fn piece_len(&self, piece: PieceIndex) -> Option<u32> {
        if piece.0 >= self.pieces {
            return None;
        }
        if let Some(short) = &self.short
            && let Ok(at) = short.binary_search_by_key(&piece, |(piece, _)| *piece)
        {
            return short.get(at).map(|(_, length)| *length);
        }
        let left = self.end - u64::from(piece.0) * u64::from(self.piece_len);
        Some(u32::try_from(left).map_or(self.piece_len, |left| left.min(self.piece_len)))
    }

    /// Where the piece starts within the torrent, in bytes and with the gaps between [aligned](Self::aligned) files, or `None` if there is no such piece.
    #[must_use]
    pub fn piece_offset(&self, piece: PieceIndex) -> Option<u64> {
        (piece.0 < self.pieces).then(|| u64::from(piece.0) * u64::from(self.piece_len))
    }

    /// The number of blocks of [`BLOCK_LEN`] in one piece, or `None` if there is no such piece.
    #[must_use]
    pub fn block_count(&self, piece: PieceIndex) -> Option<u32> {
        self.piece_len(piece).map(|length| length.div_ceil(BLOCK_LEN))
    }

    /// Block number `number` of a piece, or `None` if there is no such block.
    #[must_use]
    pub fn block(&self, piece: PieceIndex, number: u32) -> Option<Block> {
        let length = self.piece_len(piece)?;
        let offset = number.checked_mul(BLOCK_LEN)?;
        (offset < length).then(|| Block { piece, offset, length: (length - offset).min(BLOCK_LEN) })
    }

    /// Whether the block is not empty and lies wholly within its piece.
    #[must_use]
    pub fn contains(&self, block: Block) -> bool {
        match (self.piece_len(block.piece), block.end()) {
            (Some(length), Some(end)) => block.length > 0 && end <= length,
            _ => false,
        }
    }

    /// Where a block starts within the torrent, in bytes, or `None` if it does not lie within its piece.
    #[must_use]
    pub fn block_offset(&self, block: Block) -> Option<u64> {
        self.contains(block).then(|| u64::from(block.piece.0) * u64::from(self.piece_len) + u64::from(block.offset))
    }

    /// All piece indices in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.pieces).map(PieceIndex)
    }
}

fn checked_length(piece_len: u64) -> Result<u32, GeometryError> {
    match u32::try_from(piece_len) {
        Ok(length) if (1..=MAX_PIECE_LEN).contains(&length) => Ok(length),
        _ => Err(GeometryError::PieceLength(piece_len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_files_share_no_piece() {
        let geometry = Geometry::aligned([5, 0, 20_000, 16_384, 1], 16_384).unwrap();
        let lengths: Vec<_> = geometry.pieces().map(|piece| geometry.piece_len(piece).unwrap()).collect();
        assert_eq!(lengths, [5, 16_384, 3_616, 16_384, 1]);
        assert_eq!((geometry.total_len(), geometry.piece_offset(PieceIndex(3))), (36_390, Some(3 * 16_384)));
        assert_eq!(geometry.block(PieceIndex(0), 0).unwrap().length, 5);
        assert!(!geometry.contains(Block { piece: PieceIndex(2), offset: 0, length: 3_617 }));
        for total in [0, 1, 16_384, 16_385, 50_000] {
            assert_eq!(Geometry::aligned([total, 0], 16_384), Geometry::new(total, 16_384), "one file has no gaps");
        }
        assert!(Geometry::aligned([u64::MAX, 1], 1 << 20).is_err());
        assert_eq!(Geometry::aligned([1 << 51, 1 << 51], 1 << 20), Err(GeometryError::TooManyPieces(1 << 52)));
    }

    #[test]
    fn last_piece_and_block_are_shorter() {
        let geometry = Geometry::new(100_000, 32 * 1024).unwrap();
        assert_eq!(geometry.piece_count(), 4);
        assert_eq!(geometry.piece_len(PieceIndex(3)), Some(100_000 - 3 * 32 * 1024));
        assert_eq!(geometry.piece_len(PieceIndex(4)), None);
        assert_eq!(geometry.block(PieceIndex(3), 0).unwrap().length, 100_000 - 3 * 32 * 1024);
        assert_eq!(
            geometry.block(PieceIndex(0), 1),
            Some(Block { piece: PieceIndex(0), offset: 16384, length: 16384 })
        );
        assert_eq!(geometry.block(PieceIndex(0), 2), None);
    }

    #[test]
    fn refuses_lengths_out_of_range() {
        for length in [0, 1 << 30, u64::MAX] {
            assert_eq!(Geometry::new(1, length), Err(GeometryError::PieceLength(length)));
        }
        assert_eq!(Geometry::new(u64::MAX, 1), Err(GeometryError::TooManyPieces(u64::MAX)));
        assert_eq!(Geometry::new(0, 1).unwrap().piece_count(), 0);
    }

    #[test]
    fn blocks_that_leave_their_piece_are_not_contained() {
        let geometry = Geometry::new(100, 64).unwrap();
        let inside = Block { piece: PieceIndex(1), offset: 0, length: 36 };
        assert!(geometry.contains(inside));
        assert_eq!(geometry.block_offset(inside), Some(64));
        assert!(!geometry.contains(Block { length: 37, ..inside }));
        assert!(!geometry.contains(Block { length: 0, ..inside }));
        assert!(!geometry.contains(Block { offset: u32::MAX, ..inside }));
        assert!(!geometry.contains(Block { piece: PieceIndex(2), ..inside }));
    }

    #[test]
    fn a_total_that_fits_32_bits_has_no_long_last_piece() {
        let geometry = Geometry::new(u64::from(u32::MAX) + 10, 1 << 20).unwrap();
        assert_eq!(geometry.piece_len(PieceIndex(0)), Some(1 << 20));
        assert_eq!(geometry.piece_len(PieceIndex(4096)), Some(9));
    }
}
