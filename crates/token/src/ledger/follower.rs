//! A copy of a ledger that somebody else runs, which believes nothing that it has not computed.

use super::access::{Cursor, Ledger, LedgerError, LedgerEvent};
use super::error::TxError;
use super::genesis::{Genesis, OpenError, begin};
use super::light::Proven;
use super::machine::{Machine, OpenBlock, events, read_block};
use super::params::ChainParams;
use super::record::{Account, Asset, Exchange, Totals};
use super::state::Key;
use super::store::{Batch, LedgerStore, StoreError};
use super::verified::VerifiedTransaction;
use crate::address::Address;
use crate::block::{Block, BlockError, BlockHeader, Equivocation, SignedHeader};
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::ids::{AssetId, ChannelId, Height, LedgerId, TxId};
use crate::scheme::Schemes;
use crate::transaction::SignedTransaction;
use crate::units::Units;
use std::collections::BTreeMap;
use std::fmt;

/// Follows an operator block by block: a replica to read from.
///
/// Of each block it checks the place in the chain, the time, the operator's signature, the transactions' root, the signature and the outcome of
/// each transaction, and that the state root is the one that it has come to itself. So an operator can leave transactions out, but cannot
/// make money, take it without a signature, or tell two people two stories without giving them the proof.
///
/// A block that is refused changes nothing, and the next one may be tried.
pub struct Follower {
    machine: Machine,
    store: Box<dyn LedgerStore>,
    /// Headers that the operator has signed for blocks that are not here, by height; one of each.
    ahead: BTreeMap<Height, SignedHeader>,
    /// A block that was found right and could not be written yet.
    unwritten: Option<Batch>,
}

/// A follower has not taken a block. Nothing has changed, but for [`Store`](Self::Store).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It is neither the next block nor one that is here already.
    #[error("block {found} does not come next, but block {expected}")]
    Number {
        /// The next one.
        expected: Height,
        /// The one that came.
        found: Height,
    },
    /// Header or transactions do not follow the block before.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A transaction may not stand there.
    #[error("transaction {at} of the block: {error}")]
    Transaction {
        /// Its place, from 0.
        at: usize,
        /// Why not.
        #[source]
        error: TxError,
    },
    /// Something else has come of a transaction than the block says.
    #[error("the block tells of transaction {0} what has not come of it")]
    Receipt(usize),
    /// After the transactions the ledger remembers something else than the operator has signed.
    #[error("the state of block {0} is not the one that was signed")]
    StateRoot(Height),
    /// The operator has signed another block of this height. The proof is for everybody who trusts the operator. If the other one was not
    /// taken, this block may be given again; then it is judged for itself.
    #[error("the operator has signed two blocks {}", .0.first.header.number)]
    Equivocation(Box<Equivocation>),
    /// The block is right, and is followed from now on, but could not be written. That is tried again with the next call, be it the same block
    /// again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Follower {
    /// Opens what lies in a store, or begins there with the first block of a ledger. The ledger's id says who its operator is and what it
    /// began with; so that is what has to be known from somebody who is trusted. Parameters and schemes have to be the operator's.
    ///
    /// # Errors
    /// If the store fails or is damaged, or it or the first block is not of this ledger with this beginning.
    pub fn open(
        ledger: LedgerId,
        genesis: &Genesis,
        first: &Block,
        params: ChainParams,
        schemes: Schemes,
        mut store: Box<dyn LedgerStore>,
    ) -> Result<Self, OpenError> {
        let machine = match store.head()? {
            Some(number) => Machine::load(number, params, schemes, OpenBlock::MayBeUndone, &mut *store)?,
            None => {
                let (header, state, tree) = begin(genesis, &params, first.header.header.operator)?;
                let is_first = first.header.header == header && first.header.is_signed(&schemes);
                if !is_first || !first.transactions.is_empty() || !first.receipts.is_empty() {
                    return Err(OpenError::First);
                }
                let records = state.keys().map(|key| (key, state.encode(&key))).collect();
                let machine =
                    Machine::new(header.ledger_id(), header, params, schemes, state, tree, OpenBlock::MayBeUndone)?;
                if machine.id == ledger {
                    store.commit(&Batch { number: header.number, block: first.encode(), records })?;
                }
                machine
            }
        };
        if machine.id != ledger {
            return Err(OpenError::OtherLedger(machine.id));
        }
        Ok(Self { machine, store, ahead: BTreeMap::new(), unwritten: None })
    }

    /// Takes the next block if all of it is right. One that is here already does no harm. When this returns, the block is durable.
    ///
    /// # Errors
    /// If the block is not right, or the store fails.
    pub fn follow(&mut self, block: &Block) -> Result<(), FollowError> {
        self.write()?;
        let (head, number) = (self.machine.head, block.header.header.number);
        if let Some(proof) = self.compare(&block.header)? {
            self.ahead.remove(&number);
            return Err(FollowError::Equivocation(Box::new(proof)));
        }
        if number <= head.number {
            return self.is_here(block);
        }
        let expected = head.number.saturating_add(1);
        if number != expected {
            return Err(FollowError::Number { expected, found: number });
        }
        block.verify(&head, &self.machine.schemes)?;
        match self.compute(block) {
            Ok(batch) => {
                self.machine.advance(block.header.header);
                self.ahead.remove(&number);
                self.unwritten = Some(batch);
                Ok(self.write()?)
            }
            Err(error) => {
                self.machine.undo();
                Err(error)
            }
        }
    }

    /// Whether the operator has signed another block of a header's height: of those that were followed, or of which a header has come here,
    /// up to 64 blocks ahead. So those who follow one operator may tell each other the headers that they know.
    ///
    /// # Errors
    /// If the store fails.
    pub fn compare(&mut self, header: &SignedHeader) -> Result<Option<Equivocation>, StoreError> {
        let (head, number) = (self.machine.head, header.header.number);
        let is_ours = header.header.operator == head.operator && header.header.ledger_id() == self.machine.id;
        let is_theirs = is_ours && header.is_signed(&self.machine.schemes);
        if !is_theirs || number > head.number.saturating_add(AHEAD) {
            return Ok(None);
        }
        let known = if number > head.number {
            self.ahead.entry(number).or_insert_with(|| header.clone()).clone()
        } else {
            match &self.unwritten {
                Some(batch) if batch.number == number => {
                    Block::decode(&batch.block).map_err(|_| StoreError::Corrupt("a block cannot be read"))?.header
                }
                _ => read_block(&mut *self.store, number)?.header,
            }
        };
        Ok(Equivocation::prove(known, header.clone(), &self.machine.schemes))
    }

    /// A block that was followed.
    ///
    /// # Errors
    /// If the store fails.
    pub fn block(&mut self, number: Height) -> Result<Option<Block>, StoreError> {
        let Some(bytes) = self.store.block(number)? else { return Ok(None) };
        Block::decode(&bytes).map(Some).map_err(|_| StoreError::Corrupt("a block cannot be read"))
    }

    /// What is remembered under a key after the last block, with its proof. `None` if the last block cannot be read.
    pub fn prove(&mut self, key: &Key) -> Option<Proven> {
        let header = self.block(self.machine.head.number).ok()??.header;
        let (value, proof) = (self.machine.state.encode(key), self.machine.tree.prove(&key.to_bytes()));
        Some(Proven { header, value, proof })
    }

    /// By which numbers the ledger goes.
    #[must_use]
    pub const fn params(&self) -> &ChainParams {
        &self.machine.params
    }

    /// An account.
    #[must_use]
    pub fn account(&self, address: &Address) -> Option<&Account> {
        self.machine.state.accounts().get(address)
    }

    /// A token.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.machine.state.assets().get(&id)
    }

    /// A pair.
    #[must_use]
    pub fn exchange(&self, id: u64) -> Option<&Exchange> {
        self.machine.state.exchanges().get(&id)
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

    /// Carries out the transactions of a block, whose header was checked.
    fn compute(&mut self, block: &Block) -> Result<Batch, FollowError> {
        let mut receipts = Vec::with_capacity(block.transactions.len());
        for (at, signed) in block.transactions.iter().enumerate() {
            let verified = VerifiedTransaction::new(signed.clone(), &self.machine.schemes);
            let receipt = verified.and_then(|it| self.machine.apply(&it, &mut *self.store));
            receipts.push(receipt.map_err(|error| FollowError::Transaction { at, error })?.encode());
        }
        let number = block.header.header.number;
        let block = with_receipts(block, receipts)?;
        let (records, root) = self.machine.close();
        if root != block.header.header.state_root {
            return Err(FollowError::StateRoot(number));
        }
        Ok(Batch { number, block: block.encode(), records })
    }

    /// Whether a block is the one that was followed, of whose height it is.
    fn is_here(&mut self, block: &Block) -> Result<(), FollowError> {
        let number = block.header.header.number;
        let known = read_block(&mut *self.store, number)?;
        if known.header != block.header {
            return Err(BlockError::Signature(number).into());
        }
        if known.transactions != block.transactions {
            return Err(BlockError::Transactions(number).into());
        }
        with_receipts(block, known.receipts).map(drop)
    }

    /// Writes what could not be written before.
    fn write(&mut self) -> Result<(), StoreError> {
        if let Some(batch) = &self.unwritten {
            self.store.commit(batch)?;
            self.unwritten = None;
        }
        Ok(())
    }
}

/// The block with these receipts, if it has them already or none.
fn with_receipts(block: &Block, receipts: Vec<Vec<u8>>) -> Result<Block, FollowError> {
    if !block.receipts.is_empty() && block.receipts != receipts {
        let differs = block.receipts.iter().zip(&receipts).position(|(said, is)| said != is);
        return Err(FollowError::Receipt(differs.unwrap_or_else(|| receipts.len().min(block.receipts.len()))));
    }
    Ok(block.clone().with_receipts(receipts))
}

impl Ledger for Follower {
    fn id(&self) -> LedgerId {
        self.machine.id
    }

    fn head(&self) -> BlockHeader {
        self.machine.head
    }

    /// Refuses: transactions go to the operator.
    fn submit(&mut self, _: &SignedTransaction) -> Result<TxId, LedgerError> {
        Err(TxError::Unsupported("transactions go to the operator, not to a follower").into())
    }

    fn events(&mut self, from: Cursor, out: &mut Vec<LedgerEvent>) -> Result<Cursor, LedgerError> {
        self.write()?;
        events(&mut *self.store, self.machine.head.number, from, out)
    }

    fn balance(&mut self, address: &Address, asset: AssetId) -> Result<Units, LedgerError> {
        Ok(self.account(address).map_or(Units::ZERO, |it| it.holds(asset)))
    }

    fn channel(&mut self, id: &ChannelId) -> Result<Option<Channel>, LedgerError> {
        Ok(self.machine.state.channels().get(id).cloned())
    }

    fn vault(&mut self, owner: &Address, asset: AssetId) -> Result<Option<Vault>, LedgerError> {
        Ok(self.machine.state.vaults().get(&(*owner, asset)).cloned())
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("id", &self.machine.id)
            .field("head", &self.machine.head)
            .finish_non_exhaustive()
    }
}

/// Blocks ahead of the last one of which headers are kept.
const AHEAD: u64 = 64;
