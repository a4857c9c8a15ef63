//! The ledger of the run: its last blocks may be taken back, and what the machines see lies deeper than that.

use super::keys::{TestSigner, schemes};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use unchoke_token::channel::{Channel, Vault};
use unchoke_token::contract::ChannelOpen;
use unchoke_token::ledger::{
    Batch, ChainParams, EmbeddedLedger, Genesis, Ledger as _, LedgerStore, MemoryLedgerStore, StoreError, TakeRecord,
};
use unchoke_token::{
    Address, AssetId, ChannelId, Contract, Height, Signable, SignedTransaction, Signer as _, Timestamp, Transaction,
    Units,
};

/// Blocks that may be taken back.
pub(crate) const DEPTH: u64 = 2;
/// Blocks for claims.
pub(crate) const DISPUTE: u64 = 6;
const START: u64 = 1_700_000_000_000;
const EACH: u64 = 1_000_000;

pub(crate) struct Chain {
    pub(crate) ledger: EmbeddedLedger,
    store: Shared,
    signers: Vec<TestSigner>,
    /// The last states, and the transactions of the blocks after them.
    past: VecDeque<(MemoryLedgerStore, Vec<SignedTransaction>)>,
    open: Vec<SignedTransaction>,
    /// What the ledger says at its last heights.
    pub(crate) views: VecDeque<View>,
    pub(crate) channels: BTreeMap<ChannelId, ChannelOpen>,
    made: u64,
}

/// What the ledger says at a height.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) height: Height,
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    pub(crate) vaults: Vec<Option<Vault>>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryLedgerStore>>);

impl Chain {
    pub(crate) fn new(signers: &[TestSigner]) -> Self {
        let store = Shared::default();
        let ledger = open(signers, store.clone());
        let mut chain = Self {
            ledger,
            store,
            signers: signers.to_vec(),
            past: VecDeque::new(),
            open: Vec::new(),
            views: VecDeque::new(),
            channels: BTreeMap::new(),
            made: 0,
        };
        chain.look();
        chain
    }

    pub(crate) fn height(&self) -> Height {
        self.ledger.head().number
    }

    /// Signs for an account. It refers to a block that stays.
    pub(crate) fn sign(&mut self, by: usize, contract: impl Into<Contract>) -> SignedTransaction {
        self.made += 1;
        let deep = Height::new(self.height().get().saturating_sub(DEPTH));
        let block = self.ledger.block(deep).unwrap().unwrap().header.header;
        let (made, expiration) = (Timestamp::new(START + self.made), Timestamp::new(block.time.get() + 80_000_000));
        let transaction = Transaction::new(contract, deep.get(), block.id().as_bytes(), made, expiration);
        let signature = self.signers[by].sign(&Signable::Transaction(&transaction)).unwrap();
        transaction.with_signatures(vec![signature])
    }

    /// Hands in a transaction. Whether the ledger takes it is its own affair.
    pub(crate) fn submit(&mut self, transaction: &SignedTransaction) -> bool {
        let before: BTreeMap<_, _> = self.claimed();
        let pending = self.ledger.pending().len();
        let outcome = self.ledger.submit(transaction);
        if self.ledger.pending().len() > pending {
            self.open.push(transaction.clone());
        }
        // 2, 8, 10, 18: what was claimed of a lane never falls, nor does a deposit, and what is done stays.
        for (id, (claimed, deposit, is_done)) in before {
            let Some(now) = self.ledger.channel(&id) else { panic!("a channel vanished within a block") };
            let lanes: BTreeMap<_, _> = now.lanes().iter().copied().collect();
            assert!(claimed.iter().all(|(lane, units)| lanes.get(lane).is_some_and(|it| it >= units)));
            assert!(now.deposit() >= deposit && now.deposit().is_none_or(|it| now.claimed() <= it));
            assert!(!is_done || now.phase() == unchoke_token::channel::adjudicator::Phase::Done && lanes == claimed);
        }
        self.check();
        outcome.is_ok()
    }

    #[allow(clippy::type_complexity, reason = "what is compared before and after")]
    fn claimed(&self) -> BTreeMap<ChannelId, (BTreeMap<unchoke_token::Lane, Units>, Option<Units>, bool)> {
        let known = self.channels.keys().filter_map(|id| self.ledger.channel(id).map(|it| (*id, it)));
        let done = |it: &Channel| it.phase() == unchoke_token::channel::adjudicator::Phase::Done;
        known.map(|(id, it)| (id, (it.lanes().iter().copied().collect(), it.deposit(), done(it)))).collect()
    }

    /// 1, 3: nothing is made and nothing is lost, and reservations are covered.
    pub(crate) fn check(&self) {
        let supply = self.ledger.supply(AssetId::NATIVE);
        assert_eq!(supply, u128::from(EACH) * self.signers.len() as u128);
        for signer in &self.signers {
            let Some(vault) = self.ledger.vault(&signer.address(), AssetId::NATIVE) else { continue };
            let hard: u64 = vault.reservations().map(|(_, it)| it.amount.get()).sum();
            assert_eq!(vault.total().get(), vault.liquid().get() + hard);
        }
    }

    pub(crate) fn seal(&mut self) {
        let before = self.store.0.lock().unwrap().clone();
        self.past.push_back((before, std::mem::take(&mut self.open)));
        self.past.drain(..self.past.len().saturating_sub(DEPTH as usize));
        let time = Timestamp::new(self.ledger.head().time.get() + 3000);
        self.ledger.seal(time).unwrap();
        self.look();
    }

    /// Takes back so many blocks; their transactions are handed in again, in an order of their own.
    pub(crate) fn reorganise(&mut self, blocks: usize, is_reversed: bool) {
        let blocks = blocks.min(self.past.len());
        if blocks == 0 {
            return;
        }
        let taken = self.past.split_off(self.past.len() - blocks);
        self.store = Shared(Arc::new(Mutex::new(taken[0].0.clone())));
        self.ledger = open(&self.signers, self.store.clone());
        self.views.truncate(self.views.len() - blocks);
        let open = std::mem::take(&mut self.open);
        let mut all: Vec<_> = taken.into_iter().flat_map(|(_, all)| all).chain(open).collect();
        if is_reversed {
            all.reverse();
        }
        // What depends on another may come before it the first time.
        for _ in 0..2 {
            for transaction in &all {
                self.submit(transaction);
            }
        }
    }

    fn look(&mut self) {
        let known = self.channels.keys().filter_map(|id| self.ledger.channel(id).map(|it| (*id, it.clone())));
        let vaults = self.signers.iter().map(|it| self.ledger.vault(&it.address(), AssetId::NATIVE).cloned());
        self.views.push_back(View { height: self.height(), channels: known.collect(), vaults: vaults.collect() });
        self.views.drain(..self.views.len().saturating_sub(DEPTH as usize * 2 + 1));
    }

    /// The last view that stays.
    pub(crate) fn settled_view(&self) -> View {
        let at = self.views.len().saturating_sub(1 + DEPTH as usize);
        self.views[at].clone()
    }

    pub(crate) fn balance(&self, address: &Address) -> u64 {
        self.ledger.balance(address, AssetId::NATIVE).get()
    }
}

fn open(signers: &[TestSigner], store: Shared) -> EmbeddedLedger {
    let mut genesis = Genesis::default();
    genesis.time = Timestamp::new(START);
    genesis.balances = signers.iter().map(|it| (it.address(), Units::new(EACH).unwrap())).collect();
    let mut params = ChainParams::embedded();
    (params.channels.min_dispute, params.channels.extension, params.channels.open_window) = (DISPUTE, 2, 12);
    params.vault_delay = 16;
    EmbeddedLedger::open(&genesis, params, schemes(), Box::new(TestSigner::new(255)), Box::new(store)).unwrap()
}

impl LedgerStore for Shared {
    fn head(&mut self) -> Result<Option<Height>, StoreError> {
        self.0.lock().unwrap().head()
    }

    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().load(take)
    }

    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().unwrap().block(number)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.0.lock().unwrap().commit(batch)
    }
}
