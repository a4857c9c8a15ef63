//! Why a ledger does not take a transaction, in java-tron's words where java-tron has some.

use crate::address::Address;
use crate::channel::adjudicator::ChannelError;
use crate::channel::vault::VaultError;
use crate::ids::{Timestamp, TxId};
use crate::units::Units;

/// Why a transaction was not taken. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// It is not signed by its owner, and by nobody else.
    #[error("Validate signature error: not signed by {0}")]
    Signature(Address),
    /// The contract does not make sense, or the account may not do it.
    #[error("Contract validate error : {0}")]
    Invalid(#[from] ContractError),
    /// There is neither bandwidth left nor the coin to pay for it.
    #[error("Account resource insufficient error.")]
    Bandwidth,
    /// It is here already.
    #[error("Dup transaction.")]
    Duplicate(TxId),
    /// It refers to no block of this ledger's last ones.
    #[error("Tapos check error.")]
    Tapos,
    /// It has more than 500 KiB.
    #[error("Transaction size is too big: {0} bytes")]
    TooBig(usize),
    /// It has lapsed, or lapses too late.
    #[error("Transaction expired: expiration {expiration}, head block time {head}")]
    Expired {
        /// When it lapses.
        expiration: Timestamp,
        /// The time of the last block.
        head: Timestamp,
    },
    /// It asks for something that this ledger does not do.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// A block could not be written, and until it is nothing is taken.
    #[error("the ledger cannot be written at present")]
    ReadOnly,
}

/// What is wrong with a contract.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// In java-tron's words.
    #[error("{0}")]
    Words(&'static str),
    /// The owner's account is not there.
    #[error("account[{0:x}] not exists")]
    NoAccount(Address),
    /// The same, as the contracts that open accounts and unfreeze supply say it.
    #[error("Account[{0:x}] not exists")]
    NoOwner(Address),
    /// There is no such token to buy.
    #[error("No asset named {0}")]
    NoAssetNamed(String),
    /// The token is another issuer's.
    #[error("The asset is not issued by {0:x}")]
    NotIssuer(Address),
    /// Supply cannot be frozen for so long, or for so short a time.
    #[error("frozenDuration must be less than {max} days and more than {min} days")]
    FrozenDays {
        /// The longest, in days.
        max: i64,
        /// The shortest.
        min: i64,
    },
    /// There is no such pair.
    #[error("Exchange[{0}] not exists")]
    NoExchange(i64),
    /// The pair is another account's.
    #[error("account[{0:x}] is not creator")]
    NotCreator(Address),
    /// A side of a pair would hold more than this.
    #[error("token balance must less than {0}")]
    ExchangeLimit(Units),
    /// A sum does not fit.
    #[error("long overflow")]
    Overflow,
    /// What a channel does not do.
    #[error("{0}")]
    Channel(#[from] ChannelError),
    /// What a vault does not do.
    #[error("{0}")]
    Vault(#[from] VaultError),
}

impl TxError {
    /// The code that TRON's nodes answer a broadcast with.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Signature(_) => 1,
            Self::Invalid(_) | Self::Unsupported(_) => 2,
            Self::Bandwidth => 4,
            Self::Duplicate(_) => 5,
            Self::Tapos => 6,
            Self::TooBig(_) => 7,
            Self::Expired { .. } => 8,
            Self::ReadOnly => 9,
        }
    }
}

impl From<ChannelError> for TxError {
    fn from(error: ChannelError) -> Self {
        Self::Invalid(error.into())
    }
}

impl From<VaultError> for TxError {
    fn from(error: VaultError) -> Self {
        Self::Invalid(error.into())
    }
}

/// java-tron's words.
pub(crate) const fn words(words: &'static str) -> ContractError {
    ContractError::Words(words)
}
