//! Read buffers that are used again, so that the system does not have to find and clear new memory for each of them.

use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers whose content has been handed on. Each can be used again once nobody holds a part of it any more.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<VecDeque<BytesMut>>);

/// Bytes of a buffer that is worth keeping.
pub(crate) const SIZE: usize = 256 * 1024;
/// Buffers kept at most.
const KEPT: usize = 32;

impl Buffers {
    /// An empty buffer of [`SIZE`] bytes.
    pub(crate) fn take(&self) -> BytesMut {
        let mut kept = self.lock();
        let free = kept.iter_mut().position(|buffer| buffer.try_reclaim(SIZE));
        free.and_then(|at| kept.remove(at)).unwrap_or_else(|| BytesMut::with_capacity(SIZE))
    }

    /// Takes back a buffer, parts of which may still be held. One that is small is let go.
    pub(crate) fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(buffer);
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_holds_a_part_of_it() {
        let buffers = Buffers::default();
        let mut first = buffers.take();
        let place = first.as_ptr();
        first.resize(SIZE, 7);
        let (one, two) = (first.split_to(1000).freeze(), first.split_to(5000).freeze());
        buffers.give(first);
        drop(one);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), place);
        assert_eq!(two, [7; 5000][..]);
        drop(two);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len(), again.capacity() >= SIZE), (place, 0, true));
        for _ in 0..100 {
            buffers.give(BytesMut::with_capacity(SIZE));
        }
        assert_eq!(buffers.lock().len(), KEPT);
    }
}
