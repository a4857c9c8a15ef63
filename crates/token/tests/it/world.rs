//! A ledger in memory and accounts on it.

use std::sync::{Arc, Mutex};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_token::contract::ChannelOpen;
use unchoke_token::ledger::{
    Batch, ChainParams, EmbeddedLedger, Follower, Genesis, Ledger as _, LedgerStore, MemoryLedgerStore, Receipt,
    StoreError, TakeRecord, TxError, VerifiedTransaction,
};
use unchoke_token::{
    Address, Contract, Height, KeySigner, Schemes, Signable, SignedTransaction, Signer, Timestamp, Transaction, Units,
};

pub(crate) struct World {
    pub(crate) ledger: EmbeddedLedger,
    pub(crate) accounts: Vec<KeySigner>,
    pub(crate) genesis: Genesis,
    made: u64,
}

pub(crate) const START: u64 = 1_700_000_000_000;

pub(crate) fn signer(number: u8) -> KeySigner {
    KeySigner::new(SecretKey::from_seed(&Seed::new([number; 32])))
}

pub(crate) fn units(units: u64) -> Units {
    Units::new(units).unwrap()
}

impl World {
    /// A ledger on which so many accounts have a million units each.
    pub(crate) fn new(accounts: u8, change: impl FnOnce(&mut ChainParams)) -> Self {
        Self::begin(accounts, Box::new(MemoryLedgerStore::default()), |params, _| change(params))
    }

    /// The same in a store, with a beginning of its own.
    pub(crate) fn begin(
        accounts: u8,
        store: Box<dyn LedgerStore>,
        change: impl FnOnce(&mut ChainParams, &mut Genesis),
    ) -> Self {
        let accounts: Vec<_> = (0..accounts).map(signer).collect();
        let mut genesis = Genesis::default();
        genesis.time = Timestamp::new(START);
        genesis.balances = accounts.iter().map(|it| (it.address(), units(1_000_000))).collect();
        let mut params = ChainParams::embedded();
        change(&mut params, &mut genesis);
        let schemes = Schemes::default();
        let ledger = EmbeddedLedger::open(&genesis, params, schemes, Box::new(signer(255)), store).unwrap();
        Self { ledger, accounts, genesis, made: 0 }
    }

    pub(crate) fn address(&self, number: usize) -> Address {
        self.accounts[number].address()
    }

    /// A channel from the first account to the second.
    pub(crate) fn channel(&self, deposit: i64) -> ChannelOpen {
        channel(&self.ledger, &self.accounts[0], self.address(1), deposit)
    }

    /// The field of a contract.
    pub(crate) fn bytes(&self, number: usize) -> Vec<u8> {
        self.address(number).as_bytes().to_vec()
    }

    pub(crate) fn sign(&mut self, by: usize, contract: impl Into<Contract>) -> SignedTransaction {
        self.sign_changed(by, contract, |_| {})
    }

    /// The same with a change before it is signed.
    pub(crate) fn sign_changed(
        &mut self,
        by: usize,
        contract: impl Into<Contract>,
        change: impl FnOnce(&mut Transaction),
    ) -> SignedTransaction {
        self.made += 1;
        let head = self.ledger.head();
        let expiration = Timestamp::new(head.time.get() + 60_000);
        let made = Timestamp::new(START + self.made);
        let mut transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), made, expiration);
        change(&mut transaction);
        let signature = self.accounts[by].sign(&Signable::Transaction(&transaction)).unwrap();
        transaction.with_signatures(vec![signature])
    }

    pub(crate) fn apply(&mut self, by: usize, contract: impl Into<Contract>) -> Result<Receipt, TxError> {
        let signed = self.sign(by, contract);
        let verified = VerifiedTransaction::new(signed, self.ledger.schemes())?;
        self.ledger.apply(verified)
    }

    /// Seals so many blocks, three seconds apart.
    pub(crate) fn seal(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let now = self.ledger.head().time.get() + 3000;
            self.ledger.seal(Timestamp::new(now)).unwrap();
        }
    }

    /// Opens the ledger again out of a store.
    pub(crate) fn reopen(&mut self, store: Box<dyn LedgerStore>) {
        let (params, operator) = (self.ledger.params().clone(), Box::new(signer(255)));
        self.ledger = EmbeddedLedger::open(&self.genesis, params, Schemes::default(), operator, store).unwrap();
    }

    /// Somebody who begins to follow.
    pub(crate) fn follower(&mut self, store: Box<dyn LedgerStore>) -> Follower {
        let first = self.ledger.block(Height::new(0)).unwrap().unwrap();
        let params = self.ledger.params().clone();
        Follower::open(self.ledger.id(), &self.genesis, &first, params, Schemes::default(), store).unwrap()
    }
}

/// A channel in coins, which is open from now on, with five blocks for disputes. Vouchers are signed as the payer's account signs.
pub(crate) fn channel(ledger: &EmbeddedLedger, payer: &dyn Signer, payee: Address, deposit: i64) -> ChannelOpen {
    ChannelOpen {
        owner_address: payer.address().as_bytes().to_vec(),
        payee_address: payee.as_bytes().to_vec(),
        asset_name: b"_".to_vec(),
        deposit,
        voucher_scheme: payer.scheme().get().into(),
        voucher_key: payer.public_key(),
        salt: vec![1; 16],
        ledger: ledger.id().as_bytes().to_vec(),
        opened_at: ledger.head().number.get() as i64,
        dispute: 5,
        ..ChannelOpen::default()
    }
}

/// A store that several may have open, one after the other.
#[derive(Clone, Default)]
pub(crate) struct SharedStore(Arc<Mutex<MemoryLedgerStore>>);

impl LedgerStore for SharedStore {
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
