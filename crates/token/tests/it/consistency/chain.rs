//! The ledger of the run: its last blocks may be taken back, and what the machines see lies deeper than that.

use super::keys::{TestSigner, schemes};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::vault::Pending;
use unchoke_token::channel::{Channel, Vault};
use unchoke_token::contract::ChannelOpen;
use unchoke_token::ledger::{
    Batch, ChainParams, EmbeddedLedger, Genesis, Ledger as _, LedgerStore, MemoryLedgerStore, StoreError, TakeRecord,
};
use unchoke_token::voucher::Voucher;
use unchoke_token::{
    Address, AssetId, ChannelId, Contract, Height, Lane, Signable, SignedTransaction, Signer as _, Timestamp,
    Transaction, Units,
};

/// Blocks that may be taken back.
pub(crate) const DEPTH: u64 = 2;
/// Blocks for claims.
pub(crate) const DISPUTE: u64 = 6;
/// A claim in the last so many blocks puts the end off by as many.
const EXTENSION: u64 = 2;
/// Blocks between the announcement that money leaves a vault or a reservation and the time when it may.
const DELAY: u64 = 16;
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
    /// Those that have ended because the time for claims was over.
    pub(crate) finished: Vec<(ChannelId, Channel)>,
    made: u64,
}

/// What the ledger says before a transaction.
struct Before {
    lanes: BTreeMap<Lane, Units>,
    deposit: Option<Units>,
    phase: Phase,
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
            finished: Vec::new(),
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
        let (before, vaults) = (self.before(), self.vaults());
        let pending = self.ledger.pending().len();
        let outcome = self.ledger.submit(transaction);
        if self.ledger.pending().len() > pending {
            self.open.push(transaction.clone());
            self.check_times(&transaction.transaction().contract, &before, &vaults);
        }
        // 2, 8, 10, 18: what was claimed of a lane never falls, nor does a deposit, and what is done stays.
        for (id, before) in before {
            let Some(now) = self.ledger.channel(&id) else { panic!("a channel vanished within a block") };
            let lanes: BTreeMap<_, _> = now.lanes().iter().copied().collect();
            assert!(before.lanes.iter().all(|(lane, units)| lanes.get(lane).is_some_and(|it| it >= units)));
            assert!(now.deposit() >= before.deposit && now.deposit().is_none_or(|it| now.claimed() <= it));
            assert!(before.phase != Phase::Done || now.phase() == Phase::Done && lanes == before.lanes);
        }
        self.check();
        outcome.is_ok()
    }

    /// 15, 20: whatever the ledger has taken was in time, to the block, and the time for claims is put off once.
    fn check_times(&mut self, contract: &Contract, before: &BTreeMap<ChannelId, Before>, vaults: &[Option<Vault>]) {
        let height = self.height().saturating_add(1);
        let phase = |id: &[u8]| before.get(&ChannelId::new(id.try_into().unwrap())).map(|it| it.phase);
        let vault_of = |owner: &[u8]| {
            let place = self.signers.iter().position(|it| it.address().as_bytes()[..] == *owner).unwrap();
            (vaults[place].as_ref(), self.ledger.vault(&self.signers[place].address(), AssetId::NATIVE))
        };
        let payee = |address: &[u8]| Address::from_slice(address).unwrap();
        let release = |vault: &Vault, of: &[u8]| {
            vault.reservations().find(|(it, _)| **it == payee(of)).and_then(|(_, it)| it.release)
        };
        let announced = |pending: Option<Pending>| pending.is_none_or(|it| it.at == height.saturating_add(DELAY));
        let is_due = |pending: Option<Pending>| pending.is_some_and(|it| it.at <= height);
        let is_in_time = match contract {
            Contract::ChannelClaim(it) => it.claims.iter().all(|claim| {
                let end = Voucher::from_bytes(&claim.voucher).unwrap().not_after;
                (end == Height::new(0) || end >= height)
                    && phase(&it.channel).is_some_and(|phase| match phase {
                        Phase::Closing { deadline, .. } => height < deadline,
                        phase => phase == Phase::Open,
                    })
            }),
            Contract::ChannelFinish(it) => {
                let id = ChannelId::new(it.channel[..].try_into().unwrap());
                self.finished.push((id, self.ledger.channel(&id).unwrap().clone()));
                matches!(phase(&it.channel), Some(Phase::Closing { deadline, .. }) if height >= deadline)
            }
            Contract::ChannelCloseMutual(it) => it.not_after.cast_unsigned() >= height.get(),
            Contract::VaultRelease(it) => {
                vault_of(&it.owner_address).1.is_some_and(|vault| announced(release(vault, &it.payee_address)))
            }
            Contract::VaultReleaseFinish(it) => {
                vault_of(&it.owner_address).0.is_some_and(|vault| is_due(release(vault, &it.payee_address)))
            }
            Contract::VaultWithdraw(it) => vault_of(&it.owner_address).1.is_some_and(|it| announced(it.withdrawal())),
            Contract::VaultWithdrawFinish(it) => {
                vault_of(&it.owner_address).0.is_some_and(|it| is_due(it.withdrawal()))
            }
            _ => true,
        };
        assert!(is_in_time, "{contract:?} at {height}");
        for (id, before) in before {
            let now = self.ledger.channel(id).map(Channel::phase);
            let is_right = match (before.phase, now) {
                (_, Some(Phase::Done)) => true,
                (Phase::Open, Some(Phase::Closing { deadline, is_extended })) => {
                    deadline == height.saturating_add(DISPUTE) && !is_extended
                }
                (
                    Phase::Closing { deadline, is_extended: false },
                    Some(Phase::Closing { deadline: now, is_extended: true }),
                ) => now == deadline.saturating_add(EXTENSION) && height.saturating_add(EXTENSION) >= deadline,
                (before, now) => Some(before) == now,
            };
            assert!(is_right, "{:?} becomes {now:?} at {height}", before.phase);
        }
    }

    fn before(&self) -> BTreeMap<ChannelId, Before> {
        let known = self.channels.keys().filter_map(|id| self.ledger.channel(id).map(|it| (*id, it)));
        let before = |it: &Channel| Before {
            lanes: it.lanes().iter().copied().collect(),
            deposit: it.deposit(),
            phase: it.phase(),
        };
        known.map(|(id, it)| (id, before(it))).collect()
    }

    fn vaults(&self) -> Vec<Option<Vault>> {
        self.signers.iter().map(|it| self.ledger.vault(&it.address(), AssetId::NATIVE).cloned()).collect()
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
        self.views.push_back(View { height: self.height(), channels: known.collect(), vaults: self.vaults() });
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
    (params.channels.min_dispute, params.channels.extension, params.channels.open_window) = (DISPUTE, EXTENSION, 12);
    params.vault_delay = DELAY;
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
