//! The tape: eight bytes for each value, in the order of the input.

use crate::fault::Faults;
use alloc::vec::Vec;

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
///
/// Beside the kind (2 bits) and the depth (7 bits) there are 23 bits that depend on the kind. A list or dictionary: tokens up to the next
/// value that is not inside. A string: the bytes before its contents (4 bits) and their number (19 bits). An integer: the bytes of its
/// encoding. What does not fit is all ones and is read off the input again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    start: u32,
    rest: u32,
}

/// The deepest nesting that a tape can hold.
pub const MAX_DEPTH: usize = 100;
/// The most values, keys included, that a tape can hold.
pub const MAX_TOKENS: usize = DATA as usize;

const DATA: u32 = (1 << 23) - 1;
const HEADER: u32 = (1 << 4) - 1;
const LENGTH: u32 = (1 << 19) - 1;

impl Token {
    pub(crate) const NOTHING: Self = Self { start: 0, rest: 1 };

    #[inline(always)]
    pub(crate) fn int(start: u32, depth: u32, length: u32) -> Self {
        Self { start, rest: depth << 2 | length.min(DATA) << 9 }
    }

    #[inline(always)]
    pub(crate) fn string(start: u32, depth: u32, header: u32, length: u32) -> Self {
        let data = if header >= HEADER || length > LENGTH { DATA } else { header << 19 | length };
        Self { start, rest: 1 | depth << 2 | data << 9 }
    }

    /// A string whose numbers fit for certain.
    #[inline(always)]
    pub(crate) fn short_string(start: u32, depth: u32, header: u32, length: u32) -> Self {
        Self { start, rest: 1 | depth << 2 | length << 9 | header << 28 }
    }

    /// A list or dictionary whose end has not been seen, and the token of the one around it.
    #[inline(always)]
    pub(crate) fn open(is_dict: bool, start: u32, depth: u32, around: u32) -> Self {
        Self { start, rest: 2 | u32::from(is_dict) | depth << 2 | around << 9 }
    }

    /// Sets how many tokens a list or dictionary takes, its own included. Returns the token of the one around it.
    #[inline(always)]
    pub(crate) fn close(&mut self, tokens: u32) -> u32 {
        let around = self.data();
        self.rest = self.rest & 0x1ff | tokens << 9;
        around
    }

    #[inline(always)]
    pub(crate) fn is_dict(self) -> bool {
        self.rest & 3 == 3
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.rest & 3 {
            0 => Kind::Int,
            1 => Kind::Bytes,
            2 => Kind::List,
            _ => Kind::Dict,
        }
    }

    #[inline]
    pub(crate) fn start(self) -> u32 {
        self.start
    }

    pub(crate) fn depth(self) -> u32 {
        self.rest >> 2 & 0x7f
    }

    #[inline]
    fn data(self) -> u32 {
        self.rest >> 9
    }

    /// Tokens up to the next value that is not inside.
    #[inline]
    pub(crate) fn skip(self) -> u32 {
        if self.rest & 2 == 0 { 1 } else { self.data() }
    }

    /// Where the contents of a string start and end.
    #[inline]
    pub(crate) fn contents(self, input: &[u8]) -> (u32, u32) {
        let data = self.data();
        if data != DATA {
            let start = self.start.saturating_add(data >> 19);
            return (start, start.saturating_add(data & LENGTH));
        }
        self.long_contents(input)
    }

    #[cold]
    fn long_contents(self, input: &[u8]) -> (u32, u32) {
        let mut at = self.start;
        let mut length = 0_u32;
        while let Some(digit @ b'0'..=b'9') = input.get(at as usize) {
            length = length.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')));
            at = at.saturating_add(1);
        }
        let start = at.saturating_add(1);
        (start, start.saturating_add(length))
    }

    /// Where a value without children ends.
    pub(crate) fn end(self, input: &[u8]) -> u32 {
        match self.kind() {
            Kind::Bytes => self.contents(input).1,
            Kind::Int if self.data() != DATA => self.start.saturating_add(self.data()),
            Kind::Int => {
                let digits =
                    input.get(self.start as usize..).unwrap_or_default().iter().take_while(|byte| **byte != b'e');
                self.start.saturating_add(u32::try_from(digits.count()).unwrap_or(u32::MAX)).saturating_add(1)
            }
            Kind::List | Kind::Dict => self.start.saturating_add(2),
        }
    }
}

/// Memory for decoding that can be used again and again.
///
/// ```
/// use unchoke_bencode::{DecodeLimits, Tape};
/// let (mut tape, limits) = (Tape::new(), DecodeLimits::default());
/// for input in [&b"i1e"[..], b"li2ei3ee"] {
///     let document = tape.decode(input, &limits)?;
///     assert_eq!(document.root().raw(), input);
/// }
/// # Ok::<(), unchoke_bencode::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// All that there is room for; those of the value come first.
    pub(crate) tokens: Vec<Token>,
    pub(crate) faults: Faults,
    /// Bytes of the input that the value takes.
    pub(crate) end: u32,
}

impl Tape {
    /// A tape that holds nothing and has taken no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { tokens: Vec::new(), faults: Faults::NONE, end: 0 }
    }

    /// A tape with room for so many values, of eight bytes each. It grows if there are more.
    #[must_use]
    pub fn with_capacity(values: usize) -> Self {
        Self { tokens: Vec::with_capacity(values), ..Self::new() }
    }

    #[inline]
    pub(crate) fn token(&self, at: u32) -> Token {
        self.tokens.get(at as usize).copied().unwrap_or(Token::NOTHING)
    }

    /// Where the value of this token ends.
    ///
    /// Between the last value inside a list and the end of the list there is nothing but one `e` for each level.
    pub(crate) fn end_of(&self, at: u32, input: &[u8]) -> u32 {
        let token = self.token(at);
        let last = self.token(at.saturating_add(token.skip()).saturating_sub(1));
        last.end(input).saturating_add(last.depth().saturating_sub(token.depth()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_takes_eight_bytes() {
        assert_eq!(size_of::<Token>(), 8);
    }

    #[test]
    fn what_does_not_fit_is_read_again() {
        let zeros = [&[b'0'; 40][..], b"3:abc"].concat();
        let token = Token::string(0, 5, 42, 3);
        assert_eq!((token.contents(&zeros), token.depth(), token.kind()), ((42, 45), 5, Kind::Bytes));
        let long = [&b"1000000:"[..], &[7; 1_000_000]].concat();
        assert_eq!(Token::string(0, 0, 8, 1_000_000).contents(&long), (8, 1_000_008));
        let short = Token::string(3, 100, 2, 1);
        assert_eq!((short.contents(b""), short.depth(), short.skip()), ((5, 6), 100, 1));
        let digits = [&b"i"[..], &[b'1'; 9_000_000], b"e"].concat();
        assert_eq!(Token::int(0, 0, 9_000_002).end(&digits), 9_000_002);
    }
}
