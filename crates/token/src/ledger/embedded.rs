//! The ledger itself: one operator, its state in memory, blocks and records in a store.
//!
//! [`EmbeddedLedger::apply`] takes a transaction into the open block or says why not; [`EmbeddedLedger::seal`] closes the block, and only when
//! that returns has anything happened for good. Signatures are checked beside it, on as many threads as there are: [`VerifiedTransaction`].

use super::access::{Cursor, Ledger, LedgerError, LedgerEvent};
use super::error::TxError;
use super::execute::{Context, Receipt, charge, execute, is_over};
use super::params::ChainParams;
use super::record::{Account, Asset, Exchange, Totals};
use super::state::{Draft, Key, State};
use super::store::{Batch, LedgerStore, StoreError};
use super::tree::{Proof, Tree};
use crate::address::Address;
use crate::block::{Block, BlockHeader, BlockId, SignedHeader, tx_root};
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::ids::{AssetId, ChannelId, Height, LedgerId, Timestamp, TxId};
use crate::proto::DecodeError;
use crate::scheme::Schemes;
use crate::signer::{Refused, Signable, Signer};
use crate::transaction::SignedTransaction;
use crate::units::Units;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use unchoke_core::Rng;

/// What a ledger begins with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Genesis {
    /// When.
    pub time: Timestamp,
    /// Who has how much of the native coin, in smallest units: all that there ever is.
    pub balances: Vec<(Address, Units)>,
    /// Who has bandwidth of its own, in bytes a day. On TRON it is staked for.
    pub net_limits: Vec<(Address, u64)>,
}

/// A ledger that runs in this process.
pub struct EmbeddedLedger {
    id: LedgerId,
    params: ChainParams,
    schemes: Schemes,
    signer: Box<dyn Signer>,
    store: Box<dyn LedgerStore>,
    state: State,
    tree: Tree,
    head: BlockHeader,
    /// Transactions of the open block.
    open: Vec<(SignedTransaction, Receipt)>,
    /// What they have changed.
    touched: HashSet<Key>,
    /// A block that is signed and could not be written yet.
    unwritten: Option<(BlockHeader, Batch)>,
    /// Blocks that transactions have referred to of late: bytes 8 to 16 of their ids.
    referred: HashMap<u64, [u8; 8]>,
    /// Transactions that have not lapsed, and when each does.
    seen: HashSet<TxId>,
    lapsing: BTreeMap<Timestamp, Vec<TxId>>,
    /// Channels that are done, by the height from which they may be forgotten.
    over: BTreeMap<Height, Vec<ChannelId>>,
}

/// A transaction whose signature was found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedTransaction {
    signed: SignedTransaction,
    id: TxId,
    owner: Address,
    scheme: u8,
}

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

/// A block could not be sealed. Nothing has happened for good; it may be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operator has not signed.
    #[error("the operator does not sign: {0}")]
    Refused(#[from] Refused),
    /// The block could not be written. Until it is the ledger takes nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record or block cannot be read.
    #[error("damaged: {0}")]
    Decode(#[from] DecodeError),
    /// The records do not have the root that was signed.
    #[error("the state of block {0} is not the one that was signed")]
    StateRoot(Height),
    /// The first block could not be signed.
    #[error("the operator does not sign: {0}")]
    Refused(#[from] Refused),
    /// The operator is another one.
    #[error("the ledger is {0}'s")]
    Operator(Address),
    /// The balances of the beginning are more than there can be.
    #[error("the balances of the beginning are too much")]
    Genesis,
}

impl VerifiedTransaction {
    /// Checks the signature. Of one account there is one.
    ///
    /// # Errors
    /// If it is not that of the owner.
    pub fn new(signed: SignedTransaction, schemes: &Schemes) -> Result<Self, TxError> {
        let (owner, signature) = Self::parts(&signed)?;
        let signer = schemes.signer(signed.raw(), signature);
        Self::finish(signed, owner, signer.map(|(signer, scheme)| (signer, scheme.get())))
    }

    /// Checks many together, which takes less for each.
    #[must_use]
    pub fn all(all: Vec<SignedTransaction>, schemes: &Schemes, rng: &mut Rng) -> Vec<Result<Self, TxError>> {
        // Those of one scheme go to its verifier together.
        let mut found: Vec<Option<(Address, u8)>> = vec![None; all.len()];
        let mut by_len: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, signed) in all.iter().enumerate() {
            if let Ok((_, signature)) = Self::parts(signed) {
                by_len.entry(signature.len()).or_default().push(at);
            }
        }
        for (len, places) in by_len {
            let Some(verifier) = schemes.of_signature(len) else { continue };
            let pairs: Vec<(&[u8], &[u8])> = places
                .iter()
                .filter_map(|at| all.get(*at))
                .filter_map(|signed| Some((signed.raw(), signed.signatures().first()?.as_slice())))
                .collect();
            for (at, signer) in places.iter().zip(verifier.signers(&pairs, rng)) {
                let signer = signer.map(|it| (it, verifier.scheme().get()));
                found.get_mut(*at).into_iter().for_each(|it| *it = signer);
            }
        }
        let finish = |(signed, signer)| {
            let (owner, _) = Self::parts(&signed)?;
            Self::finish(signed, owner, signer)
        };
        all.into_iter().zip(found).map(finish).collect()
    }

    fn parts(signed: &SignedTransaction) -> Result<(Address, &[u8]), TxError> {
        let transaction = signed.transaction();
        if transaction.permission_id != 0 || signed.signatures().len() > 1 {
            return Err(TxError::Unsupported("permissions other than the owner's"));
        }
        let owner = Address::from_slice(transaction.contract.owner_address());
        let owner = owner.map_err(|_| TxError::Invalid(super::error::words("Invalid ownerAddress")))?;
        let signature = signed.signatures().first().ok_or(TxError::Signature(owner))?;
        Ok((owner, signature))
    }

    fn finish(signed: SignedTransaction, owner: Address, signer: Option<(Address, u8)>) -> Result<Self, TxError> {
        let (_, scheme) = signer.filter(|(signer, _)| *signer == owner).ok_or(TxError::Signature(owner))?;
        Ok(Self { id: signed.id(), signed, owner, scheme })
    }

    /// The transaction.
    #[must_use]
    pub const fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> TxId {
        self.id
    }
}

impl Proven {
    /// Whether the block is one of the operator's and the value is under its state root.
    #[must_use]
    pub fn verify(&self, key: &Key, operator: &Address, schemes: &Schemes) -> bool {
        let is_signed = self.header.header.operator == *operator && self.header.is_signed(schemes);
        is_signed && self.proof.verify(&self.header.header.state_root, &key.to_bytes(), self.value.as_deref())
    }
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
        let head = store.head()?;
        let (id, head_block, state) = match head {
            None => begin(genesis, &params, &*signer, &mut *store)?,
            Some(number) => {
                let first = read_block(&mut *store, Height::new(0))?.header.header;
                let head = read_block(&mut *store, number)?;
                let mut state = State::default();
                store.load(&mut |key, bytes| {
                    state.restore(key, bytes).map_err(|_| StoreError::Corrupt("a record cannot be read"))
                })?;
                (first.ledger(), head, state)
            }
        };
        let head = head_block.header.header;
        if head.operator != signer.address() {
            return Err(OpenError::Operator(head.operator));
        }
        let mut tree = Tree::default();
        for key in state.keys() {
            tree.set(&key.to_bytes(), state.encode(&key).as_deref());
        }
        if tree.root() != head.state_root {
            return Err(OpenError::StateRoot(head.number));
        }
        let mut ledger = Self {
            id,
            params,
            schemes,
            signer,
            store,
            state,
            tree,
            head,
            open: Vec::new(),
            touched: HashSet::new(),
            unwritten: None,
            referred: HashMap::new(),
            seen: HashSet::new(),
            lapsing: BTreeMap::new(),
            over: BTreeMap::new(),
        };
        let channels: Vec<_> = ledger.state.channels().keys().copied().collect();
        channels.into_iter().for_each(|id| ledger.plan_to_forget(id));
        ledger.remember_transactions()?;
        Ok(ledger)
    }

    /// Takes a transaction into the open block. All of it happens or nothing.
    ///
    /// # Errors
    /// If the ledger's rules do not allow it.
    pub fn apply(&mut self, verified: VerifiedTransaction) -> Result<Receipt, TxError> {
        let VerifiedTransaction { signed, id, owner, scheme } = verified;
        if self.unwritten.is_some() {
            return Err(TxError::ReadOnly);
        }
        let transaction = signed.transaction();
        let (expiration, head) = (transaction.expiration, self.head.time);
        let last = head.get().saturating_add(self.params.max_expiration);
        if expiration <= head || expiration.get() > last {
            return Err(TxError::Expired { expiration, head });
        }
        if !self.is_recent(transaction.ref_block_bytes, transaction.ref_block_hash) {
            return Err(TxError::Tapos);
        }
        if self.seen.contains(&id) {
            return Err(TxError::Duplicate(id));
        }
        let cx = Context {
            ledger: &self.id,
            params: &self.params,
            schemes: &self.schemes,
            height: self.head.number.saturating_add(1),
            head_time: head,
        };
        let mut draft = Draft::new(&self.state);
        let charged = charge(&signed, &owner, scheme, &cx, &mut draft)?;
        let mut receipt = execute(&transaction.contract, &cx, &mut draft)?;
        receipt.add(&charged);
        let changes = draft.finish();
        let touched = &mut self.touched;
        self.state.apply(changes, |key| {
            touched.insert(key);
        });
        receipt.channel.into_iter().for_each(|id| self.plan_to_forget(id));
        self.seen.insert(id);
        self.lapsing.entry(expiration).or_default().push(id);
        self.open.push((signed, receipt.clone()));
        Ok(receipt)
    }

    /// Closes the open block at a time, or a millisecond after the block before if that is later. When this returns, the block is durable.
    ///
    /// # Errors
    /// If it cannot be signed or written; then it may be tried again.
    pub fn seal(&mut self, now: Timestamp) -> Result<Block, SealError> {
        if self.unwritten.is_none() {
            let sealed = self.close(now)?;
            self.unwritten = Some(sealed);
        }
        let Some((header, batch)) = &self.unwritten else { return Err(StoreError::Corrupt("no block").into()) };
        self.store.commit(batch)?;
        self.head = *header;
        let block = Block::decode(&batch.block).map_err(|_| StoreError::Corrupt("a block that was just written"))?;
        self.unwritten = None;
        self.open.clear();
        self.touched.clear();
        while let Some(first) = self.lapsing.first_entry().filter(|it| *it.key() <= self.head.time) {
            for id in first.remove() {
                self.seen.remove(&id);
            }
        }
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

    /// What is remembered under a key after the last block, with its proof. `None` while the open block changes it, or if the last block
    /// cannot be read.
    pub fn prove(&mut self, key: &Key) -> Option<Proven> {
        if self.touched.contains(key) {
            return None;
        }
        let header = self.block(self.head.number).ok()??.header;
        Some(Proven { header, value: self.state.encode(key), proof: self.tree.prove(&key.to_bytes()) })
    }

    /// The last block's id, by which transactions refer to it.
    #[must_use]
    pub fn head_id(&self) -> BlockId {
        self.head.id()
    }

    /// By which numbers it goes.
    #[must_use]
    pub const fn params(&self) -> &ChainParams {
        &self.params
    }

    /// The schemes that it knows.
    #[must_use]
    pub const fn schemes(&self) -> &Schemes {
        &self.schemes
    }

    /// Transactions of the open block.
    #[must_use]
    pub fn pending(&self) -> &[(SignedTransaction, Receipt)] {
        &self.open
    }

    /// An account, as of the open block.
    #[must_use]
    pub fn account(&self, address: &Address) -> Option<&Account> {
        self.state.accounts().get(address)
    }

    /// What an account holds, as of the open block.
    #[must_use]
    pub fn balance(&self, address: &Address, asset: AssetId) -> Units {
        self.account(address).map_or(Units::ZERO, |account| account.holds(asset))
    }

    /// A token.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.state.assets().get(&id)
    }

    /// All tokens, in no order.
    pub fn assets(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.state.assets().iter().map(|(id, asset)| (*id, asset))
    }

    /// A pair.
    #[must_use]
    pub fn exchange(&self, id: u64) -> Option<&Exchange> {
        self.state.exchanges().get(&id)
    }

    /// A vault.
    #[must_use]
    pub fn vault(&self, owner: &Address, asset: AssetId) -> Option<&Vault> {
        self.state.vaults().get(&(*owner, asset))
    }

    /// A channel.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.state.channels().get(id)
    }

    /// What there is one of.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        self.state.totals()
    }

    /// All that there is of an asset: in accounts, frozen, in vaults, channels and pairs, and burnt. It takes a look at everything.
    #[must_use]
    pub fn supply(&self, asset: AssetId) -> u128 {
        self.state.supply(asset)
    }

    /// Makes and signs the block of what is open.
    fn close(&mut self, now: Timestamp) -> Result<(BlockHeader, Batch), SealError> {
        let number = self.head.number.saturating_add(1);
        while let Some(first) = self.over.first_entry().filter(|it| *it.key() <= number) {
            for id in first.remove() {
                let mut draft = Draft::new(&self.state);
                *draft.channel_mut(id) = None;
                let (changes, touched) = (draft.finish(), &mut self.touched);
                self.state.apply(changes, |key| {
                    touched.insert(key);
                });
            }
        }
        let records: Vec<_> = self.touched.iter().map(|key| (*key, self.state.encode(key))).collect();
        for (key, value) in &records {
            self.tree.set(&key.to_bytes(), value.as_deref());
        }
        let transactions: Vec<_> = self.open.iter().map(|(signed, _)| signed.clone()).collect();
        let header = BlockHeader {
            number,
            time: now.max(Timestamp::new(self.head.time.get().saturating_add(1))),
            parent: self.head.id(),
            tx_root: tx_root(&transactions),
            state_root: self.tree.root(),
            operator: self.head.operator,
        };
        let signature = self.signer.sign(&Signable::Block(&header))?;
        let receipts = self.open.iter().map(|(_, receipt)| receipt.encode()).collect();
        let block = Block::new(SignedHeader::new(header, signature), transactions).with_receipts(receipts);
        Ok((header, Batch { number, block: block.encode(), records }))
    }

    /// Whether a transaction refers to one of the last blocks.
    fn is_recent(&mut self, bytes: [u8; 2], hash: [u8; 8]) -> bool {
        // The last block whose number ends in these bytes.
        let head = self.head.number.get();
        let back = head.wrapping_sub(u64::from(u16::from_be_bytes(bytes))) & 0xffff;
        let Some(number) = head.checked_sub(back).filter(|_| back < self.params.reference_window) else { return false };
        if let Some(known) = self.referred.get(&number) {
            return *known == hash;
        }
        let id = if number == head {
            self.head.id()
        } else {
            match self.block(Height::new(number)) {
                Ok(Some(block)) => block.header.header.id(),
                _ => return false,
            }
        };
        let Some(known) = id.as_bytes().get(8..16).and_then(|it| it.try_into().ok()) else { return false };
        if self.referred.len() >= MAX_REFERRED {
            self.referred.clear();
        }
        self.referred.insert(number, known);
        known == hash
    }

    /// After a start: which transactions have not lapsed.
    fn remember_transactions(&mut self) -> Result<(), OpenError> {
        let mut number = Some(self.head.number);
        while let Some(at) = number {
            let block = read_block(&mut *self.store, at)?;
            if block.header.header.time.get().saturating_add(self.params.max_expiration) <= self.head.time.get() {
                break;
            }
            for signed in &block.transactions {
                let expiration = signed.transaction().expiration;
                if expiration > self.head.time {
                    self.seen.insert(signed.id());
                    self.lapsing.entry(expiration).or_default().push(signed.id());
                }
            }
            number = at.get().checked_sub(1).map(Height::new);
        }
        Ok(())
    }

    fn plan_to_forget(&mut self, id: ChannelId) {
        if let Some(channel) = self.state.channels().get(&id)
            && let Some(from) = is_over(channel, &self.params)
        {
            self.over.entry(from).or_default().push(id);
        }
    }
}

/// Makes the first block.
fn begin(
    genesis: &Genesis,
    params: &ChainParams,
    signer: &dyn Signer,
    store: &mut dyn LedgerStore,
) -> Result<(LedgerId, Block, State), OpenError> {
    let mut state = State::default();
    let mut draft = Draft::new(&state);
    let mut all = Units::ZERO;
    for (address, balance) in &genesis.balances {
        all = all.checked_add(*balance).ok_or(OpenError::Genesis)?;
        let fresh = || Account { created: genesis.time, ..Account::default() };
        let account = draft.account_mut(*address).get_or_insert_with(fresh);
        account.balance = account.balance.checked_add(*balance).ok_or(OpenError::Genesis)?;
    }
    for (address, limit) in &genesis.net_limits {
        let fresh = || Account { created: genesis.time, ..Account::default() };
        draft.account_mut(*address).get_or_insert_with(fresh).net_limit = *limit;
    }
    draft.totals_mut().last_token = params.token_id_start;
    let changes = draft.finish();
    let mut keys = Vec::new();
    state.apply(changes, |key| keys.push(key));
    let mut tree = Tree::default();
    let records: Vec<_> = keys.iter().map(|key| (*key, state.encode(key))).collect();
    records.iter().for_each(|(key, value)| tree.set(&key.to_bytes(), value.as_deref()));
    let header = BlockHeader {
        number: Height::new(0),
        time: genesis.time,
        parent: BlockId::NONE,
        tx_root: [0; 32],
        state_root: tree.root(),
        operator: signer.address(),
    };
    let signature = signer.sign(&Signable::Block(&header))?;
    let block = Block::new(SignedHeader::new(header, signature), Vec::new());
    store.commit(&Batch { number: header.number, block: block.encode(), records })?;
    Ok((header.ledger(), block, state))
}

fn read_block(store: &mut dyn LedgerStore, number: Height) -> Result<Block, OpenError> {
    let bytes = store.block(number)?.ok_or(StoreError::Corrupt("a block is missing"))?;
    Ok(Block::decode(&bytes)?)
}

impl Ledger for EmbeddedLedger {
    fn id(&self) -> LedgerId {
        self.id
    }

    fn head(&self) -> BlockHeader {
        self.head
    }

    fn submit(&mut self, transaction: &SignedTransaction) -> Result<TxId, LedgerError> {
        let verified = VerifiedTransaction::new(transaction.clone(), &self.schemes)?;
        let id = verified.id;
        match self.apply(verified) {
            Ok(_) | Err(TxError::Duplicate(_)) => Ok(id),
            Err(error) => Err(error.into()),
        }
    }

    fn events(&mut self, from: Cursor, out: &mut Vec<LedgerEvent>) -> Result<Cursor, LedgerError> {
        let mut height = from.height();
        while height <= self.head.number && out.len() < EVENTS {
            let damaged = StoreError::Corrupt("a block cannot be read");
            let Some(block) = self.block(height)? else { return Err(damaged.into()) };
            let time = block.header.header.time;
            let receipts = block.receipts.iter().map(|it| Receipt::decode(it).unwrap_or_default());
            for (transaction, receipt) in block.transactions.iter().zip(receipts) {
                let transaction = Box::new(transaction.clone());
                out.push(LedgerEvent::Applied { height, time, transaction, receipt });
            }
            out.push(LedgerEvent::Sealed(height));
            height = height.saturating_add(1);
        }
        Ok(Cursor::at(height))
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
            .field("id", &self.id)
            .field("head", &self.head)
            .field("accounts", &self.state.accounts().len())
            .field("channels", &self.state.channels().len())
            .field("pending", &self.open.len())
            .finish_non_exhaustive()
    }
}

/// Events that are told at a time, to the end of a block.
const EVENTS: usize = 1000;
/// Blocks whose ids are kept at hand.
const MAX_REFERRED: usize = 4096;
