//! Transactions, with the raw data of TRON's: the same bytes, and so the same ids.

use crate::contract::Contract;
use crate::ids::{Timestamp, TxId};
use crate::proto::{DecodeError, Reader, Writer};
use unchoke_core::hash::sha256;

/// What is signed: one contract, and for which blocks it is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transaction {
    /// The two lowest bytes of the number of a recent block, the higher one first.
    pub ref_block_bytes: [u8; 2],
    /// Bytes 8 to 16 of that block's id. They bind the transaction to the ledger.
    pub ref_block_hash: [u8; 8],
    /// When it lapses.
    pub expiration: Timestamp,
    /// A memo.
    pub data: Vec<u8>,
    /// What it does.
    pub contract: Contract,
    /// Under which permission of the account: 0 is the owner's.
    pub permission_id: i32,
    /// When it was made. Two that are alike differ in it.
    pub timestamp: Timestamp,
    /// The most that it may cost, for contracts that can cost anything.
    pub fee_limit: i64,
}

/// A transaction with its signatures.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SignedTransaction {
    raw: Vec<u8>,
    transaction: Transaction,
    signatures: Vec<Vec<u8>>,
}

impl Transaction {
    /// A transaction that refers to a block, given its number and id.
    #[must_use]
    pub fn new(
        contract: impl Into<Contract>,
        block: u64,
        block_id: &[u8; 32],
        timestamp: Timestamp,
        expiration: Timestamp,
    ) -> Self {
        let [.., high, low] = block.to_be_bytes();
        let mut ref_block_hash = [0; 8];
        ref_block_hash.copy_from_slice(&block_id[8..16]);
        let (ref_block_bytes, contract) = ([high, low], contract.into());
        Self {
            ref_block_bytes,
            ref_block_hash,
            expiration,
            data: Vec::new(),
            contract,
            permission_id: 0,
            timestamp,
            fee_limit: 0,
        }
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn to_raw(&self) -> Vec<u8> {
        let mut any = Writer::default();
        any.bytes(1, [TYPE_URL, self.contract.type_name()].concat().as_bytes());
        any.message(2, &self.contract.encode());
        let mut contract = Writer::default();
        contract.int(1, self.contract.number().into());
        contract.message(2, &any.0);
        contract.int(5, self.permission_id.into());
        let mut raw = Writer::default();
        raw.bytes(1, &self.ref_block_bytes);
        raw.bytes(4, &self.ref_block_hash);
        raw.int(8, self.expiration.get().cast_signed());
        raw.bytes(10, &self.data);
        raw.message(11, &contract.0);
        raw.int(14, self.timestamp.get().cast_signed());
        raw.int(18, self.fee_limit);
        raw.0
    }

    /// Reads those bytes.
    ///
    /// # Errors
    /// If they are none of a transaction, or not in the only encoding.
    pub fn from_raw(raw: &[u8]) -> Result<Self, DecodeError> {
        if raw.len() > MAX_SIZE {
            return Err(DecodeError::Count("an end within 500 KiB"));
        }
        let (mut reader, mut last) = (Reader::new(raw), 0);
        let (mut block, mut hash, mut contract) = (None, None, None);
        let (mut expiration, mut data, mut timestamp, mut fee_limit) = (0, Vec::new(), 0, 0);
        while let Some(field) = reader.next()? {
            if field.number == last {
                return Err(DecodeError::Field(field.at));
            }
            last = field.number;
            match field.number {
                1 => block = field.bytes()?.try_into().ok(),
                4 => hash = field.bytes()?.try_into().ok(),
                8 => expiration = field.int()?,
                10 => data = field.bytes()?.to_vec(),
                11 => contract = Some(read_contract(field.bytes()?)?),
                14 => timestamp = field.int()?,
                18 => fee_limit = field.int()?,
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        let (contract, permission_id) = contract.ok_or(DecodeError::Count("one contract"))?;
        let time = |it: i64| u64::try_from(it).map(Timestamp::new).map_err(|_| DecodeError::Count("a time after 1970"));
        Ok(Self {
            ref_block_bytes: block.ok_or(DecodeError::Count("a reference to a block"))?,
            ref_block_hash: hash.ok_or(DecodeError::Count("a reference to a block"))?,
            expiration: time(expiration)?,
            data,
            contract,
            permission_id,
            timestamp: time(timestamp)?,
            fee_limit,
        })
    }

    /// Puts signatures to it.
    #[must_use]
    pub fn with_signatures(self, signatures: Vec<Vec<u8>>) -> SignedTransaction {
        SignedTransaction { raw: self.to_raw(), transaction: self, signatures }
    }
}

impl SignedTransaction {
    /// Reads a whole transaction: raw data and signatures, without a result.
    ///
    /// # Errors
    /// If the bytes are none, or not in the only encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut raw, mut signatures) = (Reader::new(bytes), None, Vec::new());
        while let Some(field) = reader.next()? {
            match field.number {
                1 if raw.is_none() => raw = Some(field.bytes()?.to_vec()),
                2 if signatures.len() < MAX_SIGNATURES => {
                    let signature = field.bytes()?;
                    if signature.len() > MAX_SIGNATURE {
                        return Err(DecodeError::Count("a signature of 1024 bytes at most"));
                    }
                    signatures.push(signature.to_vec());
                }
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        let raw = raw.ok_or(DecodeError::Count("raw data"))?;
        Ok(Self { transaction: Transaction::from_raw(&raw)?, raw, signatures })
    }

    /// Writes what [`decode`](Self::decode) reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer(Vec::with_capacity(self.size()));
        writer.bytes(1, &self.raw);
        self.signatures.iter().for_each(|it| writer.bytes(2, it));
        writer.0
    }

    /// The bytes of [`encode`](Self::encode), by which bandwidth is reckoned.
    #[must_use]
    pub fn size(&self) -> usize {
        let field = |len: usize| len.saturating_add(1).saturating_add(varint_len(len));
        self.signatures.iter().map(|it| field(it.len())).fold(field(self.raw.len()), usize::saturating_add)
    }

    /// Its id: SHA-256 over the raw data.
    #[must_use]
    pub fn id(&self) -> TxId {
        sha256(&self.raw).into()
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What they say.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The signatures, unchecked.
    #[must_use]
    pub fn signatures(&self) -> &[Vec<u8>] {
        &self.signatures
    }
}

fn read_contract(bytes: &[u8]) -> Result<(Contract, i32), DecodeError> {
    let (mut reader, mut last) = (Reader::new(bytes), 0);
    let (mut number, mut any, mut permission) = (0, None, 0);
    while let Some(field) = reader.next()? {
        if field.number == last {
            return Err(DecodeError::Field(field.at));
        }
        last = field.number;
        match field.number {
            1 => number = field.int32()?,
            2 => any = Some(field.bytes()?),
            5 => permission = field.int32()?,
            _ => return Err(DecodeError::Field(field.at)),
        }
    }
    let mut reader = Reader::new(any.ok_or(DecodeError::Count("a contract's parameter"))?);
    let (Some(url), Some(value), None) = (reader.next()?, reader.next()?, reader.next()?) else {
        return Err(DecodeError::Count("type and value of a parameter"));
    };
    if (url.number, value.number) != (1, 2) {
        return Err(DecodeError::Field(url.at));
    }
    let name = std::str::from_utf8(url.bytes()?).ok().and_then(|it| it.strip_prefix(TYPE_URL));
    let contract = Contract::decode(number, name.unwrap_or_default(), value.message()?)?;
    Ok((contract, permission))
}

/// The bytes of a length in a message.
const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

const TYPE_URL: &str = "type.googleapis.com/";
/// Bytes of a transaction, at most.
const MAX_SIZE: usize = 500 * 1024;
/// An account has five keys at most.
const MAX_SIGNATURES: usize = 5;
/// Bytes of a signature, at most.
const MAX_SIGNATURE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::TransferAsset;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn transfer(amount: i64) -> Transaction {
        let mut id = [0; 32];
        id[8..16].copy_from_slice(&hex("6c2763abadf9ed29"));
        let contract = TransferAsset {
            asset_name: b"1002000".to_vec(),
            owner_address: hex("417e5f4552091a69125d5dfcb7b8c2659029395bdf"),
            to_address: hex("412b5ad5c4795c026514f8317c7a215e218dccd6cf"),
            amount,
        };
        Transaction::new(contract, 0x0add, &id, Timestamp::new(1_581_308_626_092), Timestamp::new(1_581_308_685_000))
    }

    /// As tronweb and protoc make it.
    #[test]
    fn a_transfer_has_the_bytes_and_the_id_that_tron_gives_it() {
        let raw = hex(concat!(
            "0a020add22086c2763abadf9ed2940c8d5deea822e5a76080212720a32747970652e676f6f676c65617069732e636f6d2f70726f746f636f6c2e5472616e73",
            "6665724173736574436f6e7472616374123c0a07313030323030301215417e5f4552091a69125d5dfcb7b8c2659029395bdf1a15412b5ad5c4795c026514f8317c",
            "7a215e218dccd6cf20959aef3a70ac89dbea822e"
        ));
        let transaction = transfer(123_456_789);
        assert_eq!(transaction.to_raw(), raw);
        assert_eq!(Transaction::from_raw(&raw).as_ref(), Ok(&transaction));
        let signed = transaction.with_signatures(vec![vec![7; 65]]);
        assert_eq!(signed.id().to_string(), "016c872a8e430038c6868e37c284ab706338bc158474418bbe21542e0f2dee65");
        assert_eq!((signed.raw().len(), signed.size()), (148, 218));
        assert_eq!(SignedTransaction::decode(&signed.encode()), Ok(signed));
    }

    #[test]
    fn any_single_change_gives_another_transaction_or_none() {
        let signed = transfer(5).with_signatures(vec![vec![7; 65]]);
        let bytes = signed.encode();
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert_ne!(SignedTransaction::decode(&bad).as_ref(), Ok(&signed));
        }
        for end in 0..bytes.len() {
            if let Ok(cut) = SignedTransaction::decode(&bytes[..end]) {
                assert!(cut.signatures().is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(at in 0..220_usize, byte: u8) {
            let mut bytes = transfer(i64::MAX).with_signatures(vec![vec![7; 65]]).encode();
            let len = bytes.len();
            bytes[at % len] = byte;
            if let Ok(signed) = SignedTransaction::decode(&bytes) {
                prop_assert_eq!(signed.size(), bytes.len());
                prop_assert_eq!(signed.transaction().to_raw(), signed.raw());
                prop_assert_eq!(signed.encode(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = SignedTransaction::decode(&bytes);
            let _ = Transaction::from_raw(&bytes);
        }
    }
}
