//! The rounds with the SHA instructions of x86-64 (FIPS 180-4, section 6), for two messages in turn.
#![expect(unsafe_code, reason = "the instructions are only there on some CPUs, and loads take pointers")]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "indices are below constants, and lengths are compared"
)]
#![expect(clippy::needless_range_loop, reason = "a loop over lanes works on several arrays")]

use super::BLOCK;
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_xor_si128,
};

/// Whether this CPU has what the functions here need.
pub(super) fn is_accelerated() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

macro_rules! compress {
    ($name:ident, $rounds:ident, $words:literal) => {
        /// Takes as many blocks of both messages as both have, then the rest of either. A no-op where [`is_accelerated`] is false.
        pub(super) fn $name([one, other]: [&mut [u32; $words]; 2], [ones, others]: [&[[u8; BLOCK]]; 2]) {
            if !is_accelerated() {
                return;
            }
            let both = ones.len().min(others.len());
            let (ones, more_ones) = ones.split_at(both);
            let (others, more_others) = others.split_at(both);
            let mut states = [*one, *other];
            let (mut alone_one, mut alone_other);
            // SAFETY: `is_accelerated` has found every feature that `$rounds` is compiled for.
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

compress!(compress_sha1, sha1_rounds, 5);
compress!(compress_sha256, sha256_rounds, 8);

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
                let [k0, k1, k2, k3] = CONSTANTS[$group].map(|word: u32| word as i32);
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

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, section 4.2.2).
const CONSTANTS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
