//! The missing pieces ordered by how many peers have them, kept in order by constant-time steps.

use unchoke_core::{PieceIndex, Rng};

/// The unstarted missing pieces, rarest first, in random order among equals.
#[derive(Debug)]
pub(super) struct Rarity {
    /// Listed pieces, ascending by availability.
    order: Vec<u32>,
    /// Where each piece stands in `order`; `ABSENT` if it is not listed.
    position: Vec<u32>,
    availability: Vec<u32>,
    /// `starts[a]` is where the pieces with availability `a` or more start; a value past the end means the end.
    starts: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "indices come from `order` and `position`, which mirror one another; a torrent has fewer than 2^32 pieces"
)]
impl Rarity {
    /// All pieces are listed and nobody has any.
    pub(super) fn new(pieces: u32, rng: &mut Rng) -> Self {
        let mut order: Vec<u32> = (0..pieces).collect();
        for last in (1..pieces).rev() {
            order.swap(last as usize, rng.below(last + 1) as usize);
        }
        let mut position = vec![ABSENT; pieces as usize];
        for (place, piece) in order.iter().enumerate() {
            position[*piece as usize] = place as u32;
        }
        Self { order, position, availability: vec![0; pieces as usize], starts: vec![0] }
    }

    fn start(&self, availability: u32) -> u32 {
        self.starts.get(availability as usize).copied().unwrap_or(self.order.len() as u32)
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.order.swap(a as usize, b as usize);
        self.position[self.order[a as usize] as usize] = a;
        self.position[self.order[b as usize] as usize] = b;
    }

    /// One peer more has the piece.
    pub(super) fn gain(&mut self, piece: PieceIndex) {
        let Some(availability) = self.availability.get_mut(piece.0 as usize) else { return };
        let was = *availability;
        *availability += 1;
        while self.starts.len() <= was as usize + 1 {
            self.starts.push(self.order.len() as u32);
        }
        let at = self.position[piece.0 as usize];
        if at != ABSENT {
            let last = self.start(was + 1) - 1;
            self.swap(at, last);
            self.starts[was as usize + 1] = last;
        }
    }

    /// One peer fewer has the piece.
    pub(super) fn lose(&mut self, piece: PieceIndex) {
        let Some(availability) = self.availability.get_mut(piece.0 as usize) else { return };
        let Some(now) = availability.checked_sub(1) else { return };
        *availability = now;
        let at = self.position[piece.0 as usize];
        if at != ABSENT {
            let first = self.start(now + 1);
            self.swap(at, first);
            self.starts[now as usize + 1] = first + 1;
        }
    }

    /// Takes a piece off the list.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        let Some(mut at) = self.position.get(piece.0 as usize).copied().filter(|at| *at != ABSENT) else { return };
        for level in self.availability[piece.0 as usize] as usize + 1..self.starts.len() {
            let last = self.starts[level] - 1;
            self.swap(at, last);
            self.starts[level] = last;
            at = last;
        }
        let end = self.order.len() as u32 - 1;
        self.swap(at, end);
        self.order.pop();
        self.position[piece.0 as usize] = ABSENT;
    }

    /// Puts a piece back on the list.
    pub(super) fn insert(&mut self, piece: PieceIndex) {
        if self.position.get(piece.0 as usize) != Some(&ABSENT) {
            return;
        }
        let mut at = self.order.len() as u32;
        self.order.push(piece.0);
        self.position[piece.0 as usize] = at;
        for level in (self.availability[piece.0 as usize] as usize + 1..self.starts.len()).rev() {
            let first = self.starts[level];
            self.swap(at, first);
            self.starts[level] = first + 1;
            at = first;
        }
    }

    /// The listed pieces, rarest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.order.iter().map(|piece| PieceIndex(*piece))
    }

    /// The number of listed pieces.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::Seed;

    proptest! {
        #[test]
        fn the_order_is_always_by_availability(
            pieces in 1u32..20,
            ops in prop::collection::vec((0u8..4, 0u32..20), 0..300),
        ) {
            let mut rarity = Rarity::new(pieces, &mut Seed::new([1; 32]).rng());
            let mut listed = vec![true; pieces as usize];
            let mut model = vec![0u32; pieces as usize];
            for (op, piece) in ops {
                let at = (piece % pieces) as usize;
                let piece = PieceIndex(piece % pieces);
                match op {
                    0 => { rarity.gain(piece); model[at] += 1; }
                    1 => { rarity.lose(piece); model[at] = model[at].saturating_sub(1); }
                    2 => { rarity.remove(piece); listed[at] = false; }
                    _ => { rarity.insert(piece); listed[at] = true; }
                }
                let order: Vec<u32> = rarity.iter().map(|piece| piece.0).collect();
                prop_assert!(order.is_sorted_by_key(|piece| model[*piece as usize]), "{order:?} {model:?}");
                let mut sorted = order.clone();
                sorted.sort_unstable();
                let wanted: Vec<u32> = (0..pieces).filter(|piece| listed[*piece as usize]).collect();
                prop_assert_eq!(sorted, wanted);
            }
        }
    }
}
