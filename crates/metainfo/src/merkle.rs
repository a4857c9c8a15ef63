//! Merkle trees of files ([BEP 52]): hashing a file, and proving that some hashes are part of its tree.
//!
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use unchoke_core::Sha256Hash;
use unchoke_core::merkle::{LEAF_LEN, LeafHasher, MAX_HEIGHT, RootHasher, height, padding, parent, root};

/// What a v2 torrent says of the bytes of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHashes {
    length: u64,
    root: Option<Sha256Hash>,
    layer: Vec<Sha256Hash>,
}

impl FileHashes {
    /// From the roots of all pieces, in order, which the caller has computed, such as on several threads.
    ///
    /// The root of a piece is [`piece_root`]. `None` if there is not one root for every piece, or the piece length is no power of two from 16 KiB.
    #[must_use]
    pub fn from_piece_roots(length: u64, piece_length: u32, roots: Vec<Sha256Hash>) -> Option<Self> {
        if !piece_length.is_power_of_two() || piece_length < LEAF_LEN {
            return None;
        }
        if u64::try_from(roots.len()) != Ok(length.div_ceil(piece_length.into())) {
            return None;
        }
        if length <= u64::from(piece_length) {
            return Some(Self { length, root: roots.first().copied(), layer: Vec::new() });
        }
        let base = height(u64::from(piece_length.div_ceil(LEAF_LEN)));
        let whole = height(length.div_ceil(LEAF_LEN.into()));
        let root = root(roots.iter().copied(), base, whole.saturating_sub(base));
        Some(Self { length, root: Some(root), layer: roots })
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The root of the tree over the file; `None` if it has no bytes.
    #[must_use]
    pub fn root(&self) -> Option<Sha256Hash> {
        self.root
    }

    /// The roots of all pieces; none if the file fits into one piece.
    #[must_use]
    pub fn layer(&self) -> &[Sha256Hash] {
        &self.layer
    }
}

/// The root over the blocks of one piece of a file.
///
/// `file_length` tells whether the file is one piece at most: its tree is only as high as its blocks need then.
#[must_use]
pub fn piece_root(bytes: &[u8], piece_length: u32, file_length: u64) -> Sha256Hash {
    let mut leaves = LeafHasher::new();
    let mut tree = RootHasher::new();
    leaves.update(bytes, |leaf| tree.push(leaf));
    leaves.finish().into_iter().for_each(|leaf| tree.push(leaf));
    tree.finish(0, piece_height(piece_length, file_length))
}

fn piece_height(piece_length: u32, file_length: u64) -> u32 {
    height(file_length.min(piece_length.into()).div_ceil(LEAF_LEN.into()))
}

/// Hashes the bytes of one file, in memory of the roots of its pieces.
#[derive(Clone, Debug)]
pub struct FileHasher {
    piece_length: u32,
    leaves: LeafHasher,
    tree: RootHasher,
    layer: Vec<Sha256Hash>,
    taken: u64,
}

impl FileHasher {
    /// A hasher that has seen nothing; `None` if the piece length is no power of two from 16 KiB.
    #[must_use]
    pub fn new(piece_length: u32) -> Option<Self> {
        (piece_length.is_power_of_two() && piece_length >= LEAF_LEN).then(|| Self {
            piece_length,
            leaves: LeafHasher::new(),
            tree: RootHasher::new(),
            layer: Vec::new(),
            taken: 0,
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (tree, layer) = (&mut self.tree, &mut self.layer);
        let leaves = u64::from(self.piece_length.div_ceil(LEAF_LEN));
        self.leaves.update(bytes, |leaf| {
            tree.push(leaf);
            if tree.count() == leaves {
                layer.push(std::mem::take(tree).finish(0, height(leaves)));
            }
        });
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// The hashes of the file.
    #[must_use]
    pub fn finish(self) -> FileHashes {
        let Self { piece_length, leaves, mut tree, mut layer, taken } = self;
        leaves.finish().into_iter().for_each(|leaf| tree.push(leaf));
        if tree.count() > 0 {
            layer.push(tree.finish(0, piece_height(piece_length, taken)));
        }
        let none = FileHashes { length: taken, root: None, layer: Vec::new() };
        FileHashes::from_piece_roots(taken, piece_length, layer).unwrap_or(none)
    }
}

/// Which hashes of a tree are asked for, as `hash request` messages put it (BEP 52, "peer messages").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "BEP 52 closes the set of fields")]
pub struct HashRange {
    /// Levels above the leaves.
    pub base_layer: u32,
    /// The first hash in that layer, a multiple of `length`.
    pub index: u32,
    /// How many hashes: a power of two, at least 2.
    pub length: u32,
    /// For how many levels above the base layer uncles are wanted.
    pub proof_layers: u32,
}

impl HashRange {
    /// Levels from the base layer to the node above all the hashes, if the range is one that may be asked for.
    fn span(&self) -> Option<u32> {
        let is_sound = self.length >= 2
            && self.length.is_power_of_two()
            && self.index.checked_rem(self.length) == Some(0)
            && self.base_layer <= MAX_HEIGHT
            && self.proof_layers <= MAX_HEIGHT;
        is_sound.then(|| self.length.trailing_zeros())
    }

    /// How many uncles follow the hashes: none for levels that the hashes themselves cover.
    fn uncles(&self, span: u32) -> u32 {
        self.proof_layers.saturating_sub(span.saturating_sub(1))
    }
}

/// Why hashes are no proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The length is no power of two from 2, the index no multiple of it, or a layer is not in the tree.
    #[error("no such range of hashes")]
    Range,
    /// There are not as many hashes as the range asks for.
    #[error("{found} hashes, expected {expected}")]
    Count {
        /// The number that the range asks for.
        expected: u64,
        /// The number found.
        found: usize,
    },
    /// The proof layers do not reach the root, so nothing is proved.
    #[error("the proof does not reach the root")]
    Short,
    /// The hashes lead to another root.
    #[error("the hashes lead to another root")]
    Root,
}

/// Checks that hashes, followed by their uncles from the lowest up, are those of a range in the tree of a file.
///
/// `length` is that of the file in bytes, which tells the height of the tree.
///
/// # Errors
/// If they are not.
pub fn verify(root: &Sha256Hash, length: u64, range: HashRange, hashes: &[Sha256Hash]) -> Result<(), ProofError> {
    let span = range.span().ok_or(ProofError::Range)?;
    let height = height(length.div_ceil(LEAF_LEN.into()));
    let top = range.base_layer.checked_add(span).filter(|top| *top <= height).ok_or(ProofError::Range)?;
    let position = u64::from(range.index) >> span;
    if position >> height.saturating_sub(top).min(63) != 0 {
        return Err(ProofError::Range);
    }
    let uncles = range.uncles(span).min(height.saturating_sub(top));
    let expected = u64::from(range.length).saturating_add(uncles.into());
    let (base, proof) = usize::try_from(range.length)
        .ok()
        .and_then(|at| hashes.split_at_checked(at))
        .filter(|_| u64::try_from(hashes.len()) == Ok(expected))
        .ok_or(ProofError::Count { expected, found: hashes.len() })?;
    if top.saturating_add(uncles) < height {
        return Err(ProofError::Short);
    }
    let start = self::root(base.iter().copied(), range.base_layer, span);
    let found = proof.iter().zip(0_u32..).fold(start, |node, (uncle, level)| {
        if position >> level & 1 == 0 { parent(&node, uncle) } else { parent(uncle, &node) }
    });
    if found == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// The upper part of the tree of a file, from some layer up, kept in full so that peers' requests can be answered.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    base: u32,
    /// The layers from the base up to the root, without what lies beyond the end of the file.
    layers: Vec<Vec<Sha256Hash>>,
    height: u32,
}

impl MerkleTree {
    /// A tree over the nodes of one layer, `base` levels above the leaves, of a file of `length` bytes; 0 for the leaves themselves.
    ///
    /// `None` if there are not as many nodes as the file has.
    #[must_use]
    pub fn new(base: u32, length: u64, nodes: Vec<Sha256Hash>) -> Option<Self> {
        let leaves = length.div_ceil(LEAF_LEN.into());
        let height = height(leaves);
        let width = leaves.div_ceil(1_u64.checked_shl(base)?);
        if base > height || nodes.is_empty() || u64::try_from(nodes.len()) != Ok(width) {
            return None;
        }
        let mut layers = vec![nodes];
        for level in base..height {
            let below = layers.last()?;
            let beyond = padding(level);
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => parent(left, right),
                [left, ..] => parent(left, &beyond),
                [] => beyond,
            });
            layers.push(above.collect());
        }
        Some(Self { base, layers, height })
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Sha256Hash {
        self.node(self.height, 0)
    }

    /// Levels from the leaves to the root.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The nodes of one layer, `level` levels above the leaves, without those beyond the end of the file. `None` if the tree does not hold it.
    #[must_use]
    pub fn layer(&self, level: u32) -> Option<&[Sha256Hash]> {
        self.layers.get(level.checked_sub(self.base)? as usize).map(Vec::as_slice)
    }

    /// The hashes of a range, followed by their uncles, as `hashes` messages carry them.
    ///
    /// # Errors
    /// If there is no such range, or it lies below the layers that are kept.
    pub fn hashes(&self, range: HashRange) -> Result<Vec<Sha256Hash>, ProofError> {
        let span = range.span().ok_or(ProofError::Range)?;
        let top = range.base_layer.checked_add(span).filter(|top| *top <= self.height).ok_or(ProofError::Range)?;
        let end = u64::from(range.index).saturating_add(range.length.into());
        let width = 1_u64 << self.height.saturating_sub(range.base_layer).min(63);
        if range.base_layer < self.base || end > width {
            return Err(ProofError::Range);
        }
        let base = (u64::from(range.index)..end).map(|at| self.node(range.base_layer, at));
        let mut position = u64::from(range.index) >> span;
        let uncles = (top..self.height).take(range.uncles(span) as usize).map(|level| {
            let uncle = self.node(level, position ^ 1);
            position >>= 1;
            uncle
        });
        Ok(base.chain(uncles).collect())
    }

    fn node(&self, level: u32, at: u64) -> Sha256Hash {
        let layer = self.layer(level).unwrap_or_default();
        usize::try_from(at).ok().and_then(|at| layer.get(at)).copied().unwrap_or_else(|| padding(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::hash::sha256;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 9).to_le_bytes()[0]).collect()
    }

    fn leaves(bytes: &[u8]) -> Vec<Sha256Hash> {
        bytes.chunks(LEAF_LEN as usize).map(sha256).collect()
    }

    #[test]
    fn a_file_has_one_root_however_it_is_hashed() {
        for length in [1, 16_384, 16_385, 40_000, 65_536, 65_537, 300_000] {
            let content = bytes(length);
            let whole = MerkleTree::new(0, length as u64, leaves(&content)).unwrap();
            for piece_length in [16_384_u32, 65_536, 1 << 20] {
                let mut hasher = FileHasher::new(piece_length).unwrap();
                content.chunks(10_001).for_each(|part| hasher.update(part));
                let hashes = hasher.finish();
                assert_eq!(hashes.root(), Some(whole.root()), "{length} bytes in pieces of {piece_length}");
                let pieces = content.chunks(piece_length as usize);
                let roots: Vec<_> = pieces.map(|piece| piece_root(piece, piece_length, length as u64)).collect();
                assert_eq!(
                    FileHashes::from_piece_roots(length as u64, piece_length, roots.clone()),
                    Some(hashes.clone())
                );
                if length > piece_length as usize {
                    assert_eq!(hashes.layer(), roots);
                    assert_eq!(whole.layer(piece_length.ilog2() - 14), Some(hashes.layer()));
                } else {
                    assert!(hashes.layer().is_empty());
                }
            }
        }
        assert_eq!(FileHasher::new(1 << 20).unwrap().finish().root(), None);
        assert!(FileHasher::new(8192).is_none() && FileHasher::new(20_000).is_none());
    }

    #[test]
    fn only_ranges_that_the_tree_has_are_served() {
        let tree = MerkleTree::new(0, 5 * 16_384, leaves(&bytes(5 * 16_384))).unwrap();
        let range = HashRange { base_layer: 0, index: 4, length: 4, proof_layers: 2 };
        assert_eq!(tree.hashes(range).unwrap().len(), 5);
        for wrong in [
            HashRange { index: 2, ..range },
            HashRange { index: 8, ..range },
            HashRange { length: 3, ..range },
            HashRange { length: 1, ..range },
            HashRange { length: 0, index: 0, ..range },
            HashRange { length: 16, index: 0, ..range },
            HashRange { base_layer: 3, index: 0, ..range },
            HashRange { base_layer: u32::MAX, ..range },
            HashRange { proof_layers: u32::MAX, ..range },
            HashRange { length: 1 << 31, index: 1 << 31, ..range },
        ] {
            assert_eq!(tree.hashes(wrong), Err(ProofError::Range), "{wrong:?}");
            assert_eq!(verify(&tree.root(), 5 * 16_384, wrong, &[]), Err(ProofError::Range), "{wrong:?}");
        }
        let short = HashRange { proof_layers: 0, ..range };
        assert_eq!(verify(&tree.root(), 5 * 16_384, short, &tree.hashes(short).unwrap()), Err(ProofError::Short));
        let found = tree.hashes(range).unwrap();
        let count = ProofError::Count { expected: 5, found: 4 };
        assert_eq!(verify(&tree.root(), 5 * 16_384, range, &found[..4]), Err(count));
        assert!(MerkleTree::new(1, 5 * 16_384, leaves(&bytes(16_384))).is_none());
        assert!(MerkleTree::new(0, 0, Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn b14_every_range_is_proved_and_no_flipped_bit_is(
            blocks in 2u64..70, base in 0u32..3, span in 1u32..4, at in any::<u32>(), bit in any::<prop::sample::Index>()
        ) {
            let length = blocks * 16_384 - 7;
            let content = bytes(usize::try_from(length).unwrap());
            let whole = MerkleTree::new(0, length, leaves(&content)).unwrap();
            prop_assume!(base + span <= whole.height());
            let kept = MerkleTree::new(base, length, whole.layer(base).unwrap().to_vec()).unwrap();
            prop_assert_eq!(kept.root(), whole.root());
            let length_of_range = 1 << span;
            let index = at % (1 << (whole.height() - base - span)) * length_of_range;
            let range = HashRange { base_layer: base, index, length: length_of_range, proof_layers: whole.height() - base };
            let mut hashes = kept.hashes(range).unwrap();
            prop_assert_eq!(&hashes, &whole.hashes(range).unwrap());
            prop_assert_eq!(verify(&whole.root(), length, range, &hashes), Ok(()));
            let bit = bit.index(hashes.len() * 256);
            let mut flipped = *hashes[bit / 256].as_bytes();
            flipped[bit % 256 / 8] ^= 1 << (bit % 8);
            hashes[bit / 256] = Sha256Hash::new(flipped);
            prop_assert_eq!(verify(&whole.root(), length, range, &hashes), Err(ProofError::Root));
        }
    }
}
