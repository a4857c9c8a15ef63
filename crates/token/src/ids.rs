//! Names and numbers of things: ledgers, assets, channels, lanes, heights.

use std::fmt;
use unchoke_core::hash::Sha256Hash;

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<Sha256Hash> for $name {
            fn from(hash: Sha256Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Sha256Hash::new(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name($type);

        impl $name {
            /// The one with this number.
            #[must_use]
            pub const fn new(number: $type) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> $type {
                self.0
            }

            /// The one after it, unless it is the last.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(next) => Some(Self(next)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

digest_id! {
    /// Which ledger: the id of its first block.
    LedgerId
}
digest_id! {
    /// Which transaction: SHA-256 over its raw data, as TRON has it.
    TxId
}
digest_id! {
    /// Which channel: a digest over what opened it, so that it commits to ledger, parties, asset, key and incarnation.
    ChannelId
}
number! {
    /// Which asset: the number of its token, or [`AssetId::NATIVE`].
    AssetId, u64
}
number! {
    /// A part of a channel with a total of its own.
    Lane, u32
}
number! {
    /// The number of a voucher in its lane.
    Seq, u64
}
number! {
    /// The number of a block.
    Height, u64
}
number! {
    /// The number of a record in a log. What depends on the record waits until it is durable.
    UpdateId, u64
}
number! {
    /// Milliseconds since the beginning of 1970 (UTC).
    Timestamp, u64
}

/// The number of a signature scheme.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SchemeId(u8);

impl SchemeId {
    /// None: of an account that has not signed anything yet, and of a channel without vouchers.
    pub const NONE: Self = Self(0);
    /// Ed25519 (RFC 8032), checked strictly.
    pub const ED25519: Self = Self(1);
    /// ECDSA on secp256k1 with recovery, as TRON has it.
    pub const SECP256K1: Self = Self(2);

    /// The scheme with a number.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl AssetId {
    /// The coin of the ledger itself, which TRX is on TRON.
    pub const NATIVE: Self = Self(0);

    /// Reads the decimal digits by which transactions name a token, or `_` for the native coin.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"_" {
            return Some(Self::NATIVE);
        }
        let is_plain = text.first().is_some_and(|first| *first != b'0') && text.iter().all(u8::is_ascii_digit);
        let digits = std::str::from_utf8(text).ok().filter(|_| is_plain)?;
        digits.parse().ok().map(Self)
    }

    /// The name that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn name(self) -> String {
        if self == Self::NATIVE { "_".to_owned() } else { self.0.to_string() }
    }
}

impl Height {
    /// So many blocks later.
    #[must_use]
    pub const fn saturating_add(self, blocks: u64) -> Self {
        Self(self.0.saturating_add(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_one_name_each() {
        assert_eq!(AssetId::parse(b"1002000"), Some(AssetId::new(1_002_000)));
        assert_eq!(AssetId::parse(b"_"), Some(AssetId::NATIVE));
        for bad in [&b""[..], b"0", b"01", b"+1", b"1 ", b"x", b"99999999999999999999"] {
            assert_eq!(AssetId::parse(bad), None);
        }
        assert_eq!(AssetId::new(1_000_001).name(), "1000001");
    }
}
