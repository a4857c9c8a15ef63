//! Integers, and the lengths in front of strings.

use crate::error::{Error, ErrorKind};

/// Digits from which on an integer may not fit 64 bits with sign.
pub(crate) const MAX_DIGITS: usize = 19;

/// Reads an optional minus and digits; `None` if that does not fit.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() < MAX_DIGITS {
        let value = digits
            .iter()
            .fold(0_i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0'))));
        return Some(if negative { value.wrapping_neg() } else { value });
    }
    // Counted downwards, because the lowest integer has no positive counterpart.
    let value = digits
        .iter()
        .try_fold(0_i64, |value, digit| value.checked_mul(10)?.checked_sub(i64::from(digit.wrapping_sub(b'0'))))?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// Reads a length and a colon. Returns the length and how many bytes the two take; a length beyond the whole input is refused at once.
#[inline(always)]
pub(crate) fn string_header(input: &[u8], start: usize) -> Result<(usize, usize), Error> {
    match input.get(start..).and_then(short_header) {
        Some((length, header)) => Ok((length as usize, header as usize)),
        None => long_header(input, start),
    }
}

/// Reads a length of at most three digits and a colon, as nearly all are. `None` also if a zero leads others.
#[inline(always)]
pub(crate) fn short_header(text: &[u8]) -> Option<(u32, u32)> {
    let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
    let two = |tens: u8, ones: u8| digit(tens).wrapping_mul(10).wrapping_add(digit(ones));
    match *text {
        [one @ b'0'..=b'9', b':', ..] => Some((digit(one), 2)),
        [tens @ b'1'..=b'9', one @ b'0'..=b'9', b':', ..] => Some((two(tens, one), 3)),
        [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', one @ b'0'..=b'9', b':', ..] => {
            Some((digit(hundreds).wrapping_mul(100).wrapping_add(two(tens, one)), 4))
        }
        _ => None,
    }
}

/// How many digits eight bytes start with; `None` if there is nothing else.
#[inline(always)]
pub(crate) fn short_digits(text: &[u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte tells that it is no digit, up to the first of these.
    let values = u64::from_le_bytes(*text) ^ (EACH * 0x30);
    let others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
    (others != 0).then(|| others.trailing_zeros() / 8)
}

fn long_header(input: &[u8], start: usize) -> Result<(usize, usize), Error> {
    let mut at = start;
    let mut length = 0_usize;
    loop {
        match input.get(at) {
            Some(digit @ b'0'..=b'9') => {
                length = length.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')));
                if length > input.len() {
                    return Err(Error::new(ErrorKind::StringBeyondInput, start));
                }
                at = at.wrapping_add(1);
            }
            Some(b':') => return Ok((length, at.wrapping_add(1).wrapping_sub(start))),
            Some(other) => return Err(Error::new(ErrorKind::UnexpectedByte(*other), at)),
            None => return Err(Error::new(ErrorKind::UnexpectedEnd, at)),
        }
    }
}
