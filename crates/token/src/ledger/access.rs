//! What wallets and channels ask of a ledger, wherever it runs.

use super::error::TxError;
use super::execute::Receipt;
use super::store::StoreError;
use crate::address::Address;
use crate::block::BlockHeader;
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::ids::{AssetId, ChannelId, Height, LedgerId, Timestamp, TxId};
use crate::transaction::SignedTransaction;
use crate::units::Units;

/// A ledger: embedded, behind a network, or a chain.
///
/// What it tells is of sealed blocks, except balances, vaults and channels, which may be ahead of them by the open block.
pub trait Ledger: Send {
    /// Which one.
    fn id(&self) -> LedgerId;

    /// Its last block, to which new transactions refer.
    fn head(&self) -> BlockHeader;

    /// Hands in a transaction. The same bytes again are the same transaction, and do no harm.
    ///
    /// # Errors
    /// [`LedgerError::Rejected`] is final; after [`LedgerError::Unavailable`] the outcome is not known, until an event tells or the
    /// transaction has lapsed.
    fn submit(&mut self, transaction: &SignedTransaction) -> Result<TxId, LedgerError>;

    /// Appends what has happened since a cursor, a part of it if there is much, and returns the cursor to go on from.
    ///
    /// # Errors
    /// If it cannot be had now.
    fn events(&mut self, from: Cursor, out: &mut Vec<LedgerEvent>) -> Result<Cursor, LedgerError>;

    /// What an account holds.
    ///
    /// # Errors
    /// If it cannot be had now.
    fn balance(&mut self, address: &Address, asset: AssetId) -> Result<Units, LedgerError>;

    /// A channel; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// If it cannot be had now.
    fn channel(&mut self, id: &ChannelId) -> Result<Option<Channel>, LedgerError>;

    /// A vault.
    ///
    /// # Errors
    /// If it cannot be had now.
    fn vault(&mut self, owner: &Address, asset: AssetId) -> Result<Option<Vault>, LedgerError>;
}

/// A place in what a ledger tells: the next block to hear of. The default is the first one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Cursor(Height);

/// Something that has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LedgerEvent {
    /// A transaction stands in a sealed block.
    Applied {
        /// The block.
        height: Height,
        /// Its time.
        time: Timestamp,
        /// The transaction.
        transaction: Box<SignedTransaction>,
        /// What came of it.
        receipt: Receipt,
    },
    /// A block was sealed; it is told after its transactions.
    Sealed(Height),
}

/// A ledger has not done what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It does not take the transaction.
    #[error(transparent)]
    Rejected(#[from] TxError),
    /// It cannot be reached, or cannot read or write.
    #[error("the ledger is not available: {0}")]
    Unavailable(#[from] StoreError),
}

impl Cursor {
    /// From this block on.
    #[must_use]
    pub const fn at(height: Height) -> Self {
        Self(height)
    }

    /// The next block.
    #[must_use]
    pub const fn height(self) -> Height {
        self.0
    }
}
