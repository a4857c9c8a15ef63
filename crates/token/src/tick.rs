//! Ticks: a hash chain whose end a voucher carries, and whose links are revealed one for each block that is paid. A tick costs its payee one
//! SHA-256 and no signature (PayWord, Rivest and Shamir 1996).
//!
//! `w[i − 1]` is SHA-256 over `"btpcTK1\0"`, the first 12 bytes of the channel's id, and `w[i]`: 52 bytes, one compression. The id keeps
//! chains of one channel from being of use in another.

use crate::ids::ChannelId;
use std::fmt;
use unchoke_core::Seed;
use unchoke_core::hash::sha256;

/// A link of the chain, and which one it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Tick {
    /// Its number, from 1.
    pub index: u32,
    /// The link.
    pub preimage: [u8; 32],
}

/// A tick that pays nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TickError {
    /// It or a later one is here already.
    #[error("tick {index} is here, up to {last}")]
    Stale {
        /// That of the tick.
        index: u32,
        /// The last one that counts.
        last: u32,
    },
    /// The chain has not as many.
    #[error("tick {index} is beyond the last one, {max}")]
    Beyond {
        /// That of the tick.
        index: u32,
        /// The chain's length.
        max: u32,
    },
    /// It is too far ahead of the last one to be looked at.
    #[error("tick {index} is more than {STEP} after {last}")]
    TooFar {
        /// That of the tick.
        index: u32,
        /// The last one that counts.
        last: u32,
    },
    /// It is no link of the chain.
    #[error("tick {0} is no link of the chain")]
    NoLink(u32),
}

impl Tick {
    /// A link and its number.
    #[must_use]
    pub const fn new(index: u32, preimage: [u8; 32]) -> Self {
        Self { index, preimage }
    }

    /// Whether it leads to the chain's end: so many hashes as its number says.
    #[must_use]
    pub fn leads_to(&self, channel: &ChannelId, anchor: &[u8; 32]) -> bool {
        self.index > 0 && walk(channel, self.preimage, self.index) == *anchor
    }
}

/// The payer's side of a chain: about 2·√n links are kept, and no more than √n hashes give any other. One after the other, they cost a hash each.
///
/// Its contents are not printed.
#[derive(Clone)]
pub struct TickChain {
    channel: ChannelId,
    len: u32,
    /// Links from one kept to the next.
    stride: u32,
    /// w[stride], w[2 · stride], …, and w[len] last.
    kept: Vec<[u8; 32]>,
    /// The links from a kept one down to the last that was revealed, and which the kept one is.
    segment: (u32, Vec<[u8; 32]>),
    anchor: [u8; 32],
}

impl TickChain {
    /// The chain of `len` ticks, at most [`MAX_TICKS`], that a seed stands for. It takes `len` hashes.
    #[must_use]
    pub fn new(channel: ChannelId, seed: &Seed, len: u32) -> Self {
        let len = len.clamp(1, MAX_TICKS);
        let stride = len.isqrt().max(1);
        let mut link = [0; 32];
        seed.rng().fill(&mut link);
        let mut kept = vec![link];
        for index in (0..len).rev() {
            link = step(&channel, &link);
            if index > 0 && index.is_multiple_of(stride) {
                kept.push(link);
            }
        }
        kept.reverse();
        Self { channel, len, stride, kept, segment: (0, Vec::new()), anchor: link }
    }

    /// The chain's end, which a voucher carries.
    #[must_use]
    pub const fn anchor(&self) -> &[u8; 32] {
        &self.anchor
    }

    /// How many ticks there are.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no chain is empty")]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// The tick with a number; `None` if there is none.
    #[must_use]
    pub fn tick(&self, index: u32) -> Option<Tick> {
        let (above, link) = self.kept_above(index)?;
        Some(Tick::new(index, walk(&self.channel, link, above.checked_sub(index)?)))
    }

    /// The same; what is hashed on the way is kept for the ticks after it.
    #[must_use]
    pub fn reveal(&mut self, index: u32) -> Option<Tick> {
        let (above, link) = self.kept_above(index)?;
        let (top, links) = &mut self.segment;
        if *top != above {
            *top = above;
            links.clear();
            links.push(link);
        }
        let place = above.checked_sub(index)? as usize;
        while links.len() <= place {
            links.push(step(&self.channel, links.last()?));
        }
        Some(Tick::new(index, *links.get(place)?))
    }

    /// The next kept link at or above one, and which it is.
    fn kept_above(&self, index: u32) -> Option<(u32, [u8; 32])> {
        if index == 0 || index > self.len {
            return None;
        }
        let place = index.div_ceil(self.stride);
        match self.kept.get(place.checked_sub(1)? as usize) {
            Some(link) if place.checked_mul(self.stride)? < self.len => Some((place.checked_mul(self.stride)?, *link)),
            _ => Some((self.len, *self.kept.last()?)),
        }
    }
}

impl fmt::Debug for TickChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TickChain").field("channel", &self.channel).field("len", &self.len).finish_non_exhaustive()
    }
}

/// The payee's side of a chain: the last tick that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TickCursor {
    last: Tick,
    max: u32,
}

impl TickCursor {
    /// A chain of which only the end is known.
    #[must_use]
    pub const fn new(anchor: [u8; 32], max_ticks: u32) -> Self {
        Self { last: Tick::new(0, anchor), max: max_ticks }
    }

    /// A chain of which a tick is known, such as one that was kept on disk.
    #[must_use]
    pub const fn resume(last: Tick, max_ticks: u32) -> Self {
        Self { last, max: max_ticks }
    }

    /// Takes a tick. Returns by how many the count has risen.
    ///
    /// # Errors
    /// If it is not a later link of the chain; then nothing has changed.
    pub fn accept(&mut self, channel: &ChannelId, tick: Tick) -> Result<u32, TickError> {
        let (index, last) = (tick.index, self.last.index);
        if index > self.max {
            return Err(TickError::Beyond { index, max: self.max });
        }
        let steps = index.checked_sub(last).filter(|steps| *steps > 0).ok_or(TickError::Stale { index, last })?;
        if steps > STEP {
            return Err(TickError::TooFar { index, last });
        }
        if walk(channel, tick.preimage, steps) != self.last.preimage {
            return Err(TickError::NoLink(index));
        }
        self.last = tick;
        Ok(steps)
    }

    /// The last tick that counts; its number is 0 if none has come.
    #[must_use]
    pub const fn last(&self) -> Tick {
        self.last
    }

    /// How many ticks the chain has.
    #[must_use]
    pub const fn max_ticks(&self) -> u32 {
        self.max
    }
}

fn step(channel: &ChannelId, link: &[u8; 32]) -> [u8; 32] {
    let mut input = [0; 52];
    input[..8].copy_from_slice(b"btpcTK1\0");
    input[8..20].copy_from_slice(&channel.as_bytes()[..12]);
    input[20..].copy_from_slice(link);
    *sha256(&input).as_bytes()
}

fn walk(channel: &ChannelId, link: [u8; 32], steps: u32) -> [u8; 32] {
    (0..steps).fold(link, |link, _| step(channel, &link))
}

/// Ticks of one chain, at most.
pub const MAX_TICKS: u32 = 65_536;
/// By how many a tick may be ahead of the one before it: what a payee hashes for one message.
pub const STEP: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHANNEL: ChannelId = ChannelId::new([7; 32]);

    #[test]
    fn every_tick_of_every_length_leads_to_the_anchor() {
        for len in [1, 2, 3, 4, 5, 8, 15, 16, 17, 99, 100, 1000, 4096] {
            let mut chain = TickChain::new(CHANNEL, &Seed::new([1; 32]), len);
            assert_eq!(chain.len(), len);
            let mut cursor = TickCursor::new(*chain.anchor(), len);
            for index in 1..=len {
                let tick = chain.reveal(index).unwrap();
                assert_eq!((cursor.accept(&CHANNEL, tick), chain.tick(index)), (Ok(1), Some(tick)));
                assert!(chain.segment.1.len() <= chain.stride as usize + 1);
            }
            for index in [len, 1, len.div_ceil(2), len] {
                assert_eq!(chain.reveal(index), chain.tick(index));
            }
            assert_eq!((chain.reveal(0), chain.reveal(len + 1)), (None, None));
            assert!(chain.tick(len).unwrap().leads_to(&CHANNEL, chain.anchor()));
            assert_eq!((chain.tick(0), chain.tick(len + 1)), (None, None));
            assert!(chain.kept.len() <= 2 * (len.isqrt() as usize) + 3);
        }
    }

    #[test]
    fn a_tick_counts_once_and_forward_only() {
        let chain = TickChain::new(CHANNEL, &Seed::new([2; 32]), 10_000);
        let mut cursor = TickCursor::new(*chain.anchor(), 9000);
        let tick = |index| chain.tick(index).unwrap();
        assert_eq!(cursor.accept(&CHANNEL, tick(5)), Ok(5));
        assert_eq!(cursor.accept(&CHANNEL, tick(5)), Err(TickError::Stale { index: 5, last: 5 }));
        assert_eq!(cursor.accept(&CHANNEL, tick(4)), Err(TickError::Stale { index: 4, last: 5 }));
        assert_eq!(cursor.accept(&CHANNEL, Tick::new(0, *chain.anchor())), Err(TickError::Stale { index: 0, last: 5 }));
        assert_eq!(cursor.accept(&CHANNEL, tick(5 + STEP + 1)), Err(TickError::TooFar { index: 6 + STEP, last: 5 }));
        assert_eq!(cursor.accept(&CHANNEL, tick(5 + STEP)), Ok(STEP));
        assert_eq!(cursor.accept(&CHANNEL, tick(9001)), Err(TickError::Beyond { index: 9001, max: 9000 }));
        assert_eq!(cursor.accept(&CHANNEL, Tick::new(8000, tick(8001).preimage)), Err(TickError::NoLink(8000)));
        assert_eq!((cursor.last(), cursor.max_ticks()), (tick(5 + STEP), 9000));
    }

    #[test]
    fn a_chain_is_of_no_use_in_another_channel() {
        let chain = TickChain::new(CHANNEL, &Seed::new([3; 32]), 8);
        let other = ChannelId::new([8; 32]);
        assert!(!chain.tick(3).unwrap().leads_to(&other, chain.anchor()));
        assert!(!Tick::new(0, *chain.anchor()).leads_to(&CHANNEL, chain.anchor()));
        let mut cursor = TickCursor::new(*chain.anchor(), 8);
        assert_eq!(cursor.accept(&other, chain.tick(3).unwrap()), Err(TickError::NoLink(3)));
    }

    #[test]
    fn secrets_are_not_printed() {
        let chain = TickChain::new(CHANNEL, &Seed::new([3; 32]), 8);
        assert_eq!(format!("{chain:?}"), format!("TickChain {{ channel: {CHANNEL:?}, len: 8, .. }}"));
    }

    proptest! {
        #[test]
        fn any_changed_bit_makes_it_no_link(index in 1..64_u32, bit in 0..256_usize) {
            let chain = TickChain::new(CHANNEL, &Seed::new([4; 32]), 64);
            let mut tick = chain.tick(index).unwrap();
            tick.preimage[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!tick.leads_to(&CHANNEL, chain.anchor()));
            let mut cursor = TickCursor::new(*chain.anchor(), 64);
            prop_assert_eq!(cursor.accept(&CHANNEL, tick), Err(TickError::NoLink(index)));
        }
    }
}
