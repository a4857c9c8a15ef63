//! How many requests to keep outstanding to one peer: the bandwidth-delay product, found by doubling and then followed.

/// Requests to start with: enough for a short line, few enough for a slow one.
const INITIAL: usize = 16;
/// Requests that are always allowed.
const MINIMUM: usize = 4;
/// What is kept outstanding, in tenths of a second of the peer's rate.
const TENTHS: u64 = 20;
/// Bytes of a request.
const BLOCK: u64 = unchoke_core::BLOCK_LEN as u64;

/// The request window of one peer.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    /// Grows by one with every block, that is, doubles every round trip, until the rate no longer follows.
    opening: bool,
    last_rate: u64,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { size: INITIAL, opening: true, last_rate: 0 }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A block has come.
    pub(crate) fn handle_block(&mut self, limit: usize) {
        if self.opening {
            self.size = self.size.saturating_add(1).min(limit.max(MINIMUM));
        }
    }

    /// About a second has passed, in which the peer delivered `rate` bytes per second.
    pub(crate) fn tick(&mut self, rate: u64, limit: usize) {
        if self.opening && rate > 0 && rate < self.last_rate.saturating_add(self.last_rate / 10) {
            self.opening = false;
        }
        self.last_rate = rate;
        if !self.opening {
            let wanted = rate.saturating_mul(TENTHS) / (10 * BLOCK);
            self.size = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(MINIMUM, limit.max(MINIMUM));
        }
    }

    /// The peer has kept us waiting: one request at a time until it delivers again.
    pub(crate) fn snubbed(&mut self) {
        *self = Self { size: 1, opening: true, last_rate: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_until_the_rate_no_longer_follows_then_follows_the_rate() {
        let mut window = Window::new();
        (0..100).for_each(|_| window.handle_block(500));
        assert_eq!(window.size(), 116);
        window.tick(1_000_000, 500);
        window.tick(1_000_000, 500);
        assert_eq!(window.size(), 122);
        window.tick(100_000_000, 500);
        assert_eq!(window.size(), 500);
        window.tick(0, 500);
        assert_eq!(window.size(), MINIMUM);
    }
}
