//! Many keys from one seed ([SLIP-10], for Ed25519, where every step is a hardened one).
//!
//! [SLIP-10]: https://github.com/satoshilabs/slips/blob/master/slip-0010.md

use super::SecretKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

impl SecretKey {
    /// The key at a path below a seed. Each number is one of a hardened step, without the bit that says so.
    ///
    /// `None` if a number has that bit.
    #[must_use]
    pub fn derive(seed: &[u8], path: &[u32]) -> Option<Self> {
        let (mut key, mut chain) = step(b"ed25519 seed", &[seed])?;
        for number in path {
            let number = Some(*number).filter(|it| *it < HARDENED)? | HARDENED;
            (key, chain) = step(&chain, &[&[0], &key, &number.to_be_bytes()])?;
        }
        Some(Self::from_bytes(&key))
    }
}

fn step(key: &[u8], parts: &[&[u8]]) -> Option<([u8; 32], [u8; 32])> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    let digest: [u8; 64] = mac.finalize().into_bytes().into();
    let (key, chain) = digest.split_first_chunk::<32>()?;
    Some((*key, chain.try_into().ok()?))
}

const HARDENED: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector 1 of SLIP-10 for Ed25519.
    #[test]
    fn keys_are_those_of_slip_10() {
        let seed: Vec<u8> = (0..16).collect();
        let public = |path: &[u32]| SecretKey::derive(&seed, path).unwrap().public_key().to_string();
        assert_eq!(public(&[]), "a4b2856bfec510abab89753fac1ac0e1112364e7d250545963f135f2a33188ed");
        assert_eq!(public(&[0]), "8c8a13df77a28f3445213a0f432fde644acaa215fc72dcdf300d5efaa85d350c");
        assert_eq!(public(&[0, 1]), "1932a5270f335bed617d5b935c80aedb1a35bd9fc1e31acafd5372c30f5c1187");
        assert_eq!(
            public(&[0, 1, 2, 2, 1_000_000_000]),
            "3c24da049451555d51a7014a37337aa4e12d41e485abccfa46b47dfb2af54b7a"
        );
        assert!(SecretKey::derive(&seed, &[1 << 31]).is_none());
    }
}
