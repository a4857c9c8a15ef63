//! The encoder: writes canonical bytes ([BEP 3]) and can write nothing else, short of what callers splice in themselves.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::document::Value;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

/// Encodes one value.
///
/// ```
/// let bytes = unchoke_bencode::encode(|v| v.list(|l| {
///     l.int(-1);
///     l.item(|v| v.dict(|d| d.bytes("key", b"value")));
/// }));
/// assert_eq!(bytes, b"li-1ed3:key5:valueee");
/// ```
#[must_use]
pub fn encode(write: impl for<'e> FnOnce(ValueEncoder<'e>) -> Written<'e>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    write(encoder.value());
    encoder.finish()
}

/// Writes values one after another into a buffer.
#[derive(Default)]
pub struct Encoder {
    out: Vec<u8>,
    /// The entries of all dictionaries that are still open, innermost last.
    entries: Vec<Entry>,
}

/// An entry of an open dictionary, as positions in the output. It reaches to the start of the next one.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    key_start: usize,
    key_end: usize,
}

impl Encoder {
    /// An encoder that has written nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An encoder that appends to `out`.
    #[must_use]
    pub fn append_to(out: Vec<u8>) -> Self {
        Self { out, entries: Vec::new() }
    }

    /// What has been written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Forgets what was written and keeps the memory, so that encoding in a loop allocates nothing.
    pub fn clear(&mut self) {
        self.out.clear();
        self.entries.clear();
    }

    /// Where the next value goes.
    #[must_use = "nothing is written until a value is given"]
    pub fn value(&mut self) -> ValueEncoder<'_> {
        ValueEncoder { encoder: self }
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i64) {
        self.value().int(value);
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.value().bytes(bytes);
    }

    /// Writes a list.
    pub fn list(&mut self, write: impl FnOnce(&mut ListEncoder<'_>)) {
        self.value().list(write);
    }

    /// Writes a dictionary.
    pub fn dict(&mut self, write: impl FnOnce(&mut DictEncoder<'_>)) {
        self.value().dict(write);
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Writes a number in decimal digits between what comes before and after it.
    #[inline]
    fn write_number(&mut self, before: &[u8], mut number: u64, after: u8) {
        let mut text = [after; MAX_NUMBER];
        let mut first = MAX_NUMBER - 1;
        let mut put = |byte: u8| {
            first = first.saturating_sub(1);
            if let Some(place) = text.get_mut(first) {
                *place = byte;
            }
        };
        loop {
            let [tens, ones] = PAIRS.get((number % 100) as usize).copied().unwrap_or_default();
            put(ones);
            if number >= 10 {
                put(tens);
            }
            number /= 100;
            if number == 0 {
                break;
            }
        }
        before.iter().rev().for_each(|byte| put(*byte));
        self.out.extend_from_slice(text.get(first..).unwrap_or_default());
    }

    #[inline]
    fn write_int(&mut self, value: i64) {
        self.write_number(if value < 0 { b"i-" } else { b"i" }, value.unsigned_abs(), b'e');
    }

    #[inline(always)]
    fn write_bytes(&mut self, bytes: &[u8]) {
        match PAIRS.get(bytes.len()) {
            Some([_, ones]) if bytes.len() < 10 => self.out.extend_from_slice(&[*ones, b':']),
            Some([tens, ones]) => self.out.extend_from_slice(&[*tens, *ones, b':']),
            None => self.write_number(b"", bytes.len() as u64, b':'),
        }
        self.out.extend_from_slice(bytes);
    }

    /// Writes one byte that opens or closes something.
    #[cfg(feature = "serde")]
    pub(crate) fn mark(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Opens a dictionary. The number is for [`close_dict`](Self::close_dict).
    #[cfg(feature = "serde")]
    pub(crate) fn open_dict(&mut self) -> usize {
        self.out.push(b'd');
        self.entries.len()
    }

    /// Takes the key of the last entry back, whose value was not written.
    #[cfg(feature = "serde")]
    pub(crate) fn take_key_back(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.out.truncate(entry.start);
        }
    }

    /// Writes the key of an entry.
    pub(crate) fn write_key(&mut self, key: &[u8]) {
        let start = self.out.len();
        self.write_bytes(key);
        let key_end = self.out.len();
        self.entries.push(Entry { start, key_start: key_end.saturating_sub(key.len()), key_end });
    }

    /// Puts the entries from number `first` on in order, drops all but the last of those with the same key, and closes the dictionary.
    pub(crate) fn close_dict(&mut self, first: usize) {
        let entries = self.entries.get(first..).unwrap_or_default();
        let key = |entry: &Entry| self.out.get(entry.key_start..entry.key_end).unwrap_or_default();
        if !entries.is_sorted_by(|one, other| key(one) < key(other))
            && let Some(start) = entries.first().map(|entry| entry.start)
        {
            let ends = entries.iter().skip(1).map(|entry| entry.start).chain([self.out.len()]);
            let mut order: Vec<_> = entries.iter().zip(ends).collect();
            order.sort_by(|one, other| key(one.0).cmp(key(other.0)));
            let mut sorted = Vec::with_capacity(self.out.len().saturating_sub(start));
            let mut rest = order.into_iter().peekable();
            while let Some((entry, end)) = rest.next() {
                if rest.peek().is_none_or(|(next, _)| key(next) != key(entry)) {
                    sorted.extend_from_slice(self.out.get(entry.start..end).unwrap_or_default());
                }
            }
            self.out.truncate(start);
            self.out.append(&mut sorted);
        }
        self.entries.truncate(first);
        self.out.push(b'e');
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} bytes)", self.out.len())
    }
}

/// A place for exactly one value. Every method takes it and gives a [`Written`] in return.
#[derive(Debug)]
pub struct ValueEncoder<'e> {
    encoder: &'e mut Encoder,
}

/// The proof that a value was written, which closures that write one have to return.
#[derive(Debug)]
pub struct Written<'e>(PhantomData<fn(&'e ()) -> &'e ()>);

impl<'e> ValueEncoder<'e> {
    /// Writes an integer.
    pub fn int(self, value: i64) -> Written<'e> {
        self.encoder.write_int(value);
        Written(PhantomData)
    }

    /// Writes an integer that may be beyond what has a sign in 64 bits.
    pub fn uint(self, value: u64) -> Written<'e> {
        self.encoder.write_number(b"i", value, b'e');
        Written(PhantomData)
    }

    /// Writes a byte string.
    pub fn bytes(self, bytes: impl AsRef<[u8]>) -> Written<'e> {
        self.encoder.write_bytes(bytes.as_ref());
        Written(PhantomData)
    }

    /// Writes a list.
    pub fn list(self, write: impl FnOnce(&mut ListEncoder<'_>)) -> Written<'e> {
        self.encoder.out.push(b'l');
        write(&mut ListEncoder { encoder: self.encoder });
        self.encoder.out.push(b'e');
        Written(PhantomData)
    }

    /// Writes a dictionary. Entries may be given in any order; of entries with the same key the last one stays.
    pub fn dict(self, write: impl FnOnce(&mut DictEncoder<'_>)) -> Written<'e> {
        self.encoder.out.push(b'd');
        let first = self.encoder.entries.len();
        write(&mut DictEncoder { encoder: self.encoder });
        self.encoder.close_dict(first);
        Written(PhantomData)
    }

    /// Writes a dictionary whose keys are distinct and in order already.
    pub(crate) fn sorted_dict<'k, V>(
        self,
        entries: impl IntoIterator<Item = (&'k Vec<u8>, V)>,
        write: impl for<'v> Fn(V, ValueEncoder<'v>) -> Written<'v>,
    ) -> Written<'e> {
        self.encoder.out.push(b'd');
        for (key, value) in entries {
            self.encoder.write_bytes(key);
            write(value, self.encoder.value());
        }
        self.encoder.out.push(b'e');
        Written(PhantomData)
    }

    /// Copies a decoded value byte by byte, so that hashes over it stay what they are.
    pub fn value(self, value: Value<'_, '_>) -> Written<'e> {
        self.raw(value.raw())
    }

    /// Writes bytes as they are. They must be one bencoded value, such as an info dictionary that was decoded before.
    pub fn raw(self, encoded: &[u8]) -> Written<'e> {
        self.encoder.out.extend_from_slice(encoded);
        Written(PhantomData)
    }
}

/// Bytes of the longest integer, and more than the longest length has.
const MAX_NUMBER: usize = 23;

/// Two digits of each number below a hundred.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Writes the items of a list.
#[derive(Debug)]
pub struct ListEncoder<'e> {
    encoder: &'e mut Encoder,
}

impl ListEncoder<'_> {
    /// Writes an item.
    pub fn item(&mut self, write: impl for<'i> FnOnce(ValueEncoder<'i>) -> Written<'i>) {
        write(self.encoder.value());
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i64) {
        self.encoder.int(value);
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.encoder.bytes(bytes);
    }
}

/// Writes the entries of a dictionary.
#[derive(Debug)]
pub struct DictEncoder<'e> {
    encoder: &'e mut Encoder,
}

impl DictEncoder<'_> {
    /// Writes an entry.
    pub fn entry(&mut self, key: impl AsRef<[u8]>, write: impl for<'v> FnOnce(ValueEncoder<'v>) -> Written<'v>) {
        self.encoder.write_key(key.as_ref());
        write(self.encoder.value());
    }

    /// Writes an entry that is an integer.
    pub fn int(&mut self, key: impl AsRef<[u8]>, value: i64) {
        self.entry(key, |v| v.int(value));
    }

    /// Writes an entry that is a byte string.
    pub fn bytes(&mut self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) {
        self.entry(key, |v| v.bytes(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, decode};
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn entries_come_out_in_order_at_every_level() {
        let bytes = encode(|v| {
            v.dict(|d| {
                d.entry("b", |v| {
                    v.dict(|d| {
                        d.int("y", 1);
                        d.int("x", 2);
                    })
                });
                d.bytes("a", "");
                d.entry("aa", |v| v.list(|_| ()));
            })
        });
        assert_eq!(bytes, b"d1:a0:2:aale1:bd1:xi2e1:yi1eee");
    }

    #[test]
    fn decoded_values_are_spliced_unchanged() {
        let unsorted = b"d1:bi1e1:ai2ee";
        let document = decode(unsorted, &DecodeLimits::default()).unwrap();
        let bytes = encode(|v| v.dict(|d| d.entry("info", |v| v.value(document.root()))));
        assert_eq!(bytes, b"d4:infod1:bi1e1:ai2eee");
    }

    #[test]
    fn an_encoder_shows_what_it_has_and_forgets_it() {
        let mut encoder = Encoder::new();
        encoder.list(|l| {
            l.bytes("ten bytes.");
            l.int(-1234);
            l.bytes([0; 100]);
        });
        assert_eq!(&encoder.as_bytes()[..24], b"l10:ten bytes.i-1234e100");
        assert_eq!((encoder.as_bytes().len(), alloc::format!("{encoder:?}")), (126, "Encoder(126 bytes)".into()));
        encoder.clear();
        assert!(encoder.as_bytes().is_empty());
    }

    #[test]
    fn an_encoder_appends() {
        let mut encoder = Encoder::append_to(vec![20, 0]);
        encoder.dict(|d| d.int("msg_type", 1));
        assert_eq!(encoder.finish(), b"\x14\x00d8:msg_typei1ee");
    }

    proptest! {
        #[test]
        fn a_dictionary_is_what_a_map_would_be(
            entries in prop::collection::vec((prop::collection::vec(0u8..4, 0..3), any::<i64>()), 0..20)
        ) {
            let bytes = encode(|v| v.dict(|d| entries.iter().for_each(|(key, value)| d.int(key, *value))));
            let map: BTreeMap<_, _> = entries.into_iter().collect();
            let document = decode(&bytes, &DecodeLimits::default()).unwrap();
            prop_assert!(document.is_canonical());
            let read = document.root().as_dict().unwrap().iter();
            let read: Vec<_> = read.map(|(key, value)| (key.to_vec(), value.as_int().unwrap())).collect();
            prop_assert_eq!(read, map.into_iter().collect::<Vec<_>>());
        }
    }
}
