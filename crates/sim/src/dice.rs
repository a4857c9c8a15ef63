//! The randomness of the network: eight bytes of state, so that each host has a stream of its own.

use crate::math;
use std::time::Duration;

/// A generator of the SplitMix64 family. It is fast and small, and no secret may come from it.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(state: u64) -> Self {
        Self(state)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let high = self.next_u64() >> 32;
        let low = self.next_u64() >> 43;
        let (high, low) = (u32::try_from(high).unwrap_or(0), u32::try_from(low).unwrap_or(0));
        (f64::from(high) + f64::from(low) / 2_097_152.0) / 4_294_967_296.0
    }

    /// True with this probability; draws nothing where the answer is certain.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (probability >= 1.0 || self.unit() < probability)
    }

    /// A draw from the standard normal distribution, by Marsaglia's polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * math::ln(square) / square).sqrt();
            }
        }
    }
}

/// Spreads the bits of a word over all of it.
pub(crate) const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A duration in nanoseconds; what does not fit into 64 bits (584 years) is cut.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number of nanoseconds as a whole one; what is negative or not a number becomes 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is wanted"
)]
pub(crate) const fn whole(nanos: f64) -> u64 {
    nanos as u64
}

/// A number from 0 to 1, for a place in the square.
#[allow(clippy::cast_possible_truncation, reason = "a place needs no more digits than an f32 has")]
pub(crate) fn coordinate(dice: &mut Dice) -> f32 {
    dice.unit() as f32
}
