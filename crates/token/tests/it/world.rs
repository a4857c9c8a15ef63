//! A ledger in memory and accounts on it.

use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_token::ledger::{
    ChainParams, EmbeddedLedger, Follower, Genesis, Ledger as _, LedgerStore, MemoryLedgerStore, Receipt, TxError,
    VerifiedTransaction,
};
use unchoke_token::{
    Address, Contract, Height, KeySigner, Schemes, Signable, SignedTransaction, Signer as _, Timestamp, Transaction,
    Units,
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
        let accounts: Vec<_> = (0..accounts).map(signer).collect();
        let mut genesis = Genesis::default();
        genesis.time = Timestamp::new(START);
        genesis.balances = accounts.iter().map(|it| (it.address(), units(1_000_000))).collect();
        let mut params = ChainParams::embedded();
        change(&mut params);
        let (schemes, store) = (Schemes::default(), Box::new(MemoryLedgerStore::default()));
        let ledger = EmbeddedLedger::open(&genesis, params, schemes, Box::new(signer(255)), store).unwrap();
        Self { ledger, accounts, genesis, made: 0 }
    }

    pub(crate) fn address(&self, number: usize) -> Address {
        self.accounts[number].address()
    }

    /// The field of a contract.
    pub(crate) fn bytes(&self, number: usize) -> Vec<u8> {
        self.address(number).as_bytes().to_vec()
    }

    pub(crate) fn sign(&mut self, by: usize, contract: impl Into<Contract>) -> SignedTransaction {
        self.made += 1;
        let head = self.ledger.head();
        let expiration = Timestamp::new(head.time.get() + 60_000);
        let made = Timestamp::new(START + self.made);
        let transaction = Transaction::new(contract, head.number.get(), head.id().as_bytes(), made, expiration);
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

    /// Somebody who begins to follow.
    pub(crate) fn follower(&mut self, store: Box<dyn LedgerStore>) -> Follower {
        let first = self.ledger.block(Height::new(0)).unwrap().unwrap();
        let params = self.ledger.params().clone();
        Follower::open(self.ledger.id(), &self.genesis, &first, params, Schemes::default(), store).unwrap()
    }
}
