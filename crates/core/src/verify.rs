//! Checks the bytes of one piece against what it must hash to.

use crate::hash::{PieceHash, PieceRoot, Sha1};
use crate::merkle::{LeafHasher, RootHasher, height};

/// Hashes a piece in parts, in whichever way its torrent asks for.
///
/// ```
/// use unchoke_core::hash::sha1;
/// use unchoke_core::{PieceHash, PieceVerifier};
/// let mut verifier = PieceVerifier::new(PieceHash::V1(sha1(b"one piece")));
/// verifier.update(b"one ");
/// verifier.update(b"piece");
/// assert!(verifier.finish());
/// ```
#[derive(Clone, Debug)]
pub struct PieceVerifier {
    expected: PieceHash,
    sha1: Sha1,
    leaves: LeafHasher,
    tree: RootHasher,
    taken: u64,
}

impl PieceVerifier {
    /// A verifier that has seen nothing.
    #[must_use]
    pub fn new(expected: PieceHash) -> Self {
        Self { expected, sha1: Sha1::new(), leaves: LeafHasher::new(), tree: RootHasher::new(), taken: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.update_all(&[bytes]);
    }

    /// Takes the next bytes, which come in parts: v2 pieces are fastest in parts of whole blocks, many at once.
    pub fn update_all(&mut self, parts: &[impl AsRef<[u8]>]) {
        let parts = || parts.iter().map(AsRef::as_ref);
        if matches!(self.expected, PieceHash::V1(_) | PieceHash::Hybrid(..)) {
            parts().for_each(|bytes| self.sha1.update(bytes));
        }
        let mut taken = self.taken;
        let mut owned = Vec::new();
        for bytes in parts() {
            if let PieceHash::V2(root) | PieceHash::Hybrid(_, root) = &self.expected {
                let left = usize::try_from(u64::from(root.length).saturating_sub(taken)).unwrap_or(usize::MAX);
                owned.push(bytes.get(..left).unwrap_or(bytes));
            }
            taken = taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        self.taken = taken;
        let tree = &mut self.tree;
        self.leaves.update_all(owned, |leaf| tree.push(leaf));
    }

    /// Whether the bytes are those of the piece.
    #[must_use]
    pub fn finish(self) -> bool {
        let Self { expected, sha1, leaves, mut tree, taken } = self;
        let mut is_root = |expected: &PieceRoot, longer: bool| {
            leaves.clone().finish().into_iter().for_each(|leaf| tree.push(leaf));
            let whole = taken == u64::from(expected.length) || longer && taken > u64::from(expected.length);
            whole && std::mem::take(&mut tree).finish(0, height(expected.leaves.into())) == expected.root
        };
        match expected {
            PieceHash::V1(hash) => sha1.finish() == hash,
            PieceHash::V2(root) => is_root(&root, false),
            PieceHash::Hybrid(hash, root) => sha1.finish() == hash && is_root(&root, true),
        }
    }
}

impl PieceHash {
    /// Whether these are the bytes of the piece.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut verifier = PieceVerifier::new(*self);
        verifier.update(bytes);
        verifier.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Sha256Hash, sha1, sha256};
    use crate::merkle::{LEAF_LEN, root};

    fn piece(bytes: &[u8], leaves: u32) -> PieceRoot {
        let nodes = bytes.chunks(LEAF_LEN as usize).map(sha256);
        PieceRoot { root: root(nodes, 0, height(leaves.into())), length: u32::try_from(bytes.len()).unwrap(), leaves }
    }

    #[test]
    fn a_piece_of_any_version_is_told_from_every_other() {
        let bytes = vec![7; 40_000];
        let padded = [&bytes[..], &[0; 25_536]].concat();
        let v2 = piece(&bytes, 4);
        assert!(PieceHash::V1(sha1(&bytes)).matches(&bytes) && PieceHash::V2(v2).matches(&bytes));
        assert!(PieceHash::Hybrid(sha1(&padded), v2).matches(&padded));
        let mut wrong = bytes.clone();
        wrong[39_999] ^= 1;
        for hash in [PieceHash::V1(sha1(&bytes)), PieceHash::V2(v2), PieceHash::Hybrid(sha1(&bytes), v2)] {
            assert!(hash.matches(&bytes), "{hash:?}");
            for other in [&wrong[..], &bytes[..39_999], &padded, b""] {
                assert!(!hash.matches(other), "{hash:?}");
            }
        }
    }

    #[test]
    fn a_hybrid_piece_must_fit_both_descriptions() {
        let bytes = vec![9; 16_384];
        let other = PieceRoot { root: Sha256Hash::new([1; 32]), ..piece(&bytes, 1) };
        assert!(!PieceHash::Hybrid(sha1(&bytes), other).matches(&bytes));
        assert!(!PieceHash::Hybrid(sha1(b"x"), piece(&bytes, 1)).matches(&bytes));
    }
}
