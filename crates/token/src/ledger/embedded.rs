//! The ledger itself: one operator, its state in memory, blocks and records in a store.
//!
//! [`EmbeddedLedger::apply`] takes a transaction into the open block or says why not; [`EmbeddedLedger::seal`] closes the block, and only when
//! that returns has anything happened for good. Signatures are checked beside it, on as many threads as there are: [`VerifiedTransaction`].

use super::access::{Cursor, Ledger, LedgerError, LedgerEvent};
use super::error::TxError;
use super::execute::Receipt;
use super::genesis::{Genesis, LAST_TIME, OpenError, begin};
use super::light::Proven;
use super::machine::{Machine, OpenBlock, events};
use super::params::ChainParams;
use super::record::{Account, Asset, Exchange, Totals};
use super::state::Key;
use super::store::{Batch, LedgerStore, StoreError};
use super::verified::VerifiedTransaction;
use crate::address::Address;
use crate::block::{Block, BlockHeader, BlockId, SignedHeader, tx_root};
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::ids::{AssetId, ChannelId, Height, LedgerId, Timestamp, TxId};
use crate::scheme::Schemes;
use crate::signer::{Refused, Signable, Signer};
use crate::transaction::SignedTransaction;
use crate::units::Units;
use std::fmt;

/// A ledger that runs in this process.
pub struct EmbeddedLedger {
    machine: Machine,
    signer: Box<dyn Signer>,
    store: Box<dyn LedgerStore>,
    /// Transactions of the open block.
    open: Vec<(SignedTransaction, Receipt)>,
    /// A block that is signed and could not be written yet.
    unwritten: Option<(BlockHeader, Batch)>,
}

/// A block could not be sealed. Nothing has happened for good; it may be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operator has not signed.
    #[error("the operator does not sign: {0}")]
    Refused(#[from] Refused),
    /// No block can have this time, in milliseconds: it is 2^63 or later. The block stays open.
    #[error("no block can have the time {0}")]
    Time(Timestamp),
    /// The block could not be written. Until it is the ledger takes nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EmbeddedLedger {
    /// Opens the ledger that lies in a store, or begins one there.
    ///
    /// # Errors
    /// If the store fails or is damaged, or the ledger is another operator's.
    pub fn open(
        genesis: &Genesis,
        params: ChainParams,
        schemes: Schemes,
        signer: Box<dyn Signer>,
        mut store: Box<dyn LedgerStore>,
    ) -> Result<Self, OpenError> {
        let machine = match store.head()? {
            Some(number) => Machine::load(number, params, schemes, OpenBlock::IsKept, &mut *store)?,
            None => {
                let (header, state, tree) = begin(genesis, &params, signer.address())?;
                let signature = signer.sign(&Signable::Block(&header))?;
                let block = Block::new(SignedHeader::new(header, signature), Vec::new());
                let records = state.keys().map(|key| (key, state.encode(&key))).collect();
                let machine =
                    Machine::new(header.ledger_id(), header, params, schemes, state, tree, OpenBlock::IsKept)?;
                store.commit(&Batch { number: header.number, block: block.encode(), records })?;
                machine
            }
        };
        if machine.head.operator != signer.address() {
            return Err(OpenError::Operator(machine.head.operator));
        }
        Ok(Self { machine, signer, store, open: Vec::new(), unwritten: None })
    }

    /// Takes a transaction into the open block. All of it happens or nothing.
    ///
    /// # Errors
    /// If the ledger's rules do not allow it.
    pub fn apply(&mut self, verified: VerifiedTransaction) -> Result<Receipt, TxError> {
        if self.unwritten.is_some() {
            return Err(TxError::ReadOnly);
        }
        let receipt = self.machine.apply(&verified, &mut *self.store)?;
        self.open.push((verified.signed, receipt.clone()));
        Ok(receipt)
    }

    /// Closes the open block at a time, or a millisecond after the block before if that is later. When this returns, the block is durable.
    ///
    /// # Errors
    /// If it cannot be signed or written; then it may be tried again. If no block can have the time, at another one.
    pub fn seal(&mut self, now: Timestamp) -> Result<Block, SealError> {
        if self.unwritten.is_none() {
            let sealed = self.close(now)?;
            self.unwritten = Some(sealed);
        }
        let Some((header, batch)) = &self.unwritten else { return Err(StoreError::Corrupt("no block").into()) };
        self.store.commit(batch)?;
        let block = Block::decode(&batch.block).map_err(|_| StoreError::Corrupt("a block that was just written"))?;
        self.machine.advance(*header);
        self.unwritten = None;
        self.open.clear();
        Ok(block)
    }

    /// A block that was sealed.
    ///
    /// # Errors
    /// If the store fails.
    pub fn block(&mut self, number: Height) -> Result<Option<Block>, StoreError> {
        let Some(bytes) = self.store.block(number)? else { return Ok(None) };
        Block::decode(&bytes).map(Some).map_err(|_| StoreError::Corrupt("a block cannot be read"))
    }

    /// What is remembered under a key after the last block, with its proof. `None` while the open block changes it, while a block that could
    /// not be signed or written waits for another [`seal`](Self::seal), or if the last block cannot be read.
    pub fn prove(&mut self, key: &Key) -> Option<Proven> {
        // After a failed seal the tree is that of a block that is not there yet.
        if self.machine.has_changed(key) || self.machine.tree.root() != self.machine.head.state_root {
            return None;
        }
        let header = self.block(self.machine.head.number).ok()??.header;
        Some(Proven { header, value: self.machine.state.encode(key), proof: self.machine.tree.prove(&key.to_bytes()) })
    }

    /// The last block's id, by which transactions refer to it.
    #[must_use]
    pub fn head_id(&self) -> BlockId {
        self.machine.head.id()
    }

    /// By which numbers it goes.
    #[must_use]
    pub const fn params(&self) -> &ChainParams {
        &self.machine.params
    }

    /// The schemes that it knows.
    #[must_use]
    pub const fn schemes(&self) -> &Schemes {
        &self.machine.schemes
    }

    /// Transactions of the open block.
    #[must_use]
    pub fn pending(&self) -> &[(SignedTransaction, Receipt)] {
        &self.open
    }

    /// An account, as of the open block.
    #[must_use]
    pub fn account(&self, address: &Address) -> Option<&Account> {
        self.machine.state.accounts().get(address)
    }

    /// What an account holds, as of the open block.
    #[must_use]
    pub fn balance(&self, address: &Address, asset: AssetId) -> Units {
        self.account(address).map_or(Units::ZERO, |account| account.holds(asset))
    }

    /// A token.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.machine.state.assets().get(&id)
    }

    /// All tokens, in no order.
    pub fn assets(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.machine.state.assets().iter().map(|(id, asset)| (*id, asset))
    }

    /// A pair.
    #[must_use]
    pub fn exchange(&self, id: u64) -> Option<&Exchange> {
        self.machine.state.exchanges().get(&id)
    }

    /// A vault.
    #[must_use]
    pub fn vault(&self, owner: &Address, asset: AssetId) -> Option<&Vault> {
        self.machine.state.vaults().get(&(*owner, asset))
    }

    /// A channel.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.machine.state.channels().get(id)
    }

    /// What there is one of.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        self.machine.state.totals()
    }

    /// All that there is of an asset: in accounts, frozen, in vaults, channels and pairs, and burnt. It takes a look at everything.
    #[must_use]
    pub fn supply(&self, asset: AssetId) -> u128 {
        self.machine.state.supply(asset)
    }

    /// Makes and signs the block of what is open.
    fn close(&mut self, now: Timestamp) -> Result<(BlockHeader, Batch), SealError> {
        let head = self.machine.head;
        let time = now.max(Timestamp::new(head.time.get().saturating_add(1)));
        if time > LAST_TIME {
            return Err(SealError::Time(time));
        }
        let (records, state_root) = self.machine.close();
        let transactions: Vec<_> = self.open.iter().map(|(signed, _)| signed.clone()).collect();
        let header = BlockHeader {
            number: head.number.saturating_add(1),
            time,
            parent: head.id(),
            ledger: Some(self.machine.id),
            tx_root: tx_root(&transactions),
            state_root,
            operator: head.operator,
        };
        let signature = self.signer.sign(&Signable::Block(&header))?;
        let receipts = self.open.iter().map(|(_, receipt)| receipt.encode()).collect();
        let block = Block::new(SignedHeader::new(header, signature), transactions).with_receipts(receipts);
        Ok((header, Batch { number: header.number, block: block.encode(), records }))
    }
}

impl Ledger for EmbeddedLedger {
    fn id(&self) -> LedgerId {
        self.machine.id
    }

    fn head(&self) -> BlockHeader {
        self.machine.head
    }

    fn submit(&mut self, transaction: &SignedTransaction) -> Result<TxId, LedgerError> {
        let verified = VerifiedTransaction::new(transaction.clone(), &self.machine.schemes)?;
        if let Some((header, _)) = &self.unwritten {
            return Err(StoreError::Unwritten(header.number).into());
        }
        let id = verified.id;
        match self.apply(verified) {
            Ok(_) | Err(TxError::Duplicate(_)) => Ok(id),
            Err(error) => Err(error.into()),
        }
    }

    fn events(&mut self, from: Cursor, out: &mut Vec<LedgerEvent>) -> Result<Cursor, LedgerError> {
        events(&mut *self.store, self.machine.head.number, from, out)
    }

    fn balance(&mut self, address: &Address, asset: AssetId) -> Result<Units, LedgerError> {
        Ok(Self::balance(self, address, asset))
    }

    fn channel(&mut self, id: &ChannelId) -> Result<Option<Channel>, LedgerError> {
        Ok(Self::channel(self, id).cloned())
    }

    fn vault(&mut self, owner: &Address, asset: AssetId) -> Result<Option<Vault>, LedgerError> {
        Ok(Self::vault(self, owner, asset).cloned())
    }
}

impl fmt::Debug for EmbeddedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLedger")
            .field("id", &self.machine.id)
            .field("head", &self.machine.head)
            .field("accounts", &self.machine.state.accounts().len())
            .field("channels", &self.machine.state.channels().len())
            .field("pending", &self.open.len())
            .finish_non_exhaustive()
    }
}
