//! First piece first: for playback while downloading.

use super::ranks::Ranks;
use super::{Availability, BlockState, Blocks, PickFor, PiecePicker, PieceState, Priority};
use crate::ids::PeerKey;
use std::time::Instant;
use unchoke_core::{Bitfield, Block, Geometry, PieceIndex};

/// Picks pieces in order of their index. Worse for the swarm than [`RarestFirst`](super::RarestFirst): everybody then has the same pieces.
#[derive(Debug)]
pub struct Sequential {
    blocks: Blocks,
    /// Missing and not started.
    open: Bitfield,
    ranks: Ranks,
}

impl Sequential {
    /// A picker for a torrent of this geometry. All pieces are missing.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self { open: Bitfield::full(geometry.piece_count()), blocks: Blocks::new(geometry), ranks: Ranks::default() }
    }
}

impl PiecePicker for Sequential {
    fn handle_availability(&mut self, _peer: PeerKey, _change: Availability<'_>) {}

    fn handle_block(&mut self, peer: PeerKey, block: Block, state: BlockState) {
        self.blocks.handle_block(peer, block, state);
    }

    fn handle_piece(&mut self, piece: PieceIndex, state: PieceState) {
        self.blocks.forget(piece);
        if state == PieceState::Settled {
            self.open.remove(piece);
        } else {
            self.open.insert(piece);
        }
    }

    fn handle_priority(&mut self, piece: PieceIndex, priority: Priority) {
        self.ranks.set(piece, priority);
    }

    fn pick(&mut self, _now: Instant, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        let limit = out.len().saturating_add(budget);
        let before = out.len();
        self.blocks.pick_any(ask, budget, out);
        while out.len() < limit {
            let next = self.ranks.first(self.open.iter().filter(|piece| ask.may_ask(*piece)));
            let Some(piece) = next else { break };
            self.open.remove(piece);
            self.blocks.start(piece, ask.peer, false);
            self.blocks.pick_in(piece, ask.peer, limit.saturating_sub(out.len()), out);
        }
        if out.len() == before && self.open.count() == 0 {
            self.blocks.pick_asked(ask, limit.saturating_sub(out.len()), out);
        }
    }
}
