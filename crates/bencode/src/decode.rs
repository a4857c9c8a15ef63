//! The decoder ([BEP 3]): one pass, no recursion, every cost limited.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::document::{Document, Kind, Token};
use crate::error::{Error, ErrorKind};

/// What a decoder accepts, and so what hostile input can cost. A token takes 20 bytes of memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// How deeply lists and dictionaries may nest. More than [`MAX_DEPTH`] counts as [`MAX_DEPTH`].
    pub max_depth: usize,
    /// How many values, keys included, there may be in all.
    pub max_tokens: usize,
    /// How many bytes the input may have. More than 4 GiB - 1 is never accepted.
    pub max_len: usize,
    /// Whether dictionaries may have their keys out of order, as some torrents in the wild do.
    pub allow_unsorted: bool,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_depth: 64, max_tokens: 4_000_000, max_len: 128 << 20, allow_unsorted: true }
    }
}

/// The deepest nesting that any limits can allow.
pub const MAX_DEPTH: usize = 512;

/// Decodes one bencoded value and requires that nothing follows it.
///
/// The document borrows from `input`: strings are not copied, and [`Value::raw`](crate::Value::raw) gives back the exact
/// bytes, which is what an info-hash must be computed over.
///
/// # Errors
/// [`Error`] tells the kind and the byte offset. Depth, tokens and length are bounded by `limits`, so the cost of hostile
/// input is too.
pub fn decode<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Document<'a>, Error> {
    let (document, end) = decode_prefix(input, limits)?;
    if end == input.len() { Ok(document) } else { Err(Error::new(ErrorKind::TrailingBytes, end)) }
}

/// Decodes the bencoded value that `input` starts with, and tells how many bytes it takes.
///
/// Some messages are a dictionary followed by plain data (`ut_metadata`, BEP 9).
///
/// ```
/// use unchoke_bencode::{DecodeLimits, decode_prefix};
/// let (document, end) = decode_prefix(b"i7edata", &DecodeLimits::default())?;
/// assert_eq!((document.root().as_int(), end), (Some(7), 3));
/// # Ok::<(), unchoke_bencode::Error>(())
/// ```
///
/// # Errors
/// As [`decode`], except that bytes may follow. `limits.max_len` bounds the whole input.
pub fn decode_prefix<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<(Document<'a>, usize), Error> {
    let max_len = limits.max_len.min(u32::MAX as usize);
    if input.len() > max_len {
        return Err(Error::new(ErrorKind::TooLong, max_len));
    }
    let mut decoder =
        Decoder { scan: Scanner { input, at: 0 }, limits, tape: Vec::new(), open: Vec::new(), sorted: true };
    while !decoder.step()? {}
    let end = decoder.scan.at;
    Ok((Document::new(input, decoder.tape, decoder.sorted), end))
}

/// A list or dictionary whose end has not been seen.
struct Open {
    /// Its index on the tape.
    token: usize,
    kind: Kind,
    count: u32,
    /// A key has been read and its value has not.
    has_key: bool,
    /// The last key of a dictionary, as a range of the input.
    last_key: Option<(u32, u32)>,
    sorted: bool,
}

struct Decoder<'a, 'l> {
    scan: Scanner<'a>,
    limits: &'l DecodeLimits,
    tape: Vec<Token>,
    open: Vec<Open>,
    sorted: bool,
}

impl Decoder<'_, '_> {
    /// Reads one key, one start, one end or one plain value; `true` once the outermost value is complete.
    fn step(&mut self) -> Result<bool, Error> {
        let start = self.scan.at;
        let byte = self.scan.peek()?;
        match self.open.last() {
            Some(open) if byte == b'e' => {
                if open.has_key {
                    return Err(Error::new(ErrorKind::MissingValue, start));
                }
                self.scan.skip();
                self.close()?;
            }
            Some(Open { kind: Kind::Dict, has_key: false, .. }) => {
                self.key(byte)?;
                return Ok(false);
            }
            _ => match byte {
                b'i' => {
                    self.scan.integer()?;
                    self.push(Kind::Int, start, 0)?;
                }
                b'0'..=b'9' => {
                    let contents = self.scan.string()?;
                    self.push(Kind::Bytes, start, contents)?;
                }
                b'l' | b'd' => {
                    let kind = if byte == b'l' { Kind::List } else { Kind::Dict };
                    if self.open.len() >= self.limits.max_depth.min(MAX_DEPTH) {
                        return Err(Error::new(ErrorKind::TooDeep, start));
                    }
                    let token = self.tape.len();
                    self.scan.skip();
                    self.push(kind, start, 0)?;
                    self.open.push(Open { token, kind, count: 0, has_key: false, last_key: None, sorted: true });
                    return Ok(false);
                }
                other => return Err(Error::new(ErrorKind::UnexpectedByte(other), start)),
            },
        }
        Ok(match self.open.last_mut() {
            None => true,
            Some(open) => {
                open.count = open.count.saturating_add(1);
                open.has_key = false;
                false
            }
        })
    }

    fn key(&mut self, byte: u8) -> Result<(), Error> {
        let start = self.scan.at;
        if !byte.is_ascii_digit() {
            return Err(Error::new(ErrorKind::KeyNotString, start));
        }
        let contents = self.scan.string()?;
        self.push(Kind::Bytes, start, contents)?;
        let key = (narrow(contents), narrow(self.scan.at));
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if let Some(last) = open.last_key {
            match self.scan.slice(last).cmp(self.scan.slice(key)) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Error::new(ErrorKind::DuplicateKey, start)),
                std::cmp::Ordering::Greater if !self.limits.allow_unsorted => {
                    return Err(Error::new(ErrorKind::UnsortedKeys, start));
                }
                std::cmp::Ordering::Greater => {
                    open.sorted = false;
                    self.sorted = false;
                }
            }
        }
        open.last_key = Some(key);
        open.has_key = true;
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, extra: usize) -> Result<(), Error> {
        if self.tape.len() >= self.limits.max_tokens {
            return Err(Error::new(ErrorKind::TooManyTokens, start));
        }
        let next = narrow(self.tape.len().saturating_add(1));
        let end = narrow(self.scan.at);
        self.tape.push(Token { kind, start: narrow(start), end, next, extra: narrow(extra) });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let next = narrow(self.tape.len());
        if let Some(token) = self.tape.get_mut(open.token) {
            token.end = narrow(self.scan.at);
            token.next = next;
            token.extra = open.count;
        }
        if open.sorted { Ok(()) } else { self.check_distinct(open.token) }
    }

    /// Neighbours were compared as they came; keys out of order have to be sorted to tell whether one occurs twice.
    fn check_distinct(&self, dict: usize) -> Result<(), Error> {
        let mut keys = Vec::new();
        let mut at = dict.saturating_add(1);
        while let Some(key) = self.tape.get(at) {
            keys.push((self.scan.slice((key.extra, key.end)), key.start));
            let Some(value) = self.tape.get(key.next as usize) else { break };
            at = value.next as usize;
        }
        keys.sort_unstable();
        let pairs = keys.iter().zip(keys.iter().skip(1));
        let repeated = pairs.filter(|(one, other)| one.0 == other.0).map(|(_, other)| other.1).min();
        repeated.map_or(Ok(()), |offset| Err(Error::new(ErrorKind::DuplicateKey, offset as usize)))
    }
}

/// Reads numbers and strings off the input.
struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Result<u8, Error> {
        self.input.get(self.at).copied().ok_or(Error::new(ErrorKind::UnexpectedEnd, self.at))
    }

    fn skip(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn slice(&self, (start, end): (u32, u32)) -> &'a [u8] {
        self.input.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Reads `i`, an optional minus, digits and `e`.
    fn integer(&mut self) -> Result<(), Error> {
        self.skip();
        let start = self.at;
        let negative = self.peek()? == b'-';
        if negative {
            self.skip();
        }
        let first = self.at;
        let mut value = 0i64;
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => {
                    let digit = i64::from(digit.saturating_sub(b'0'));
                    // Counted downwards, because the lowest integer has no positive counterpart.
                    let Some(lower) = value.checked_mul(10).and_then(|value| value.checked_sub(digit)) else {
                        return Err(Error::new(ErrorKind::IntegerOverflow, start));
                    };
                    if value == 0 && self.at > first {
                        return Err(Error::new(ErrorKind::LeadingZero, first));
                    }
                    value = lower;
                    self.skip();
                }
                b'e' if self.at > first => break,
                other => return Err(Error::new(ErrorKind::UnexpectedByte(other), self.at)),
            }
        }
        self.skip();
        match (negative, value) {
            (true, 0) => Err(Error::new(ErrorKind::NegativeZero, start)),
            (false, i64::MIN) => Err(Error::new(ErrorKind::IntegerOverflow, start)),
            _ => Ok(()),
        }
    }

    /// Reads a length, a colon and that many bytes, and tells where they start.
    fn string(&mut self) -> Result<usize, Error> {
        let start = self.at;
        let mut length = 0usize;
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => {
                    if length == 0 && self.at > start {
                        return Err(Error::new(ErrorKind::LeadingZero, start));
                    }
                    let digit = usize::from(digit.saturating_sub(b'0'));
                    length = length.saturating_mul(10).saturating_add(digit);
                    if length > self.input.len() {
                        return Err(Error::new(ErrorKind::StringBeyondInput, start));
                    }
                    self.skip();
                }
                b':' => break,
                other => return Err(Error::new(ErrorKind::UnexpectedByte(other), self.at)),
            }
        }
        self.skip();
        let contents = self.at;
        match contents.checked_add(length) {
            Some(end) if end <= self.input.len() => self.at = end,
            _ => return Err(Error::new(ErrorKind::StringBeyondInput, start)),
        }
        Ok(contents)
    }
}

/// The input has at most `u32::MAX` bytes, and every token takes at least one of them.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(input: &[u8]) -> Option<(ErrorKind, usize)> {
        decode(input, &DecodeLimits::default()).err().map(|error| (error.kind(), error.offset()))
    }

    #[test]
    fn errors_tell_kind_and_offset() {
        use ErrorKind::*;
        let table: &[(&[u8], ErrorKind, usize)] = &[
            (b"", UnexpectedEnd, 0),
            (b"i", UnexpectedEnd, 1),
            (b"i-", UnexpectedEnd, 2),
            (b"i12", UnexpectedEnd, 3),
            (b"ie", UnexpectedByte(b'e'), 1),
            (b"i-e", UnexpectedByte(b'e'), 2),
            (b"i+3e", UnexpectedByte(b'+'), 1),
            (b"i 3e", UnexpectedByte(b' '), 1),
            (b"i3.0e", UnexpectedByte(b'.'), 2),
            (b"i03e", LeadingZero, 1),
            (b"i-03e", LeadingZero, 2),
            (b"i00e", LeadingZero, 1),
            (b"i-0e", NegativeZero, 1),
            (b"i9223372036854775808e", IntegerOverflow, 1),
            (b"i-9223372036854775809e", IntegerOverflow, 1),
            (b"4:abc", StringBeyondInput, 0),
            (b"03:abc", LeadingZero, 0),
            (b"00:", LeadingZero, 0),
            (b"99999999999999999999999:", StringBeyondInput, 0),
            (b"3abc", UnexpectedByte(b'a'), 1),
            (b"-1:a", UnexpectedByte(b'-'), 0),
            (b"e", UnexpectedByte(b'e'), 0),
            (b"x", UnexpectedByte(b'x'), 0),
            (b"l", UnexpectedEnd, 1),
            (b"li1e", UnexpectedEnd, 4),
            (b"lxe", UnexpectedByte(b'x'), 1),
            (b"d1:ae", MissingValue, 4),
            (b"di1ei2ee", KeyNotString, 1),
            (b"dlei2ee", KeyNotString, 1),
            (b"d1:ai1e1:ai2ee", DuplicateKey, 7),
            (b"d1:bi1e1:ai2e1:bi3ee", DuplicateKey, 13),
            (b"lei1e", TrailingBytes, 2),
            (b"i1e\n", TrailingBytes, 3),
        ];
        for (input, kind, offset) in table {
            assert_eq!(fault(input), Some((*kind, *offset)), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn reads_the_extremes_of_64_bits() {
        for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
            let input = format!("i{value}e");
            let document = decode(input.as_bytes(), &DecodeLimits::default()).unwrap();
            assert_eq!(document.root().as_int(), Some(value));
        }
    }

    #[test]
    fn cursors_skip_what_is_nested() {
        let input = b"d1:ali1eli2eee1:bd1:xd1:yleee1:ci-3e1:d0:e";
        let document = decode(input, &DecodeLimits::default()).unwrap();
        let dict = document.root().as_dict().unwrap();
        assert_eq!(dict.len(), 4);
        assert_eq!(dict.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), b"abcd");
        let list = dict.get(b"a").unwrap().as_list().unwrap();
        assert_eq!(list.iter().map(|item| item.raw()).collect::<Vec<_>>(), [&b"i1e"[..], b"li2ee"]);
        assert_eq!(dict.get(b"c").unwrap().as_int(), Some(-3));
        assert_eq!(dict.get(b"d").unwrap().as_bytes(), Some(&b""[..]));
        assert_eq!(dict.get(b"b").unwrap().raw(), b"d1:xd1:yleee");
        assert_eq!(dict.get(b"b").unwrap().offset(), 17);
        assert!(dict.get(b"y").is_none() && dict.get(b"").is_none());
        assert!(dict.get(b"d").unwrap().as_int().is_none() && dict.get(b"d").unwrap().as_dict().is_none());
    }

    #[test]
    fn unsorted_keys_are_accepted_and_reported_unless_forbidden() {
        let input = b"ld1:bi1e1:ai2eee";
        let mut limits = DecodeLimits::default();
        assert!(!decode(input, &limits).unwrap().is_canonical());
        assert!(decode(b"d1:ai1e1:bi2ee", &limits).unwrap().is_canonical());
        limits.allow_unsorted = false;
        let error = decode(input, &limits).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::UnsortedKeys, 8));
    }

    #[test]
    fn nesting_is_limited_in_whole_and_in_truncated_input() {
        let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
        assert_eq!(fault(&nested(64)), None);
        assert_eq!(fault(&nested(65)), Some((ErrorKind::TooDeep, 64)));
        assert_eq!(fault(&vec![b'l'; 10_000_000]), Some((ErrorKind::TooDeep, 64)));
        assert_eq!(fault(&b"d1:a".repeat(1_000_000)), Some((ErrorKind::TooDeep, 256)));
        let limits = DecodeLimits { max_depth: usize::MAX, ..DecodeLimits::default() };
        assert!(decode(&nested(MAX_DEPTH), &limits).is_ok());
        assert_eq!(decode(&nested(MAX_DEPTH + 1), &limits).unwrap_err().kind(), ErrorKind::TooDeep);
        assert_eq!(decode(b"le", &DecodeLimits { max_depth: 0, ..limits }).unwrap_err().kind(), ErrorKind::TooDeep);
    }

    #[test]
    fn tokens_and_length_are_limited() {
        let limits = DecodeLimits { max_tokens: 3, max_len: 10, ..DecodeLimits::default() };
        assert!(decode(b"llelee", &limits).is_ok());
        let error = decode(b"lleleleleX", &limits).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::TooManyTokens, 5));
        let error = decode(b"8:12345678X", &limits).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::TooLong, 10));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_offset_within_the_input(
            input in prop::collection::vec(prop::sample::select(&b"ilde:-0123459ab\xff"[..]), 0..40)
        ) {
            match decode(&input, &DecodeLimits::default()) {
                Ok(document) => prop_assert_eq!(document.root().raw(), &input[..]),
                Err(error) => prop_assert!(error.offset() <= input.len()),
            }
        }
    }
}
