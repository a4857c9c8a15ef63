//! Randomness as a value: a core never asks the operating system for entropy, so the same seed gives the same run.

use rand::{Rng as _, SeedableRng as _};
use std::fmt;

/// 32 bytes that everything random is derived from. Its contents are not printed.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Wraps 32 bytes, which the driver takes from the operating system and a test from wherever it likes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The generator that this seed stands for. It is a cryptographic one: ids, tokens and transaction numbers may come from it.
    #[must_use]
    pub fn rng(&self) -> Rng {
        Rng { seed: self.clone(), pool: [0; POOL], used: POOL }
    }

    /// A seed for one part of a program; seeds under different labels tell nothing about one another.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let mut bytes = Vec::from(self.0);
        bytes.extend_from_slice(label.as_bytes());
        Self(*crate::hash::sha256(&bytes).as_bytes())
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A seeded random number generator.
///
/// It is small, since every node of a simulated network has one: the generator behind it is built anew for each few numbers, from a seed
/// that it draws along with them. Whoever sees its memory learns nothing of what it gave before these few.
pub struct Rng {
    seed: Seed,
    /// Random bytes, of which the first ones are used up.
    pool: [u8; POOL],
    used: usize,
}

/// Random bytes that are drawn at a time.
const POOL: usize = 32;

impl Rng {
    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// Fills the slice with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut source = rand::rngs::StdRng::from_seed(self.seed.0);
        source.fill_bytes(&mut self.seed.0);
        source.fill_bytes(bytes);
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let left = self.pool.get(self.used..).and_then(|left| left.first_chunk()).copied();
        if let Some(bytes) = left {
            self.used = self.used.saturating_add(N);
            return bytes;
        }
        let mut pool = [0; POOL];
        self.fill(&mut pool);
        self.pool = pool;
        self.used = N;
        self.pool.first_chunk().copied().unwrap_or([0; N])
    }

    /// A number below `bound`, each as likely as any other to within 2⁻³² or better; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.next_u32()).wrapping_mul(u64::from(bound));
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// One of the items, or `None` if there is none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let bound = u32::try_from(items.len()).unwrap_or(u32::MAX);
        items.get(self.below(bound) as usize)
    }

    /// A seed for something that this generator's owner builds.
    pub fn seed(&mut self) -> Seed {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        Seed(bytes)
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_run() {
        let (mut a, mut b) = (Seed::new([3; 32]).rng(), Seed::new([3; 32]).rng());
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(a.next_u64(), Seed::new([3; 32]).derive("x").rng().next_u64());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut rng = Seed::new([4; 32]).rng();
        let seen: std::collections::BTreeSet<u32> = (0..1000).map(|_| rng.below(7)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.choose::<u8>(&[]), None);
    }

    #[test]
    fn a_seed_is_not_printed() {
        assert_eq!(format!("{:?}", Seed::new([9; 32])), "Seed(..)");
    }
}
