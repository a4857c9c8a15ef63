//! What was polled and has not left yet, in the order of the wire.

use std::collections::VecDeque;
use unchoke_core::Block;

/// The account of bytes handed to the driver.
#[derive(Debug, Default)]
pub(super) struct Sent {
    chunks: VecDeque<Chunk>,
    unsent: usize,
    /// The part of it that is no payload.
    plain: usize,
    answers: usize,
    payload: u64,
}

#[derive(Debug)]
struct Chunk {
    block: Option<Block>,
    /// Bytes left before the payload.
    plain: usize,
    /// Bytes left of the payload.
    payload: usize,
    /// How many of the plain bytes are answers that the peer provoked.
    answers: usize,
}

impl Sent {
    pub(super) fn push_plain(&mut self, bytes: usize, answers: usize) {
        self.push(Chunk { block: None, plain: bytes, payload: 0, answers });
    }

    pub(super) fn push_block(&mut self, block: Block) {
        self.push(Chunk { block: Some(block), plain: HEADER, payload: block.length as usize, answers: 0 });
    }

    fn push(&mut self, chunk: Chunk) {
        self.unsent = self.unsent.saturating_add(chunk.plain).saturating_add(chunk.payload);
        self.plain = self.plain.saturating_add(chunk.plain);
        self.answers = self.answers.saturating_add(chunk.answers);
        self.chunks.push_back(chunk);
    }

    /// Takes note that `bytes` have left; returns whether payload was among them.
    pub(super) fn handle_sent(&mut self, mut bytes: usize) -> bool {
        let before = self.payload;
        while bytes > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            let plain = chunk.plain.min(bytes);
            chunk.plain = chunk.plain.saturating_sub(plain);
            bytes = bytes.saturating_sub(plain);
            let payload = chunk.payload.min(bytes);
            chunk.payload = chunk.payload.saturating_sub(payload);
            bytes = bytes.saturating_sub(payload);
            self.payload = self.payload.saturating_add(payload as u64);
            self.unsent = self.unsent.saturating_sub(plain).saturating_sub(payload);
            self.plain = self.plain.saturating_sub(plain);
            if chunk.plain == 0 && chunk.payload == 0 {
                self.answers = self.answers.saturating_sub(chunk.answers);
                self.chunks.pop_front();
            }
        }
        self.payload > before
    }

    /// Takes a block out of which nothing has left; `false` if there is none.
    pub(super) fn withdraw(&mut self, block: Block) -> bool {
        let untouched = |chunk: &Chunk| chunk.block == Some(block) && chunk.plain == HEADER;
        let Some(at) = self.chunks.iter().position(untouched) else { return false };
        self.chunks.remove(at);
        self.unsent = self.unsent.saturating_sub(HEADER).saturating_sub(block.length as usize);
        self.plain = self.plain.saturating_sub(HEADER);
        true
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) fn plain(&self) -> usize {
        self.plain
    }

    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    pub(super) fn payload(&self) -> u64 {
        self.payload
    }
}

/// Bytes of a `piece` message before the block.
const HEADER: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::PieceIndex;

    const BLOCK: Block = Block { piece: PieceIndex(1), offset: 0, length: 100 };

    #[test]
    fn payload_is_counted_as_it_leaves() {
        let mut sent = Sent::default();
        sent.push_plain(10, 4);
        sent.push_block(BLOCK);
        assert_eq!((sent.unsent(), sent.plain(), sent.answers()), (123, 23, 4));
        assert!(!sent.handle_sent(23), "header only");
        assert_eq!((sent.unsent(), sent.plain(), sent.answers(), sent.payload()), (100, 0, 0, 0));
        assert!(sent.handle_sent(60));
        assert_eq!((sent.unsent(), sent.payload()), (40, 60));
        assert!(sent.handle_sent(1000));
        assert_eq!((sent.unsent(), sent.payload()), (0, 100));
    }

    #[test]
    fn only_an_untouched_block_is_withdrawn() {
        let mut sent = Sent::default();
        sent.push_block(BLOCK);
        sent.push_block(BLOCK);
        sent.handle_sent(1);
        assert!(sent.withdraw(BLOCK));
        assert!(!sent.withdraw(BLOCK));
        assert_eq!((sent.unsent(), sent.plain()), (112, 12));
    }
}
