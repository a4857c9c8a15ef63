//! One piece while its blocks come in.

use crate::blame::Sender;
use bytes::Bytes;
use unchoke_core::{Block, Geometry, PieceIndex};

/// A piece that is being put together.
#[derive(Debug)]
pub(crate) struct Assembly {
    piece: PieceIndex,
    slots: Vec<Slot>,
    missing: usize,
    /// Bytes held in memory.
    buffered: usize,
    /// Write jobs that have not ended.
    pub(crate) writes: usize,
    /// Whether some block lies on disk already, unverified.
    spilled: bool,
    /// The last step was taken: the piece is being hashed.
    pub(crate) settling: bool,
}

#[derive(Debug, Default)]
struct Slot {
    asked: u8,
    from: Option<Sender>,
    content: Content,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Missing,
    Buffered(Bytes),
    Written,
}

/// What became of a block that came in.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// It was here already, or does not fit.
    Useless,
    /// It was missing. The number of other peers that have been asked for it too.
    Fresh { others_asked: u8 },
}

impl Assembly {
    pub(crate) fn new(geometry: &Geometry, piece: PieceIndex) -> Self {
        let count = geometry.block_count(piece).unwrap_or(0) as usize;
        let slots = std::iter::repeat_with(Slot::default).take(count).collect();
        Self { piece, slots, missing: count, buffered: 0, writes: 0, spilled: false, settling: false }
    }

    fn slot(&mut self, block: Block) -> Option<&mut Slot> {
        self.slots.get_mut(block.number() as usize)
    }

    /// A peer has been asked for the block.
    pub(crate) fn asked(&mut self, block: Block) {
        if let Some(slot) = self.slot(block) {
            slot.asked = slot.asked.saturating_add(1);
        }
    }

    /// A peer will not send the block.
    pub(crate) fn returned(&mut self, block: Block) {
        if let Some(slot) = self.slot(block) {
            slot.asked = slot.asked.saturating_sub(1);
        }
    }

    /// Takes a block that has come. `counted` says whether its sender is still counted as asked.
    pub(crate) fn insert(&mut self, block: Block, data: Bytes, from: Sender, counted: bool) -> Inserted {
        let Some(slot) = self.slot(block) else { return Inserted::Useless };
        slot.asked = slot.asked.saturating_sub(u8::from(counted));
        if !matches!(slot.content, Content::Missing) {
            return Inserted::Useless;
        }
        let others_asked = slot.asked;
        let length = data.len();
        slot.content = Content::Buffered(data);
        slot.from = Some(from);
        self.missing = self.missing.saturating_sub(1);
        self.buffered = self.buffered.saturating_add(length);
        Inserted::Fresh { others_asked }
    }

    pub(crate) fn piece(&self) -> PieceIndex {
        self.piece
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(crate) fn is_spilled(&self) -> bool {
        self.spilled
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Who sent each block.
    pub(crate) fn senders(&self) -> Vec<Option<Sender>> {
        self.slots.iter().map(|slot| slot.from).collect()
    }

    /// The whole piece from memory. The bytes stay here, too, shared, until the piece is settled.
    pub(crate) fn whole(&self) -> Option<Vec<Bytes>> {
        let block = |slot: &Slot| match &slot.content {
            Content::Buffered(data) => Some(data.clone()),
            Content::Missing | Content::Written => None,
        };
        self.slots.iter().map(block).collect()
    }

    /// Takes all buffered blocks out, as runs without a gap: the offset of each run and its blocks.
    pub(crate) fn spill(&mut self) -> Vec<(u32, Vec<Bytes>)> {
        let mut runs: Vec<(u32, Vec<Bytes>)> = Vec::new();
        let mut open = false;
        for (number, slot) in (0u32..).zip(&mut self.slots) {
            if let Content::Buffered(_) = slot.content
                && let Content::Buffered(data) = std::mem::replace(&mut slot.content, Content::Written)
            {
                match runs.last_mut().filter(|_| open) {
                    Some((_, run)) => run.push(data),
                    None => runs.push((number.saturating_mul(unchoke_core::BLOCK_LEN), vec![data])),
                }
                open = true;
            } else {
                open = false;
            }
        }
        self.spilled |= !runs.is_empty();
        self.writes = self.writes.saturating_add(runs.len());
        self.buffered = 0;
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::PeerId;

    fn sender() -> Sender {
        Sender { key: crate::PeerKey(0), address: "10.0.0.1:1".parse().unwrap(), id: PeerId::new([0; 20]) }
    }

    #[test]
    fn spilling_gives_runs_without_gaps() {
        let geometry = Geometry::new(5 * 16384, 5 * 16384).unwrap();
        let mut assembly = Assembly::new(&geometry, PieceIndex(0));
        for number in [0, 1, 3] {
            let block = geometry.block(PieceIndex(0), number).unwrap();
            let data = Bytes::from(vec![number as u8; 16384]);
            assert_eq!(assembly.insert(block, data, sender(), false), Inserted::Fresh { others_asked: 0 });
        }
        let runs = assembly.spill();
        assert_eq!(runs.iter().map(|(at, run)| (*at, run.len())).collect::<Vec<_>>(), [(0, 2), (3 * 16384, 1)]);
        assert_eq!((assembly.buffered(), assembly.writes, assembly.is_spilled()), (0, 2, true));
        let again = geometry.block(PieceIndex(0), 3).unwrap();
        assert_eq!(assembly.insert(again, Bytes::from(vec![9; 16384]), sender(), false), Inserted::Useless);
        assert_eq!(assembly.whole(), None);
    }
}
