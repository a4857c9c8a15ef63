//! Ed25519 keys and signatures (RFC 8032), as [BEP 44] stores items under and as accounts are held by.
//!
//! [BEP 44]: https://www.bittorrent.org/beps/bep_0044.html

#[cfg(feature = "key-derivation")]
mod derive;
mod prepared;

use crate::hash::write_hex;
use crate::seed::Seed;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
use std::fmt;

pub use prepared::{PreparedKey, Signed, WeakKey, verify_batch};

/// A public key, unchecked: 32 bytes that may be no point of the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A signature, unchecked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

/// A secret key. Its contents are not printed, and are wiped when it is dropped.
pub struct SecretKey(Secret);

enum Secret {
    Seed(SigningKey),
    Expanded(ExpandedSecretKey, VerifyingKey),
}

/// A signature that does not fit its key and message, or a key that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("signature does not fit key and message")]
#[non_exhaustive]
pub struct BadSignature;

impl PublicKey {
    /// Wraps the 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature by the rule of RFC 8032 alone, as BEP 44 has it: keys of small order are let through.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify(message, &signature).map_err(|_| BadSignature)
    }

    /// Checks a signature and refuses weak keys and encodings that are not the canonical ones, so that a signature means one key and one message.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn verify_strict(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| BadSignature)
    }
}

impl Signature {
    /// Wraps the 64 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl SecretKey {
    /// The key that a seed stands for.
    #[must_use]
    pub fn from_seed(seed: &Seed) -> Self {
        let mut bytes = [0; 32];
        seed.rng().fill(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// A key of RFC 8032: the 32 bytes that everything is derived from.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Secret::Seed(SigningKey::from_bytes(bytes)))
    }

    /// A key in the expanded form of 64 bytes, in which some programs keep the keys of BEP 44.
    #[must_use]
    pub fn from_expanded(bytes: &[u8; 64]) -> Self {
        let expanded = ExpandedSecretKey::from_bytes(bytes);
        let public = VerifyingKey::from(&expanded);
        Self(Secret::Expanded(expanded, public))
    }

    /// What others know the key by.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Secret::Seed(key) => key.verifying_key().to_bytes(),
            Secret::Expanded(_, public) => public.to_bytes(),
        })
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let signature = match &self.0 {
            Secret::Seed(key) => key.sign(message),
            Secret::Expanded(key, public) => raw_sign::<sha2::Sha512>(key, message, public),
        };
        Signature(signature.to_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let mut out = [0; N];
        for (number, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[number * 2..number * 2 + 2], 16).unwrap();
        }
        out
    }

    /// The first vector of RFC 8032, section 7.1.
    #[test]
    fn signs_as_rfc_8032_does() {
        let key = SecretKey::from_bytes(&bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(key.public_key(), PublicKey::new(public));
        let signature = key.sign(b"");
        assert_eq!(signature.as_bytes()[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.public_key().verify_strict(b"", &signature).is_ok());
        assert_eq!(key.public_key().verify(b"x", &signature), Err(BadSignature));
    }

    /// The test vector of BEP 44 for mutable items, whose key is an expanded one.
    #[test]
    fn signs_with_expanded_keys_as_bep_44_does() {
        let key = SecretKey::from_expanded(&bytes(
            "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74db7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d",
        ));
        assert_eq!(key.public_key().to_string(), "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548");
        let signature = key.sign(b"3:seqi1e1:v12:Hello World!");
        let expected = "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01";
        assert_eq!(signature, Signature::new(bytes(expected)));
        assert!(key.public_key().verify(b"3:seqi1e1:v12:Hello World!", &signature).is_ok());
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretKey::from_seed(&Seed::new([1; 32]))), "SecretKey(..)");
    }
}
