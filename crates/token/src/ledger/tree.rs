//! The state root: a Merkle tree over all that a ledger remembers, so that an operator who has signed a root cannot show two people two balances.
//!
//! It is a binary trie by the SHA-256 of the keys, with one leaf for each key and no nodes of one child: its root says what is in it and
//! what is not, whichever way it came about. A leaf's hash is SHA-256 over 0, the key's hash and the hash of the bytes that are remembered; a node's is over 1, the number of
//! the bit at which its leaves part (two bytes, the higher one first), its left and its right child. The root of nothing is 32 zero bytes.

use unchoke_core::hash::sha256;

/// The tree, in memory: about 140 bytes a leaf.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tree {
    nodes: Arena,
    free: Vec<u32>,
    root: Option<u32>,
}

/// Nodes by number, in pieces of [`PIECE`], so that they need not move when there are more.
#[derive(Clone, Default, Debug)]
struct Arena(Vec<Vec<Node>>);

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Of a leaf, the hash of its value. Of a branch, its own; all zeros if it has to be computed anew.
    hash: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The key's hash.
    Leaf([u8; 32]),
    /// The number of the bit at which its leaves part, and those that have it 0 and 1.
    Branch(u16, [u32; 2]),
}

/// The hash of a key and that of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    key: [u8; 32],
    value: [u8; 32],
}

/// What proves that a value is under a root, or that none is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Proof {
    /// The leaf that the key's way leads to, if there is any: its key's hash and its value's.
    pub leaf: Option<([u8; 32], [u8; 32])>,
    /// From the leaf up: the bit at which the branch parts, and the hash of the other side.
    pub path: Vec<(u16, [u8; 32])>,
}

impl Tree {
    /// The tree of all these keys and values, of which no two keys are alike. It takes far less time than to set one after the other.
    pub(crate) fn of(all: impl Iterator<Item = Leaf>) -> Self {
        let mut leaves: Vec<Leaf> = all.collect();
        leaves.sort_unstable_by_key(|it| it.key);
        leaves.dedup_by(|a, b| a.key == b.key);
        let mut tree = Self::default();
        tree.root = tree.grow(&leaves);
        tree
    }

    /// Adds what stands above leaves in order, hashes and all. Depth is that of the trie, 256 at most.
    fn grow(&mut self, leaves: &[Leaf]) -> Option<u32> {
        let (first, last) = (leaves.first()?, leaves.last()?);
        let Some(parts) = first_difference(&first.key, &last.key) else {
            return Some(self.add(Node { kind: Kind::Leaf(first.key), hash: first.value }));
        };
        let (left, right) = leaves.split_at(leaves.partition_point(|it| bit(&it.key, parts) == 0));
        let at = self.add(Node { kind: Kind::Branch(parts, [0; 2]), hash: [0; 32] });
        let children = [self.grow(left)?, self.grow(right)?];
        let hash = node_hash(parts, &self.hash(children[0]), &self.hash(children[1]));
        self.put(at, Node { kind: Kind::Branch(parts, children), hash });
        Some(at)
    }

    /// Sets the value of a key, or removes it.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = *sha256(key).as_bytes();
        match value {
            Some(value) => self.insert(key, *sha256(value).as_bytes()),
            None => self.remove(key),
        }
    }

    fn insert(&mut self, key: [u8; 32], value: [u8; 32]) {
        let leaf = Node { kind: Kind::Leaf(key), hash: value };
        let Some(root) = self.root else {
            self.root = Some(self.add(leaf));
            return;
        };
        let found = self.descend(root, &key);
        let Some(Kind::Leaf(other)) = self.node(found).map(|it| it.kind) else { return };
        let parts = first_difference(&key, &other);
        let above = self.mark(root, &key, parts.unwrap_or(u16::MAX));
        let Some(parts) = parts else {
            // It is there.
            self.put(found, leaf);
            return;
        };
        let new = self.add(leaf);
        let (parent, place) = above;
        let branch = if bit(&key, parts) == 0 { [new, place] } else { [place, new] };
        let branch = self.add(Node { kind: Kind::Branch(parts, branch), hash: [0; 32] });
        match parent {
            None => self.root = Some(branch),
            Some(parent) => self.replace_child(parent, place, branch),
        }
    }

    fn remove(&mut self, key: [u8; 32]) {
        let Some(root) = self.root else { return };
        let found = self.descend(root, &key);
        if !matches!(self.node(found).map(|it| it.kind), Some(Kind::Leaf(other)) if other == key) {
            return;
        }
        self.mark(root, &key, u16::MAX);
        // The branch above the leaf goes with it, and the other side takes its place.
        let (mut grandparent, mut parent, mut at) = (None, None, root);
        while let Some(Kind::Branch(parts, children)) = self.node(at).map(|it| it.kind) {
            (grandparent, parent) = (parent, Some((at, children)));
            at = child(children, bit(&key, parts));
        }
        self.free.push(found);
        let Some((parent, children)) = parent else {
            self.root = None;
            return;
        };
        let other = if children[0] == found { children[1] } else { children[0] };
        match grandparent {
            None => self.root = Some(other),
            Some((grandparent, _)) => self.replace_child(grandparent, parent, other),
        }
        self.free.push(parent);
    }

    /// The hash over all.
    pub(crate) fn root(&mut self) -> [u8; 32] {
        self.root.map_or([0; 32], |root| self.hash(root))
    }

    /// The proof of a key's value, or of its absence, under [`root`](Self::root).
    pub(crate) fn prove(&mut self, key: &[u8]) -> Proof {
        let key = *sha256(key).as_bytes();
        let (mut path, mut at) = (Vec::new(), self.root);
        while let Some(Kind::Branch(parts, children)) = at.and_then(|at| self.node(at)).map(|it| it.kind) {
            let side = bit(&key, parts);
            path.push((parts, self.hash(child(children, 1_u8.wrapping_sub(side)))));
            at = Some(child(children, side));
        }
        path.reverse();
        let leaf = at.and_then(|at| self.node(at)).and_then(|node| match node.kind {
            Kind::Leaf(key) => Some((key, node.hash)),
            Kind::Branch(..) => None,
        });
        Proof { leaf, path }
    }

    fn hash(&mut self, at: u32) -> [u8; 32] {
        let Some(node) = self.node(at) else { return [0; 32] };
        match node.kind {
            Kind::Branch(parts, [left, right]) if node.hash == [0; 32] => {
                // Depth is that of the trie, 256 at most.
                let (left, right) = (self.hash(left), self.hash(right));
                let hash = node_hash(parts, &left, &right);
                self.put(at, Node { hash, ..node });
                hash
            }
            Kind::Branch(..) => node.hash,
            Kind::Leaf(key) => leaf_hash(&key, &node.hash),
        }
    }

    /// The leaf that a key's way leads to.
    fn descend(&self, mut at: u32, key: &[u8; 32]) -> u32 {
        while let Some(Kind::Branch(parts, children)) = self.node(at).map(|it| it.kind) {
            at = child(children, bit(key, parts));
        }
        at
    }

    /// Marks the branches on a key's way that part before a bit. Returns the last of them, and what stands below it.
    fn mark(&mut self, root: u32, key: &[u8; 32], before: u16) -> (Option<u32>, u32) {
        let (mut parent, mut at) = (None, root);
        while let Some(node) = self.node(at)
            && let Kind::Branch(parts, children) = node.kind
            && parts < before
        {
            self.put(at, Node { hash: [0; 32], ..node });
            (parent, at) = (Some(at), child(children, bit(key, parts)));
        }
        (parent, at)
    }

    fn replace_child(&mut self, parent: u32, from: u32, to: u32) {
        let Some(node) = self.nodes.get_mut(parent) else { return };
        if let Kind::Branch(_, children) = &mut node.kind {
            children.iter_mut().filter(|it| **it == from).for_each(|it| *it = to);
        }
    }

    fn node(&self, at: u32) -> Option<Node> {
        self.nodes.get(at).copied()
    }

    fn put(&mut self, at: u32, node: Node) {
        self.nodes.get_mut(at).into_iter().for_each(|it| *it = node);
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(free) = self.free.pop() {
            self.put(free, node);
            return free;
        }
        self.nodes.push(node)
    }
}

impl Arena {
    fn get(&self, at: u32) -> Option<&Node> {
        self.0.get(at as usize / PIECE)?.get(at as usize % PIECE)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.0.get_mut(at as usize / PIECE)?.get_mut(at as usize % PIECE)
    }

    /// Returns the node's number.
    fn push(&mut self, node: Node) -> u32 {
        let at = self.len();
        if at.is_multiple_of(PIECE) {
            self.0.push(Vec::with_capacity(PIECE));
        }
        self.0.last_mut().into_iter().for_each(|piece| piece.push(node));
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn len(&self) -> usize {
        let before = self.0.len().saturating_sub(1).saturating_mul(PIECE);
        self.0.last().map_or(0, |last| before.saturating_add(last.len()))
    }
}

impl Leaf {
    pub(crate) fn new(key: &[u8], value: &[u8]) -> Self {
        Self { key: *sha256(key).as_bytes(), value: *sha256(value).as_bytes() }
    }
}

impl Proof {
    /// Whether under this root the key has this value, or none.
    #[must_use]
    pub fn verify(&self, root: &[u8; 32], key: &[u8], value: Option<&[u8]>) -> bool {
        let key = *sha256(key).as_bytes();
        let Some((leaf_key, leaf_value)) = self.leaf else {
            return value.is_none() && self.path.is_empty() && *root == [0; 32];
        };
        let is_said = match value {
            Some(value) => leaf_key == key && leaf_value == *sha256(value).as_bytes(),
            None => leaf_key != key,
        };
        // The way to the leaf has to be the key's own: it shares with it every bit at which the way parts.
        let mut below = 256;
        let mut hash = leaf_hash(&leaf_key, &leaf_value);
        for (parts, other) in &self.path {
            if *parts >= below || bit(&key, *parts) != bit(&leaf_key, *parts) {
                return false;
            }
            below = *parts;
            hash = if bit(&leaf_key, *parts) == 0 {
                node_hash(*parts, &hash, other)
            } else {
                node_hash(*parts, other, &hash)
            };
        }
        is_said && hash == *root
    }
}

fn leaf_hash(key: &[u8; 32], value: &[u8; 32]) -> [u8; 32] {
    let mut input = [0; 65];
    input[1..33].copy_from_slice(key);
    input[33..].copy_from_slice(value);
    *sha256(&input).as_bytes()
}

fn node_hash(parts: u16, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut input = [1; 67];
    input[1..3].copy_from_slice(&parts.to_be_bytes());
    input[3..35].copy_from_slice(left);
    input[35..].copy_from_slice(right);
    *sha256(&input).as_bytes()
}

fn bit(key: &[u8; 32], number: u16) -> u8 {
    let byte = key.get(usize::from(number / 8)).copied().unwrap_or(0);
    byte.rotate_left(u32::from(number % 8).saturating_add(1)) & 1
}

const fn child(children: [u32; 2], side: u8) -> u32 {
    if side == 0 { children[0] } else { children[1] }
}

/// Nodes of a piece of the arena.
const PIECE: usize = 1024;

fn first_difference(a: &[u8; 32], b: &[u8; 32]) -> Option<u16> {
    let (byte, zeros) = a.iter().zip(b).enumerate().find_map(|(at, (a, b))| {
        let difference = a ^ b;
        (difference != 0).then(|| (at, difference.leading_zeros()))
    })?;
    u16::try_from(byte).ok()?.checked_mul(8)?.checked_add(u16::try_from(zeros).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The root by its definition.
    fn reference(all: &[([u8; 32], [u8; 32])], from: u16) -> [u8; 32] {
        match all {
            [] => [0; 32],
            [(key, value)] => leaf_hash(key, value),
            _ => {
                let parts =
                    (from..256).find(|at| all.iter().any(|(key, _)| bit(key, *at) != bit(&all[0].0, *at))).unwrap();
                let (left, right): (Vec<_>, Vec<_>) = all.iter().partition(|(key, _)| bit(key, parts) == 0);
                node_hash(parts, &reference(&left, parts + 1), &reference(&right, parts + 1))
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_depends_on_what_is_there_alone(steps in proptest::collection::vec((0..40_u8, proptest::option::of(0..4_u8)), 0..120)) {
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            for (key, value) in &steps {
                tree.set(&[*key], value.as_ref().map(std::slice::from_ref));
                match value {
                    Some(value) => drop(model.insert(*key, *value)),
                    None => drop(model.remove(key)),
                }
                if key % 3 == 0 {
                    tree.root();
                }
            }
            let mut all: Vec<_> = model.iter().map(|(key, value)| (*sha256(&[*key]).as_bytes(), *sha256(&[*value]).as_bytes())).collect();
            all.sort_unstable();
            let root = tree.root();
            prop_assert_eq!(root, reference(&all, 0));
            let leaf = |(key, value)| Leaf::new(std::slice::from_ref(key), std::slice::from_ref(value));
            let mut at_once = Tree::of(model.iter().map(leaf));
            prop_assert_eq!(at_once.root(), root);
            prop_assert_eq!(at_once.nodes.len(), tree.nodes.len() - tree.free.len());
            // It goes on like any other.
            for (key, value) in [(1, Some(9)), (2, None), (3, None), (50, Some(1))] {
                let value: Option<u8> = value;
                at_once.set(&[key], value.as_ref().map(std::slice::from_ref));
                tree.set(&[key], value.as_ref().map(std::slice::from_ref));
                prop_assert_eq!(at_once.root(), tree.root());
                let old = model.get(&key).copied();
                at_once.set(&[key], old.as_ref().map(std::slice::from_ref));
                tree.set(&[key], old.as_ref().map(std::slice::from_ref));
            }
            prop_assert_eq!((at_once.root(), tree.root()), (root, root));
            prop_assert_eq!(tree.nodes.len() - tree.free.len(), (2 * model.len()).saturating_sub(1));
            for key in 0..40 {
                let proof = tree.prove(&[key]);
                let value = model.get(&key).map(std::slice::from_ref);
                prop_assert!(proof.verify(&root, &[key], value));
                for other in [None, Some(&[9_u8][..]), Some(&[0]), Some(&[1])] {
                    prop_assert_eq!(proof.verify(&root, &[key], other), other == value);
                }
                prop_assert!(!proof.verify(&[1; 32], &[key], value));
                // A proof of one key says nothing of another that has a value, however it is bent.
                for other in model.keys().filter(|it| **it != key) {
                    prop_assert!(!proof.verify(&root, &[*other], None));
                    for at in 0..if key % 8 == 0 { proof.path.len() } else { 0 } {
                        let mut bent = proof.clone();
                        for parts in 0..20 {
                            bent.path[at].0 = parts;
                            prop_assert!(!bent.verify(&root, &[*other], None));
                        }
                    }
                }
            }
        }
    }
}
