//! The merkle trees of v2 torrents ([BEP 52]): SHA-256 over blocks of 16 KiB, two children to a node.
//!
//! A tree has a power of two of leaves. Those beyond the end of the file are 32 zero bytes, so a subtree that covers nothing but them has a
//! root that depends on its height alone.
//!
//! [BEP 52]: https://www.bittorrent.org/beps/bep_0052.html

use crate::hash::{Sha256, Sha256Hash, sha256_each};
use crate::piece::BLOCK_LEN;
use std::sync::LazyLock;

/// Bytes under one leaf.
pub const LEAF_LEN: u32 = BLOCK_LEN;

/// The greatest height of a tree: 2^63 bytes have 2^49 leaves.
pub const MAX_HEIGHT: u32 = 49;

/// The node above two others.
#[must_use]
pub fn parent(left: &Sha256Hash, right: &Sha256Hash) -> Sha256Hash {
    let mut hasher = Sha256::new();
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    hasher.finish()
}

/// The root of a subtree of 2^`height` leaves that all lie beyond the end of the file. Heights above [`MAX_HEIGHT`] do not occur.
#[must_use]
pub fn padding(height: u32) -> Sha256Hash {
    static PADDING: LazyLock<Vec<Sha256Hash>> = LazyLock::new(|| {
        let first = Sha256Hash::new([0; 32]);
        std::iter::successors(Some(first), |below| Some(parent(below, below))).take(MAX_HEIGHT as usize + 1).collect()
    });
    PADDING.get(height as usize).copied().unwrap_or(Sha256Hash::new([0; 32]))
}

/// The height of the smallest tree with at least this many leaves.
#[must_use]
pub fn height(leaves: u64) -> u32 {
    leaves.max(1).next_power_of_two().trailing_zeros()
}

/// Finds the root over nodes that come one after another, in memory of one node a level.
#[derive(Clone, Debug, Default)]
pub struct RootHasher {
    /// The roots of the full subtrees so far: bit `n` of `count` tells whether level `n` holds one.
    levels: Vec<Sha256Hash>,
    count: u64,
}

impl RootHasher {
    /// A hasher that has seen no node.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next node.
    pub fn push(&mut self, node: Sha256Hash) {
        let mut node = node;
        let mut full = self.count;
        while full & 1 == 1 {
            if let Some(left) = self.levels.pop() {
                node = parent(&left, &node);
            }
            full >>= 1;
        }
        self.levels.push(node);
        self.count = self.count.wrapping_add(1);
    }

    /// The number of nodes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root of a tree that is `height` levels high and whose lowest level, that of the nodes, is `base` levels above the leaves. Nodes that
    /// are missing lie beyond the end of the file.
    #[must_use]
    pub fn finish(mut self, base: u32, height: u32) -> Sha256Hash {
        let mut node: Option<Sha256Hash> = None;
        for level in 0..height {
            let beyond = padding(base.saturating_add(level));
            let left = if self.count >> level & 1 == 1 { self.levels.pop() } else { None };
            node = match (left, node) {
                (Some(left), Some(right)) => Some(parent(&left, &right)),
                (Some(only), None) | (None, Some(only)) => Some(parent(&only, &beyond)),
                (None, None) => None,
            };
        }
        node.or_else(|| self.levels.pop()).unwrap_or(padding(base.saturating_add(height)))
    }
}

/// The root over these nodes, as [`RootHasher::finish`] gives it.
#[must_use]
pub fn root(nodes: impl IntoIterator<Item = Sha256Hash>, base: u32, height: u32) -> Sha256Hash {
    let mut hasher = RootHasher::new();
    nodes.into_iter().for_each(|node| hasher.push(node));
    hasher.finish(base, height)
}

/// Cuts bytes into leaves and hashes them.
#[derive(Clone, Debug, Default)]
pub struct LeafHasher {
    hasher: Sha256,
    /// Bytes of the current leaf that are hashed.
    filled: u32,
}

impl LeafHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and hands on each leaf that is complete. It is fastest with several leaves at once.
    pub fn update(&mut self, bytes: &[u8], leaf: impl FnMut(Sha256Hash)) {
        self.update_all([bytes], leaf);
    }

    /// Takes the next bytes, which come in parts, and hands on each leaf that is complete. It is fastest if the parts are whole leaves.
    pub fn update_all<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>, mut leaf: impl FnMut(Sha256Hash)) {
        let (mut whole, mut found) = (Vec::new(), Vec::new());
        let mut hash = |whole: &mut Vec<&'a [u8]>, leaf: &mut dyn FnMut(Sha256Hash)| {
            sha256_each(whole.drain(..), &mut found);
            found.drain(..).for_each(leaf);
        };
        for part in parts {
            let mut rest = part;
            if self.filled == 0 {
                let leaves = part.chunks_exact(LEAF_LEN as usize);
                rest = leaves.remainder();
                whole.extend(leaves);
            }
            if !rest.is_empty() {
                hash(&mut whole, &mut leaf);
                self.fill(rest, &mut leaf);
            }
        }
        hash(&mut whole, &mut leaf);
    }

    fn fill(&mut self, mut bytes: &[u8], leaf: &mut dyn FnMut(Sha256Hash)) {
        while !bytes.is_empty() {
            let room = LEAF_LEN.saturating_sub(self.filled) as usize;
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.hasher.update(now);
            // No portion is longer than a leaf.
            self.filled = self.filled.saturating_add(u32::try_from(now.len()).unwrap_or(LEAF_LEN));
            if self.filled >= LEAF_LEN {
                leaf(std::mem::take(&mut self.hasher).finish());
                self.filled = 0;
            }
            bytes = later;
        }
    }

    /// The last leaf, if it is shorter than the others.
    #[must_use]
    pub fn finish(self) -> Option<Sha256Hash> {
        (self.filled > 0).then(|| self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    fn leaves(count: u8) -> Vec<Sha256Hash> {
        (0..count).map(|number| sha256(&[number])).collect()
    }

    /// The root by the definition: all levels in full.
    fn plain(mut level: Vec<Sha256Hash>, width: usize, beyond: Sha256Hash) -> Sha256Hash {
        level.resize(width, beyond);
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        }
        level[0]
    }

    #[test]
    fn a_root_found_step_by_step_is_that_of_the_whole_tree() {
        for count in 0..=33_u8 {
            for height in height(count.into())..8 {
                for base in [0, 3] {
                    let expected = plain(leaves(count), 1 << height, padding(base));
                    assert_eq!(root(leaves(count), base, height), expected, "{count} nodes, height {height}");
                }
            }
        }
    }

    #[test]
    fn leaves_end_where_blocks_do_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let expected: Vec<_> = bytes.chunks(LEAF_LEN as usize).map(sha256).collect();
        for portion in [1, 1000, 16_384, 20_000, 40_000] {
            let (mut hasher, mut found) = (LeafHasher::new(), Vec::new());
            bytes.chunks(portion).for_each(|part| hasher.update(part, |leaf| found.push(leaf)));
            found.extend(hasher.finish());
            assert_eq!(found, expected, "{portion}");
            let (mut hasher, mut found) = (LeafHasher::new(), Vec::new());
            hasher.update_all(bytes.chunks(portion), |leaf| found.push(leaf));
            found.extend(hasher.finish());
            assert_eq!(found, expected, "{portion}");
        }
        assert_eq!(LeafHasher::new().finish(), None);
    }

    #[test]
    fn heights_count_the_levels_above_the_leaves() {
        let table = [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 49, MAX_HEIGHT)];
        table.iter().for_each(|(leaves, expected)| assert_eq!(height(*leaves), *expected));
    }
}
