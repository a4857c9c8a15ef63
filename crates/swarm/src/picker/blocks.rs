//! Which blocks of the started pieces are free, asked for, or here.

use super::{BlockState, PickFor};
use crate::ids::PeerKey;
use std::collections::BTreeMap;
use unchoke_core::{Block, Geometry, PieceIndex};

/// How many peers may be asked for one block at a time in endgame.
const MAX_ASKED: usize = 3;

/// The block bookkeeping of a picker: every piece that has been started and is not settled.
#[derive(Debug)]
pub struct Blocks {
    geometry: Geometry,
    started: BTreeMap<PieceIndex, Started>,
    /// Blocks of started pieces that nobody has been asked for.
    free: usize,
}

#[derive(Debug)]
struct Started {
    slots: Vec<Slot>,
    free: usize,
    /// The first peer that was asked, which alone may go on while it is `alone`.
    owner: PeerKey,
    alone: bool,
    /// The owner gave blocks back; whoever is given blocks next owns the piece.
    orphan: bool,
}

#[derive(Clone, Debug)]
enum Slot {
    Free,
    Asked(Vec<PeerKey>),
    Here,
}

impl Blocks {
    /// No piece is started.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, started: BTreeMap::new(), free: 0 }
    }

    /// The geometry of the torrent.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The number of pieces that are started.
    #[must_use]
    pub fn started(&self) -> usize {
        self.started.len()
    }

    /// Whether the piece is started.
    #[must_use]
    pub fn is_started(&self, piece: PieceIndex) -> bool {
        self.started.contains_key(&piece)
    }

    /// Starts a piece for a peer. With `alone`, no other peer is given blocks of it while this one delivers.
    pub fn start(&mut self, piece: PieceIndex, owner: PeerKey, alone: bool) {
        if let Some(count) = self.geometry.block_count(piece)
            && !self.is_started(piece)
        {
            let count = count as usize;
            let slots = vec![Slot::Free; count];
            self.started.insert(piece, Started { slots, free: count, owner, alone, orphan: false });
            self.free = self.free.saturating_add(count);
        }
    }

    /// Forgets a piece.
    pub fn forget(&mut self, piece: PieceIndex) {
        if let Some(started) = self.started.remove(&piece) {
            self.free = self.free.saturating_sub(started.free);
        }
    }

    /// Something became of a block.
    pub fn handle_block(&mut self, peer: PeerKey, block: Block, state: BlockState) {
        let Some(started) = self.started.get_mut(&block.piece) else { return };
        let Some(slot) = started.slots.get_mut(block.number() as usize) else { return };
        match (state, &mut *slot) {
            (BlockState::Received, Slot::Free) => {
                started.free = started.free.saturating_sub(1);
                self.free = self.free.saturating_sub(1);
                *slot = Slot::Here;
            }
            (BlockState::Received, _) => *slot = Slot::Here,
            (BlockState::Returned, Slot::Asked(peers)) => {
                peers.retain(|asked| *asked != peer);
                if peers.is_empty() {
                    *slot = Slot::Free;
                    started.free = started.free.saturating_add(1);
                    self.free = self.free.saturating_add(1);
                }
                // Whoever gives blocks back is no longer waited for.
                if started.owner == peer {
                    started.alone = false;
                    started.orphan = true;
                }
            }
            (BlockState::Returned, _) => {}
        }
    }

    /// Picks free blocks of one started piece.
    pub fn pick_in(&mut self, piece: PieceIndex, peer: PeerKey, budget: usize, out: &mut Vec<Block>) {
        let Some(started) = self.started.get_mut(&piece) else { return };
        if started.free == 0 {
            return;
        }
        if started.alone && started.owner != peer {
            // An owner that has nothing left to deliver, because it chokes us or is gone, must not keep the piece to itself.
            let owner = started.owner;
            if started.slots.iter().any(|slot| matches!(slot, Slot::Asked(peers) if peers.contains(&owner))) {
                return;
            }
            (started.alone, started.orphan) = (false, true);
        }
        let limit = out.len().saturating_add(budget);
        if budget > 0 && std::mem::replace(&mut started.orphan, false) {
            started.owner = peer;
        }
        for (number, slot) in (0u32..).zip(&mut started.slots) {
            if out.len() >= limit {
                break;
            }
            if let (Slot::Free, Some(block)) = (&*slot, self.geometry.block(piece, number)) {
                *slot = Slot::Asked(vec![peer]);
                started.free = started.free.saturating_sub(1);
                self.free = self.free.saturating_sub(1);
                out.push(block);
            }
        }
    }

    /// Picks free blocks of the pieces that this peer was the first to be asked for, and of those whose first peer gave blocks back.
    pub fn pick_own(&mut self, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        self.pick_where(ask, budget, out, |started| started.owner == ask.peer || started.orphan);
    }

    /// Picks free blocks of any started piece.
    pub fn pick_any(&mut self, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        self.pick_where(ask, budget, out, |_| true);
    }

    fn pick_where(&mut self, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>, wanted: impl Fn(&Started) -> bool) {
        if self.free == 0 {
            return;
        }
        let limit = out.len().saturating_add(budget);
        let open = |(piece, started): (&PieceIndex, &Started)| {
            (started.free > 0 && wanted(started) && ask.may_ask(*piece)).then_some(*piece)
        };
        let pieces: Vec<PieceIndex> = self.started.iter().filter_map(open).collect();
        for piece in pieces {
            let left = limit.saturating_sub(out.len());
            if left == 0 {
                break;
            }
            self.pick_in(piece, ask.peer, left, out);
        }
    }

    /// Picks blocks that others have been asked for and that have not come: endgame.
    pub fn pick_asked(&mut self, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        let limit = out.len().saturating_add(budget);
        for (piece, started) in &mut self.started {
            if started.alone || !ask.may_ask(*piece) {
                continue;
            }
            for (number, slot) in (0u32..).zip(&mut started.slots) {
                if out.len() >= limit {
                    return;
                }
                if let Slot::Asked(peers) = slot
                    && peers.len() < MAX_ASKED
                    && !peers.contains(&ask.peer)
                    && let Some(block) = self.geometry.block(*piece, number)
                {
                    peers.push(ask.peer);
                    out.push(block);
                }
            }
        }
    }
}
