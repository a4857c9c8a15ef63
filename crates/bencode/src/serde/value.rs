//! Owned values through serde.

use super::raw::AsBytes;
use crate::owned::OwnedValue;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

impl Serialize for OwnedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&AsBytes(key), value)?;
                }
                map.end()
            }
        }
    }
}

struct Any;

/// A key of a dictionary: any bytes.
struct Key(Vec<u8>);

impl<'de> Deserialize<'de> for OwnedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = OwnedValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bencoded value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<OwnedValue, E> {
        Ok(OwnedValue::Int(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<OwnedValue, E> {
        Ok(OwnedValue::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<OwnedValue, E> {
        let fits = i64::try_from(value).map(OwnedValue::Int);
        fits.map_err(|_| E::custom(format_args!("integer {value} does not fit 64 bits with sign")))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<OwnedValue, E> {
        Ok(OwnedValue::Bytes(bytes.to_vec()))
    }

    fn visit_str<E>(self, text: &str) -> Result<OwnedValue, E> {
        Ok(OwnedValue::Bytes(text.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OwnedValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(OwnedValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<OwnedValue, A::Error> {
        let mut dict = BTreeMap::new();
        while let Some((Key(key), value)) = entries.next_entry()? {
            dict.entry(key).or_insert(value);
        }
        Ok(OwnedValue::Dict(dict))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match OwnedValue::deserialize(deserializer)? {
            OwnedValue::Bytes(key) => Ok(Self(key)),
            _ => Err(D::Error::custom("dictionary key is not a string")),
        }
    }
}
