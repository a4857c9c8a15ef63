//! The rounds of FIPS 180-4, section 6, for eight messages side by side in the vectors of AVX2.
//!
//! Word `n` of every message stands in one vector. Nothing here is unsafe but to call it where the CPU has no AVX2, and `x86` asks first.
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "indices are below constants")]

use super::{BLOCK, MAX_LANES};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_extract_epi32, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// Turns a word of each message to the left.
macro_rules! rotate {
    ($words:expr, $bits:literal) => {
        _mm256_or_si256(_mm256_slli_epi32::<$bits>($words), _mm256_srli_epi32::<{ 32 - $bits }>($words))
    };
}

/// Adds words of each message.
macro_rules! add {
    ($one:expr, $other:expr) => { _mm256_add_epi32($one, $other) };
    ($one:expr, $($more:expr),+) => { _mm256_add_epi32($one, add!($($more),+)) };
}

/// SHA-1 of as many blocks of each message as the shortest run has.
#[target_feature(enable = "avx2")]
pub(super) fn sha1(states: &mut [[u32; 5]; MAX_LANES], blocks: [&[[u8; BLOCK]]; MAX_LANES]) {
    let mut sums = gather(states);
    for number in 0..shortest(&blocks) {
        let mut words = load(&blocks, number);
        let [mut a, mut b, mut c, mut d, mut e] = sums;
        macro_rules! rounds {
            ($range:expr, $constant:literal, $mix:ident) => {
                let constant = all($constant);
                for t in $range {
                    if t >= 16 {
                        let mixed = parity(words[(t + 13) % 16], words[(t + 8) % 16], words[(t + 2) % 16]);
                        words[t % 16] = rotate!(_mm256_xor_si256(mixed, words[t % 16]), 1);
                    }
                    let next = add!(rotate!(a, 5), $mix(b, c, d), add!(e, constant, words[t % 16]));
                    (e, d, c, b, a) = (d, c, rotate!(b, 30), a, next);
                }
            };
        }
        rounds!(0..20, 0x5a82_7999, choose);
        rounds!(20..40, 0x6ed9_eba1, parity);
        rounds!(40..60, 0x8f1b_bcdc, majority);
        rounds!(60..80, 0xca62_c1d6, parity);
        for (sum, word) in sums.iter_mut().zip([a, b, c, d, e]) {
            *sum = add!(*sum, word);
        }
    }
    scatter(sums, states);
}

/// SHA-256 of as many blocks of each message as the shortest run has.
#[target_feature(enable = "avx2")]
pub(super) fn sha256(states: &mut [[u32; 8]; MAX_LANES], blocks: [&[[u8; BLOCK]]; MAX_LANES]) {
    let mut sums = gather(states);
    for number in 0..shortest(&blocks) {
        let mut words = load(&blocks, number);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = sums;
        for (t, constant) in CONSTANTS.iter().enumerate() {
            if t >= 16 {
                let (early, late) = (words[(t + 1) % 16], words[(t + 14) % 16]);
                let early = parity(rotate!(early, 25), rotate!(early, 14), _mm256_srli_epi32::<3>(early));
                let late = parity(rotate!(late, 15), rotate!(late, 13), _mm256_srli_epi32::<10>(late));
                words[t % 16] = add!(words[t % 16], early, add!(words[(t + 9) % 16], late));
            }
            let turned = parity(rotate!(e, 26), rotate!(e, 21), rotate!(e, 7));
            let first = add!(add!(h, turned), choose(e, f, g), add!(all(*constant), words[t % 16]));
            let turned = parity(rotate!(a, 30), rotate!(a, 19), rotate!(a, 10));
            let second = add!(turned, majority(a, b, c));
            (h, g, f, e, d, c, b, a) = (g, f, e, add!(d, first), c, b, a, add!(first, second));
        }
        for (sum, word) in sums.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = add!(*sum, word);
        }
    }
    scatter(sums, states);
}

fn shortest(blocks: &[&[[u8; BLOCK]]; MAX_LANES]) -> usize {
    blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0)
}

/// Word `n` of every state in vector `n`.
#[target_feature(enable = "avx2")]
fn gather<const W: usize>(states: &[[u32; W]; MAX_LANES]) -> [__m256i; W] {
    let mut words = [_mm256_setzero_si256(); W];
    for (number, word) in words.iter_mut().enumerate() {
        let [a, b, c, d, e, f, g, h] = states.map(|state| state[number].cast_signed());
        *word = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    }
    words
}

#[target_feature(enable = "avx2")]
fn scatter<const W: usize>(words: [__m256i; W], states: &mut [[u32; W]; MAX_LANES]) {
    macro_rules! lanes {
        ($($lane:literal)*) => {
            for (number, word) in words.into_iter().enumerate() {
                $(states[$lane][number] = _mm256_extract_epi32::<$lane>(word).cast_unsigned();)*
            }
        };
    }
    lanes!(0 1 2 3 4 5 6 7);
}

/// The words of one block of each message.
#[target_feature(enable = "avx2")]
#[inline]
fn load(blocks: &[&[[u8; BLOCK]]; MAX_LANES], number: usize) -> [__m256i; 16] {
    // Each word comes with its highest byte first.
    #[rustfmt::skip]
    let swap = _mm256_setr_epi8(
        3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
    );
    let mut words = [_mm256_setzero_si256(); 16];
    for half in 0..2 {
        let mut rows = [swap; MAX_LANES];
        for (row, blocks) in rows.iter_mut().zip(blocks) {
            let quads = blocks[number].as_chunks::<8>().0;
            let quad = |at: usize| i64::from_le_bytes(quads[half * 4 + at]);
            *row = _mm256_shuffle_epi8(_mm256_setr_epi64x(quad(0), quad(1), quad(2), quad(3)), swap);
        }
        // Three steps turn eight rows of eight words into columns: pairs of words, pairs of pairs, halves of vectors.
        let [a, b, c, d, e, f, g, h] = rows;
        let low = [(a, b), (c, d), (e, f), (g, h)].map(|(one, other)| _mm256_unpacklo_epi32(one, other));
        let high = [(a, b), (c, d), (e, f), (g, h)].map(|(one, other)| _mm256_unpackhi_epi32(one, other));
        for (pairs, first) in [(low, 0), (high, 2)] {
            let [a, b, c, d] = pairs;
            let fours = [
                (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d)),
                (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d)),
            ];
            for (column, (one, other)) in fours.into_iter().enumerate() {
                let at = half * 8 + first + column;
                words[at] = _mm256_permute2x128_si256::<0x20>(one, other);
                words[at + 4] = _mm256_permute2x128_si256::<0x31>(one, other);
            }
        }
    }
    words
}

/// A word for every message.
#[target_feature(enable = "avx2")]
fn all(word: u32) -> __m256i {
    _mm256_set1_epi32(word.cast_signed())
}

/// `Ch` of the standard: bits of `y` where `x` has ones, else of `z`.
#[target_feature(enable = "avx2")]
fn choose(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
}

#[target_feature(enable = "avx2")]
fn parity(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(x, _mm256_xor_si256(y, z))
}

/// `Maj` of the standard: the bits that at least two have.
#[target_feature(enable = "avx2")]
fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
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
