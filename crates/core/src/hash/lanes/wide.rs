//! The rounds of both functions (FIPS 180-4, section 6) for `N` messages side by side, in arithmetic that a compiler turns into vector instructions.
//!
//! Word `n` of every message stands in one array of `N` words. The loops are not unrolled by hand: rolled, they are turned into vectors whole.
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "indices are below constants")]

use super::BLOCK;

/// One word of each message.
type Words<const N: usize> = [u32; N];

/// SHA-1 of as many blocks of each message as the shortest run has.
#[inline(always)]
pub(super) fn sha1<const N: usize>(states: &mut [[u32; 5]; N], blocks: [&[[u8; BLOCK]]; N]) {
    let mut sums = transposed(states);
    for number in 0..shortest(&blocks) {
        let mut words = load(&blocks, number);
        let [mut a, mut b, mut c, mut d, mut e] = sums;
        macro_rules! rounds {
            ($range:expr, $constant:literal, $mix:expr) => {
                for t in $range {
                    if t >= 16 {
                        let mixed = xor(xor(words[(t + 13) % 16], words[(t + 8) % 16]), words[(t + 2) % 16]);
                        words[t % 16] = rotate(xor(mixed, words[t % 16]), 1);
                    }
                    let mix: fn(_, _, _) -> _ = $mix;
                    let next = add(add(rotate(a, 5), mix(b, c, d)), add(add(e, words[t % 16]), [$constant; N]));
                    (e, d, c, b, a) = (d, c, rotate(b, 30), a, next);
                }
            };
        }
        rounds!(0..20, 0x5a82_7999, choose);
        rounds!(20..40, 0x6ed9_eba1, parity);
        rounds!(40..60, 0x8f1b_bcdc, majority);
        rounds!(60..80, 0xca62_c1d6, parity);
        for (sum, word) in sums.iter_mut().zip([a, b, c, d, e]) {
            *sum = add(*sum, word);
        }
    }
    *states = transposed(&sums);
}

/// SHA-256 of as many blocks of each message as the shortest run has.
#[inline(always)]
pub(super) fn sha256<const N: usize>(states: &mut [[u32; 8]; N], blocks: [&[[u8; BLOCK]]; N]) {
    let mut sums = transposed(states);
    for number in 0..shortest(&blocks) {
        let mut words = load(&blocks, number);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = sums;
        for (t, constant) in CONSTANTS.iter().enumerate() {
            if t >= 16 {
                let (early, late) = (words[(t + 1) % 16], words[(t + 14) % 16]);
                let early = xor(xor(rotate(early, 25), rotate(early, 14)), shift(early, 3));
                let late = xor(xor(rotate(late, 15), rotate(late, 13)), shift(late, 10));
                words[t % 16] = add(add(words[t % 16], early), add(words[(t + 9) % 16], late));
            }
            let turned = xor(xor(rotate(e, 26), rotate(e, 21)), rotate(e, 7));
            let first = add(add(h, turned), add(add(choose(e, f, g), [*constant; N]), words[t % 16]));
            let turned = xor(xor(rotate(a, 30), rotate(a, 19)), rotate(a, 10));
            let second = add(turned, majority(a, b, c));
            (h, g, f, e, d, c, b, a) = (g, f, e, add(d, first), c, b, a, add(first, second));
        }
        for (sum, word) in sums.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = add(*sum, word);
        }
    }
    *states = transposed(&sums);
}

#[inline(always)]
fn shortest<const N: usize>(blocks: &[&[[u8; BLOCK]]; N]) -> usize {
    blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0)
}

#[inline(always)]
fn transposed<const R: usize, const C: usize>(rows: &[[u32; C]; R]) -> [[u32; R]; C] {
    let mut columns = [[0; R]; C];
    for row in 0..R {
        for column in 0..C {
            columns[column][row] = rows[row][column];
        }
    }
    columns
}

/// The words of one block of each message.
#[inline(always)]
fn load<const N: usize>(blocks: &[&[[u8; BLOCK]]; N], number: usize) -> [Words<N>; 16] {
    let mut words = [[0; N]; 16];
    for lane in 0..N {
        for (at, bytes) in blocks[lane][number].as_chunks::<4>().0.iter().enumerate() {
            words[at][lane] = u32::from_be_bytes(*bytes);
        }
    }
    words
}

#[inline(always)]
fn each<const N: usize>(one: Words<N>, other: Words<N>, of: impl Fn(u32, u32) -> u32) -> Words<N> {
    let mut result = [0; N];
    for lane in 0..N {
        result[lane] = of(one[lane], other[lane]);
    }
    result
}

#[inline(always)]
fn add<const N: usize>(one: Words<N>, other: Words<N>) -> Words<N> {
    each(one, other, u32::wrapping_add)
}

#[inline(always)]
fn xor<const N: usize>(one: Words<N>, other: Words<N>) -> Words<N> {
    each(one, other, |one, other| one ^ other)
}

#[inline(always)]
fn and<const N: usize>(one: Words<N>, other: Words<N>) -> Words<N> {
    each(one, other, |one, other| one & other)
}

#[inline(always)]
fn or<const N: usize>(one: Words<N>, other: Words<N>) -> Words<N> {
    each(one, other, |one, other| one | other)
}

#[inline(always)]
fn rotate<const N: usize>(words: Words<N>, bits: u32) -> Words<N> {
    words.map(|word| word.rotate_left(bits))
}

#[inline(always)]
fn shift<const N: usize>(words: Words<N>, bits: u32) -> Words<N> {
    words.map(|word| word >> bits)
}

/// `Ch` of the standard: bits of `y` where `x` has ones, else of `z`.
#[inline(always)]
fn choose<const N: usize>(x: Words<N>, y: Words<N>, z: Words<N>) -> Words<N> {
    xor(z, and(x, xor(y, z)))
}

#[inline(always)]
fn parity<const N: usize>(x: Words<N>, y: Words<N>, z: Words<N>) -> Words<N> {
    xor(x, xor(y, z))
}

/// `Maj` of the standard: the bits that at least two have.
#[inline(always)]
fn majority<const N: usize>(x: Words<N>, y: Words<N>, z: Words<N>) -> Words<N> {
    or(and(x, y), and(z, or(x, y)))
}

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, section 4.2.2).
pub(super) const CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];
