//! Which blocks to ask a peer for next ([BEP 3], piece selection).
//!
//! A [`PiecePicker`] owns the answer and nothing else: the engine tells it who has what and what became of each block, and asks it for
//! blocks. [`RarestFirst`] is the default; [`Sequential`] serves playback. A picker of your own can keep its block bookkeeping in
//! [`Blocks`], as these two do.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

mod blocks;
mod ranks;
mod rarest_first;
mod rarity;
mod sequential;

pub use blocks::Blocks;
pub use rarest_first::RarestFirst;
pub use sequential::Sequential;

use crate::ids::PeerKey;
use std::time::Instant;
use unchoke_core::{Bitfield, Block, PieceIndex};

/// A change in what a peer has.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Availability<'a> {
    /// The peer has come and has these pieces.
    Joined(&'a Bitfield),
    /// The peer has one piece more.
    Have(PieceIndex),
    /// The peer no longer has this piece (BEP 54).
    Lost(PieceIndex),
    /// The peer, which had these pieces, has gone.
    Left(&'a Bitfield),
}

/// What became of a block that was picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BlockState {
    /// It has come.
    Received,
    /// This peer will not send it, or not soon: it was rejected, choked, snubbed, or the peer left.
    Returned,
}

/// What became of a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PieceState {
    /// It is here and verified, or being checked, or nobody wants it: do not pick it.
    Settled,
    /// It is missing: pick it.
    Missing,
    /// It hashed wrong with several contributors: pick it anew, from one peer alone if possible, so that blame is exact.
    Suspect,
}

/// How much a file, and with it its pieces, is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[non_exhaustive]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After everything else.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

/// For whom blocks are picked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickFor<'a> {
    /// The peer that will be asked.
    pub peer: PeerKey,
    /// What it has.
    pub pieces: &'a Bitfield,
    /// While the peer chokes us, the pieces that it allows all the same (BEP 6); `None` when it does not choke us.
    pub allowed_fast: Option<&'a [PieceIndex]>,
    /// Whether the peer delivers a whole piece within a second or so, and can be given pieces of its own.
    pub fast: bool,
}

impl<'a> PickFor<'a> {
    /// A peer that does not choke us.
    #[must_use]
    pub const fn new(peer: PeerKey, pieces: &'a Bitfield) -> Self {
        Self { peer, pieces, allowed_fast: None, fast: false }
    }

    /// Whether this peer may be asked for the piece.
    #[must_use]
    pub fn may_ask(&self, piece: PieceIndex) -> bool {
        self.pieces.contains(piece) && self.allowed_fast.is_none_or(|allowed| allowed.contains(&piece))
    }
}

/// Decides which blocks are asked for. One picker serves one torrent.
///
/// The engine promises: a block is reported `Received` or `Returned` only by a peer it was picked for, at most once per pick except that a
/// block that was returned may still come; a verified piece is `Settled`; every piece starts `Missing`.
pub trait PiecePicker: Send {
    /// A peer has come, gone, or has more or less than before.
    fn handle_availability(&mut self, peer: PeerKey, change: Availability<'_>);

    /// Something became of a block.
    fn handle_block(&mut self, peer: PeerKey, block: Block, state: BlockState);

    /// Something became of a piece.
    fn handle_piece(&mut self, piece: PieceIndex, state: PieceState);

    /// A piece is to be picked before or after others from now on. Those that are not wanted at all are [`Settled`](PieceState::Settled)
    /// instead. A picker that goes by an order of its own need not listen.
    fn handle_priority(&mut self, piece: PieceIndex, priority: Priority) {
        let _ = (piece, priority);
    }

    /// Appends at most `budget` blocks to ask this peer for, and remembers them as asked for.
    ///
    /// A block that another peer has been asked for already may be picked only when nothing else is left (endgame).
    fn pick(&mut self, now: Instant, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>);
}
