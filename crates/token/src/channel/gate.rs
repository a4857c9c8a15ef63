//! Persist, then send: what leaves a machine names the record that has to be durable first, and cannot be got at before.

use crate::ids::UpdateId;
use std::fmt;

/// Something that may leave once a record is durable.
#[derive(Clone, PartialEq, Eq)]
pub struct Gated<T> {
    after: UpdateId,
    what: T,
}

/// A store's word that all records up to one are durable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Durable(UpdateId);

impl<T> Gated<T> {
    pub(crate) const fn new(after: UpdateId, what: T) -> Self {
        Self { after, what }
    }

    /// The record that has to be durable.
    #[must_use]
    pub const fn after(&self) -> UpdateId {
        self.after
    }

    /// Gets it, if the record is durable.
    ///
    /// # Errors
    /// If it is not: then it comes back.
    pub fn open(self, durable: Durable) -> Result<T, Self> {
        if self.after <= durable.0 { Ok(self.what) } else { Err(self) }
    }
}

impl Durable {
    /// All records up to this one are durable. Only a store that has synced them may say so.
    #[must_use]
    pub const fn up_to(id: UpdateId) -> Self {
        Self(id)
    }

    /// The last record that is durable.
    #[must_use]
    pub const fn last(self) -> UpdateId {
        self.0
    }
}

impl<T> fmt::Debug for Gated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gated(after {})", self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_record_is_durable() {
        let gated = Gated::new(UpdateId::new(5), "message");
        let gated = gated.open(Durable::up_to(UpdateId::new(4))).unwrap_err();
        assert_eq!(gated.open(Durable::up_to(UpdateId::new(5))), Ok("message"));
    }
}
