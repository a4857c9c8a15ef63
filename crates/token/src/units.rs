//! Money: whole smallest units, checked.

use std::fmt;

/// An amount of one asset in its smallest units, from 0 to 2⁶³ − 1 as TRC-10 has it.
///
/// There is no arithmetic that wraps or rounds: every operation that may not fit returns an [`Option`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Units(u64);

/// A price in smallest units per MiB (2²⁰ bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Rate(Units);

/// An amount that is negative or above 2⁶³ − 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is no amount: it has to be from 0 to 9223372036854775807")]
#[non_exhaustive]
pub struct OutOfRange(pub i128);

/// A text that is no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseUnitsError {
    /// A character that is no digit, or a point too many, at this byte.
    #[error("unexpected character at byte {0}")]
    Unexpected(usize),
    /// There are more digits behind the point than the asset has.
    #[error("more than {0} digits behind the point")]
    TooPrecise(u8),
    /// It does not fit.
    #[error("amount above 9223372036854775807 smallest units")]
    TooLarge,
}

impl Units {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount: 2⁶³ − 1.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// An amount; `None` above [`Units::MAX`].
    #[must_use]
    pub const fn new(units: u64) -> Option<Self> {
        if units > Self::MAX.0 { None } else { Some(Self(units)) }
    }

    /// The number of smallest units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as TRC-10 writes it.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, if it is an amount.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// The difference, if it is not below nothing.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// So many times the amount, if that is one.
    #[must_use]
    pub const fn checked_mul(self, times: u64) -> Option<Self> {
        match self.0.checked_mul(times) {
            Some(product) => Self::new(product),
            None => None,
        }
    }

    /// The difference, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Reads a decimal number of whole tokens that have `precision` digits behind the point.
    ///
    /// # Errors
    /// If the text is no such number, or does not fit.
    pub fn parse(text: &str, precision: u8) -> Result<Self, ParseUnitsError> {
        let (mut value, mut behind, mut digits) = (0_u64, None::<u8>, 0_usize);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    digits = digits.saturating_add(1);
                    if let Some(behind) = &mut behind {
                        if *behind >= precision {
                            return Err(ParseUnitsError::TooPrecise(precision));
                        }
                        *behind = behind.saturating_add(1);
                    }
                    let next = value.checked_mul(10).and_then(|it| it.checked_add(u64::from(byte.wrapping_sub(b'0'))));
                    value = next.ok_or(ParseUnitsError::TooLarge)?;
                }
                b'.' if behind.is_none() && digits > 0 => behind = Some(0),
                _ => return Err(ParseUnitsError::Unexpected(at)),
            }
        }
        if digits == 0 || behind == Some(0) {
            return Err(ParseUnitsError::Unexpected(text.len()));
        }
        let missing = u32::from(precision.saturating_sub(behind.unwrap_or(0)));
        let scaled = 10_u64.checked_pow(missing).and_then(|factor| value.checked_mul(factor));
        scaled.and_then(Self::new).ok_or(ParseUnitsError::TooLarge)
    }

    /// Writes it as a decimal number of whole tokens that have `precision` digits behind the point.
    #[must_use]
    pub fn to_decimal(self, precision: u8) -> String {
        let precision = usize::from(precision);
        let digits = format!("{:0>width$}", self.0, width = precision.saturating_add(1));
        let (whole, behind) = digits.split_at(digits.len().saturating_sub(precision));
        if behind.is_empty() { whole.to_owned() } else { format!("{whole}.{behind}") }
    }
}

impl Rate {
    /// So many smallest units per MiB.
    #[must_use]
    pub const fn per_mib(units: Units) -> Self {
        Self(units)
    }

    /// The smallest units per MiB.
    #[must_use]
    pub const fn units_per_mib(self) -> Units {
        self.0
    }

    /// What so many bytes cost, rounded up. It has to be computed over all bytes of a channel at this rate: then the rounding costs less than
    /// one unit however the bytes were divided. `None` if it is no amount.
    #[must_use]
    pub fn owed(self, bytes: u64) -> Option<Units> {
        let exact = u128::from(bytes).checked_mul(u128::from(self.0.0))?;
        let units = exact.div_ceil(1 << 20);
        u64::try_from(units).ok().and_then(Units::new)
    }
}

impl TryFrom<u64> for Units {
    type Error = OutOfRange;

    fn try_from(units: u64) -> Result<Self, OutOfRange> {
        Self::new(units).ok_or(OutOfRange(units.into()))
    }
}

impl TryFrom<i64> for Units {
    type Error = OutOfRange;

    fn try_from(units: i64) -> Result<Self, OutOfRange> {
        u64::try_from(units).map(Self).map_err(|_| OutOfRange(units.into()))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Units({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_end_where_those_of_trc10_do() {
        assert_eq!(Units::new(9_223_372_036_854_775_807), Some(Units::MAX));
        assert_eq!(Units::new(9_223_372_036_854_775_808), None);
        assert_eq!(Units::MAX.checked_add(Units(1)), None);
        assert_eq!(Units(1).checked_sub(Units(2)), None);
        assert_eq!(Units::MAX.checked_mul(2), None);
        assert_eq!(Units::try_from(-1_i64), Err(OutOfRange(-1)));
    }

    #[test]
    fn decimals_are_read_and_written() {
        assert_eq!(Units::parse("990000000000", 6), Ok(Units(990_000_000_000_000_000)));
        assert_eq!(Units::parse("0.000001", 6), Ok(Units(1)));
        assert_eq!(Units::parse("0.0000001", 6), Err(ParseUnitsError::TooPrecise(6)));
        assert_eq!(Units::parse("9223372036854775808", 0), Err(ParseUnitsError::TooLarge));
        for (text, at) in [("", 0), (".5", 0), ("1.", 2), ("1.2.3", 3), ("-1", 0), ("+3", 0), ("1e3", 1)] {
            assert_eq!(Units::parse(text, 6), Err(ParseUnitsError::Unexpected(at)), "{text}");
        }
        assert_eq!(Units(1).to_decimal(6), "0.000001");
        assert_eq!(Units(12).to_decimal(0), "12");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(units in 0..=u64::MAX >> 1, precision in 0..=6_u8) {
            let units = Units(units);
            prop_assert_eq!(Units::parse(&units.to_decimal(precision), precision), Ok(units));
        }

        #[test]
        fn what_is_owed_never_falls_and_is_rounded_by_less_than_one_unit(a in 0..1_u64 << 40, b in 0..1_u64 << 40, rate in 0..1_u64 << 20) {
            let rate = Rate::per_mib(Units(rate));
            let (a_owed, all) = (rate.owed(a).unwrap(), rate.owed(a + b).unwrap());
            prop_assert!(a_owed <= all);
            let exact = u128::from(a + b) * u128::from(rate.0.0);
            let paid = u128::from(all.0) << 20;
            prop_assert!(paid >= exact && paid - exact < 1 << 20);
        }
    }
}
