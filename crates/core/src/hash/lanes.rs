//! SHA-1 and SHA-256 of two messages at a time.
//!
//! The rounds of one message wait for one another; those of two fill each other's gaps. On a CPU with SHA instructions two interleaved messages
//! hash about one and a half times as fast as one after the other; three or four gain nothing more. Elsewhere two portable hashers stand in.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Sha1Hash, Sha256Hash};
use sha1::Digest as _;
use std::fmt;

/// The block of both functions, in bytes.
const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;

macro_rules! pair {
    ($(#[$doc:meta])* $name:ident, $hash:ident, $hasher:ty, $words:literal, $initial:expr, $compress:ident) => {
        $(#[$doc])*
        pub struct $name(Inner<$hasher, $words>);

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl $name {
            /// Two hashers that have seen nothing.
            #[must_use]
            pub fn new() -> Self {
                if is_accelerated() { Self(Inner::Lanes([Lane::new($initial); 2])) } else { Self::portable() }
            }

            /// Two hashers that use no special instructions.
            fn portable() -> Self {
                Self(Inner::Portable(<$hasher>::new(), <$hasher>::new()))
            }

            /// Takes the next bytes of each message. It is fastest when both are of the same length and a multiple of 64.
            pub fn update(&mut self, one: &[u8], other: &[u8]) {
                match &mut self.0 {
                    Inner::Lanes(lanes) => update(lanes, one, other, $compress),
                    Inner::Portable(first, second) => {
                        first.update(one);
                        second.update(other);
                    }
                }
            }

            /// The digests of both messages.
            #[must_use]
            pub fn finish(self) -> ($hash, $hash) {
                match self.0 {
                    Inner::Lanes(lanes) => {
                        let [one, other] = finish(lanes, $compress);
                        ($hash(digest(one)), $hash(digest(other)))
                    }
                    Inner::Portable(one, other) => ($hash(one.finalize().into()), $hash(other.finalize().into())),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

pair! {
    /// SHA-1 of two messages at a time, each fed in parts.
    ///
    /// ```
    /// use unchoke_core::hash::{Sha1Pair, sha1};
    /// let mut pair = Sha1Pair::new();
    /// pair.update(b"one", b"another");
    /// pair.update(b" piece", b" piece");
    /// assert_eq!(pair.finish(), (sha1(b"one piece"), sha1(b"another piece")));
    /// ```
    Sha1Pair, Sha1Hash, sha1::Sha1, 5,
    [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0], compress_sha1
}

pair! {
    /// SHA-256 of two messages at a time, each fed in parts.
    Sha256Pair, Sha256Hash, sha2::Sha256, 8,
    [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ], compress_sha256
}

/// SHA-1 of each message, two at a time.
pub fn sha1_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<Sha1Hash>) {
    each(messages, out, super::sha1, |one, other| {
        let mut pair = Sha1Pair::new();
        pair.update(one, other);
        pair.finish()
    });
}

/// SHA-256 of each message, two at a time.
pub fn sha256_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<Sha256Hash>) {
    each(messages, out, super::sha256, |one, other| {
        let mut pair = Sha256Pair::new();
        pair.update(one, other);
        pair.finish()
    });
}

fn each<'a, H>(
    messages: impl IntoIterator<Item = &'a [u8]>,
    out: &mut Vec<H>,
    alone: impl Fn(&[u8]) -> H,
    together: impl Fn(&[u8], &[u8]) -> (H, H),
) {
    let mut messages = messages.into_iter();
    while let Some(one) = messages.next() {
        match messages.next() {
            Some(other) => out.extend(<[H; 2]>::from(together(one, other))),
            None => out.push(alone(one)),
        }
    }
}

enum Inner<H, const W: usize> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are no instructions for it here"))]
    Lanes([Lane<W>; 2]),
    Portable(H, H),
}

/// One message on its way.
#[derive(Clone, Copy)]
struct Lane<const W: usize> {
    state: [u32; W],
    /// The start of a block whose end has not come.
    buffer: [u8; BLOCK],
    /// Bytes taken in all.
    length: u64,
}

impl<const W: usize> Lane<W> {
    fn new(state: [u32; W]) -> Self {
        Self { state, buffer: [0; BLOCK], length: 0 }
    }

    fn buffered(&self) -> usize {
        usize::try_from(self.length % 64).unwrap_or(0)
    }

    /// Puts bytes into the buffer. If that fills it, it is hashed. Returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8], compress: Compress<W>) -> &'a [u8] {
        let start = self.buffered();
        if start == 0 && bytes.len() >= BLOCK {
            return bytes;
        }
        let (now, rest) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(start)));
        let end = start.saturating_add(now.len());
        if let Some(room) = self.buffer.get_mut(start..end) {
            room.copy_from_slice(now);
        }
        self.length = self.length.wrapping_add(now.len() as u64);
        if end == BLOCK {
            let block = self.buffer;
            self.compress(&[block], compress);
        }
        rest
    }

    fn compress(&mut self, blocks: &[[u8; BLOCK]], compress: Compress<W>) {
        let mut idle = self.state;
        compress([&mut self.state, &mut idle], [blocks, &[]]);
    }
}

/// Takes as many blocks of both messages as both have, then the rest of either.
type Compress<const W: usize> = fn([&mut [u32; W]; 2], [&[[u8; BLOCK]]; 2]);

fn update<const W: usize>(lanes: &mut [Lane<W>; 2], one: &[u8], other: &[u8], compress: Compress<W>) {
    let [first, second] = lanes;
    let (one, other) = (first.fill(one, compress), second.fill(other, compress));
    let ((ones, one), (others, other)) = (one.as_chunks::<BLOCK>(), other.as_chunks::<BLOCK>());
    compress([&mut first.state, &mut second.state], [ones, others]);
    first.length = first.length.wrapping_add((ones.len() as u64).wrapping_mul(64));
    second.length = second.length.wrapping_add((others.len() as u64).wrapping_mul(64));
    first.fill(one, compress);
    second.fill(other, compress);
}

fn finish<const W: usize>(lanes: [Lane<W>; 2], compress: Compress<W>) -> [[u32; W]; 2] {
    let [mut one, mut other] = lanes;
    let ((ones, first), (others, second)) = (padding(&one), padding(&other));
    let taken = [ones.get(..first).unwrap_or_default(), others.get(..second).unwrap_or_default()];
    compress([&mut one.state, &mut other.state], taken);
    [one.state, other.state]
}

/// The last block, or the last two, and how many there are: what is in the buffer, one bit, zeros, and the length in bits (FIPS 180-4, section
/// 5.1.1).
fn padding<const W: usize>(lane: &Lane<W>) -> ([[u8; BLOCK]; 2], usize) {
    let start = lane.buffered();
    let mut blocks = [lane.buffer, [0; BLOCK]];
    let [first, second] = &mut blocks;
    if let Some((mark, zeros)) = first.get_mut(start..).and_then(<[u8]>::split_first_mut) {
        *mark = 0x80;
        zeros.fill(0);
    }
    let count = if start < LENGTH_AT { 1 } else { 2 };
    let last = if count == 1 { first } else { second };
    if let Some(length) = last.get_mut(LENGTH_AT..) {
        length.copy_from_slice(&lane.length.wrapping_mul(8).to_be_bytes());
    }
    (blocks, count)
}

fn digest<const W: usize, const L: usize>(state: [u32; W]) -> [u8; L] {
    let mut digest = [0; L];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(target_arch = "x86_64")]
use x86::{compress_sha1, compress_sha256, is_accelerated};

#[cfg(not(target_arch = "x86_64"))]
fn is_accelerated() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn compress_sha1(_: [&mut [u32; 5]; 2], _: [&[[u8; BLOCK]]; 2]) {}

#[cfg(not(target_arch = "x86_64"))]
fn compress_sha256(_: [&mut [u32; 8]; 2], _: [&[[u8; BLOCK]]; 2]) {}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "noise")]
mod tests {
    use super::super::{sha1, sha256};
    use super::*;
    use proptest::prelude::*;

    fn noise(length: usize, salt: u8) -> Vec<u8> {
        (0..length).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 11) as u8 ^ salt).collect()
    }

    #[test]
    fn both_lanes_equal_one_hasher_at_every_length_around_a_block() {
        for length in 0..300 {
            let (one, other) = (noise(length, 1), noise(300 - length, 2));
            let (mut fast, mut twin) = (Sha1Pair::new(), Sha1Pair::portable());
            fast.update(&one, &other);
            twin.update(&one, &other);
            let expected = (sha1(&one), sha1(&other));
            assert_eq!((fast.finish(), twin.finish()), (expected, expected), "{length}");
            let (mut fast, mut twin) = (Sha256Pair::new(), Sha256Pair::portable());
            fast.update(&one, &other);
            twin.update(&one, &other);
            let expected = (sha256(&one), sha256(&other));
            assert_eq!((fast.finish(), twin.finish()), (expected, expected), "{length}");
        }
    }

    #[test]
    fn each_message_gets_its_digest() {
        let messages: Vec<Vec<u8>> = (0..7).map(|number| noise(number * 100, number as u8)).collect();
        let (mut ones, mut twos) = (Vec::new(), Vec::new());
        sha1_each(messages.iter().map(Vec::as_slice), &mut ones);
        sha256_each(messages.iter().map(Vec::as_slice), &mut twos);
        assert!(ones.iter().zip(&messages).all(|(found, message)| *found == sha1(message)));
        assert!(twos.iter().zip(&messages).all(|(found, message)| *found == sha256(message)));
        assert_eq!((ones.len(), twos.len()), (7, 7));
    }

    proptest! {
        #[test]
        fn parts_of_any_length_give_the_same_digests(
            parts in prop::collection::vec((0_usize..200, 0_usize..200), 0..12)
        ) {
            let (mut pair, mut wide) = (Sha1Pair::new(), Sha256Pair::new());
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for (left, right) in parts {
                let (left, right) = (noise(left, one.len() as u8), noise(right, 77));
                pair.update(&left, &right);
                wide.update(&left, &right);
                one.extend(left);
                other.extend(right);
            }
            prop_assert_eq!(pair.finish(), (sha1(&one), sha1(&other)));
            prop_assert_eq!(wide.finish(), (sha256(&one), sha256(&other)));
        }
    }
}
