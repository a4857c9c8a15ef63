//! Partitions and blackouts: rules over groups of hosts, for a time.

use crate::dice::nanos;
use std::time::Duration;

/// A set of up to 32 groups that hosts may be in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Groups(pub(crate) u32);

impl Groups {
    /// No group.
    pub const NONE: Self = Self(0);
    /// Every host, in whatever group it is.
    pub const ALL: Self = Self(u32::MAX);

    /// One group, by its number from 0 to 30; the others are taken modulo 31.
    #[must_use]
    pub const fn one(number: u8) -> Self {
        Self(1 << (number % 31))
    }

    /// The groups of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn meets(self, groups: u32) -> bool {
        self.0 & (groups | OUTSIDE) != 0
    }
}

/// The bit that all hosts have, so that [`Groups::ALL`] holds those in no group, too.
const OUTSIDE: u32 = 1 << 31;

/// Nothing passes between two sets of hosts for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Cut {
    from: Groups,
    to: Groups,
    back: bool,
    begin: u64,
    end: u64,
}

impl Cut {
    /// Nothing passes from one set to the other, nor back.
    pub const fn between(one: Groups, other: Groups) -> Self {
        Self { from: one, to: other, back: true, begin: 0, end: u64::MAX }
    }

    /// Nothing passes from one set to the other; the way back is open.
    pub const fn one_way(from: Groups, to: Groups) -> Self {
        Self { back: false, ..Self::between(from, to) }
    }

    /// The hosts of the set send and receive nothing.
    pub const fn blackout(groups: Groups) -> Self {
        Self::between(groups, Groups::ALL)
    }

    /// From when on, since the beginning of the world.
    pub fn from(self, begin: Duration) -> Self {
        Self { begin: nanos(begin), ..self }
    }

    /// Until when, since the beginning of the world; otherwise for ever.
    pub fn until(self, end: Duration) -> Self {
        Self { end: nanos(end), ..self }
    }

    pub(crate) const fn is_over(&self, now: u64) -> bool {
        self.end <= now
    }

    /// When the cut ends, if it stops something that is sent now.
    pub(crate) fn stops(&self, now: u64, from: u32, to: u32) -> Option<u64> {
        let is_now = self.begin <= now && now < self.end;
        let forth = self.from.meets(from) && self.to.meets(to);
        let back = self.back && self.from.meets(to) && self.to.meets(from);
        Some(self.end).filter(|_| is_now && (forth || back))
    }
}
