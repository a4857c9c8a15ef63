//! What lies around the blocks in the buffers that they were read into.

use bytes::Bytes;

/// Bytes around blocks that are put up with per connection.
const ALLOWED: usize = 64 * 1024;

/// Sees to it that blocks held in memory do not hold much else.
///
/// A block is a slice of the buffer that it was read into, and keeps all of that buffer alive. An honest peer sends little between its blocks.
/// One that fills the room between them would make a block cost many times its length, so its blocks are copied out. What is held is then at
/// most twice the blocks, and a constant per connection.
#[derive(Debug, Default)]
pub(crate) struct Overhead {
    bytes: usize,
}

impl Overhead {
    /// So many bytes have been read that are no block, or none that is kept.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A block that is kept.
    pub(crate) fn keep(&mut self, block: Bytes) -> Bytes {
        let copies = self.bytes > ALLOWED;
        self.bytes = self.bytes.saturating_sub(block.len());
        if copies { Bytes::copy_from_slice(&block) } else { block }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_copied_only_out_of_padding() {
        let buffer = Bytes::from(vec![7; 256 * 1024]);
        let mut overhead = Overhead::default();
        let mut is_copied = |padding: usize, length: usize| {
            overhead.add(padding);
            let block = overhead.keep(buffer.slice(..length));
            assert_eq!(block, buffer[..length]);
            block.as_ptr() != buffer.as_ptr()
        };
        assert!((0..1000).all(|_| !is_copied(13, 16_384)), "honest");
        let copied = (0..1000).filter(|_| is_copied(100_000, 16_384)).count();
        assert!(copied >= 999, "{copied}");
        let mut evenly = Overhead::default();
        let kept = (0..1000).filter(|_| {
            evenly.add(20_000);
            evenly.keep(buffer.slice(..16_384)).as_ptr() == buffer.as_ptr()
        });
        assert!(kept.count() < 30);
    }
}
