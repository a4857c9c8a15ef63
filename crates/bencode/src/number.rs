//! Integers.

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
