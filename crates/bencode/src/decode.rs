//! The decoder ([BEP 3]): one pass, no recursion, every cost limited.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html

use crate::document::{Document, DocumentRef};
use crate::error::{Error, ErrorKind};
use crate::fault::Faults;
use crate::number::{self, MAX_DIGITS, short_digits, short_header, string_header};
use crate::tape::{MAX_DEPTH, MAX_TOKENS, Tape, Token};
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
        fault(&mut self.faults, limits, ErrorKind::TrailingBytes, self.end)
    }

    fn read(&mut self, input: &[u8], limits: &DecodeLimits) -> Result<(), Error> {
        self.tokens.truncate(limits.max_tokens);
        self.faults = Faults::NONE;
        let max_len = limits.max_len.min(u32::MAX as usize);
        if input.len() > max_len {
            return Err(Error::new(ErrorKind::TooLong, max_len));
        }
        let mut decoder = Decoder {
            input,
            limits,
            max_depth: narrow(limits.max_depth.min(MAX_DEPTH)),
            tokens: core::mem::take(&mut self.tokens),
            used: 0,
            open: 0,
            is_dict: false,
            last_key: NO_KEY,
            depth: 0,
            unsorted: 0,
            faults: &mut self.faults,
        };
        let end = decoder.run();
        self.tokens = decoder.tokens;
        self.end = end?;
        Ok(())
    }
}

#[cold]
fn fault(faults: &mut Faults, limits: &DecodeLimits, kind: ErrorKind, offset: u32) -> Result<(), Error> {
    if limits.strict {
        return Err(Error::new(kind, offset as usize));
    }
    faults.add(kind, offset);
    Ok(())
}

/// Nothing that is not inlined borrows this, so that it can live in registers. What is rare takes what it needs and gives it back.
struct Decoder<'a, 't> {
    input: &'a [u8],
    limits: &'t DecodeLimits,
    max_depth: u32,
    /// The tape: as long as there is room, of which `used` tokens have been written.
    tokens: Vec<Token>,
    used: u32,
    /// The token of the innermost list or dictionary, unless `depth` is 0. Until that is closed, its token holds that of the one around it.
    open: u32,
    is_dict: bool,
    /// The token of the last key of the innermost dictionary.
    last_key: u32,
    depth: u32,
    /// The depths at which there is an open dictionary whose keys are not in order, a bit each.
    unsorted: u128,
    faults: &'t mut Faults,
}

/// Tokens that a new tape has room for; enough for any message between peers.
const FIRST_TOKENS: usize = 32;

/// What stands for "no key yet": the first token is never a key.
const NO_KEY: u32 = 0;

impl Decoder<'_, '_> {
    /// Reads one value and tells where it ends.
    #[inline(always)]
    fn run(&mut self) -> Result<u32, Error> {
        let mut at = 0;
        loop {
            // A value, or the end of a list.
            match self.byte(at) {
                Some(b'0'..=b'9') => {
                    at = match self.short_string(at) {
                        Some((_, end)) => end,
                        None => self.string(at)?.1,
                    };
                }
                Some(b'i') => {
                    at = match self.short_integer(at) {
                        Some(end) => end,
                        None => self.integer(at)?,
                    };
                }
                Some(b'l') => {
                    self.descend(at, false)?;
                    at = at.wrapping_add(1);
                    continue;
                }
                Some(b'd') => {
                    self.descend(at, true)?;
                    at = at.wrapping_add(1);
                }
                Some(b'e') if self.depth > 0 && !self.is_dict => {
                    at = at.wrapping_add(1);
                    self.ascend()?;
                }
                Some(b'e') if self.depth > 0 => return Err(error(ErrorKind::MissingValue, at)),
                Some(other) => return Err(error(ErrorKind::UnexpectedByte(other), at)),
                None => return Err(error(ErrorKind::UnexpectedEnd, at)),
            }
            // A value is complete, or a dictionary has begun: if a key is due it is read now, so that the loop begins with its value.
            loop {
                if !self.is_dict {
                    if self.depth == 0 {
                        return Ok(at);
                    }
                    break;
                }
                match self.byte(at) {
                    Some(b'0'..=b'9') => {
                        let token = self.used;
                        let key = match self.short_string(at) {
                            Some(key) => key,
                            None => self.string(at)?,
                        };
                        if self.follows(key) {
                            self.last_key = token;
                        } else {
                            self.misplaced(token, at)?;
                        }
                        at = key.1;
                        break;
                    }
                    Some(b'e') => {
                        at = at.wrapping_add(1);
                        self.ascend()?;
                    }
                    Some(_) => return Err(error(ErrorKind::KeyNotString, at)),
                    None => return Err(error(ErrorKind::UnexpectedEnd, at)),
                }
            }
        }
    }

    #[inline(always)]
    fn byte(&self, at: u32) -> Option<u8> {
        self.input.get(at as usize).copied()
    }

    /// Writes a token if there is room.
    #[inline(always)]
    fn write(&mut self, token: Token) -> Option<()> {
        *self.tokens.get_mut(self.used as usize)? = token;
        self.used = self.used.wrapping_add(1);
        Some(())
    }

    /// Writes a token and makes room if there is none.
    #[inline(always)]
    fn push(&mut self, token: Token) -> Result<(), Error> {
        if self.write(token).is_none() {
            let tokens = core::mem::take(&mut self.tokens);
            self.tokens = grow(tokens, self.limits, self.input, token.start() as usize, self.depth as usize)?;
            self.write(token);
        }
        Ok(())
    }

    #[inline(always)]
    fn descend(&mut self, at: u32, is_dict: bool) -> Result<(), Error> {
        if self.depth >= self.max_depth {
            return Err(error(ErrorKind::TooDeep, at));
        }
        let token = self.used;
        self.push(Token::open(is_dict, at, self.depth, self.open))?;
        (self.open, self.is_dict, self.last_key) = (token, is_dict, NO_KEY);
        self.depth = self.depth.wrapping_add(1);
        Ok(())
    }

    #[inline(always)]
    fn ascend(&mut self) -> Result<(), Error> {
        let inside = self.open;
        self.depth = self.depth.wrapping_sub(1);
        if let Some(token) = self.tokens.get_mut(inside as usize) {
            self.open = token.close(self.used.wrapping_sub(inside));
        }
        if self.unsorted != 0 {
            let bit = 1_u128.wrapping_shl(self.depth);
            if self.unsorted & bit != 0 {
                self.unsorted &= !bit;
                find_duplicate(&self.tokens, inside, self.input, self.faults, self.limits)?;
            }
        }
        // The key of a list or dictionary that is the value of one stands before it.
        self.last_key = inside.wrapping_sub(1);
        self.is_dict = self.depth > 0 && self.tokens.get(self.open as usize).is_some_and(|it| it.is_dict());
        Ok(())
    }

    /// Whether a key comes after the one before it. It nearly always does, and nearly always the first byte tells.
    #[inline(always)]
    fn follows(&self, key: (u32, u32)) -> bool {
        if self.last_key == NO_KEY {
            return true;
        }
        let Some(last) = self.tokens.get(self.last_key as usize) else { return true };
        let last = last.contents(self.input);
        let first = |(start, end): (u32, u32)| if start < end { self.byte(start) } else { None };
        match (first(last), first(key)) {
            (Some(before), Some(byte)) if before != byte => before < byte,
            _ => compare(self.input, last, key) == Ordering::Less,
        }
    }

    /// The key at a token is not after the one before it.
    #[inline(always)]
    fn misplaced(&mut self, token: u32, at: u32) -> Result<(), Error> {
        let last = core::mem::replace(&mut self.last_key, token);
        let contents = |token: u32| self.tokens.get(token as usize).map_or((0, 0), |it| it.contents(self.input));
        if compare(self.input, contents(last), contents(token)) == Ordering::Equal {
            return fault(self.faults, self.limits, ErrorKind::DuplicateKey, at);
        }
        self.unsorted |= 1_u128.wrapping_shl(self.depth.wrapping_sub(1));
        fault(self.faults, self.limits, ErrorKind::UnsortedKeys, at)
    }

    /// Reads an integer of few digits if there is nothing unusual about it.
    #[inline(always)]
    fn short_integer(&mut self, start: u32) -> Option<u32> {
        let text = self.input.get(start.wrapping_add(1) as usize..)?;
        let digits = short_digits(text.first_chunk()?)?;
        let is_plain = digits == 1 || digits > 1 && text.first() != Some(&b'0');
        if !is_plain || text.get(digits as usize) != Some(&b'e') {
            return None;
        }
        let length = digits.wrapping_add(2);
        self.write(Token::int(start, self.depth, length))?;
        Some(start.wrapping_add(length))
    }

    /// Reads `i`, an optional minus, digits and `e`, and tells where the integer ends.
    #[inline(always)]
    fn integer(&mut self, start: u32) -> Result<u32, Error> {
        let length = integer(self.input, start, self.faults, self.limits)?;
        self.push(Token::int(start, self.depth, length))?;
        Ok(start.wrapping_add(length))
    }

    /// Reads a string with a length of few digits if there is nothing unusual about it; tells where the contents start and end.
    #[inline(always)]
    fn short_string(&mut self, start: u32) -> Option<(u32, u32)> {
        let text = self.input.get(start as usize..)?;
        let (length, header) = short_header(text)?;
        if length as usize > text.len().wrapping_sub(header as usize) {
            return None;
        }
        self.write(Token::short_string(start, self.depth, header, length))?;
        let contents = start.wrapping_add(header);
        Some((contents, contents.wrapping_add(length)))
    }

    /// Reads a length, a colon and that many bytes, and tells where they start and end.
    #[inline(always)]
    fn string(&mut self, start: u32) -> Result<(u32, u32), Error> {
        let (header, length) = string(self.input, start, self.faults, self.limits)?;
        self.push(Token::string(start, self.depth, header, length))?;
        let contents = start.wrapping_add(header);
        Ok((contents, contents.wrapping_add(length)))
    }
}

#[inline(never)]
fn integer(input: &[u8], start: u32, faults: &mut Faults, limits: &DecodeLimits) -> Result<u32, Error> {
    let byte = |at: u32| input.get(at as usize).copied();
    let text = start.wrapping_add(1);
    let negative = byte(text) == Some(b'-');
    let first = text.wrapping_add(u32::from(negative));
    let mut at = first;
    while let Some(b'0'..=b'9') = byte(at) {
        at = at.wrapping_add(1);
    }
    let digits = at.wrapping_sub(first);
    match byte(at) {
        Some(b'e') if digits > 0 => {}
        Some(other) => return Err(error(ErrorKind::UnexpectedByte(other), at)),
        None => return Err(error(ErrorKind::UnexpectedEnd, at)),
    }
    if byte(first) == Some(b'0') {
        if digits > 1 {
            fault(faults, limits, ErrorKind::LeadingZero, first)?;
        } else if negative {
            fault(faults, limits, ErrorKind::NegativeZero, text)?;
        }
    }
    if digits as usize >= MAX_DIGITS && number::integer(slice(input, (text, at))).is_none() {
        fault(faults, limits, ErrorKind::IntegerOverflow, text)?;
    }
    Ok(at.wrapping_add(1).wrapping_sub(start))
}

/// The bytes before the contents of a string, and the bytes of these.
#[inline(never)]
fn string(input: &[u8], start: u32, faults: &mut Faults, limits: &DecodeLimits) -> Result<(u32, u32), Error> {
    let (length, header) = string_header(input, start as usize)?;
    if header > 2 && input.get(start as usize) == Some(&b'0') {
        fault(faults, limits, ErrorKind::LeadingZero, start)?;
    }
    if length > input.len().wrapping_sub(start as usize).wrapping_sub(header) {
        return Err(error(ErrorKind::StringBeyondInput, start));
    }
    Ok((narrow(header), narrow(length)))
}

#[cold]
fn error(kind: ErrorKind, offset: u32) -> Error {
    Error::new(kind, offset as usize)
}

/// Makes room on a full tape: as much as the rest of the input needs, once.
#[cold]
#[inline(never)]
fn grow(
    mut tokens: Vec<Token>,
    limits: &DecodeLimits,
    input: &[u8],
    at: usize,
    depth: usize,
) -> Result<Vec<Token>, Error> {
    let used = tokens.len();
    let left = limits.max_tokens.min(MAX_TOKENS).saturating_sub(used);
    if left == 0 {
        return Err(Error::new(ErrorKind::TooManyTokens, at));
    }
    let spare = tokens.capacity().saturating_sub(used);
    let more = if spare > 0 {
        spare.min(left)
    } else if used == 0 {
        (input.len() / 2).clamp(1, FIRST_TOKENS.min(left))
    } else {
        count(input, at, depth, limits.max_depth.min(MAX_DEPTH), left).max(1)
    };
    tokens.reserve_exact(more);
    tokens.resize(used.saturating_add(more), Token::NOTHING);
    Ok(tokens)
}

/// Neighbours were compared as they came; keys out of order have to be sorted to tell whether one occurs twice.
#[cold]
fn find_duplicate(
    tokens: &[Token],
    dict: u32,
    input: &[u8],
    faults: &mut Faults,
    limits: &DecodeLimits,
) -> Result<(), Error> {
    let token = |at: u32| tokens.get(at as usize).copied().unwrap_or(Token::NOTHING);
    let end = dict.saturating_add(token(dict).skip());
    let first = dict.saturating_add(1);
    let next = |key: &u32| {
        let value = key.saturating_add(1);
        Some(value.saturating_add(token(value).skip())).filter(|key| *key < end)
    };
    let all = || core::iter::successors(Some(first).filter(|key| *key < end), next);
    // Counted first, because a vector that grows takes up to three times as much.
    let mut keys: Vec<u32> = Vec::with_capacity(all().count());
    keys.extend(all());
    let contents = |key: u32| slice(input, token(key).contents(input));
    keys.sort_unstable_by(|one, other| contents(*one).cmp(contents(*other)).then(one.cmp(other)));
    let pairs = keys.iter().zip(keys.iter().skip(1));
    let repeated = pairs.filter(|(one, other)| contents(**one) == contents(**other)).map(|(_, other)| *other).min();
    match repeated {
        Some(key) => fault(faults, limits, ErrorKind::DuplicateKey, token(key).start()),
        None => Ok(()),
    }
}

/// How many values there are from `at` to the end of what is open, as far as the input makes sense and nests no more deeply than `max_depth`, but no
/// more than `limit`.
fn count(input: &[u8], mut at: usize, mut open: usize, max_depth: usize, limit: usize) -> usize {
    let mut count = 0;
    while count < limit
        && let Some(&byte) = input.get(at)
    {
        let text = input.get(at..).unwrap_or_default();
        at = at.saturating_add(1);
        match byte {
            b'0'..=b'9' => {
                let (length, header) = match short_header(text) {
                    Some((length, header)) => (length as usize, header as usize),
                    None => {
                        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
                        digits.fold((0_usize, 1_usize), |(length, header), digit| {
                            let digit = usize::from(digit.wrapping_sub(b'0'));
                            (length.saturating_mul(10).saturating_add(digit), header.saturating_add(1))
                        })
                    }
                };
                at = at.saturating_add(header).saturating_add(length).saturating_sub(1);
                count = count.saturating_add(1);
            }
            b'i' => {
                let digits = match text.get(1..).and_then(<[u8]>::first_chunk).and_then(short_digits) {
                    Some(digits) if digits > 0 => digits as usize,
                    _ => text.iter().skip(1).take_while(|byte| matches!(byte, b'-' | b'0'..=b'9')).count(),
                };
                at = at.saturating_add(digits).saturating_add(1);
                count = count.saturating_add(1);
            }
            // What is too deep is refused. Those that are not closed are the only values of one byte.
            b'l' | b'd' if open >= max_depth => break,
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

#[inline(never)]
fn compare(input: &[u8], one: (u32, u32), other: (u32, u32)) -> Ordering {
    slice(input, one).cmp(slice(input, other))
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
