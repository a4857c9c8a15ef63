//! Access lines: what a host's datagrams and streams meet on their way.

use crate::counters::Traffic;
use crate::dice::{Dice, nanos};
use crate::distribution::Distribution;
use std::net::SocketAddr;
use std::time::Duration;

/// Names a [`Link`] of a world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkId(pub(crate) u32);

/// The access line of hosts of one kind. The way from one host to another is the access latency of both, the distance between them, and
/// what the sender's line adds: jitter, loss, duplicates.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The delay of the line in one direction, drawn once for each host.
    pub latency: Distribution,
    /// What each datagram waits longer, drawn for each. Datagrams overtake one another where it exceeds the time between them.
    pub jitter: Distribution,
    /// Which of the datagrams that the host sends are lost.
    pub loss: Loss,
    /// The share of the sent datagrams that arrive twice, from 0 to 1.
    pub duplicates: f64,
    /// How fast bytes leave the host; `None` is without limit.
    pub up: Option<Rate>,
    /// How fast bytes come in; `None` is without limit.
    pub down: Option<Rate>,
}

impl Link {
    /// A line with this delay for each direction, that does no harm.
    #[must_use]
    pub const fn constant(latency: Duration) -> Self {
        Self {
            latency: Distribution::Constant(latency),
            jitter: Distribution::ZERO,
            loss: Loss::None,
            duplicates: 0.0,
            up: None,
            down: None,
        }
    }
}

impl Default for Link {
    /// A line at home: 18 ms in the median with a tail, 2 ms of jitter, no loss, no limit of rate. With the default distances of a world
    /// half of all round trips take less than about 120 ms.
    fn default() -> Self {
        Self {
            latency: Distribution::LogNormal { median: Duration::from_millis(18), sigma: 0.6 },
            jitter: Distribution::Exponential { mean: Duration::from_millis(2) },
            ..Self::constant(Duration::ZERO)
        }
    }
}

/// Which datagrams get lost.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability, whatever became of the others.
    Random(f64),
    /// Gilbert and Elliott's model of bursts: a line is good or bad, and may change with each datagram.
    Bursts {
        /// Probability that a good line turns bad.
        begin: f64,
        /// Probability that a bad line turns good; the mean length of a burst is 1 / `end` datagrams.
        end: f64,
        /// Probability of loss on a good line.
        good: f64,
        /// Probability of loss on a bad line.
        bad: f64,
    },
}

impl Loss {
    /// Whether the next datagram is lost. `is_bad` is the state of the line.
    pub(crate) fn takes(self, dice: &mut Dice, is_bad: &mut bool) -> bool {
        match self {
            Self::None => false,
            Self::Random(probability) => dice.chance(probability),
            Self::Bursts { begin, end, good, bad } => {
                if dice.chance(if *is_bad { end } else { begin }) {
                    *is_bad = !*is_bad;
                }
                dice.chance(if *is_bad { bad } else { good })
            }
        }
    }
}

/// A limit of rate with a queue before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rate {
    /// Payload bytes per second.
    pub bytes_per_second: u64,
    /// Payload bytes that may wait; a datagram that finds the queue full is dropped, a stream waits.
    pub queue: u64,
}

impl Rate {
    /// A rate in bytes per second with a queue of as much as passes in 200 ms, and of at least 64 KiB.
    #[must_use]
    pub const fn new(bytes_per_second: u64) -> Self {
        let queue = bytes_per_second / 5;
        Self { bytes_per_second, queue: if queue < 65_536 { 65_536 } else { queue } }
    }

    /// How long a number of bytes takes, in nanoseconds.
    const fn time(self, bytes: u64) -> u64 {
        let rate = if self.bytes_per_second == 0 { 1 } else { self.bytes_per_second };
        bytes.saturating_mul(1_000_000_000) / rate
    }

    /// When the last of the bytes is through a line that is busy until `free`; `None` if the queue is full.
    pub(crate) fn admit(self, now: u64, free: &mut u64, bytes: usize) -> Option<u64> {
        if free.saturating_sub(now) > self.time(self.queue.saturating_sub(bytes as u64)) {
            return None;
        }
        Some(self.wait(now, free, bytes))
    }

    /// When the last of the bytes is through, however long the queue is.
    pub(crate) fn wait(self, now: u64, free: &mut u64, bytes: usize) -> u64 {
        *free = now.max(*free).saturating_add(self.time(bytes as u64));
        *free
    }
}

/// The way between two particular hosts, in place of what their lines and places would give.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The delay from one to the other, drawn for each datagram.
    pub latency: Distribution,
    /// Which datagrams are lost. Bursts share their state with the sender's line.
    pub loss: Loss,
    /// The share of datagrams that arrive twice, from 0 to 1.
    pub duplicates: f64,
}

impl Route {
    /// A way with this delay that loses nothing.
    #[must_use]
    pub const fn constant(latency: Duration) -> Self {
        Self { latency: Distribution::Constant(latency), loss: Loss::None, duplicates: 0.0 }
    }
}

/// The addresses of a host: one, for nearly all of them.
#[derive(Debug)]
pub(crate) enum Addresses {
    One([SocketAddr; 1]),
    Many(Box<[SocketAddr]>),
}

impl Addresses {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        <[SocketAddr; 1]>::try_from(addresses).map_or_else(|many| Self::Many(many.into()), Self::One)
    }

    pub(crate) fn as_slice(&self) -> &[SocketAddr] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

/// The network's state of one host, in one place of memory.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Site {
    pub(crate) addresses: Addresses,
    pub(crate) traffic: Traffic,
    /// When the uplink and the downlink will have sent what waits.
    pub(crate) up_free: u64,
    pub(crate) down_free: u64,
    /// When the earliest entry of the queue that wakes the host is due; `u64::MAX` if there is none.
    pub(crate) wake: u64,
    /// What the host has said its deadline is, so that an entry that is due too early does not touch the host; `u64::MAX` if it has none.
    pub(crate) deadline: u64,
    pub(crate) dice: Dice,
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// The delay of the access line in microseconds.
    pub(crate) access: u32,
    /// The NAT that it is behind, or `u32::MAX`.
    pub(crate) nat: u32,
    pub(crate) groups: u32,
    pub(crate) link: u32,
    pub(crate) is_up: bool,
    pub(crate) is_bad: bool,
}

impl Site {
    /// The delay from here to another place, one way, in nanoseconds; `unit` is that between two places at a distance of 1.
    pub(crate) fn delay(&self, other: &Self, unit: Duration) -> u64 {
        let (x, y) = (f64::from(self.x - other.x), f64::from(self.y - other.y));
        let distance = crate::dice::whole((x * x + y * y).sqrt() * nanos(unit) as f64);
        (u64::from(self.access) + u64::from(other.access)) * 1000 + distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_host_fits_into_two_cache_lines() {
        assert!(size_of::<Site>() <= 128);
    }

    #[test]
    fn bursts_lose_their_share_and_come_together() {
        let loss = Loss::Bursts { begin: 0.01, end: 0.19, good: 0.0, bad: 1.0 };
        let (mut dice, mut is_bad) = (Dice::new(3), false);
        let lost: Vec<bool> = (0..200_000).map(|_| loss.takes(&mut dice, &mut is_bad)).collect();
        let total = lost.iter().filter(|it| **it).count();
        let pairs = lost.windows(2).filter(|it| it[0] && it[1]).count();
        // The bad state holds 0.01 / (0.01 + 0.19) of the time, and goes on with probability 0.81.
        assert!((total as f64 / 200_000.0 - 0.05).abs() < 0.005, "{total}");
        assert!((pairs as f64 / total as f64 - 0.81).abs() < 0.02, "{pairs} of {total}");
    }

    #[test]
    fn a_full_queue_drops_and_an_empty_one_takes_a_datagram_of_its_size() {
        let rate = Rate { bytes_per_second: 1000, queue: 100 };
        let mut free = 0;
        assert_eq!(rate.admit(0, &mut free, 100), Some(100_000_000));
        assert_eq!(rate.admit(0, &mut free, 1), None);
        assert_eq!(rate.admit(50_000_000, &mut free, 50), Some(150_000_000));
    }
}
