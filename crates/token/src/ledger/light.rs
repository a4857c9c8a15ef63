//! What somebody far away learns of a ledger: what is proved to it.

use super::record::{Account, Record as _};
use super::state::Key;
use super::tree::Proof;
use crate::address::Address;
use crate::block::{BlockHeader, SignedHeader};
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::proto::{DecodeError, Reader, Writer};
use crate::scheme::Schemes;

/// What something is, and what proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Proven {
    /// The block whose state it is of.
    pub header: SignedHeader,
    /// The bytes that the ledger remembers; `None` if it remembers nothing.
    pub value: Option<Vec<u8>>,
    /// The way from there to the state root.
    pub proof: Proof,
}

impl Proven {
    /// Whether the block is one of the operator's and the value is under its state root.
    #[must_use]
    pub fn verify(&self, key: &Key, operator: &Address, schemes: &Schemes) -> bool {
        let is_signed = self.header.header.operator == *operator && self.header.is_signed(schemes);
        is_signed && self.proof.verify(&self.header.header.state_root, &key.to_bytes(), self.value.as_deref())
    }

    /// The bytes, to be sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.message(1, &self.header.header.to_raw());
        out.message(2, &self.header.signature);
        if let Some(value) = &self.value {
            out.message(3, value);
        }
        if let Some((key, value)) = &self.proof.leaf {
            out.message(4, &[*key, *value].concat());
        }
        for (bit, other) in &self.proof.path {
            out.message(5, &[&bit.to_be_bytes()[..], other].concat());
        }
        out.0
    }

    /// Reads them. Nothing of it is to be believed before [`verify`](Self::verify).
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut header, mut signature, mut value) = (Reader::new(bytes), None, None, None);
        let mut proof = Proof { leaf: None, path: Vec::new() };
        while let Some(field) = reader.next()? {
            let bad = DecodeError::Field(field.at);
            let bytes = field.message()?;
            match field.number {
                1 if header.is_none() => header = Some(BlockHeader::from_raw(bytes)?),
                2 if signature.is_none() => signature = Some(bytes.to_vec()),
                3 if value.is_none() => value = Some(bytes.to_vec()),
                4 if proof.leaf.is_none() => {
                    let (key, value) = bytes.split_first_chunk().ok_or(bad)?;
                    proof.leaf = Some((*key, value.try_into().map_err(|_| bad)?));
                }
                5 if proof.path.len() < 256 => {
                    let (bit, other) = bytes.split_first_chunk().ok_or(bad)?;
                    proof.path.push((u16::from_be_bytes(*bit), other.try_into().map_err(|_| bad)?));
                }
                _ => return Err(bad),
            }
        }
        let missing = DecodeError::Count("header and signature");
        let header = SignedHeader::new(header.ok_or(missing)?, signature.ok_or(missing)?);
        Ok(Self { header, value, proof })
    }

    /// The account, if the value is one.
    #[must_use]
    pub fn account(&self) -> Option<Account> {
        Account::decode(self.value.as_ref()?).ok()
    }

    /// The channel, if the value is one.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        Channel::decode(self.value.as_ref()?).ok()
    }

    /// The vault, if the value is one.
    #[must_use]
    pub fn vault(&self) -> Option<Vault> {
        Vault::decode(self.value.as_ref()?).ok()
    }
}
