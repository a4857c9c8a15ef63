//! Items that anybody may store ([BEP 44]): immutable ones, found by their hash, and mutable ones, found by a key.
//!
//! [BEP 44]: https://www.bittorrent.org/beps/bep_0044.html

use crate::id::Id;
use crate::krpc::{ErrorCode, Put, Signed};
use std::sync::Arc;
use unchoke_bencode::{DecodeLimits, decode};
use unchoke_core::hash::sha1;
use unchoke_core::keys::{PublicKey, SecretKey, Signature};

/// An item whose hash or signature is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    value: Arc<[u8]>,
    mutable: Option<Box<Mutable>>,
}

/// What a mutable item has beside its value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mutable {
    /// The key that signed it.
    pub key: PublicKey,
    /// Name under which one key has several items. Empty means none.
    pub salt: Vec<u8>,
    /// It counts up with each version.
    pub seq: i64,
    /// The signature.
    pub signature: Signature,
}

/// Why something is no item.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The value is too long.
    #[error("value of {0} bytes is longer than {MAX_VALUE_LEN}")]
    ValueTooLong(usize),
    /// The value is no bencode.
    #[error("value is not bencoded: {0}")]
    NotBencoded(unchoke_bencode::Error),
    /// The value is followed by something.
    #[error("value is followed by something")]
    NotOneValue,
    /// The salt is too long.
    #[error("salt of {0} bytes is longer than {MAX_SALT_LEN}")]
    SaltTooLong(usize),
    /// The signature is wrong.
    #[error("signature does not fit key, salt, sequence number and value")]
    BadSignature,
    /// The item belongs somewhere else.
    #[error("item is not the one that was asked for")]
    WrongTarget,
}

/// The longest value, bencoded (BEP 44).
pub const MAX_VALUE_LEN: usize = 1000;
/// The longest salt (BEP 44).
pub const MAX_SALT_LEN: usize = 64;

impl ItemError {
    /// What the protocol calls it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::ValueTooLong(_) => ErrorCode::VALUE_TOO_LONG,
            Self::SaltTooLong(_) => ErrorCode::SALT_TOO_LONG,
            Self::BadSignature => ErrorCode::BAD_SIGNATURE,
            Self::NotBencoded(_) | Self::NotOneValue | Self::WrongTarget => ErrorCode::PROTOCOL,
        }
    }
}

impl Item {
    /// An item that is found by the hash of its value.
    ///
    /// # Errors
    /// If the value is too long or no bencode.
    pub fn immutable(value: &[u8]) -> Result<Self, ItemError> {
        check_value(value)?;
        Ok(Self { value: value.into(), mutable: None })
    }

    /// Signs a version of an item that is found by a key.
    ///
    /// # Errors
    /// If the value is too long or no bencode, or the salt too long.
    pub fn sign(secret: &SecretKey, salt: &[u8], seq: i64, value: &[u8]) -> Result<Self, ItemError> {
        check_value(value)?;
        check_salt(salt)?;
        let signature = secret.sign(&signed_text(salt, seq, value));
        let mutable = Mutable { key: secret.public_key(), salt: salt.to_vec(), seq, signature };
        Ok(Self { value: value.into(), mutable: Some(Box::new(mutable)) })
    }

    /// Checks what another node wants to be stored. The signature is checked over the bytes that came.
    ///
    /// # Errors
    /// If lengths or the signature are wrong.
    pub fn from_put(put: &Put<'_>) -> Result<Self, ItemError> {
        match put.signed {
            Some(signed) => Self::from_signed(put.value, put.salt, signed),
            None => Self::immutable(put.value),
        }
    }

    /// Checks what another node has found for `target`.
    ///
    /// # Errors
    /// If it is not what belongs there.
    pub fn from_found(target: Id, value: &[u8], salt: &[u8], signed: Option<Signed<'_>>) -> Result<Self, ItemError> {
        let place = signed.map_or_else(|| immutable_target(value), |it| mutable_target(&PublicKey::new(*it.key), salt));
        if place != target {
            return Err(ItemError::WrongTarget);
        }
        match signed {
            Some(signed) => Self::from_signed(value, salt, signed),
            None => Self::immutable(value),
        }
    }

    fn from_signed(value: &[u8], salt: &[u8], signed: Signed<'_>) -> Result<Self, ItemError> {
        check_value(value)?;
        check_salt(salt)?;
        let (key, signature) = (PublicKey::new(*signed.key), Signature::new(*signed.signature));
        key.verify(&signed_text(salt, signed.seq, value), &signature).map_err(|_| ItemError::BadSignature)?;
        let mutable = Mutable { key, salt: salt.to_vec(), seq: signed.seq, signature };
        Ok(Self { value: value.into(), mutable: Some(Box::new(mutable)) })
    }

    /// Where the item is stored.
    #[must_use]
    pub fn target(&self) -> Id {
        match &self.mutable {
            Some(mutable) => mutable_target(&mutable.key, &mutable.salt),
            None => immutable_target(&self.value),
        }
    }

    /// The value, bencoded.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// What a mutable item has beside its value.
    #[must_use]
    pub fn mutable(&self) -> Option<&Mutable> {
        self.mutable.as_deref()
    }

    /// The sequence number of a mutable item.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        self.mutable.as_ref().map(|mutable| mutable.seq)
    }

    /// The fields of a message.
    #[must_use]
    pub fn signed(&self) -> Option<Signed<'_>> {
        self.mutable.as_ref().map(|it| Signed {
            key: it.key.as_bytes(),
            signature: it.signature.as_bytes(),
            seq: it.seq,
        })
    }
}

/// Where an immutable item is stored: the SHA-1 of its value.
#[must_use]
pub fn immutable_target(value: &[u8]) -> Id {
    sha1(value).into()
}

/// Where the items of a key are stored: the SHA-1 of key and salt.
#[must_use]
pub fn mutable_target(key: &PublicKey, salt: &[u8]) -> Id {
    sha1(&[key.as_bytes(), salt].concat()).into()
}

fn check_value(value: &[u8]) -> Result<(), ItemError> {
    if value.len() > MAX_VALUE_LEN {
        return Err(ItemError::ValueTooLong(value.len()));
    }
    // A value that came inside a message is bencode; one of our own may be anything.
    let document = decode(value, &DecodeLimits::default()).map_err(ItemError::NotBencoded)?;
    if document.root().raw().len() == value.len() { Ok(()) } else { Err(ItemError::NotOneValue) }
}

fn check_salt(salt: &[u8]) -> Result<(), ItemError> {
    if salt.len() > MAX_SALT_LEN { Err(ItemError::SaltTooLong(salt.len())) } else { Ok(()) }
}

/// What is signed: the entries `salt`, `seq` and `v` as they would stand in a dictionary.
fn signed_text(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len().saturating_add(112));
    if !salt.is_empty() {
        text.extend_from_slice(format!("4:salt{}:", salt.len()).as_bytes());
        text.extend_from_slice(salt);
    }
    text.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    text.extend_from_slice(value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unchoke_core::Seed;

    /// The targets of the test vectors of BEP 44.
    #[test]
    fn targets_are_those_of_bep_44() {
        let item = Item::immutable(b"12:Hello World!").unwrap();
        assert_eq!(item.target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
        let hex = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
        let mut key = [0; 32];
        key.iter_mut().zip(hex.as_bytes().chunks(2)).for_each(|(byte, two)| {
            *byte = u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        });
        let target = |salt| mutable_target(&PublicKey::new(key), salt).to_string();
        assert_eq!(target(b""), "4a533d47ec9c7d95b1ad75f576cffc641853b750");
        assert_eq!(target(b"foobar"), "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        assert_eq!(signed_text(b"foobar", 1, b"12:Hello World!"), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    }

    #[test]
    fn limits_are_those_of_bep_44() {
        let string = |length: usize| [format!("{length}:").as_bytes(), &vec![b'x'; length]].concat();
        assert!(Item::immutable(&string(996)).is_ok());
        assert_eq!(Item::immutable(&string(997)), Err(ItemError::ValueTooLong(1001)));
        assert!(matches!(Item::immutable(b"12:Hello"), Err(ItemError::NotBencoded(_))));
        assert_eq!(Item::immutable(b"i1ei2e"), Err(ItemError::NotOneValue));
        let key = SecretKey::from_seed(&Seed::new([1; 32]));
        assert!(Item::sign(&key, &[0; 64], 1, b"i1e").is_ok());
        assert_eq!(Item::sign(&key, &[0; 65], 1, b"i1e"), Err(ItemError::SaltTooLong(65)));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_believed_and_nothing_else(
            seed in any::<[u8; 32]>(), salt in prop::collection::vec(any::<u8>(), 0..9), seq in any::<i64>(), change in 0..4,
        ) {
            let item = Item::sign(&SecretKey::from_bytes(&seed), &salt, seq, b"3:abc").unwrap();
            let mut signed = item.signed().unwrap();
            prop_assert_eq!(Item::from_found(item.target(), item.value(), &salt, Some(signed)), Ok(item.clone()));
            let other_salt = [&salt[..], b"x"].concat();
            let (salt, value, error) = match change {
                0 => (&other_salt, &b"3:abc"[..], ItemError::WrongTarget),
                1 => (&salt, &b"3:abd"[..], ItemError::BadSignature),
                2 => {
                    signed.seq = seq.wrapping_add(1);
                    (&salt, &b"3:abc"[..], ItemError::BadSignature)
                }
                _ => {
                    signed.key = &[3; 32];
                    (&salt, &b"3:abc"[..], ItemError::WrongTarget)
                }
            };
            prop_assert_eq!(Item::from_found(item.target(), value, salt, Some(signed)), Err(error));
        }
    }
}
