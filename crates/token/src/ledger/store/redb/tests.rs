use super::*;
use crate::address::Address;
use crate::block::BlockId;
use crate::contract::{AssetIssue, Transfer};
use crate::ids::{AssetId, Timestamp};
use crate::ledger::store::contract;
use crate::ledger::{ChainParams, EmbeddedLedger, Genesis, Ledger as _, OpenError, TxError, VerifiedTransaction};
use crate::scheme::Schemes;
use crate::signer::{KeySigner, Signable, Signer as _};
use crate::transaction::{SignedTransaction, Transaction};
use crate::units::Units;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use unchoke_core::keys::SecretKey;
use unchoke_core::{Rng, Seed};

const START: u64 = 1_700_000_000_000;
const SUPPLY: u64 = 1_000_000;

fn signer(number: u8) -> KeySigner {
    KeySigner::new(SecretKey::from_seed(&Seed::new([number; 32])))
}

fn open(store: RedbLedgerStore) -> Result<EmbeddedLedger, OpenError> {
    let balances = vec![(signer(1).address(), Units::new(SUPPLY).unwrap())];
    let genesis = Genesis { time: Timestamp::new(START), balances, ..Genesis::default() };
    EmbeddedLedger::open(&genesis, ChainParams::embedded(), Schemes::default(), Box::new(signer(0)), Box::new(store))
}

/// A transaction of account 1 that depends on the number alone, as long as the ledger's first block does.
fn transaction(ledger: &EmbeddedLedger, number: u64) -> SignedTransaction {
    let payer = signer(1);
    let owner_address = payer.address().as_bytes().to_vec();
    let (made, lapses) = (Timestamp::new(START + number), Timestamp::new(START + 80_000_000));
    let contract = if number == 2 {
        AssetIssue {
            owner_address,
            name: b"A".to_vec(),
            total_supply: 77,
            trx_num: 1,
            num: 1,
            start_time: START as i64 + 1_000_000,
            end_time: START as i64 + 2_000_000,
            url: b"x".to_vec(),
            ..AssetIssue::default()
        }
        .into()
    } else {
        let to = Address::from_digest(&[number.to_le_bytes()[0]; 32]);
        crate::Contract::from(Transfer { owner_address, to_address: to.as_bytes().to_vec(), amount: 10 })
    };
    let transaction = Transaction::new(contract, 0, ledger.id().as_bytes(), made, lapses);
    let signature = payer.sign(&Signable::Transaction(&transaction)).unwrap();
    transaction.with_signatures(vec![signature])
}

fn apply(ledger: &mut EmbeddedLedger, number: u64) -> Result<(), TxError> {
    let signed = transaction(ledger, number);
    let verified = VerifiedTransaction::new(signed, ledger.schemes())?;
    ledger.apply(verified).map(drop)
}

fn seal(ledger: &mut EmbeddedLedger) -> Result<BlockId, crate::ledger::SealError> {
    let time = ledger.head().time.get() + 3000;
    ledger.seal(Timestamp::new(time)).map(|block| block.header.header.id())
}

fn check_supply(ledger: &EmbeddedLedger) {
    assert_eq!(ledger.supply(AssetId::NATIVE), u128::from(SUPPLY));
    assert!(ledger.assets().all(|(id, asset)| ledger.supply(id) == u128::from(asset.total_supply.get())));
}

#[test]
fn keeps_the_contract_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    contract::check(|| {
        number += 1;
        Box::new(RedbLedgerStore::open(folder.path().join(number.to_string())).unwrap())
    });
}

#[test]
fn a_ledger_goes_on_where_it_was_and_knows_its_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (head, id) = {
        let mut ledger = open(RedbLedgerStore::open(&path).unwrap()).unwrap();
        (1..4).for_each(|it| apply(&mut ledger, it).unwrap());
        seal(&mut ledger).unwrap();
        // What was not sealed is not there afterwards.
        apply(&mut ledger, 4).unwrap();
        assert!(matches!(RedbLedgerStore::open(&path), Err(StoreError::InUse)));
        (ledger.head(), ledger.id())
    };
    let mut ledger = open(RedbLedgerStore::open(&path).unwrap()).unwrap();
    assert_eq!((ledger.head(), ledger.id()), (head, id));
    check_supply(&ledger);
    for number in 1..4 {
        assert!(matches!(apply(&mut ledger, number), Err(TxError::Duplicate(_))));
    }
    apply(&mut ledger, 4).unwrap();
    seal(&mut ledger).unwrap();
    assert_eq!(ledger.head().number, Height::new(2));
    drop(ledger);
    let other = Box::new(RedbLedgerStore::open(&path).unwrap());
    let (genesis, params) = (Genesis::default(), ChainParams::embedded());
    let outcome = EmbeddedLedger::open(&genesis, params, Schemes::default(), Box::new(signer(9)), other);
    assert!(matches!(outcome, Err(OpenError::Operator(_))));
}

#[test]
fn a_file_that_is_no_ledger_is_told_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    std::fs::write(&path, [7; 10_000]).unwrap();
    assert!(matches!(RedbLedgerStore::open(&path), Err(StoreError::Damaged(_))));
    assert!(matches!(RedbLedgerStore::open(folder.path()), Err(StoreError::Io(_))));
    let newer = folder.path().join("newer");
    drop(RedbLedgerStore::open(&newer).unwrap());
    let database = Database::create(&newer).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("version", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(RedbLedgerStore::open(&newer), Err(StoreError::Version(2))));
}

#[test]
fn a_record_that_was_changed_behind_its_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    drop(open(RedbLedgerStore::open(&path).unwrap()).unwrap());
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let key = Key::Account(signer(1).address()).to_bytes();
    // One unit more.
    write.open_table(RECORDS).unwrap().insert(&key[..], &[8, 0xc1, 0x84, 0x3d][..]).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(open(RedbLedgerStore::open(&path).unwrap()), Err(OpenError::StateRoot(_))));
}

/// A disk that fails from some operation on. It keeps what was synced, and of the rest what the crash leaves.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
    done: usize,
    /// The first operation that fails, and how many do.
    fails: (usize, usize),
}

#[derive(Clone, Debug)]
enum Change {
    Len(usize),
    Write(usize, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    All,
    Nothing,
    /// Of each change a coin decides.
    Coin(u8),
}

impl Disk {
    fn new(fails: (usize, usize)) -> Self {
        let inner = Inner { now: Vec::new(), synced: Vec::new(), unsynced: Vec::new(), done: 0, fails };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn store(&self) -> Result<RedbLedgerStore, StoreError> {
        let disk = self.clone();
        RedbLedgerStore::with(Box::new(move |builder| builder.create_with_backend(disk.clone())))
    }

    /// The disk as it is found after a crash; it works again.
    fn after(&self, crash: Crash) -> Self {
        let inner = self.0.lock().unwrap();
        let mut rng: Option<Rng> = None;
        let mut found = inner.synced.clone();
        for change in &inner.unsynced {
            let stays = match crash {
                Crash::All => false,
                Crash::Nothing => true,
                Crash::Coin(seed) => rng.get_or_insert_with(|| Seed::new([seed; 32]).rng()).below(2) == 0,
            };
            if stays {
                change.apply(&mut found);
            }
        }
        let disk = Self::new((usize::MAX, 0));
        disk.0.lock().unwrap().now.clone_from(&found);
        disk.0.lock().unwrap().synced = found;
        disk
    }

    fn operations(&self) -> usize {
        self.0.lock().unwrap().done
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.step()?;
        change.apply(&mut inner.now);
        inner.unsynced.push(change);
        Ok(())
    }
}

impl Inner {
    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        let (first, count) = self.fails;
        let fails = self.done >= first && self.done - first < count;
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Len(len) => bytes.resize(*len, 0),
            Self::Write(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock().unwrap();
        let from = offset as usize;
        let found = inner.now.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Len(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.step()?;
        inner.synced = inner.now.clone();
        inner.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, data.to_vec()))
    }
}

/// Three blocks on a disk, until it fails. Returns the ids of those that were sealed, the first one with them.
fn run(disk: &Disk) -> Vec<BlockId> {
    let Ok(store) = disk.store() else { return Vec::new() };
    let Ok(mut ledger) = open(store) else { return Vec::new() };
    let mut sealed = vec![ledger.head_id()];
    for number in 1..4 {
        apply(&mut ledger, number).unwrap();
        match seal(&mut ledger) {
            Ok(id) => sealed.push(id),
            Err(_) => {
                assert_eq!(apply(&mut ledger, 50), Err(TxError::ReadOnly));
                break;
            }
        }
    }
    sealed
}

#[test]
fn after_a_crash_at_any_operation_every_sealed_block_is_there_and_no_part_of_another() {
    let whole = Disk::new((usize::MAX, 0));
    let expected = run(&whole);
    assert_eq!(expected.len(), 4);
    let mut heads = BTreeMap::new();
    for first in 1..=whole.operations() {
        let disk = Disk::new((first, usize::MAX));
        let sealed = run(&disk);
        assert_eq!(sealed[..], expected[..sealed.len()]);
        for crash in [Crash::All, Crash::Nothing, Crash::Coin(1), Crash::Coin(2)] {
            let found = disk.after(crash);
            let opened = found.store().map_err(OpenError::from).and_then(open);
            // Before the first block is sealed there is nothing to lose: the file may as well be deleted.
            let mut ledger = match opened {
                Ok(ledger) => ledger,
                Err(error) => {
                    assert!(sealed.is_empty(), "{first} {crash:?}: {error}");
                    continue;
                }
            };
            let head = ledger.head().number.get() as usize;
            assert!(head + 1 == sealed.len().max(1) || head == sealed.len(), "{first} {crash:?}: {head}");
            assert_eq!(ledger.head_id(), expected[head]);
            *heads.entry(head + 1 - sealed.len().max(1)).or_insert(0) += 1;
            check_supply(&ledger);
            for number in 1..4 {
                let outcome = apply(&mut ledger, number);
                let is_known = number as usize <= head;
                assert_eq!(matches!(outcome, Err(TxError::Duplicate(_))), is_known, "{first} {crash:?}: {outcome:?}");
            }
            seal(&mut ledger).unwrap();
            check_supply(&ledger);
            drop(ledger);
            assert_eq!(open(found.store().unwrap()).unwrap().head().number.get() as usize, head + 1);
        }
    }
    // Both happen: a block whose commit failed is lost, and is there.
    assert!(heads.len() == 2 && heads.values().all(|it| *it > 0), "{heads:?}");
}

#[test]
fn a_seal_that_failed_is_tried_again_once_the_disk_works() {
    let whole = Disk::new((usize::MAX, 0));
    let expected = run(&whole);
    let mut failures = 0;
    for first in 1..=whole.operations() {
        for count in [1, 5] {
            let disk = Disk::new((first, count));
            let Some(mut ledger) = disk.store().ok().and_then(|store| open(store).ok()) else { continue };
            for number in 1..4 {
                apply(&mut ledger, number).unwrap();
                let sealed = (0..20).find_map(|_| {
                    let outcome = seal(&mut ledger);
                    failures += usize::from(outcome.is_err());
                    outcome.ok()
                });
                assert_eq!(sealed, Some(expected[number as usize]), "{first} {count}");
            }
            drop(ledger);
            let mut ledger = open(disk.after(Crash::All).store().unwrap()).unwrap();
            assert_eq!(ledger.head_id(), expected[3]);
            assert!(matches!(apply(&mut ledger, 3), Err(TxError::Duplicate(_))));
            check_supply(&ledger);
        }
    }
    assert!(failures > 10);
}
