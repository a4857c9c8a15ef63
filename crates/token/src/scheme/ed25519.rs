//! Ed25519: an account's signature is its key and the signature, 96 bytes; its address is a digest of the key.

use super::{Check, Verifier};
use crate::address::Address;
use crate::ids::SchemeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use unchoke_core::Rng;
use unchoke_core::keys::{PreparedKey, PublicKey, SecretKey, Signature, Signed, verify_batch};

/// Ed25519 (RFC 8032), strict, with the keys that it has seen of late ready for use.
pub struct Ed25519 {
    cache: Mutex<Cache>,
}

/// Keys in two generations: when the young one is full it becomes the old one, and what nobody has asked for since is gone.
#[derive(Default)]
struct Cache {
    half: usize,
    young: HashMap<PublicKey, PreparedKey>,
    old: HashMap<PublicKey, PreparedKey>,
}

impl Ed25519 {
    /// Keeps up to this many keys ready, at some 250 bytes each.
    #[must_use]
    pub fn with_cache(keys: usize) -> Self {
        Self { cache: Mutex::new(Cache { half: keys / 2, ..Cache::default() }) }
    }

    /// The address of a key.
    #[must_use]
    pub fn address(key: &PublicKey) -> Address {
        Address::of_key(SchemeId::ED25519, key.as_bytes())
    }

    /// Signs as accounts do: the key, then the signature.
    #[must_use]
    pub fn sign(key: &SecretKey, message: &[u8]) -> [u8; 96] {
        let mut bytes = [0; 96];
        bytes[..32].copy_from_slice(key.public_key().as_bytes());
        bytes[32..].copy_from_slice(key.sign(message).as_bytes());
        bytes
    }

    fn prepare(&self, key: &[u8]) -> Option<PreparedKey> {
        let key = PublicKey::new(key.try_into().ok()?);
        // What a thread that panicked has left is a map of keys, whole.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(key)
    }
}

impl Cache {
    fn get(&mut self, key: PublicKey) -> Option<PreparedKey> {
        if let Some(known) = self.young.get(&key) {
            return Some(*known);
        }
        let prepared = match self.old.remove(&key) {
            Some(known) => known,
            None => key.prepare().ok()?,
        };
        if self.half > 0 {
            if self.young.len() >= self.half {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, prepared);
        }
        Some(prepared)
    }
}

impl Verifier for Ed25519 {
    fn scheme(&self) -> SchemeId {
        SchemeId::ED25519
    }

    fn signature_len(&self) -> usize {
        96
    }

    fn signer(&self, message: &[u8], signature: &[u8]) -> Option<Address> {
        let (key, signature) = split(signature)?;
        let is_good = self.verify(&Check::new(&key, message, signature.as_bytes()));
        is_good.then(|| Self::address(&PublicKey::new(key)))
    }

    fn is_key(&self, key: &[u8]) -> bool {
        self.prepare(key).is_some()
    }

    fn verify(&self, check: &Check<'_>) -> bool {
        let signature = check.signature.try_into().map(Signature::new);
        let key = self.prepare(check.key);
        key.zip(signature.ok()).is_some_and(|(key, signature)| key.verify(check.message, &signature).is_ok())
    }

    fn verify_batch(&self, checks: &[Check<'_>], rng: &mut Rng) -> bool {
        let mut ready = Vec::with_capacity(checks.len());
        for check in checks {
            let signature = check.signature.try_into().map(Signature::new).ok();
            let Some(both) = self.prepare(check.key).zip(signature) else { return false };
            ready.push(both);
        }
        let messages = checks.iter().map(|check| check.message);
        let all: Vec<_> = messages.zip(ready).map(|(message, (key, signature))| (message, key, signature)).collect();
        let signed: Vec<_> = all.iter().map(|(message, key, signature)| Signed::new(key, message, signature)).collect();
        verify_batch(&signed, rng).is_ok()
    }

    fn signers(&self, messages: &[(&[u8], &[u8])], rng: &mut Rng) -> Vec<Option<Address>> {
        let mut out = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(BATCH) {
            let parts: Vec<_> = chunk.iter().filter_map(|(message, it)| Some((*message, split(it)?))).collect();
            let checks: Vec<_> =
                parts.iter().map(|(message, (key, it))| Check::new(key, message, it.as_bytes())).collect();
            if parts.len() == chunk.len() && self.verify_batch(&checks, rng) {
                out.extend(parts.iter().map(|(_, (key, _))| Some(Self::address(&PublicKey::new(*key)))));
            } else {
                out.extend(chunk.iter().map(|(message, signature)| self.signer(message, signature)));
            }
        }
        out
    }
}

impl Default for Ed25519 {
    fn default() -> Self {
        Self::with_cache(4096)
    }
}

impl fmt::Debug for Ed25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519")
    }
}

/// The key and the signature.
fn split(signature: &[u8]) -> Option<([u8; 32], Signature)> {
    let (key, rest) = signature.split_first_chunk::<32>()?;
    Some((*key, Signature::new(rest.try_into().ok()?)))
}

/// Signatures that are checked together.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use unchoke_core::Seed;

    #[test]
    fn one_bad_signature_among_many_is_found_and_the_others_count() {
        let (ed25519, mut rng) = (Ed25519::with_cache(16), Seed::new([1; 32]).rng());
        let keys: Vec<_> = (0..40).map(|_| SecretKey::from_seed(&rng.seed())).collect();
        let messages: Vec<[u8; 4]> = (0..600_u32).map(u32::to_be_bytes).collect();
        let mut signatures: Vec<_> =
            messages.iter().zip(keys.iter().cycle()).map(|(message, key)| Ed25519::sign(key, message)).collect();
        signatures[300][95] ^= 1;
        let pairs: Vec<(&[u8], &[u8])> =
            messages.iter().map(|it| &it[..]).zip(signatures.iter().map(|it| &it[..])).collect();
        let signers = ed25519.signers(&pairs, &mut rng);
        for (at, signer) in signers.iter().enumerate() {
            let expected = Ed25519::address(&keys[at % keys.len()].public_key());
            assert_eq!(*signer, (at != 300).then_some(expected));
        }
        let cache = ed25519.cache.lock().unwrap();
        assert!(cache.young.len() + cache.old.len() <= 16);
    }

    #[test]
    fn signatures_of_other_lengths_and_of_weak_keys_are_nobodys() {
        let ed25519 = Ed25519::default();
        assert_eq!(ed25519.signer(b"x", &[0; 95]), None);
        assert_eq!(ed25519.signer(b"x", &[0; 96]), None);
        assert!(!ed25519.verify(&Check::new(&[0; 33], b"x", &[0; 64])));
    }
}
