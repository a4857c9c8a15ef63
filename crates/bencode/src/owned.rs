//! Values that own their contents, for those who build or keep them.

use crate::document::Value;
use crate::encode::{ValueEncoder, Written, encode};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A value that borrows nothing. Dictionaries are maps, so their keys are distinct and in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "BEP 3 closes the set")]
pub enum OwnedValue {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary.
    Dict(BTreeMap<Vec<u8>, Self>),
}

impl OwnedValue {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(|v| self.write(v))
    }

    /// Writes the value in its place among others.
    pub fn write<'e>(&self, to: ValueEncoder<'e>) -> Written<'e> {
        match self {
            Self::Int(value) => to.int(*value),
            Self::Bytes(bytes) => to.bytes(bytes),
            Self::List(items) => to.list(|l| items.iter().for_each(|item| l.item(|v| item.write(v)))),
            Self::Dict(entries) => to.sorted_dict(entries, Self::write),
        }
    }
}

impl From<Value<'_, '_>> for OwnedValue {
    /// Copies a decoded value; of a key that occurs more than once, the first value. The recursion is as deep as the value, which
    /// [`MAX_DEPTH`](crate::tape::MAX_DEPTH) limits. An integer beyond 64 bits becomes the string of its digits.
    fn from(value: Value<'_, '_>) -> Self {
        if let Some(dict) = value.as_dict() {
            let mut entries = BTreeMap::new();
            for (key, value) in dict {
                entries.entry(key.to_vec()).or_insert_with(|| value.into());
            }
            Self::Dict(entries)
        } else if let Some(list) = value.as_list() {
            Self::List(list.iter().map(Self::from).collect())
        } else if let Some(value) = value.as_int() {
            Self::Int(value)
        } else {
            let digits = || value.raw().strip_prefix(b"i").and_then(|rest| rest.strip_suffix(b"e"));
            Self::Bytes(value.as_bytes().or_else(digits).unwrap_or_default().to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, decode};
    use crate::tape::MAX_DEPTH;
    use alloc::vec;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = OwnedValue> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12);
        let leaf = prop_oneof![any::<i64>().prop_map(OwnedValue::Int), bytes().prop_map(OwnedValue::Bytes)];
        leaf.prop_recursive(6, 60, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(OwnedValue::List),
                prop::collection::btree_map(bytes(), inner, 0..8).prop_map(OwnedValue::Dict),
            ]
        })
    }

    #[test]
    fn the_deepest_value_can_be_copied_and_written() {
        let bytes = [vec![b'l'; MAX_DEPTH], vec![b'e'; MAX_DEPTH]].concat();
        let limits = DecodeLimits { max_depth: MAX_DEPTH, ..DecodeLimits::default() };
        let document = decode(&bytes, &limits).unwrap();
        assert_eq!(OwnedValue::from(document.root()).encode(), bytes);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(value in values()) {
            let bytes = value.encode();
            let document = decode(&bytes, &DecodeLimits::default()).unwrap();
            prop_assert!(document.is_canonical());
            prop_assert_eq!(&OwnedValue::from(document.root()), &value);
        }

        #[test]
        fn no_value_has_a_proper_prefix_that_is_one(value in values(), cut in any::<prop::sample::Index>()) {
            let bytes = value.encode();
            let kept = cut.index(bytes.len());
            prop_assert!(decode(&bytes[..kept], &DecodeLimits::default()).is_err());
        }
    }
}
