//! Names of hosts.

/// Names a host of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub(crate) u32);

impl HostId {
    /// The host that was added after `number` others.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// How many hosts were added before it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}
