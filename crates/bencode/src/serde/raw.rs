//! Values that are passed through byte by byte.

use crate::decode::{DecodeLimits, decode_prefix};
use crate::error::{Error, ErrorKind};
use crate::owned::OwnedValue;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The name by which our own (de)serializer knows a raw value.
pub(super) const RAW: &str = "$unchoke_bencode::raw";

/// The exact bytes of one value, borrowed from the input, such as an info dictionary that is to be hashed. Written again as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RawValue<'a>(&'a [u8]);

impl<'a> RawValue<'a> {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Wraps the encoding of one value.
    ///
    /// # Errors
    /// If the bytes are not one value.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        require_one(bytes).map(|()| Self(bytes))
    }
}

/// The exact bytes of one value. As [`RawValue`], but owned.
///
/// In a struct with `#[serde(flatten)]` serde hands values on in a form of its own, in which the bytes are lost: what comes then is the value written
/// anew in canonical order. Where the bytes count, as for a hash, keep raw values out of such structs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RawBuf(Vec<u8>);

impl RawBuf {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Wraps the encoding of one value.
    ///
    /// # Errors
    /// If the bytes are not one value.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        require_one(&bytes)?;
        Ok(Self(bytes))
    }
}

/// Checks that the bytes are one value and nothing else.
fn require_one(bytes: &[u8]) -> Result<(), Error> {
    let limits = DecodeLimits { max_len: bytes.len(), ..DecodeLimits::default() };
    let (_, end) = decode_prefix(bytes, &limits)?;
    if end == bytes.len() { Ok(()) } else { Err(Error::new(ErrorKind::TrailingBytes, end)) }
}

struct Borrowed;

impl<'de> Visitor<'de> for Borrowed {
    type Value = RawValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any bencoded value that can be borrowed")
    }

    fn visit_borrowed_bytes<E>(self, raw: &'de [u8]) -> Result<RawValue<'de>, E> {
        Ok(RawValue(raw))
    }
}

struct Owned;

impl<'de> Visitor<'de> for Owned {
    type Value = RawBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any bencoded value")
    }

    fn visit_bytes<E>(self, raw: &[u8]) -> Result<RawBuf, E> {
        Ok(RawBuf(raw.to_vec()))
    }

    // Through another deserializer, as for a flattened field, there are no bytes to be had: the value is written anew.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawBuf, D::Error> {
        OwnedValue::deserialize(deserializer).map(|value| RawBuf(value.encode()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, Borrowed)
    }
}

impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, Owned)
    }
}

/// Hands bytes to a serializer as such.
pub(super) struct AsBytes<'a>(pub(super) &'a [u8]);

impl Serialize for AsBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for RawValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW, &AsBytes(self.0))
    }
}

impl Serialize for RawBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW, &AsBytes(&self.0))
    }
}
