//! Signature schemes: an account is an address and the scheme that it signs by.

mod ed25519;

use crate::address::Address;
use crate::ids::SchemeId;
use std::fmt;
use unchoke_core::Rng;

pub use ed25519::Ed25519;

/// Checks signatures of one scheme.
///
/// Each object that is signed begins with bytes that no other kind begins with, so a verifier need not know what it is. Verdicts are those of
/// strict single verification: of any key and message there is at most one encoding of each signature, and weak keys sign nothing.
pub trait Verifier: Send + Sync {
    /// Which scheme.
    fn scheme(&self) -> SchemeId;

    /// The bytes that an account's signature has. Schemes differ in it, so that it tells them apart.
    fn signature_len(&self) -> usize;

    /// The account that has signed a message; `None` if the signature is not good.
    fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Address>;

    /// Whether these bytes are a key that may sign vouchers.
    fn is_key(&self, key: &[u8]) -> bool;

    /// Whether a key has signed a message, as vouchers are signed.
    fn verify(&self, check: &Check<'_>) -> bool;

    /// Whether all of these are good. The answer is that of [`verify`](Self::verify) one by one, which is what this does if a scheme knows
    /// nothing faster.
    fn verify_batch(&self, checks: &[Check<'_>], rng: &mut Rng) -> bool {
        let _ = rng;
        checks.iter().all(|check| self.verify(check))
    }

    /// The accounts that have signed messages, of which each has a signature.
    fn signers(&self, messages: &[(&[u8], &[u8])], rng: &mut Rng) -> Vec<Option<Address>> {
        let _ = rng;
        messages.iter().map(|(message, signature)| self.signer(message, signature)).collect()
    }
}

/// A signature that is to be checked against a key that is known.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Check<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What is signed.
    pub message: &'a [u8],
    /// The signature, without the key.
    pub signature: &'a [u8],
}

impl<'a> Check<'a> {
    /// These three.
    #[must_use]
    pub const fn new(key: &'a [u8], message: &'a [u8], signature: &'a [u8]) -> Self {
        Self { key, message, signature }
    }
}

/// The schemes that a ledger knows.
pub struct Schemes(Vec<Box<dyn Verifier>>);

impl Schemes {
    /// Another one, in place of one with the same number if there is one.
    #[must_use]
    pub fn with(mut self, verifier: Box<dyn Verifier>) -> Self {
        self.0.retain(|it| it.scheme() != verifier.scheme());
        self.0.push(verifier);
        self
    }

    /// The one with a number.
    #[must_use]
    pub fn get(&self, scheme: SchemeId) -> Option<&dyn Verifier> {
        self.0.iter().find(|it| it.scheme() == scheme).map(AsRef::as_ref)
    }

    /// The one whose accounts sign with so many bytes.
    #[must_use]
    pub fn of_signature(&self, len: usize) -> Option<&dyn Verifier> {
        self.0.iter().find(|it| it.signature_len() == len).map(AsRef::as_ref)
    }

    /// The account that has signed a message, and its scheme.
    #[must_use]
    pub fn signer(&self, message: &[u8], signature: &[u8]) -> Option<(Address, SchemeId)> {
        let verifier = self.of_signature(signature.len())?;
        Some((verifier.signer(message, signature)?, verifier.scheme()))
    }
}

impl Default for Schemes {
    /// Ed25519 alone.
    fn default() -> Self {
        Self(vec![Box::new(Ed25519::default())])
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|it| it.scheme())).finish()
    }
}
