//! Signers: they see what they sign, and may refuse. Keys never leave them.

use crate::address::Address;
use crate::block::BlockHeader;
use crate::ids::SchemeId;
use crate::scheme::Ed25519;
use crate::transaction::Transaction;
use crate::voucher::{CloseStatement, Voucher};
use std::fmt;
use unchoke_core::keys::SecretKey;

/// Something to sign.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Signable<'a> {
    /// A transaction of the signer's account.
    Transaction(&'a Transaction),
    /// A voucher of one of its channels.
    Voucher(&'a Voucher),
    /// A total at which a channel of its closes.
    Close(&'a CloseStatement),
    /// A block of the ledger that it runs.
    Block(&'a BlockHeader),
}

/// Holds a key.
pub trait Signer: Send + Sync {
    /// By which scheme it signs.
    fn scheme(&self) -> SchemeId;

    /// The account of the key.
    fn address(&self) -> Address;

    /// The public key, as a channel names it that takes vouchers of it.
    fn public_key(&self) -> Vec<u8>;

    /// Signs in the form that the scheme's verifier takes: with the key where an account signs, without it on a voucher.
    ///
    /// # Errors
    /// If it refuses; asked again later it may not.
    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused>;
}

/// A signer has not signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It does not sign such things.
    #[error("against the signer's rules: {0}")]
    Policy(&'static str),
    /// It cannot at present: a locked wallet, a device that is not there.
    #[error("the signer is not at hand")]
    Unavailable,
}

/// Signs whatever it is given with an Ed25519 key in memory.
pub struct KeySigner(SecretKey);

impl KeySigner {
    /// Signs with this key.
    #[must_use]
    pub const fn new(key: SecretKey) -> Self {
        Self(key)
    }
}

impl Signable<'_> {
    /// The bytes that are signed. No two kinds begin alike.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Transaction(it) => it.to_raw(),
            Self::Voucher(it) => it.to_bytes().to_vec(),
            Self::Close(it) => it.to_bytes().to_vec(),
            Self::Block(it) => it.to_raw(),
        }
    }
}

impl Signer for KeySigner {
    fn scheme(&self) -> SchemeId {
        SchemeId::ED25519
    }

    fn address(&self) -> Address {
        Ed25519::address(&self.0.public_key())
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_bytes().to_vec()
    }

    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused> {
        let bytes = what.to_bytes();
        Ok(match what {
            Signable::Voucher(_) => self.0.sign(&bytes).as_bytes().to_vec(),
            _ => Ed25519::sign(&self.0, &bytes).to_vec(),
        })
    }
}

impl fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySigner({})", self.address())
    }
}
