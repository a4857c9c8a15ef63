//! The rounds of FIPS 180-4, section 6, on x86-64: with SHA instructions for two messages in turn, with AVX2 for eight side by side.
#![expect(unsafe_code, reason = "the instructions are only there on some CPUs, and loads take pointers")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "indices are below constants, and lengths are compared"
)]
#![expect(clippy::needless_range_loop, reason = "a loop over lanes works on several arrays")]

use super::BLOCK;
use super::avx2::{self, CONSTANTS};
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_xor_si128,
};

/// Whether this CPU has what [`sha1_pair`] and [`sha256_pair`] need.
pub(super) fn has_sha() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

macro_rules! compress {
    ($name:ident, $rounds:ident, $words:literal) => {
        /// Takes as many blocks of both messages as both have, then the rest of either. A no-op where [`has_sha`] is false.
        pub(super) fn $name([one, other]: [&mut [u32; $words]; 2], [ones, others]: [&[[u8; BLOCK]]; 2]) {
            if !has_sha() {
                return;
            }
            let both = ones.len().min(others.len());
            let (ones, more_ones) = ones.split_at(both);
            let (others, more_others) = others.split_at(both);
            let mut states = [*one, *other];
            let (mut alone_one, mut alone_other);
            // SAFETY: `has_sha` has found every feature that `$rounds` is compiled for.
            unsafe {
                $rounds(&mut states, [ones, others]);
                (alone_one, alone_other) = ([states[0]], [states[1]]);
                $rounds(&mut alone_one, [more_ones]);
                $rounds(&mut alone_other, [more_others]);
            }
            [*one] = alone_one;
            [*other] = alone_other;
        }
    };
}

compress!(sha1_pair, sha1_rounds, 5);
compress!(sha256_pair, sha256_rounds, 8);

/// Whether this CPU has what [`sha1_eight`] and [`sha256_eight`] need.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

macro_rules! eight {
    ($name:ident, $rounds:path, $words:literal) => {
        /// Takes as many blocks of each message as the shortest run has. A no-op where [`has_avx2`] is false.
        pub(super) fn $name(states: &mut [[u32; $words]; 8], blocks: [&[[u8; BLOCK]]; 8]) {
            if has_avx2() {
                // SAFETY: `has_avx2` has found the one feature that `$rounds` is compiled for.
                unsafe { $rounds(states, blocks) }
            }
        }
    };
}

eight!(sha1_eight, avx2::sha1, 5);
eight!(sha256_eight, avx2::sha256, 8);

/// A quarter of a block.
#[target_feature(enable = "sse2")]
fn load(block: &[u8; BLOCK], quarter: usize) -> __m128i {
    let bytes = &block[quarter * 16..][..16];
    // SAFETY: `bytes` has sixteen bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// SHA-1 of `N` messages, each of as many blocks as the first.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn sha1_rounds<const N: usize>(states: &mut [[u32; 5]; N], blocks: [&[[u8; BLOCK]]; N]) {
    let big_endian = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let mut abcd = [_mm_setzero_si128(); N];
    let mut last_e = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let [a, b, c, d, e] = states[lane].map(|word| word as i32);
        abcd[lane] = _mm_set_epi32(a, b, c, d);
        last_e[lane] = _mm_set_epi32(e, 0, 0, 0);
    }
    for number in 0..blocks[0].len() {
        let (saved, saved_e) = (abcd, last_e);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        let mut e = [_mm_setzero_si128(); N];
        for lane in 0..N {
            for quarter in 0..4 {
                words[lane][quarter] = _mm_shuffle_epi8(load(&blocks[lane][number], quarter), big_endian);
            }
            e[lane] = _mm_add_epi32(last_e[lane], words[lane][0]);
        }
        // Four rounds of each message in turn, and the words of the next four.
        macro_rules! four {
            ($group:literal, $function:literal) => {
                for lane in 0..N {
                    let before = abcd[lane];
                    abcd[lane] = _mm_sha1rnds4_epu32::<$function>(before, e[lane]);
                    if $group < 19 {
                        let next = $group + 1;
                        let words = &mut words[lane];
                        if next >= 4 {
                            let mixed = _mm_sha1msg1_epu32(words[next % 4], words[(next + 1) % 4]);
                            let mixed = _mm_xor_si128(mixed, words[(next + 2) % 4]);
                            words[next % 4] = _mm_sha1msg2_epu32(mixed, words[(next + 3) % 4]);
                        }
                        e[lane] = _mm_sha1nexte_epu32(before, words[next % 4]);
                    } else {
                        last_e[lane] = _mm_sha1nexte_epu32(before, saved_e[lane]);
                    }
                }
            };
        }
        four!(0, 0);
        four!(1, 0);
        four!(2, 0);
        four!(3, 0);
        four!(4, 0);
        four!(5, 1);
        four!(6, 1);
        four!(7, 1);
        four!(8, 1);
        four!(9, 1);
        four!(10, 2);
        four!(11, 2);
        four!(12, 2);
        four!(13, 2);
        four!(14, 2);
        four!(15, 3);
        four!(16, 3);
        four!(17, 3);
        four!(18, 3);
        four!(19, 3);
        for lane in 0..N {
            abcd[lane] = _mm_add_epi32(abcd[lane], saved[lane]);
        }
    }
    for lane in 0..N {
        states[lane] = [
            _mm_extract_epi32::<3>(abcd[lane]) as u32,
            _mm_extract_epi32::<2>(abcd[lane]) as u32,
            _mm_extract_epi32::<1>(abcd[lane]) as u32,
            _mm_extract_epi32::<0>(abcd[lane]) as u32,
            _mm_extract_epi32::<3>(last_e[lane]) as u32,
        ];
    }
}

/// SHA-256 of `N` messages, each of as many blocks as the first.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn sha256_rounds<const N: usize>(states: &mut [[u32; 8]; N], blocks: [&[[u8; BLOCK]]; N]) {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let [a, b, c, d, e, f, g, h] = states[lane].map(|word| word as i32);
        abef[lane] = _mm_set_epi32(a, b, e, f);
        cdgh[lane] = _mm_set_epi32(c, d, g, h);
    }
    for number in 0..blocks[0].len() {
        let (saved_abef, saved_cdgh) = (abef, cdgh);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for lane in 0..N {
            for quarter in 0..4 {
                words[lane][quarter] = _mm_shuffle_epi8(load(&blocks[lane][number], quarter), big_endian);
            }
        }
        // Four rounds of each message in turn.
        macro_rules! four {
            ($($group:literal)*) => {$(
                let [k0, k1, k2, k3] = CONSTANTS.as_chunks::<4>().0[$group].map(|word: u32| word as i32);
                let constants = _mm_set_epi32(k3, k2, k1, k0);
                for lane in 0..N {
                    let words = &mut words[lane];
                    if $group >= 4 {
                        let mixed = _mm_sha256msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                        let shifted = _mm_alignr_epi8::<4>(words[($group + 3) % 4], words[($group + 2) % 4]);
                        let mixed = _mm_add_epi32(mixed, shifted);
                        words[$group % 4] = _mm_sha256msg2_epu32(mixed, words[($group + 3) % 4]);
                    }
                    let sum = _mm_add_epi32(words[$group % 4], constants);
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32::<0x0e>(sum));
                }
            )*};
        }
        four!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], saved_abef[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], saved_cdgh[lane]);
        }
    }
    for lane in 0..N {
        states[lane] = [
            _mm_extract_epi32::<3>(abef[lane]) as u32,
            _mm_extract_epi32::<2>(abef[lane]) as u32,
            _mm_extract_epi32::<3>(cdgh[lane]) as u32,
            _mm_extract_epi32::<2>(cdgh[lane]) as u32,
            _mm_extract_epi32::<1>(abef[lane]) as u32,
            _mm_extract_epi32::<0>(abef[lane]) as u32,
            _mm_extract_epi32::<1>(cdgh[lane]) as u32,
            _mm_extract_epi32::<0>(cdgh[lane]) as u32,
        ];
    }
}
