//! The decoder ([BEP 3]): one pass, no recursion, every cost limited.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::document::{Document, DocumentRef};
use crate::error::{Error, ErrorKind};
use crate::fault::Faults;
use crate::number::{MAX_DIGITS, integer, string_header};
use crate::tape::{Kind, Level, MAX_DEPTH, MAX_TOKENS, Tape, Token};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// What a decoder accepts, and so what hostile input can cost. A value takes 8 bytes of memory, and no value is shorter than two bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// How deeply lists and dictionaries may nest. More than [`MAX_DEPTH`] counts as [`MAX_DEPTH`], which is the default.
    pub max_depth: usize,
    /// How many values, keys included, there may be in all. More than [`MAX_TOKENS`] counts as [`MAX_TOKENS`]. Default 3,000,000.
    pub max_tokens: usize,
    /// How many bytes the input may have. More than 4 GiB - 1 is never accepted. Default 10,000,000.
    pub max_len: usize,
    /// Whether every departure from canonical bencode is an error. If not, [`Faults`] tells of unsorted and duplicate keys,
    /// leading zeros, negative zero, integers beyond 64 bits and bytes after the value. Default false: there are torrents with each of them.
    pub strict: bool,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_depth: MAX_DEPTH, max_tokens: 3_000_000, max_len: 10_000_000, strict: false }
    }
}

impl DecodeLimits {
    /// The default, but nothing that is not canonical is accepted.
    #[must_use]
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }
}

/// Decodes one bencoded value. That bytes follow it is a fault.
///
/// The document borrows from `input`: strings are not copied, and [`Value::raw`](crate::Value::raw) gives back the exact
/// bytes, which is what an info-hash must be computed over. To decode in a loop without allocating, see [`Tape`].
///
/// # Errors
/// [`Error`] tells the kind and the byte offset. Depth, tokens and length are bounded by `limits`, so the cost of hostile
/// input is too.
pub fn decode<'a>(input: &'a [u8], limits: &DecodeLimits) -> Result<Document<'a>, Error> {
    let mut tape = Tape::new();
    tape.read(input, limits)?;
    tape.require_end(input, limits)?;
    Ok(Document::new(input, tape))
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
    let mut tape = Tape::new();
    tape.read(input, limits)?;
    let end = tape.end as usize;
    Ok((Document::new(input, tape), end))
}

impl Tape {
    /// Decodes one value as [`decode`] does. What the tape held before is gone; memory is taken only if there are more values than ever before.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode<'a, 't>(&'t mut self, input: &'a [u8], limits: &DecodeLimits) -> Result<DocumentRef<'a, 't>, Error> {
        self.read(input, limits)?;
        self.require_end(input, limits)?;
        Ok(DocumentRef::new(input, self))
    }

    /// Decodes the value that `input` starts with as [`decode_prefix`] does. [`DocumentRef::end`] tells how many bytes it takes.
    ///
    /// # Errors
    /// As [`decode_prefix`].
    pub fn decode_prefix<'a, 't>(
        &'t mut self,
        input: &'a [u8],
        limits: &DecodeLimits,
    ) -> Result<DocumentRef<'a, 't>, Error> {
        self.read(input, limits)?;
        Ok(DocumentRef::new(input, self))
    }

    fn require_end(&mut self, input: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
        if self.end as usize == input.len() {
            return Ok(());
        }
        fault(&mut self.faults, limits, ErrorKind::TrailingBytes, self.end as usize)
    }

    fn read(&mut self, input: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
        self.tokens.truncate(limits.max_tokens);
        self.open.clear();
        self.faults = Faults::NONE;
        let max_len = limits.max_len.min(u32::MAX as usize);
        if input.len() > max_len {
            return Err(Error::new(ErrorKind::TooLong, max_len));
        }
        let end = Decoder {
            input,
            limits,
            max_depth: narrow(limits.max_depth.min(MAX_DEPTH)),
            max_tokens: limits.max_tokens.min(MAX_TOKENS),
            tokens: &mut self.tokens,
            used: 0,
            around: &mut self.open,
            level: Level::NONE,
            depth: 0,
            faults: &mut self.faults,
        }
        .run()?;
        self.end = narrow(end);
        Ok(())
    }
}

fn fault(faults: &mut Faults, limits: &DecodeLimits, kind: ErrorKind, offset: usize) -> Result<(), Error> {
    if limits.strict {
        return Err(Error::new(kind, offset));
    }
    faults.add(kind, narrow(offset));
    Ok(())
}

struct Decoder<'a, 't> {
    input: &'a [u8],
    limits: &'t DecodeLimits,
    max_depth: u32,
    max_tokens: usize,
    /// The tape: as long as there is room, of which `used` tokens have been written.
    tokens: &'t mut Vec<Token>,
    used: usize,
    /// What is open around `level`.
    around: &'t mut Vec<Level>,
    /// The innermost list or dictionary, unless `depth` is 0.
    level: Level,
    depth: u32,
    faults: &'t mut Faults,
}

/// Tokens that a new tape has room for; enough for any message between peers.
const FIRST_TOKENS: usize = 32;

/// What stands for "no key yet": no key starts at the first byte of the input.
const NO_KEY: (u32, u32) = (0, 0);

impl Decoder<'_, '_> {
    /// Reads one value and tells where it ends.
    fn run(mut self) -> Result<usize, Error> {
        let mut at = 0;
        loop {
            // A value, or the end of a list.
            let Some(&byte) = self.input.get(at) else { return Err(Error::new(ErrorKind::UnexpectedEnd, at)) };
            match byte {
                b'0'..=b'9' => at = self.string(at)?.1,
                b'i' => at = self.integer(at)?,
                b'l' => {
                    self.descend(at, false)?;
                    at = at.wrapping_add(1);
                    continue;
                }
                b'd' => {
                    self.descend(at, true)?;
                    at = at.wrapping_add(1);
                }
                b'e' if self.depth > 0 && !self.level.is_dict => {
                    at = at.wrapping_add(1);
                    self.ascend()?;
                }
                b'e' if self.depth > 0 => return Err(Error::new(ErrorKind::MissingValue, at)),
                other => return Err(Error::new(ErrorKind::UnexpectedByte(other), at)),
            }
            // A value is complete, or a dictionary has begun: if a key is due it is read now, so that the loop begins with its value.
            loop {
                if self.depth == 0 {
                    return Ok(at);
                }
                if !self.level.is_dict {
                    break;
                }
                match self.input.get(at) {
                    Some(b'0'..=b'9') => {
                        at = self.key(at)?;
                        break;
                    }
                    Some(b'e') => {
                        at = at.wrapping_add(1);
                        self.ascend()?;
                    }
                    Some(_) => return Err(Error::new(ErrorKind::KeyNotString, at)),
                    None => return Err(Error::new(ErrorKind::UnexpectedEnd, at)),
                }
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, token: Token, at: usize) -> Result<(), Error> {
        if self.used >= self.tokens.len() {
            self.grow(at)?;
        }
        if let Some(slot) = self.tokens.get_mut(self.used) {
            *slot = token;
            self.used = self.used.wrapping_add(1);
        }
        Ok(())
    }

    /// Takes as much memory as the rest of the input needs, once.
    #[cold]
    fn grow(&mut self, at: usize) -> Result<(), Error> {
        let left = self.max_tokens.saturating_sub(self.used);
        if left == 0 {
            return Err(Error::new(ErrorKind::TooManyTokens, at));
        }
        let spare = self.tokens.capacity().saturating_sub(self.used);
        let more = if spare > 0 {
            spare.min(left)
        } else if self.used == 0 {
            (self.input.len() / 2).clamp(1, FIRST_TOKENS.min(left))
        } else {
            count(self.input, at, self.depth as usize, left).max(1)
        };
        self.tokens.reserve_exact(more);
        self.tokens.resize(self.used.saturating_add(more), Token::NOTHING);
        Ok(())
    }

    fn descend(&mut self, at: usize, is_dict: bool) -> Result<(), Error> {
        if self.depth >= self.max_depth {
            return Err(Error::new(ErrorKind::TooDeep, at));
        }
        let token = narrow(self.used);
        let kind = if is_dict { Kind::Dict } else { Kind::List };
        self.push(Token::open(kind, narrow(at), self.depth), at)?;
        self.around.push(self.level);
        self.level = Level { token, is_dict, sorted: true, key: NO_KEY };
        self.depth = self.depth.wrapping_add(1);
        Ok(())
    }

    fn ascend(&mut self) -> Result<(), Error> {
        let level = self.level;
        let tokens = narrow(self.used).saturating_sub(level.token);
        if let Some(token) = self.tokens.get_mut(level.token as usize) {
            token.close(tokens);
        }
        self.depth = self.depth.saturating_sub(1);
        self.level = self.around.pop().unwrap_or(Level::NONE);
        if level.sorted { Ok(()) } else { self.find_duplicate(level.token) }
    }

    #[inline(always)]
    fn key(&mut self, at: usize) -> Result<usize, Error> {
        let (contents, end) = self.string(at)?;
        let key = (narrow(contents), narrow(end));
        let last = core::mem::replace(&mut self.level.key, key);
        if last != NO_KEY {
            match compare(slice(self.input, last), slice(self.input, key)) {
                Ordering::Less => {}
                Ordering::Equal => fault(self.faults, self.limits, ErrorKind::DuplicateKey, at)?,
                Ordering::Greater => {
                    self.level.sorted = false;
                    fault(self.faults, self.limits, ErrorKind::UnsortedKeys, at)?;
                }
            }
        }
        Ok(end)
    }

    /// Neighbours were compared as they came; keys out of order have to be sorted to tell whether one occurs twice.
    #[cold]
    fn find_duplicate(&mut self, dict: u32) -> Result<(), Error> {
        let token = |at: u32| self.tokens.get(at as usize).copied().unwrap_or(Token::NOTHING);
        let end = dict.saturating_add(token(dict).skip());
        let mut keys: Vec<u32> = Vec::new();
        let mut at = dict.saturating_add(1);
        while at < end {
            keys.push(at);
            at = at.saturating_add(1);
            at = at.saturating_add(token(at).skip());
        }
        let contents = |key: u32| slice(self.input, token(key).contents(self.input));
        keys.sort_unstable_by(|one, other| contents(*one).cmp(contents(*other)).then(one.cmp(other)));
        let pairs = keys.iter().zip(keys.iter().skip(1));
        let repeated = pairs.filter(|(one, other)| contents(**one) == contents(**other)).map(|(_, other)| *other).min();
        match repeated {
            Some(key) => {
                let offset = token(key).start() as usize;
                fault(self.faults, self.limits, ErrorKind::DuplicateKey, offset)
            }
            None => Ok(()),
        }
    }

    /// Reads `i`, an optional minus, digits and `e`, and tells where the integer ends.
    #[inline(always)]
    fn integer(&mut self, start: usize) -> Result<usize, Error> {
        let text = start.wrapping_add(1);
        let negative = self.input.get(text) == Some(&b'-');
        let first = text.wrapping_add(usize::from(negative));
        let mut at = first;
        while let Some(b'0'..=b'9') = self.input.get(at) {
            at = at.wrapping_add(1);
        }
        let digits = at.wrapping_sub(first);
        match self.input.get(at) {
            Some(b'e') if digits > 0 => {}
            Some(other) => return Err(Error::new(ErrorKind::UnexpectedByte(*other), at)),
            None => return Err(Error::new(ErrorKind::UnexpectedEnd, at)),
        }
        if self.input.get(first) == Some(&b'0') {
            if digits > 1 {
                fault(self.faults, self.limits, ErrorKind::LeadingZero, first)?;
            } else if negative {
                fault(self.faults, self.limits, ErrorKind::NegativeZero, text)?;
            }
        }
        if digits >= MAX_DIGITS && integer(slice(self.input, (narrow(text), narrow(at)))).is_none() {
            fault(self.faults, self.limits, ErrorKind::IntegerOverflow, text)?;
        }
        let end = at.wrapping_add(1);
        self.push(Token::int(narrow(start), self.depth, narrow(end.wrapping_sub(start))), start)?;
        Ok(end)
    }

    /// Reads a length, a colon and that many bytes, and tells where they start and end.
    #[inline(always)]
    fn string(&mut self, start: usize) -> Result<(usize, usize), Error> {
        let (length, header) = string_header(self.input, start)?;
        if header > 2 && self.input.get(start) == Some(&b'0') {
            fault(self.faults, self.limits, ErrorKind::LeadingZero, start)?;
        }
        let contents = start.wrapping_add(header);
        let end = contents.wrapping_add(length);
        if end > self.input.len() {
            return Err(Error::new(ErrorKind::StringBeyondInput, start));
        }
        self.push(Token::string(narrow(start), self.depth, narrow(header), narrow(length)), start)?;
        Ok((contents, end))
    }
}

/// How many values there are from `at` to the end of what is open, as far as the input makes sense, but no more than `limit`.
fn count(input: &[u8], mut at: usize, mut open: usize, limit: usize) -> usize {
    let mut count = 0;
    while count < limit
        && let Some(&byte) = input.get(at)
    {
        at = at.saturating_add(1);
        match byte {
            b'0'..=b'9' => {
                let mut length = usize::from(byte.wrapping_sub(b'0'));
                while let Some(digit @ b'0'..=b'9') = input.get(at) {
                    length = length.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')));
                    at = at.saturating_add(1);
                }
                at = at.saturating_add(1).saturating_add(length);
                count = count.saturating_add(1);
            }
            b'i' => {
                while let Some(b'-' | b'0'..=b'9') = input.get(at) {
                    at = at.saturating_add(1);
                }
                at = at.saturating_add(1);
                count = count.saturating_add(1);
            }
            b'l' | b'd' => {
                open = open.saturating_add(1);
                count = count.saturating_add(1);
            }
            b'e' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    break;
                }
            }
            _ => break,
        }
    }
    count
}

/// The order of two strings, most of which differ in their first byte.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    match (one.first(), other.first()) {
        (Some(first), Some(second)) if first != second => first.cmp(second),
        _ => one.cmp(other),
    }
}

fn slice(input: &[u8], (start, end): (u32, u32)) -> &[u8] {
    input.get(start as usize..end as usize).unwrap_or_default()
}

/// The input has at most `u32::MAX` bytes, and every token takes at least one of them.
#[inline(always)]
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
