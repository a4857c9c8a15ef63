//! Logarithm and exponential out of IEEE 754 basic operations, so that a seed gives the same run on every platform; those of `std` may
//! differ in the last bit from one system to the next.

use std::f64::consts::{LN_2, SQRT_2};

/// The natural logarithm of a positive, normal number.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = f64::from(u32::try_from((bits >> 52) & 0x7ff).unwrap_or(0)) - 1023.0;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    let mut odd = 25.0;
    while odd > 0.0 {
        sum = sum * square + 1.0 / odd;
        odd -= 2.0;
    }
    exponent * LN_2 + 2.0 * s * sum
}

/// e to the power of `x`, which is taken to lie between −700 and 700.
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    let mut sum = 1.0;
    let mut n = 18.0;
    while n > 0.0 {
        sum = 1.0 + sum * rest / n;
        n -= 1.0;
    }
    let half = if power < 0.0 { 0.5 } else { 2.0 };
    let mut left = power.abs();
    while left > 0.0 {
        sum *= half;
        left -= 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_std_to_twelve_digits() {
        for n in 1..2000 {
            let x = f64::from(n) * 0.037;
            assert!((ln(x) - x.ln()).abs() < 1e-12, "ln {x}");
            assert!((ln(1.0 / x) - (1.0 / x).ln()).abs() < 1e-12, "ln 1/{x}");
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            assert!((exp(-x) / (-x).exp() - 1.0).abs() < 1e-12, "exp -{x}");
        }
    }
}
