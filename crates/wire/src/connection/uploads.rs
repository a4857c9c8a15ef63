//! Blocks that the peer asked for, from its request to the last byte that has left.

use std::collections::VecDeque;
use unchoke_core::{Block, PieceIndex};

/// The queue of blocks to be sent.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    queue: VecDeque<Block>,
    bytes: u64,
    allowed_fast: Vec<PieceIndex>,
}

impl Uploads {
    pub(super) fn allow(&mut self, pieces: Vec<PieceIndex>) {
        self.allowed_fast = pieces;
    }

    pub(super) fn allows(&self, piece: PieceIndex) -> bool {
        self.allowed_fast.contains(&piece)
    }

    pub(super) fn push(&mut self, block: Block) {
        self.bytes = self.bytes.saturating_add(u64::from(block.length));
        self.queue.push_back(block);
    }

    /// The next block, if it fits the budget.
    pub(super) fn pop(&mut self, budget: usize) -> Option<Block> {
        let block = *self.queue.front().filter(|block| block.length as usize <= budget)?;
        self.queue.pop_front();
        self.bytes = self.bytes.saturating_sub(u64::from(block.length));
        Some(block)
    }

    /// Takes a block out; `false` if it is not there.
    pub(super) fn cancel(&mut self, block: Block) -> bool {
        let Some(at) = self.queue.iter().position(|queued| *queued == block) else { return false };
        self.queue.remove(at);
        self.bytes = self.bytes.saturating_sub(u64::from(block.length));
        true
    }

    /// Takes out what a choke takes out: all, but for blocks of allowed-fast pieces if `keep_allowed`.
    pub(super) fn clear(&mut self, keep_allowed: bool) -> Vec<Block> {
        let stays = |block: &Block| keep_allowed && self.allowed_fast.contains(&block.piece);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue).into_iter().partition(stays);
        self.queue = kept.into();
        self.bytes = self.queue.iter().map(|block| u64::from(block.length)).sum();
        gone
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
