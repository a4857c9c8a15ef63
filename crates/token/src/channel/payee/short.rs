//! Bytes that nearly always are of one length.

use std::ops::Deref;

/// A key or a signature: within its owner if it is `N` bytes long, elsewhere if not.
pub(super) enum Short<const N: usize> {
    Inline([u8; N]),
    Other(Box<[u8]>),
}

impl<const N: usize> From<&[u8]> for Short<N> {
    fn from(bytes: &[u8]) -> Self {
        bytes.try_into().map_or_else(|_| Self::Other(bytes.into()), Self::Inline)
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Other(bytes) => bytes,
        }
    }
}
