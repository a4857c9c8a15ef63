//! Blocks: transactions in order, chained by hash, with the root over all that the ledger remembers after them, signed by its operator.
//!
//! The header has TRON's fields, and its id TRON's form: the number, then the last 24 bytes of the digest. Besides it names its ledger, so that
//! an operator may run several with one key, and two headers alone prove that it has told two stories of one.

use crate::address::Address;
use crate::ids::{Height, LedgerId, Timestamp};
use crate::proto::{DecodeError, Reader, Writer};
use crate::scheme::Schemes;
use crate::transaction::SignedTransaction;
use std::fmt;
use unchoke_core::hash::{Sha256Hash, sha256};

/// The id of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId([u8; 32]);

/// What an operator signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BlockHeader {
    /// Its place in the chain; the first is 0.
    pub number: Height,
    /// When it was made.
    pub time: Timestamp,
    /// The block before; zeros in the first.
    pub parent: BlockId,
    /// Its ledger; `None` in the first, whose id is the ledger's.
    pub ledger: Option<LedgerId>,
    /// Over its transactions, by [`tx_root`].
    pub tx_root: [u8; 32],
    /// Over all that the ledger remembers after them.
    pub state_root: [u8; 32],
    /// Who has signed it.
    pub operator: Address,
}

/// A header with its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SignedHeader {
    /// What is signed.
    pub header: BlockHeader,
    /// As the operator's account signs.
    pub signature: Vec<u8>,
}

/// A block.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Block {
    /// What its operator has signed.
    pub header: SignedHeader,
    /// What happened, in order.
    pub transactions: Vec<SignedTransaction>,
    /// What came of each, as the ledger that has made the block says. That is not signed.
    pub(crate) receipts: Vec<Vec<u8>>,
}

/// Two signed headers of one height and ledger: a proof that its operator has told two stories.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Equivocation {
    /// One.
    pub first: SignedHeader,
    /// The other.
    pub second: SignedHeader,
}

/// A header or block that does not follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It is not signed by the operator.
    #[error("block {0} is not signed by the ledger's operator")]
    Signature(Height),
    /// It does not follow the block before.
    #[error("block {0} does not follow the one before")]
    Parent(Height),
    /// It is no later than the block before.
    #[error("block {0} is no later than the one before")]
    Time(Height),
    /// Its transactions are others.
    #[error("block {0} has other transactions than its header says")]
    Transactions(Height),
}

impl BlockId {
    /// Before the first block.
    pub const NONE: Self = Self([0; 32]);

    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The block's number, which its id begins with.
    #[must_use]
    pub fn number(&self) -> Height {
        Height::new(self.0.first_chunk().map_or(0, |it| u64::from_be_bytes(*it)))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl BlockHeader {
    /// The bytes that are signed.
    #[must_use]
    pub fn to_raw(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.int(1, self.time.get().cast_signed());
        out.message(2, &self.tx_root);
        out.message(3, &self.parent.0);
        out.int(7, self.number.get().cast_signed());
        out.message(9, self.operator.as_bytes());
        out.message(11, &self.state_root);
        self.ledger.iter().for_each(|it| out.message(12, it.as_bytes()));
        out.0
    }

    /// Reads them.
    ///
    /// # Errors
    /// If they are no header.
    pub fn from_raw(raw: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut time, mut number) = (Reader::new(raw), 0, 0);
        let (mut tx_root, mut parent, mut operator, mut state_root, mut ledger) = (None, None, None, None, None);
        while let Some(field) = reader.next()? {
            let bad = DecodeError::Field(field.at);
            let digest = || field.bytes()?.try_into().map(Some).map_err(|_| bad);
            match field.number {
                1 if time == 0 => time = field.int()?,
                2 if tx_root.is_none() => tx_root = digest()?,
                3 if parent.is_none() => parent = digest()?,
                7 if number == 0 => number = field.int()?,
                9 if operator.is_none() => {
                    operator = Some(Address::from_slice(field.bytes()?).map_err(|_| bad)?);
                }
                11 if state_root.is_none() => state_root = digest()?,
                12 if ledger.is_none() && number > 0 => ledger = digest()?.map(LedgerId::new),
                _ => return Err(bad),
            }
        }
        let missing = DecodeError::Count("roots, parent, operator or ledger");
        if ledger.is_none() && number > 0 {
            return Err(missing);
        }
        Ok(Self {
            number: Height::new(u64::try_from(number).map_err(|_| missing)?),
            time: Timestamp::new(u64::try_from(time).map_err(|_| missing)?),
            parent: BlockId(parent.ok_or(missing)?),
            ledger,
            tx_root: tx_root.ok_or(missing)?,
            state_root: state_root.ok_or(missing)?,
            operator: operator.ok_or(missing)?,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> BlockId {
        let mut id = *sha256(&self.to_raw()).as_bytes();
        id[..8].copy_from_slice(&self.number.get().to_be_bytes());
        BlockId(id)
    }

    /// The ledger that it is of.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.ledger.unwrap_or_else(|| LedgerId::new(self.id().0))
    }
}

impl SignedHeader {
    /// A header and its signature.
    #[must_use]
    pub const fn new(header: BlockHeader, signature: Vec<u8>) -> Self {
        Self { header, signature }
    }

    /// Checks the signature, and that it follows the block before, so that who has followed the chain from the first block on knows that it
    /// is the one that the operator has told everybody, or can prove the opposite.
    ///
    /// # Errors
    /// If it does not follow.
    pub fn verify(&self, before: &BlockHeader, schemes: &Schemes) -> Result<(), BlockError> {
        let (header, number) = (&self.header, self.header.number);
        let is_next = before.number.next() == Some(number) && header.ledger_id() == before.ledger_id();
        if !is_next || header.parent != before.id() {
            return Err(BlockError::Parent(number));
        }
        if header.time <= before.time {
            return Err(BlockError::Time(number));
        }
        let is_signed = header.operator == before.operator && self.is_signed(schemes);
        is_signed.then_some(()).ok_or(BlockError::Signature(number))
    }

    /// Whether the operator that it names has signed it.
    #[must_use]
    pub fn is_signed(&self, schemes: &Schemes) -> bool {
        let signer = schemes.signer(&self.header.to_raw(), &self.signature);
        signer.is_some_and(|(signer, _)| signer == self.header.operator)
    }
}

impl Block {
    /// A block.
    #[must_use]
    pub const fn new(header: SignedHeader, transactions: Vec<SignedTransaction>) -> Self {
        Self { header, transactions, receipts: Vec::new() }
    }

    pub(crate) fn with_receipts(self, receipts: Vec<Vec<u8>>) -> Self {
        Self { receipts, ..self }
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.transactions.iter().for_each(|it| out.message(1, &it.encode()));
        let mut header = Writer::default();
        header.message(1, &self.header.header.to_raw());
        header.message(2, &self.header.signature);
        out.message(2, &header.0);
        self.receipts.iter().for_each(|it| out.message(3, it));
        out.0
    }

    /// Reads it. Signatures and roots are not looked at.
    ///
    /// # Errors
    /// If the bytes are no block.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut header) = (Reader::new(bytes), None);
        let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
        while let Some(field) = reader.next()? {
            match field.number {
                1 => transactions.push(SignedTransaction::decode(field.bytes()?)?),
                2 if header.is_none() => {
                    let mut inner = Reader::new(field.bytes()?);
                    let (Some(raw), Some(signature), None) = (inner.next()?, inner.next()?, inner.next()?) else {
                        return Err(DecodeError::Count("header and signature"));
                    };
                    if (raw.number, signature.number) != (1, 2) {
                        return Err(DecodeError::Field(raw.at));
                    }
                    let raw = BlockHeader::from_raw(raw.bytes()?)?;
                    header = Some(SignedHeader::new(raw, signature.bytes()?.to_vec()));
                }
                3 => receipts.push(field.message()?.to_vec()),
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        Ok(Self { header: header.ok_or(DecodeError::Count("a header"))?, transactions, receipts })
    }

    /// Checks header and transactions, though not what they do.
    ///
    /// # Errors
    /// If it does not follow the block before.
    pub fn verify(&self, before: &BlockHeader, schemes: &Schemes) -> Result<(), BlockError> {
        self.header.verify(before, schemes)?;
        let is_theirs = tx_root(&self.transactions) == self.header.header.tx_root;
        is_theirs.then_some(()).ok_or(BlockError::Transactions(self.header.header.number))
    }
}

impl Equivocation {
    /// Two headers, if they prove it: both signed by one operator, of one ledger and height, and different.
    #[must_use]
    pub fn prove(first: SignedHeader, second: SignedHeader, schemes: &Schemes) -> Option<Self> {
        let (a, b) = (&first.header, &second.header);
        let is_of_one = a.operator == b.operator && a.ledger_id() == b.ledger_id();
        let is_proof = is_of_one && a.number == b.number && a.id() != b.id();
        (is_proof && first.is_signed(schemes) && second.is_signed(schemes)).then_some(Self { first, second })
    }
}

/// The root over transactions, as TRON has it: SHA-256 over each whole one, then over pairs; one without a partner goes up as it is.
#[must_use]
pub fn tx_root(transactions: &[SignedTransaction]) -> [u8; 32] {
    let mut level: Vec<[u8; 32]> = transactions.iter().map(|it| *sha256(&it.encode()).as_bytes()).collect();
    while level.len() > 1 {
        let pair = |pair: &[[u8; 32]]| match pair {
            [left, right] => *sha256(&[*left, *right].concat()).as_bytes(),
            _ => pair.first().copied().unwrap_or_default(),
        };
        level = level.chunks(2).map(pair).collect();
    }
    level.first().copied().unwrap_or_default()
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Sha256Hash::new(self.0).fmt(f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_encoding() {
        let header = BlockHeader {
            number: Height::new(1),
            time: Timestamp::new(2),
            parent: BlockId([3; 32]),
            ledger: Some(LedgerId::new([4; 32])),
            tx_root: [5; 32],
            state_root: [6; 32],
            operator: Address::from_digest(&[7; 32]),
        };
        let raw = header.to_raw();
        assert_eq!(BlockHeader::from_raw(&raw), Ok(header));
        // A short digest before the right one.
        let short = [&raw[..2], &[2 << 3 | 2, 1, 9], &raw[2..]].concat();
        assert_eq!(BlockHeader::from_raw(&short), Err(DecodeError::Field(2)));
        // The first block names no ledger, and every other does.
        let mut of_none = header;
        of_none.ledger = None;
        assert!(BlockHeader::from_raw(&of_none.to_raw()).is_err());
        of_none.number = Height::new(0);
        assert_eq!(BlockHeader::from_raw(&of_none.to_raw()), Ok(of_none));
        let first = BlockHeader { number: Height::new(0), ..header };
        assert!(BlockHeader::from_raw(&first.to_raw()).is_err());
    }
}
