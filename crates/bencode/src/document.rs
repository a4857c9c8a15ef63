//! Decoded values: cursors that walk a tape over the input.

use crate::fault::Faults;
use crate::number::integer;
use crate::tape::{Kind, Tape, Token};
use core::fmt;

/// Decoded input. It borrows the input and owns nothing but the tape.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    input: &'a [u8],
    tape: Tape,
}

impl<'a> Document<'a> {
    /// The tape must hold one complete value whose offsets lie within `input`.
    pub(crate) fn new(input: &'a [u8], tape: Tape) -> Self {
        Self { input, tape }
    }

    /// The value that was decoded.
    #[must_use]
    pub fn root(&self) -> Value<'a, '_> {
        self.borrow().root()
    }

    /// Where the input first departs from canonical bencode, by the kind of departure.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.tape.faults
    }

    /// Whether encoding the value again gives the same bytes.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.tape.faults.is_empty()
    }

    fn borrow(&self) -> DocumentRef<'a, '_> {
        DocumentRef::new(self.input, &self.tape)
    }
}

/// Decoded input whose tape belongs to somebody else, who uses it again afterwards.
#[derive(Clone, Copy, Debug)]
pub struct DocumentRef<'a, 't> {
    input: &'a [u8],
    tape: &'t Tape,
}

impl<'a, 't> DocumentRef<'a, 't> {
    pub(crate) fn new(input: &'a [u8], tape: &'t Tape) -> Self {
        Self { input, tape }
    }

    /// The value that was decoded.
    #[must_use]
    pub fn root(self) -> Value<'a, 't> {
        Value { input: self.input, tape: self.tape, at: 0 }
    }

    /// Bytes of the input that the value takes.
    #[must_use]
    pub fn end(self) -> usize {
        self.tape.end as usize
    }

    /// Where the input first departs from canonical bencode, by the kind of departure.
    #[must_use]
    pub fn faults(self) -> &'t Faults {
        &self.tape.faults
    }

    /// Whether encoding the value again gives the same bytes.
    #[must_use]
    pub fn is_canonical(self) -> bool {
        self.tape.faults.is_empty()
    }
}

/// A cursor on one value: `'a` is the input, `'t` the tape.
#[derive(Clone, Copy)]
pub struct Value<'a, 't> {
    input: &'a [u8],
    tape: &'t Tape,
    at: u32,
}

impl<'a, 't> Value<'a, 't> {
    /// What the value is.
    #[must_use]
    #[inline]
    pub fn kind(self) -> Kind {
        self.token().kind()
    }

    /// The contents of a string; `None` if the value is none.
    #[must_use]
    #[inline]
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        let token = self.token();
        (token.kind() == Kind::Bytes).then(|| self.slice(token.contents(self.input)))
    }

    /// The contents of a string in UTF-8; `None` if the value is none.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// The integer; `None` if the value is none, or does not fit.
    #[must_use]
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        integer(self.digits()?)
    }

    /// The integer; `None` if the value is none, is negative, or does not fit.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        let digits = self.digits()?;
        match integer(digits) {
            Some(value) => u64::try_from(value).ok(),
            // It may fit without a sign.
            None => core::str::from_utf8(digits).ok()?.parse().ok(),
        }
    }

    #[inline]
    fn digits(self) -> Option<&'a [u8]> {
        let token = self.token();
        if token.kind() != Kind::Int {
            return None;
        }
        Some(self.slice((token.start().saturating_add(1), token.end(self.input).saturating_sub(1))))
    }

    /// The list; `None` if the value is none.
    #[must_use]
    #[inline]
    pub fn as_list(self) -> Option<List<'a, 't>> {
        (self.kind() == Kind::List).then_some(List { value: self })
    }

    /// The dictionary; `None` if the value is none.
    #[must_use]
    #[inline]
    pub fn as_dict(self) -> Option<Dict<'a, 't>> {
        (self.kind() == Kind::Dict).then_some(Dict { value: self })
    }

    /// The value of a key, if this is a dictionary that has it.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Self> {
        self.as_dict()?.get(key)
    }

    /// The exact bytes that encode the value.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.slice((self.token().start(), self.tape.end_of(self.at, self.input)))
    }

    /// Bytes from the start of the input to the value.
    #[must_use]
    #[inline]
    pub fn offset(self) -> usize {
        self.token().start() as usize
    }

    #[inline]
    fn token(self) -> Token {
        self.tape.token(self.at)
    }

    #[inline]
    fn slice(self, (start, end): (u32, u32)) -> &'a [u8] {
        self.input.get(start as usize..end as usize).unwrap_or_default()
    }

    /// What is inside.
    #[inline]
    fn items(self) -> Items<'a, 't> {
        let end = self.at.saturating_add(self.token().skip());
        Items { next: Value { at: self.at.saturating_add(1), ..self }, end }
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?} at {})", self.kind(), self.offset())
    }
}

/// A cursor on a list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, 't> {
    value: Value<'a, 't>,
}

impl<'a, 't> List<'a, 't> {
    /// How many items it has. This counts them, but skips what is in them.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether it has no items.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The items in order.
    #[must_use]
    #[inline]
    pub fn iter(self) -> Items<'a, 't> {
        self.value.items()
    }
}

impl<'a, 't> IntoIterator for List<'a, 't> {
    type Item = Value<'a, 't>;
    type IntoIter = Items<'a, 't>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A cursor on a dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a, 't> {
    value: Value<'a, 't>,
}

impl<'a, 't> Dict<'a, 't> {
    /// How many entries it has. This counts them, but skips what is in them.
    #[must_use]
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The value of a key, the first if the key occurs more than once. This walks the entries, but skips what is in them.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Value<'a, 't>> {
        self.iter().find_map(|(found, value)| (found == key).then_some(value))
    }

    /// The entries in the order of the input.
    #[must_use]
    #[inline]
    pub fn iter(self) -> Entries<'a, 't> {
        Entries { items: self.value.items() }
    }
}

impl<'a, 't> IntoIterator for Dict<'a, 't> {
    type Item = (&'a [u8], Value<'a, 't>);
    type IntoIter = Entries<'a, 't>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct Items<'a, 't> {
    next: Value<'a, 't>,
    /// The first token after the list.
    end: u32,
}

impl<'a, 't> Iterator for Items<'a, 't> {
    type Item = Value<'a, 't>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next.at >= self.end {
            return None;
        }
        let value = self.next;
        self.next.at = value.at.saturating_add(value.token().skip());
        Some(value)
    }
}

/// The entries of a dictionary.
#[derive(Clone, Debug)]
pub struct Entries<'a, 't> {
    items: Items<'a, 't>,
}

impl<'a, 't> Iterator for Entries<'a, 't> {
    type Item = (&'a [u8], Value<'a, 't>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.items.next()?.as_bytes()?, self.items.next()?))
    }
}
