//! Decoded values: a flat tape of tokens over the input, and cursors that walk it.

use std::fmt;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "BEP 3 closes the set")]
pub enum Kind {
    /// An integer.
    Int,
    /// A byte string.
    Bytes,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

/// One value on the tape. Its children, if any, follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The first byte of the encoding.
    pub(crate) start: u32,
    /// The byte after the encoding.
    pub(crate) end: u32,
    /// The tape index after the value and all that is in it.
    pub(crate) next: u32,
    /// Of a string, where its contents start; of a list or dictionary, how many items or entries it has.
    pub(crate) extra: u32,
}

const NOTHING: Token = Token { kind: Kind::Bytes, start: 0, end: 0, next: u32::MAX, extra: 0 };

/// Decoded input. It borrows the input and owns nothing but the tape.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    input: &'a [u8],
    tape: Vec<Token>,
    canonical: bool,
}

impl<'a> Document<'a> {
    /// The tape must hold one complete value whose offsets lie within `input`.
    pub(crate) fn new(input: &'a [u8], tape: Vec<Token>, canonical: bool) -> Self {
        Self { input, tape, canonical }
    }

    /// The value that was decoded.
    #[must_use]
    pub fn root(&self) -> Value<'a, '_> {
        Value { document: self, at: 0 }
    }

    /// Whether encoding the value again gives the same bytes, which is so unless a dictionary has unsorted keys.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.canonical
    }

    fn token(&self, at: u32) -> Token {
        self.tape.get(at as usize).copied().unwrap_or(NOTHING)
    }

    fn slice(&self, start: u32, end: u32) -> &'a [u8] {
        self.input.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// A cursor on one value: `'a` is the input, `'t` the tape.
#[derive(Clone, Copy)]
pub struct Value<'a, 't> {
    document: &'t Document<'a>,
    at: u32,
}

impl<'a, 't> Value<'a, 't> {
    /// What the value is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.token().kind
    }

    /// The contents of a string; `None` if the value is none.
    #[must_use]
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        let token = self.token();
        (token.kind == Kind::Bytes).then(|| self.document.slice(token.extra, token.end))
    }

    /// The contents of a string in UTF-8; `None` if the value is none.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The integer; `None` if the value is none.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if self.kind() != Kind::Int {
            return None;
        }
        let text = self.raw().strip_prefix(b"i")?.strip_suffix(b"e")?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// The list; `None` if the value is none.
    #[must_use]
    pub fn as_list(self) -> Option<List<'a, 't>> {
        (self.kind() == Kind::List).then_some(List { value: self })
    }

    /// The dictionary; `None` if the value is none.
    #[must_use]
    pub fn as_dict(self) -> Option<Dict<'a, 't>> {
        (self.kind() == Kind::Dict).then_some(Dict { value: self })
    }

    /// The exact bytes that encode the value.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        let token = self.token();
        self.document.slice(token.start, token.end)
    }

    /// Bytes from the start of the input to the value.
    #[must_use]
    pub fn offset(self) -> usize {
        self.token().start as usize
    }

    fn token(self) -> Token {
        self.document.token(self.at)
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token();
        write!(f, "Value({:?} at {}..{})", token.kind, token.start, token.end)
    }
}

/// A cursor on a list.
#[derive(Clone, Copy, Debug)]
pub struct List<'a, 't> {
    value: Value<'a, 't>,
}

impl<'a, 't> List<'a, 't> {
    /// How many items it has.
    #[must_use]
    pub fn len(self) -> usize {
        self.value.token().extra as usize
    }

    /// Whether it has no items.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The items in order.
    #[must_use]
    pub fn iter(self) -> Items<'a, 't> {
        Items { document: self.value.document, at: self.value.at.saturating_add(1), left: self.len() }
    }
}

impl<'a, 't> IntoIterator for List<'a, 't> {
    type Item = Value<'a, 't>;
    type IntoIter = Items<'a, 't>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A cursor on a dictionary. No key occurs twice.
#[derive(Clone, Copy, Debug)]
pub struct Dict<'a, 't> {
    value: Value<'a, 't>,
}

impl<'a, 't> Dict<'a, 't> {
    /// How many entries it has.
    #[must_use]
    pub fn len(self) -> usize {
        self.value.token().extra as usize
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a key. This walks the entries, but skips what is in them.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Value<'a, 't>> {
        self.iter().find_map(|(found, value)| (found == key).then_some(value))
    }

    /// The entries in the order of the input.
    #[must_use]
    pub fn iter(self) -> Entries<'a, 't> {
        let first = self.value.at.saturating_add(1);
        Entries { items: Items { document: self.value.document, at: first, left: self.len().saturating_mul(2) } }
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
    document: &'t Document<'a>,
    at: u32,
    left: usize,
}

impl<'a, 't> Iterator for Items<'a, 't> {
    type Item = Value<'a, 't>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = Value { document: self.document, at: self.at };
        self.at = value.token().next;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_, '_> {}

/// The entries of a dictionary.
#[derive(Clone, Debug)]
pub struct Entries<'a, 't> {
    items: Items<'a, 't>,
}

impl<'a, 't> Iterator for Entries<'a, 't> {
    type Item = (&'a [u8], Value<'a, 't>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.items.next()?.as_bytes()?, self.items.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.items.left / 2;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_, '_> {}
