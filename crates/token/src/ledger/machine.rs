//! What an operator and those who follow it compute alike: which transactions a block may hold, and what the ledger remembers after them.

use super::access::{Cursor, LedgerError, LedgerEvent};
use super::error::TxError;
use super::execute::{Context, Receipt, charge, execute, is_over};
use super::genesis::OpenError;
use super::params::ChainParams;
use super::state::{Changes, Draft, Key, State};
use super::store::{LedgerStore, StoreError};
use super::tree::{Leaf, Tree};
use super::verified::VerifiedTransaction;
use crate::block::{Block, BlockHeader};
use crate::ids::{ChannelId, Height, LedgerId, Timestamp, TxId};
use crate::scheme::Schemes;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The ledger after its last block, and what the transactions of the open one have changed since.
pub(crate) struct Machine {
    pub(crate) id: LedgerId,
    pub(crate) params: ChainParams,
    pub(crate) schemes: Schemes,
    pub(crate) state: State,
    pub(crate) tree: Tree,
    pub(crate) head: BlockHeader,
    /// What the open block has changed.
    touched: HashSet<Key>,
    /// What undoes each step of it, if the open block may have to be given up.
    undo: Option<Vec<Changes>>,
    /// Transactions of the open block, and when each lapses.
    open: Vec<(TxId, Timestamp)>,
    /// Blocks that transactions have referred to of late: bytes 8 to 16 of their ids.
    referred: HashMap<u64, [u8; 8]>,
    /// Transactions that have not lapsed, and when each does.
    seen: HashSet<TxId>,
    lapsing: BTreeMap<Timestamp, Vec<TxId>>,
    /// Channels that are done, by the height from which they may be forgotten.
    over: BTreeMap<Height, Vec<ChannelId>>,
}

/// Whether the open block may have to be given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OpenBlock {
    /// No: the block is made here.
    IsKept,
    /// Yes: another makes it, and it may turn out to be wrong.
    MayBeUndone,
}

impl Machine {
    /// The ledger as it lies in a store.
    pub(crate) fn load(
        number: Height,
        params: ChainParams,
        schemes: Schemes,
        open_block: OpenBlock,
        store: &mut dyn LedgerStore,
    ) -> Result<Self, OpenError> {
        let id = read_block(store, Height::new(0))?.header.header.ledger_id();
        let head = read_block(store, number)?.header.header;
        let (mut state, mut leaves) = (State::default(), Vec::new());
        store.load(&mut |key, bytes| {
            leaves.push(Leaf::new(&key.to_bytes(), bytes));
            state.restore(key, bytes).map_err(|_| StoreError::Corrupt("a record cannot be read"))
        })?;
        let tree = Tree::of(leaves.into_iter());
        let mut machine = Self::new(id, head, params, schemes, state, tree, open_block)?;
        machine.remember_transactions(store)?;
        Ok(machine)
    }

    /// The ledger with this state, over which the tree stands, after this block.
    pub(crate) fn new(
        id: LedgerId,
        head: BlockHeader,
        params: ChainParams,
        schemes: Schemes,
        state: State,
        mut tree: Tree,
        open_block: OpenBlock,
    ) -> Result<Self, OpenError> {
        if tree.root() != head.state_root {
            return Err(OpenError::StateRoot(head.number));
        }
        let mut machine = Self {
            id,
            params,
            schemes,
            state,
            tree,
            head,
            touched: HashSet::new(),
            undo: (open_block == OpenBlock::MayBeUndone).then(Vec::new),
            open: Vec::new(),
            referred: HashMap::new(),
            seen: HashSet::new(),
            lapsing: BTreeMap::new(),
            over: BTreeMap::new(),
        };
        let channels: Vec<_> = machine.state.channels().keys().copied().collect();
        channels.into_iter().for_each(|id| machine.plan_to_forget(id));
        Ok(machine)
    }

    /// Takes a transaction into the open block. All of it happens or nothing.
    pub(crate) fn apply(
        &mut self,
        verified: &VerifiedTransaction,
        store: &mut dyn LedgerStore,
    ) -> Result<Receipt, TxError> {
        let transaction = verified.signed.transaction();
        let (expiration, head) = (transaction.expiration, self.head.time);
        let last = head.get().saturating_add(self.params.max_expiration);
        if expiration <= head || expiration.get() > last {
            return Err(TxError::Expired { expiration, head });
        }
        if !self.is_recent(transaction.ref_block_bytes, transaction.ref_block_hash, store) {
            return Err(TxError::Tapos);
        }
        if self.seen.contains(&verified.id) {
            return Err(TxError::Duplicate(verified.id));
        }
        let cx = Context {
            ledger: &self.id,
            params: &self.params,
            schemes: &self.schemes,
            height: self.head.number.saturating_add(1),
            head_time: head,
        };
        let mut draft = Draft::new(&self.state);
        let charged = charge(&verified.signed, &verified.owner, verified.scheme, &cx, &mut draft)?;
        let mut receipt = execute(&transaction.contract, &cx, &mut draft)?;
        receipt.add(&charged);
        let changes = draft.finish();
        self.take_over(changes);
        receipt.channel.into_iter().for_each(|id| self.plan_to_forget(id));
        self.seen.insert(verified.id);
        self.open.push((verified.id, expiration));
        Ok(receipt)
    }

    /// Does what every block does besides its transactions. Returns the records that the block changes and the state root after it.
    pub(crate) fn close(&mut self) -> (Vec<ChangedRecord>, [u8; 32]) {
        let number = self.head.number.saturating_add(1);
        let due: Vec<_> = self.over.range(..=number).flat_map(|(_, ids)| ids).copied().collect();
        for id in due {
            let mut draft = Draft::new(&self.state);
            let is_due =
                draft.channels(&id).and_then(|it| is_over(it, &self.params)).is_some_and(|from| from <= number);
            if is_due {
                *draft.channel_mut(id) = None;
                let changes = draft.finish();
                self.take_over(changes);
            }
        }
        let records: Vec<_> = self.touched.iter().map(|key| (*key, self.state.encode(key))).collect();
        for (key, value) in &records {
            self.tree.set(&key.to_bytes(), value.as_deref());
        }
        (records, self.tree.root())
    }

    /// The open block is the last one now.
    pub(crate) fn advance(&mut self, head: BlockHeader) {
        self.head = head;
        self.touched.clear();
        self.undo.iter_mut().for_each(Vec::clear);
        for (id, expiration) in self.open.drain(..) {
            self.lapsing.entry(expiration).or_default().push(id);
        }
        while let Some(first) = self.lapsing.first_entry().filter(|it| *it.key() <= self.head.time) {
            for id in first.remove() {
                self.seen.remove(&id);
            }
        }
        while let Some(first) = self.over.first_entry().filter(|it| *it.key() <= self.head.number) {
            first.remove();
        }
    }

    /// Gives the open block up: everything is as after the last one.
    pub(crate) fn undo(&mut self) {
        for changes in self.undo.iter_mut().flat_map(|it| it.drain(..).rev()) {
            self.state.apply(changes, |_| {});
        }
        for key in self.touched.drain() {
            self.tree.set(&key.to_bytes(), self.state.encode(&key).as_deref());
        }
        for (id, _) in self.open.drain(..) {
            self.seen.remove(&id);
        }
    }

    /// Whether the open block has changed something.
    pub(crate) fn has_changed(&self, key: &Key) -> bool {
        self.touched.contains(key)
    }

    fn take_over(&mut self, changes: Changes) {
        let touched = &mut self.touched;
        let mut tell = |key| {
            touched.insert(key);
        };
        match &mut self.undo {
            Some(undo) => undo.push(self.state.exchange(changes, tell)),
            None => self.state.apply(changes, &mut tell),
        }
    }

    /// Whether a transaction refers to one of the last blocks.
    fn is_recent(&mut self, bytes: [u8; 2], hash: [u8; 8], store: &mut dyn LedgerStore) -> bool {
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
            match read_block(store, Height::new(number)) {
                Ok(block) => block.header.header.id(),
                Err(_) => return false,
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
    fn remember_transactions(&mut self, store: &mut dyn LedgerStore) -> Result<(), OpenError> {
        let mut number = Some(self.head.number);
        while let Some(at) = number {
            let block = read_block(store, at)?;
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

/// A block that has to be there.
pub(crate) fn read_block(store: &mut dyn LedgerStore, number: Height) -> Result<Block, StoreError> {
    let bytes = store.block(number)?.ok_or(StoreError::Corrupt("a block is missing"))?;
    Block::decode(&bytes).map_err(|_| StoreError::Corrupt("a block cannot be read"))
}

/// A record that has another value now, or none.
type ChangedRecord = (Key, Option<Vec<u8>>);

/// What stands in the blocks that lie in a store, from a cursor on.
pub(crate) fn events(
    store: &mut dyn LedgerStore,
    head: Height,
    from: Cursor,
    out: &mut Vec<LedgerEvent>,
) -> Result<Cursor, LedgerError> {
    let mut height = from.height();
    while height <= head && out.len() < EVENTS {
        let block = read_block(store, height)?;
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

/// Events that are told at a time, to the end of a block.
const EVENTS: usize = 1000;
/// Blocks whose ids are kept at hand.
const MAX_REFERRED: usize = 4096;
