//! Rarest first, with random first pieces and an endgame.

use super::ranks::Ranks;
use super::rarity::Rarity;
use super::{Availability, BlockState, Blocks, PickFor, PiecePicker, PieceState, Priority};
use crate::ids::PeerKey;
use std::collections::BTreeSet;
use std::time::Instant;
use unchoke_core::{Block, Geometry, PieceIndex, Rng, Seed};

/// Pieces to pick at random before rarity decides: a newcomer needs something to trade quickly.
const RANDOM_FIRST: u32 = 4;

/// Picks the pieces that the fewest peers have; finishes what is started before it starts more; when every missing block has been asked
/// for, asks a second and third peer for it.
#[derive(Debug)]
pub struct RarestFirst {
    rarity: Rarity,
    blocks: Blocks,
    /// Peers that had everything when they came: they make no piece rarer than another, so they are only remembered.
    seeds: BTreeSet<PeerKey>,
    suspects: BTreeSet<PieceIndex>,
    ranks: Ranks,
    /// Pieces that were picked and came.
    settled: u32,
    rng: Rng,
}

impl RarestFirst {
    /// A picker for a torrent of this geometry. All pieces are missing.
    #[must_use]
    pub fn new(geometry: Geometry, seed: &Seed) -> Self {
        let mut rng = seed.rng();
        Self {
            rarity: Rarity::new(geometry.piece_count(), &mut rng),
            blocks: Blocks::new(geometry),
            seeds: BTreeSet::new(),
            suspects: BTreeSet::new(),
            ranks: Ranks::default(),
            settled: 0,
            rng,
        }
    }

    fn start(&mut self, piece: PieceIndex, peer: PeerKey) {
        let alone = self.suspects.remove(&piece);
        self.rarity.remove(piece);
        self.blocks.start(piece, peer, alone);
    }

    fn next_piece(&mut self, ask: PickFor<'_>) -> Option<PieceIndex> {
        if self.settled < RANDOM_FIRST && ask.allowed_fast.is_none() {
            let skip = self.rng.below(u32::try_from(self.rarity.len()).unwrap_or(u32::MAX)) as usize;
            let from_there = self.rarity.iter().skip(skip).chain(self.rarity.iter().take(skip));
            return self.ranks.first(from_there.filter(|piece| ask.may_ask(*piece)));
        }
        self.ranks.first(self.rarity.iter().filter(|piece| ask.may_ask(*piece)))
    }
}

impl PiecePicker for RarestFirst {
    fn handle_availability(&mut self, peer: PeerKey, change: Availability<'_>) {
        match change {
            Availability::Joined(pieces) if pieces.is_full() => {
                self.seeds.insert(peer);
            }
            Availability::Joined(pieces) => pieces.iter().for_each(|piece| self.rarity.gain(piece)),
            Availability::Have(piece) => self.rarity.gain(piece),
            Availability::Lost(piece) if self.seeds.remove(&peer) => {
                let all = self.blocks.geometry().pieces();
                all.filter(|other| *other != piece).for_each(|other| self.rarity.gain(other));
            }
            Availability::Lost(piece) => self.rarity.lose(piece),
            Availability::Left(pieces) => {
                if !self.seeds.remove(&peer) {
                    pieces.iter().for_each(|piece| self.rarity.lose(piece));
                }
            }
        }
    }

    fn handle_block(&mut self, peer: PeerKey, block: Block, state: BlockState) {
        self.blocks.handle_block(peer, block, state);
    }

    fn handle_piece(&mut self, piece: PieceIndex, state: PieceState) {
        let was_started = self.blocks.is_started(piece);
        self.blocks.forget(piece);
        match state {
            PieceState::Settled => {
                self.rarity.remove(piece);
                self.suspects.remove(&piece);
                if was_started {
                    self.settled = self.settled.saturating_add(1);
                    // It is here for good; the search for what comes first need not pass over it.
                    self.ranks.set(piece, Priority::Normal);
                }
            }
            PieceState::Missing => self.rarity.insert(piece),
            PieceState::Suspect => {
                self.suspects.insert(piece);
                self.rarity.insert(piece);
            }
        }
    }

    fn handle_priority(&mut self, piece: PieceIndex, priority: Priority) {
        self.ranks.set(piece, priority);
    }

    fn pick(&mut self, _now: Instant, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        let limit = out.len().saturating_add(budget);
        let before = out.len();
        self.blocks.pick_own(ask, budget, out);
        if !ask.fast {
            self.blocks.pick_any(ask, limit.saturating_sub(out.len()), out);
        }
        while out.len() < limit {
            let Some(piece) = self.next_piece(ask) else { break };
            self.start(piece, ask.peer);
            self.blocks.pick_in(piece, ask.peer, limit.saturating_sub(out.len()), out);
        }
        self.blocks.pick_any(ask, limit.saturating_sub(out.len()), out);
        // Endgame: only for a peer that has nothing else to do, and only once no piece is left to start.
        if out.len() == before && self.rarity.len() == 0 {
            self.blocks.pick_asked(ask, limit.saturating_sub(out.len()), out);
        }
    }
}
