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
    // Nearly every length has one or two digits.
    match input.get(start..) {
        Some([one @ b'0'..=b'9', b':', ..]) => Ok((usize::from(one.wrapping_sub(b'0')), 2)),
        Some([ten @ b'1'..=b'9', one @ b'0'..=b'9', b':', ..]) => {
            let tens = usize::from(ten.wrapping_sub(b'0')).wrapping_mul(10);
            Ok((tens.wrapping_add(usize::from(one.wrapping_sub(b'0'))), 3))
        }
        _ => long_header(input, start),
    }
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
