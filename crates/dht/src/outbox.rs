//! Datagrams that wait to be sent, in one piece of memory.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// Datagrams in the order in which they go out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    waiting: VecDeque<(SocketAddr, u16)>,
}

/// Bytes that are made room for at first: enough for most datagrams.
const FIRST: usize = 512;
/// Bytes that have gone and are kept for a while.
const KEPT: usize = 1 << 16;
/// Bytes that may wait. A driver that does not send for long loses what comes then, as any network may.
const MAX_WAITING: usize = 1 << 20;

impl Outbox {
    /// Appends a datagram that `write` writes.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(FIRST);
        }
        let start = self.bytes.len();
        if start.saturating_sub(self.taken) > MAX_WAITING {
            return 0;
        }
        write(&mut self.bytes);
        let length = self.bytes.len().saturating_sub(start);
        match u16::try_from(length) {
            Ok(short) => {
                self.waiting.push_back((to, short));
                length
            }
            Err(_) => {
                self.bytes.truncate(start);
                0
            }
        }
    }

    /// Moves the next datagram into `out`.
    pub(crate) fn poll(&mut self, out: &mut Vec<u8>) -> Option<(SocketAddr, usize)> {
        let Some((to, length)) = self.waiting.pop_front() else {
            if self.taken > 0 {
                *self = Self::default();
            }
            return None;
        };
        let length = usize::from(length);
        let end = self.taken.saturating_add(length);
        out.extend_from_slice(self.bytes.get(self.taken..end).unwrap_or_default());
        self.taken = end;
        // What has gone is let go of before much of it is left.
        if self.taken > KEPT && self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        Some((to, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_in_order_and_memory_is_let_go() {
        let mut outbox = Outbox::default();
        let [a, b]: [SocketAddr; 2] = ["192.0.2.1:1", "192.0.2.2:2"].map(|it| it.parse().unwrap());
        outbox.push(a, |out| out.extend_from_slice(b"one"));
        outbox.push(b, |out| out.extend_from_slice(b"three"));
        let mut out = b"before ".to_vec();
        assert_eq!(outbox.poll(&mut out), Some((a, 3)));
        assert_eq!(outbox.poll(&mut out), Some((b, 5)));
        assert_eq!((outbox.poll(&mut out), &out[..]), (None, &b"before onethree"[..]));
        assert_eq!(outbox.bytes.capacity(), 0);
        assert_eq!(outbox.push(a, |out| out.resize(70_000, 0)), 0);
        for _ in 0..100_000 {
            outbox.push(a, |out| out.extend_from_slice(&[0; 100]));
        }
        assert!(outbox.bytes.len() <= MAX_WAITING + 101);
    }
}
