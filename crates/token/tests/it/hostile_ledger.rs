//! What must not end a ledger, make it tell what is not so, or get past a signer's limits.

use crate::world::{SharedStore, World, signer, units};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use unchoke_token::contract::{Contract, ExchangeCreate, ExchangeInject, Transfer};
use unchoke_token::ledger::{
    Batch, EmbeddedLedger, Genesis, Key, Ledger as _, LedgerError, LedgerStore, OpenError, SealError, StoreError,
    TakeRecord, TxError, VerifiedTransaction,
};
use unchoke_token::policy::{Limit, Limits, PolicySigner};
use unchoke_token::voucher::CloseStatement;
use unchoke_token::{
    AssetId, ChannelId, Height, Refused, Schemes, Signable, Signer as _, Timestamp, Transaction, Units,
};

/// Above all times that a transaction or a block can be read with, in milliseconds.
const TOO_LATE: Timestamp = Timestamp::new(1 << 63);

fn open(genesis: &Genesis, world: &World, store: SharedStore) -> Result<EmbeddedLedger, OpenError> {
    let params = world.ledger.params().clone();
    EmbeddedLedger::open(genesis, params, Schemes::default(), Box::new(signer(255)), Box::new(store))
}

fn transfer(world: &World, amount: i64) -> Transfer {
    Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount }
}

#[test]
fn a_transaction_that_could_not_be_read_again_is_not_taken() {
    let store = SharedStore::default();
    let mut world = World::begin(2, Box::new(store.clone()), |params, _| params.max_expiration = u64::MAX);
    let changes: [fn(&mut Transaction); 3] =
        [|it| it.data = vec![1; 500 * 1024], |it| it.timestamp = TOO_LATE, |it| it.expiration = TOO_LATE];
    for (at, change) in changes.into_iter().enumerate() {
        let contract = transfer(&world, 1);
        let signed = world.sign_changed(0, contract, change);
        let refused = VerifiedTransaction::new(signed.clone(), world.ledger.schemes()).map(drop).unwrap_err();
        assert_eq!(matches!(refused, TxError::TooBig(_)), at == 0, "{refused}");
        assert!(matches!(world.ledger.submit(&signed), Err(LedgerError::Rejected(it)) if it == refused));
    }
    let contract = transfer(&world, 1);
    world.apply(0, contract).unwrap();
    world.seal(1);
    assert_eq!(open(&world.genesis, &world, store).unwrap().head(), world.ledger.head());
}

#[test]
fn a_block_of_a_time_that_could_not_be_read_again_is_not_made() {
    let store = SharedStore::default();
    let mut world = World::begin(2, Box::new(store.clone()), |_, _| {});
    let contract = transfer(&world, 1);
    world.apply(0, contract).unwrap();
    assert!(matches!(world.ledger.seal(TOO_LATE), Err(SealError::Time(TOO_LATE))));
    // The block is still open, and an account that it does not change is proved.
    let key = Key::Account(signer(9).address());
    assert!(world.ledger.prove(&key).unwrap().verify(&key, &signer(255).address(), &Schemes::default()));
    let contract = transfer(&world, 2);
    world.apply(0, contract).unwrap();
    let block = world.ledger.seal(Timestamp::new(TOO_LATE.get() - 1)).unwrap();
    assert_eq!(block.transactions.len(), 2);
    assert!(matches!(world.ledger.seal(Timestamp::new(0)), Err(SealError::Time(TOO_LATE))));
    assert_eq!(open(&world.genesis, &world, store).unwrap().head(), world.ledger.head());
    // Nor is a first one.
    let mut genesis = world.genesis.clone();
    genesis.time = TOO_LATE;
    assert!(matches!(open(&genesis, &world, SharedStore::default()), Err(OpenError::Time(TOO_LATE))));
}

/// A store whose disk may be full.
struct Full(SharedStore, Arc<AtomicBool>);

impl LedgerStore for Full {
    fn head(&mut self) -> Result<Option<Height>, StoreError> {
        self.0.head()
    }

    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError> {
        self.0.load(take)
    }

    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.block(number)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("full").into());
        }
        self.0.commit(batch)
    }
}

#[test]
fn while_a_block_cannot_be_written_nothing_wrong_is_proved_and_nothing_is_refused_for_good() {
    let full = Arc::<AtomicBool>::default();
    let mut world = World::begin(3, Box::new(Full(SharedStore::default(), full.clone())), |_, _| {});
    world.seal(1);
    let contract = transfer(&world, 5);
    world.apply(0, contract).unwrap();
    let contract = transfer(&world, 6);
    let later = world.sign(0, contract);
    full.store(true, Ordering::Relaxed);
    assert!(matches!(world.ledger.seal(Timestamp::new(0)), Err(SealError::Store(_))));
    let key = Key::Account(world.address(2));
    assert_eq!(world.ledger.prove(&key), None);
    assert!(matches!(world.ledger.submit(&later), Err(LedgerError::Unavailable(_))));
    full.store(false, Ordering::Relaxed);
    world.ledger.seal(Timestamp::new(0)).unwrap();
    world.ledger.submit(&later).unwrap();
    assert!(world.ledger.prove(&key).unwrap().verify(&key, &signer(255).address(), &Schemes::default()));
}

#[cfg(feature = "redb")]
#[test]
fn a_file_of_no_bytes_does_not_begin_a_second_story() {
    use unchoke_token::ledger::RedbLedgerStore;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    drop(RedbLedgerStore::open(&path).unwrap());
    drop(RedbLedgerStore::open(&path).unwrap());
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(RedbLedgerStore::open(&path), Err(StoreError::Damaged(_))));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

fn limited() -> PolicySigner {
    let mut limits = Limits::default();
    limits.assets.insert(AssetId::new(1_000_001), Limit::new(units(1), units(1)));
    limits.assets.insert(AssetId::NATIVE, Limit::new(units(10), units(15)));
    limits.channel = units(10);
    PolicySigner::new(Box::new(signer(1)), limits)
}

fn sign(policy: &PolicySigner, contract: impl Into<Contract>) -> Result<(), Refused> {
    let transaction = Transaction::new(contract, 0, &[0; 32], Timestamp::new(1), Timestamp::new(2));
    policy.sign(&Signable::Transaction(&transaction)).map(drop)
}

#[test]
fn a_policy_counts_both_sides_of_a_pair() {
    let policy = limited();
    let create = |first: &[u8], one, second: &[u8], other| ExchangeCreate {
        first_token_id: first.to_vec(),
        first_token_balance: one,
        second_token_id: second.to_vec(),
        second_token_balance: other,
        ..ExchangeCreate::default()
    };
    assert!(sign(&policy, create(b"1000001", 1, b"_", 11)).is_err());
    assert!(sign(&policy, create(b"_", 11, b"1000001", 1)).is_err());
    assert!(sign(&policy, create(b"1000001", 2, b"_", 1)).is_err());
    assert!(sign(&policy, create(b"_", 6, b"_", 6)).is_err());
    // Of what was refused nothing is counted.
    assert_eq!(policy.left(AssetId::NATIVE, Timestamp::new(1)), units(15));
    assert_eq!(sign(&policy, create(b"1000001", 1, b"_", 10)), Ok(()));
    assert_eq!(policy.left(AssetId::NATIVE, Timestamp::new(1)), units(5));
    assert_eq!(policy.left(AssetId::new(1_000_001), Timestamp::new(1)), Units::ZERO);
    // What more of one side takes of the other depends on the pair.
    let inject = ExchangeInject { token_id: b"_".to_vec(), quant: 1, ..ExchangeInject::default() };
    assert!(sign(&policy, inject).is_err());
}

#[test]
fn a_policy_holds_a_total_to_the_limit_of_a_channel() {
    let policy = limited();
    let close = |total| CloseStatement::new(ChannelId::new([1; 32]), units(total), Height::new(9));
    assert!(policy.sign(&Signable::Close(&close(11))).is_err());
    assert!(policy.sign(&Signable::Close(&close(10))).is_ok());
}
