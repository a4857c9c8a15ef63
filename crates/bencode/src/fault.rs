//! Faults that a decoder can put up with.

use crate::error::{Error, ErrorKind};

/// Where the input first departed from canonical bencode, by the kind of departure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The first offset of each of [`KINDS`]; `NEVER` if there is none.
    first: [u32; KINDS.len()],
}

const KINDS: [ErrorKind; 6] = [
    ErrorKind::UnsortedKeys,
    ErrorKind::DuplicateKey,
    ErrorKind::LeadingZero,
    ErrorKind::NegativeZero,
    ErrorKind::IntegerOverflow,
    ErrorKind::TrailingBytes,
];

const NEVER: u32 = u32::MAX;

impl Faults {
    pub(crate) const NONE: Self = Self { first: [NEVER; KINDS.len()] };

    /// Whether the input is canonical.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first == Self::NONE.first
    }

    /// The first fault of each kind, in the order of the input.
    pub fn iter(&self) -> impl Iterator<Item = Error> {
        let mut found = KINDS.map(|kind| (NEVER, kind));
        for (entry, first) in found.iter_mut().zip(self.first) {
            entry.0 = first;
        }
        found.sort_unstable_by_key(|(first, _)| *first);
        found.into_iter().take_while(|(first, _)| *first != NEVER).map(|(first, kind)| Error::new(kind, first as usize))
    }

    /// Whether there is a fault of this kind.
    #[must_use]
    pub fn contains(&self, kind: ErrorKind) -> bool {
        self.iter().any(|fault| fault.kind() == kind)
    }

    pub(crate) fn add(&mut self, kind: ErrorKind, offset: u32) {
        for (known, first) in KINDS.iter().zip(&mut self.first) {
            if *known == kind {
                *first = offset.min(*first);
            }
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}
