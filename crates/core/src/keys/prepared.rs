//! Keys that are looked at once and used often, and many signatures checked together.

#![allow(clippy::arithmetic_side_effects, reason = "points and scalars do not overflow")]

use super::{BadSignature, PublicKey, Signature};
use crate::seed::Rng;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity as _, IsIdentity as _, VartimeMultiscalarMul as _};
use sha2::{Digest as _, Sha512};
use std::fmt;

/// A public key that was found to be strict: a point of the prime-order group in its only encoding.
///
/// A payee that hears from one payer all day looks at the key once; what is left to do for a signature is about four fifths of
/// [`PublicKey::verify_strict`].
#[derive(Clone, Copy)]
pub struct PreparedKey {
    bytes: PublicKey,
    minus: EdwardsPoint,
}

/// A key that no account may have: no point of the curve, of small or mixed order, or not in its only encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is no strict Ed25519 key")]
#[non_exhaustive]
pub struct WeakKey(pub PublicKey);

/// A message with its signature and the key that is said to have made it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Signed<'a> {
    /// Who.
    pub key: &'a PreparedKey,
    /// What.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

impl<'a> Signed<'a> {
    /// These three.
    #[must_use]
    pub const fn new(key: &'a PreparedKey, message: &'a [u8], signature: &'a Signature) -> Self {
        Self { key, message, signature }
    }
}

impl PublicKey {
    /// Looks at the key for good.
    ///
    /// # Errors
    /// If it is weak.
    pub fn prepare(&self) -> Result<PreparedKey, WeakKey> {
        let point = CompressedEdwardsY(self.0).decompress().ok_or(WeakKey(*self))?;
        let is_strict = point.compress().0 == self.0 && !point.is_small_order() && point.is_torsion_free();
        if is_strict { Ok(PreparedKey { bytes: *self, minus: -point }) } else { Err(WeakKey(*self)) }
    }
}

impl PreparedKey {
    /// The key.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.bytes
    }

    /// Checks a signature, with the verdict of [`PublicKey::verify_strict`].
    ///
    /// # Errors
    /// If it does not fit.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let (r, s) = split(signature).ok_or(BadSignature)?;
        let challenge = challenge(&r, &self.bytes, message);
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &self.minus, &s);
        let is_good = expected.compress().0 == r && !expected.is_small_order();
        is_good.then_some(()).ok_or(BadSignature)
    }
}

/// Checks many signatures together: 256 of them take a tenth less than [`PreparedKey::verify`] one by one, and a quarter less than
/// [`PublicKey::verify_strict`]. If one is bad, so is the batch; which one it is, [`PreparedKey::verify`] tells.
///
/// A bad signature passes with a probability of 2⁻¹²⁸; one that its own signer has bent by a point of small order with 2⁻²⁰.
/// That is why `rng` must be one whose numbers no signer knows.
///
/// # Errors
/// If one signature does not fit.
pub fn verify_batch(all: &[Signed<'_>], rng: &mut Rng) -> Result<(), BadSignature> {
    let count = all.len().saturating_mul(2).saturating_add(1);
    let (mut scalars, mut points) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut sum = Scalar::ZERO;
    for signed in all {
        let (r, s) = split(signed.signature).ok_or(BadSignature)?;
        let point = CompressedEdwardsY(r).decompress().ok_or(BadSignature)?;
        if point.is_small_order() || point.compress().0 != r {
            return Err(BadSignature);
        }
        let weight = Scalar::from(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()));
        sum += weight * s;
        // Wants all R first, so that the trials below find them in one piece.
        scalars.push(weight);
        points.push(-point);
    }
    if !are_torsion_free(&points, rng) {
        return Err(BadSignature);
    }
    for (at, signed) in all.iter().enumerate() {
        let Some((weight, (r, _))) = scalars.get(at).copied().zip(split(signed.signature)) else { continue };
        scalars.push(weight * challenge(&r, &signed.key.bytes, signed.message));
        points.push(signed.key.minus);
    }
    scalars.push(sum);
    points.push(curve25519_dalek::constants::ED25519_BASEPOINT_POINT);
    let residue = EdwardsPoint::vartime_multiscalar_mul(&scalars, &points);
    residue.is_identity().then_some(()).ok_or(BadSignature)
}

/// Sums over random halves of the points; a point outside the prime-order group shows in each with a probability of a half.
fn are_torsion_free(points: &[EdwardsPoint], rng: &mut Rng) -> bool {
    (0..TRIALS).all(|_| {
        let mut sum = EdwardsPoint::identity();
        for chunk in points.chunks(64) {
            let mut bits = rng.next_u64();
            for point in chunk {
                if bits & 1 == 1 {
                    sum += point;
                }
                bits >>= 1;
            }
        }
        sum.is_torsion_free()
    })
}

/// R and s, if s is in its only encoding.
fn split(signature: &Signature) -> Option<([u8; 32], Scalar)> {
    let (r, s) = signature.0.split_first_chunk::<32>()?;
    let s: Option<Scalar> = Scalar::from_canonical_bytes(s.try_into().ok()?).into();
    Some((*r, s?))
}

fn challenge(r: &[u8; 32], key: &PublicKey, message: &[u8]) -> Scalar {
    let digest = Sha512::new().chain_update(r).chain_update(key.0).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// Halves that are summed.
const TRIALS: usize = 20;

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedKey({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;
    use crate::seed::Seed;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    /// Signs with a nonce whose point is bent by one of small order, and for a key bent in the same way, as only the owner of a key can.
    fn bent(message: &[u8], secret: u64, nonce_twist: usize, key_twist: usize) -> (PublicKey, Signature) {
        let (a, nonce) = (Scalar::from(secret), Scalar::from(secret) + Scalar::from(77_u8));
        let key = PublicKey((ED25519_BASEPOINT_POINT * a + EIGHT_TORSION[key_twist]).compress().0);
        let r = (ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[nonce_twist]).compress().0;
        let s = nonce + challenge(&r, &key, message) * a;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(s.as_bytes());
        (key, Signature(bytes))
    }

    #[test]
    fn keys_of_small_or_mixed_order_and_second_encodings_are_weak() {
        for point in EIGHT_TORSION {
            assert!(PublicKey(point.compress().0).prepare().is_err());
        }
        assert!((1..8).all(|twist| bent(b"", 5, 0, twist).0.prepare().is_err()));
        assert!(bent(b"", 5, 0, 0).0.prepare().is_ok());
        // y = p + 1, which is another way to write 1.
        let mut second = [0xff; 32];
        (second[0], second[31]) = (0xee, 0x7f);
        assert!(PublicKey(second).prepare().is_err());
        assert!(PublicKey([2; 32]).prepare().is_err());
    }

    #[test]
    fn a_batch_and_strict_single_verification_have_one_verdict() {
        let mut rng = Seed::new([1; 32]).rng();
        let mut all = Vec::new();
        for number in 0..64_u8 {
            let key = SecretKey::from_seed(&rng.seed());
            let message = [number; 112];
            all.push((key.public_key().prepare().unwrap(), message, key.sign(&message)));
        }
        let check = |all: &[(PreparedKey, [u8; 112], Signature)], rng: &mut Rng| {
            let signed: Vec<_> = all.iter().map(|(key, message, it)| Signed::new(key, message, it)).collect();
            let single = all.iter().all(|(key, message, it)| key.bytes.verify_strict(message, it).is_ok());
            let prepared = all.iter().all(|(key, message, it)| key.verify(message, it).is_ok());
            assert_eq!(single, prepared);
            assert_eq!(single, verify_batch(&signed, rng).is_ok());
            single
        };
        assert!(check(&all, &mut rng) && check(&[], &mut rng));
        for bit in 0..512 {
            let mut bad = all.clone();
            bad[bit % 64].2.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!check(&bad, &mut rng));
        }
        let mut bad = all.clone();
        bad[9].1[111] ^= 1;
        assert!(!check(&bad, &mut rng));
        bad.clone_from(&all);
        bad.swap(3, 4);
        (bad[3].2, bad[4].2) = (bad[4].2, bad[3].2);
        assert!(!check(&bad, &mut rng));
        // A second encoding of s.
        bad.clone_from(&all);
        let order = [0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14];
        let mut carry = 0_u16;
        for (at, byte) in bad[0].2.0[32..].iter_mut().enumerate() {
            let sum = u16::from(*byte) + u16::from(order.get(at).copied().unwrap_or(u8::from(at == 31) << 4)) + carry;
            (*byte, carry) = (u8::try_from(sum & 0xff).unwrap(), sum >> 8);
        }
        assert!(!check(&bad, &mut rng));
        // Signatures that their own signers have bent: one, and two that cancel out.
        for twist in 1..8 {
            bad.clone_from(&all);
            for (place, twist) in [(5, twist), (6, 8 - twist)] {
                let (key, signature) = bent(&bad[place].1, 1000 + place as u64, twist, 0);
                (bad[place].0, bad[place].2) = (key.prepare().unwrap(), signature);
                assert!(!check(&bad, &mut rng));
            }
        }
        bad.clone_from(&all);
        let (key, signature) = bent(&bad[5].1, 5, 0, 0);
        (bad[5].0, bad[5].2) = (key.prepare().unwrap(), signature);
        assert!(check(&bad, &mut rng));
    }
}
