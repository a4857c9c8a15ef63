//! SHA-1 and SHA-256 of several messages at a time.
//!
//! The rounds of one message wait for one another; those of others fill the gaps. On a CPU with SHA instructions two interleaved messages
//! hash about one and a half times as fast as one after the other, and more gain nothing. With AVX2 alone, eight messages side by side in vectors
//! are faster than one after the other. [`lanes`] tells how many messages to hand over at once.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Sha1Hash, Sha256Hash};
use std::fmt;

/// How many messages this CPU hashes best at a time: what [`Sha1Lanes`], [`Sha256Lanes`], [`sha1_each`] and [`sha256_each`] should be fed with.
///
/// It is from 1 to [`MAX_LANES`].
#[must_use]
pub fn lanes() -> usize {
    Backend::best().lanes()
}

/// The most that [`lanes`] returns on any CPU.
pub const MAX_LANES: usize = 8;

/// A way to hash. All give the same digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// The SHA instructions of x86-64, two messages interleaved.
    ShaInstructions,
    /// Eight messages side by side in the vectors of AVX2.
    Avx2,
    /// One message after the other: what there is everywhere.
    Portable,
}

impl Backend {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::ShaInstructions, Self::Avx2, Self::Portable];

    /// The fastest that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this CPU has what it needs.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::ShaInstructions => x86::has_sha(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::has_avx2(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::ShaInstructions | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// How many messages it hashes at a time.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Self::ShaInstructions => 2,
            Self::Avx2 => MAX_LANES,
            Self::Portable => 1,
        }
    }
}

macro_rules! function {
    ($(#[$doc:meta])* $name:ident, $hash:ident, $words:literal, $initial:expr, $rounds:expr) => {
        $(#[$doc])*
        pub struct $name {
            lanes: Vec<Lane<$words>>,
            backend: Backend,
        }

        impl $name {
            /// Hashers of `count` messages that have seen nothing. Best is a multiple of [`lanes`].
            #[must_use]
            pub fn new(count: usize) -> Self {
                Self::with(Backend::best(), count)
            }

            /// Hashers that go this way, or if this CPU cannot, the portable one.
            #[must_use]
            pub fn with(backend: Backend, count: usize) -> Self {
                let backend = if backend.is_available() { backend } else { Backend::Portable };
                Self { lanes: vec![Lane::new($initial); count], backend }
            }

            /// Takes the next bytes of each message. It is fastest when all are of the same length and a multiple of 64.
            ///
            /// A message without a part gets nothing; parts beyond the last message are left out.
            pub fn update(&mut self, parts: &[&[u8]]) {
                update(&mut self.lanes, parts, self.backend, &$rounds);
            }

            /// The digests, in the order of the messages.
            #[must_use]
            pub fn finish(mut self) -> Vec<$hash> {
                finish(&mut self.lanes, self.backend, &$rounds);
                self.lanes.iter().map(|lane| $hash(digest(lane.state))).collect()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("backend", &self.backend).finish_non_exhaustive()
            }
        }
    };
}

function! {
    /// SHA-1 of several messages at a time, each fed in parts.
    ///
    /// ```
    /// use unchoke_core::hash::{Sha1Lanes, sha1};
    /// let mut hashers = Sha1Lanes::new(2);
    /// hashers.update(&[b"one", b"another"]);
    /// hashers.update(&[b" piece", b" piece"]);
    /// assert_eq!(hashers.finish(), [sha1(b"one piece"), sha1(b"another piece")]);
    /// ```
    Sha1Lanes, Sha1Hash, 5,
    [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
    SHA1
}

function! {
    /// SHA-256 of several messages at a time, each fed in parts.
    Sha256Lanes, Sha256Hash, 8,
    [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ],
    SHA256
}

/// SHA-1 of each message, as many at a time as is best.
pub fn sha1_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<Sha1Hash>) {
    each(messages, out, super::sha1, |group, out| {
        let mut hashers = Sha1Lanes::new(group.len());
        hashers.update(group);
        out.extend(hashers.finish());
    });
}

/// SHA-256 of each message, as many at a time as is best.
pub fn sha256_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<Sha256Hash>) {
    each(messages, out, super::sha256, |group, out| {
        let mut hashers = Sha256Lanes::new(group.len());
        hashers.update(group);
        out.extend(hashers.finish());
    });
}

fn each<'a, H>(
    messages: impl IntoIterator<Item = &'a [u8]>,
    out: &mut Vec<H>,
    alone: impl Fn(&[u8]) -> H,
    together: impl Fn(&[&[u8]], &mut Vec<H>),
) {
    let mut messages = messages.into_iter();
    let lanes = lanes();
    let mut group = Vec::with_capacity(lanes);
    loop {
        group.clear();
        group.extend(messages.by_ref().take(lanes));
        match group.as_slice() {
            [] => return,
            [one] => out.push(alone(one)),
            group => together(group, out),
        }
    }
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

    /// Puts bytes into the buffer as long as there is room. Returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.buffered();
        let (now, rest) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(start)));
        if let Some(room) = self.buffer.get_mut(start..start.saturating_add(now.len())) {
            room.copy_from_slice(now);
        }
        self.length = self.length.wrapping_add(now.len() as u64);
        rest
    }
}

/// Whole blocks of one message, one after the other.
type Blocks<'a> = &'a [[u8; BLOCK]];

/// Blocks of one message that are to be hashed.
struct Run<'a, const W: usize> {
    state: &'a mut [u32; W],
    blocks: Blocks<'a>,
}

/// The rounds of one function.
struct Rounds<const W: usize> {
    /// Of one message.
    one: fn(&mut [u32; W], Blocks<'_>),
    /// Of two messages: as many blocks as both have, then the rest of either. For [`Backend::ShaInstructions`].
    pair: fn([&mut [u32; W]; 2], [Blocks<'_>; 2]),
    /// Of eight messages: as many blocks as all have. For [`Backend::Avx2`].
    eight: fn(&mut [[u32; W]; MAX_LANES], [Blocks<'_>; MAX_LANES]),
    /// From how many messages on eight lanes are faster than one message after the other.
    worth: usize,
}

fn update<const W: usize>(lanes: &mut [Lane<W>], parts: &[&[u8]], backend: Backend, rounds: &Rounds<W>) {
    let parts = || parts.iter().copied().chain(std::iter::repeat(&[][..]));
    // What is left of each part once it has filled the block that was begun.
    let mut rests = Vec::with_capacity(lanes.len());
    let mut begun = Vec::new();
    for (lane, part) in lanes.iter_mut().zip(parts()) {
        let is_begun = lane.buffered() > 0;
        let rest = if is_begun { lane.fill(part) } else { part };
        if is_begun && lane.buffered() == 0 {
            begun.push(Run { state: &mut lane.state, blocks: std::slice::from_ref(&lane.buffer) });
        }
        rests.push(rest.as_chunks::<BLOCK>());
    }
    compress(&mut begun, backend, rounds);
    let mut whole = Vec::with_capacity(rests.len());
    for (lane, (blocks, _)) in lanes.iter_mut().zip(&rests) {
        lane.length = lane.length.wrapping_add((blocks.len() as u64).wrapping_mul(64));
        whole.push(Run { state: &mut lane.state, blocks });
    }
    compress(&mut whole, backend, rounds);
    for (lane, (_, rest)) in lanes.iter_mut().zip(rests) {
        lane.fill(rest);
    }
}

fn finish<const W: usize>(lanes: &mut [Lane<W>], backend: Backend, rounds: &Rounds<W>) {
    let last: Vec<_> = lanes.iter().map(padding).collect();
    let runs = lanes.iter_mut().zip(&last);
    let mut runs: Vec<_> = runs
        .map(|(lane, (blocks, count))| Run { state: &mut lane.state, blocks: blocks.get(..*count).unwrap_or_default() })
        .collect();
    compress(&mut runs, backend, rounds);
}

fn compress<const W: usize>(runs: &mut [Run<'_, W>], backend: Backend, rounds: &Rounds<W>) {
    match backend {
        Backend::ShaInstructions => {
            for pair in runs.chunks_mut(2) {
                let mut idle = [0; W];
                match pair {
                    [one, other] => (rounds.pair)([one.state, other.state], [one.blocks, other.blocks]),
                    [one] => (rounds.pair)([one.state, &mut idle], [one.blocks, &[]]),
                    _ => {}
                }
            }
        }
        Backend::Avx2 => runs.chunks_mut(MAX_LANES).for_each(|group| side_by_side(group, rounds)),
        Backend::Portable => one_by_one(runs, rounds),
    }
}

/// Hashes up to eight runs: together while enough of them have blocks, then the rest one by one.
fn side_by_side<const W: usize>(runs: &mut [Run<'_, W>], rounds: &Rounds<W>) {
    loop {
        let mut left = runs.iter().filter(|run| !run.blocks.is_empty()).map(|run| run.blocks);
        let Some(any) = left.clone().min_by_key(|blocks| blocks.len()) else { return };
        if left.by_ref().count() < rounds.worth {
            return one_by_one(runs, rounds);
        }
        // Lanes without a message hash those of another, in vain.
        let (mut states, mut blocks) = ([[0; W]; MAX_LANES], [any; MAX_LANES]);
        for ((state, blocks), run) in states.iter_mut().zip(&mut blocks).zip(&*runs) {
            if let Some(now) = run.blocks.get(..any.len()) {
                (*state, *blocks) = (*run.state, now);
            }
        }
        (rounds.eight)(&mut states, blocks);
        for (state, run) in states.iter().zip(&mut *runs) {
            if let Some(later) = run.blocks.get(any.len()..) {
                (*run.state, run.blocks) = (*state, later);
            }
        }
    }
}

fn one_by_one<const W: usize>(runs: &mut [Run<'_, W>], rounds: &Rounds<W>) {
    for run in runs {
        (rounds.one)(run.state, run.blocks);
        run.blocks = &[];
    }
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

/// The block of both functions, in bytes.
const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;

const SHA1: Rounds<5> = Rounds {
    one: sha1::block_api::compress,
    #[cfg(target_arch = "x86_64")]
    pair: x86::sha1_pair,
    #[cfg(not(target_arch = "x86_64"))]
    pair: |_, _| {},
    #[cfg(target_arch = "x86_64")]
    eight: x86::sha1_eight,
    #[cfg(not(target_arch = "x86_64"))]
    eight: |_, _| {},
    worth: 6,
};

const SHA256: Rounds<8> = Rounds {
    one: sha2::block_api::compress256,
    #[cfg(target_arch = "x86_64")]
    pair: x86::sha256_pair,
    #[cfg(not(target_arch = "x86_64"))]
    pair: |_, _| {},
    #[cfg(target_arch = "x86_64")]
    eight: x86::sha256_eight,
    #[cfg(not(target_arch = "x86_64"))]
    eight: |_, _| {},
    worth: 4,
};

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
    fn every_backend_equals_one_hasher_at_every_length_around_a_block() {
        for length in 0..300 {
            let messages: Vec<_> = (0..9_u8).map(|salt| noise((length + 37 * usize::from(salt)) % 300, salt)).collect();
            for count in [1, 2, 3, 5, 8, 9] {
                let messages: Vec<&[u8]> = messages.iter().take(count).map(Vec::as_slice).collect();
                for backend in Backend::ALL {
                    let mut ones = Sha1Lanes::with(backend, count);
                    ones.update(&messages);
                    let expected: Vec<_> = messages.iter().map(|message| sha1(message)).collect();
                    assert_eq!(ones.finish(), expected, "{backend:?} {length} {count}");
                    let mut twos = Sha256Lanes::with(backend, count);
                    twos.update(&messages);
                    let expected: Vec<_> = messages.iter().map(|message| sha256(message)).collect();
                    assert_eq!(twos.finish(), expected, "{backend:?} {length} {count}");
                }
            }
        }
    }

    #[test]
    fn the_best_backend_is_available_and_tells_its_lanes() {
        assert!(Backend::best().is_available() && Backend::Portable.is_available());
        assert!((1..=MAX_LANES).contains(&lanes()));
    }

    #[test]
    fn each_message_gets_its_digest() {
        let messages: Vec<Vec<u8>> = (0..19).map(|number| noise(number * 100, number as u8)).collect();
        let (mut ones, mut twos) = (Vec::new(), Vec::new());
        sha1_each(messages.iter().map(Vec::as_slice), &mut ones);
        sha256_each(messages.iter().map(Vec::as_slice), &mut twos);
        assert!(ones.iter().zip(&messages).all(|(found, message)| *found == sha1(message)));
        assert!(twos.iter().zip(&messages).all(|(found, message)| *found == sha256(message)));
        assert_eq!((ones.len(), twos.len()), (19, 19));
    }

    proptest! {
        #[test]
        fn parts_of_any_length_give_the_same_digests(
            parts in prop::collection::vec(prop::collection::vec(0_usize..200, 7), 0..12)
        ) {
            for backend in Backend::ALL {
                let (mut ones, mut twos) = (Sha1Lanes::with(backend, 7), Sha256Lanes::with(backend, 7));
                let mut messages = vec![Vec::new(); 7];
                for lengths in &parts {
                    let now: Vec<_> = lengths.iter().map(|length| noise(*length, messages[0].len() as u8)).collect();
                    let now: Vec<&[u8]> = now.iter().map(Vec::as_slice).collect();
                    ones.update(&now);
                    twos.update(&now);
                    messages.iter_mut().zip(&now).for_each(|(message, part)| message.extend_from_slice(part));
                }
                prop_assert_eq!(ones.finish(), messages.iter().map(|it| sha1(it)).collect::<Vec<_>>());
                prop_assert_eq!(twos.finish(), messages.iter().map(|it| sha256(it)).collect::<Vec<_>>());
            }
        }
    }
}
