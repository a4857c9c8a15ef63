//! Following an operator block by block.

use crate::world::{SharedStore, World, signer, units};
use std::io;
use std::sync::{Arc, Mutex};
use unchoke_token::block::{BlockError, Equivocation, tx_root};
use unchoke_token::contract::Transfer;
use unchoke_token::ledger::{
    Batch, ChainParams, Cursor, FollowError, Follower, Key, Ledger as _, LedgerError, LedgerStore, MemoryLedgerStore,
    OpenError, StoreError, TakeRecord, TxError,
};
use unchoke_token::{AssetId, Block, BlockHeader, BlockId, Height, Schemes, Signable, SignedHeader, Signer as _};
use unchoke_token::{LedgerId, Timestamp};

/// A block with one transfer, then an empty one, then one with two.
fn world() -> (World, Vec<Block>) {
    let mut world = World::new(3, |_| {});
    for transfers in [1, 0, 2] {
        for amount in 1..=transfers {
            pay(&mut world, amount);
        }
        world.seal(1);
    }
    let blocks = (1..=3).map(|number| world.ledger.block(Height::new(number)).unwrap().unwrap()).collect();
    (world, blocks)
}

fn pay(world: &mut World, amount: i64) {
    let transfer = Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount };
    world.apply(0, transfer).unwrap();
}

/// The header with a change, signed by the operator.
fn resigned(header: &SignedHeader, change: impl FnOnce(&mut BlockHeader)) -> SignedHeader {
    let mut header = header.header;
    change(&mut header);
    let signature = signer(255).sign(&Signable::Block(&header)).unwrap();
    SignedHeader::new(header, signature)
}

/// A follower that has seen nothing of the operator but the beginning.
fn follower(world: &mut World) -> Follower {
    world.follower(Box::new(MemoryLedgerStore::default()))
}

#[test]
fn a_follower_comes_to_the_same_and_reads_as_the_ledger_does() {
    let (mut world, blocks) = world();
    let mut follower = follower(&mut world);
    for block in &blocks {
        follower.follow(block).unwrap();
        follower.follow(block).unwrap();
    }
    assert_eq!(follower.head(), world.ledger.head());
    assert_eq!(follower.balance(&world.address(1), AssetId::NATIVE).unwrap(), units(1_000_004));
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    world.ledger.events(Cursor::default(), &mut theirs).unwrap();
    follower.events(Cursor::default(), &mut own).unwrap();
    assert_eq!(own, theirs);
    let key = Key::Account(world.address(1));
    assert_eq!(follower.prove(&key), world.ledger.prove(&key));
    // It does not need what the operator says of the outcome.
    let mut second = world.follower(Box::new(MemoryLedgerStore::default()));
    for block in &blocks {
        second.follow(&Block::new(block.header.clone(), block.transactions.clone())).unwrap();
        assert_eq!(second.block(block.header.header.number).unwrap().as_ref(), Some(block));
    }
    let transfer = Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount: 1 };
    let signed = world.sign(0, transfer);
    assert!(matches!(follower.submit(&signed), Err(LedgerError::Rejected(TxError::Unsupported(_)))));
}

#[test]
fn what_the_operator_signs_counts_only_if_it_follows() {
    let (mut world, blocks) = world();
    let right = &blocks[2];
    let mut refuse = |header: SignedHeader, transactions: &[_]| {
        let mut fresh = world.follower(Box::new(MemoryLedgerStore::default()));
        fresh.follow(&blocks[0]).unwrap();
        fresh.follow(&blocks[1]).unwrap();
        let before = fresh.prove(&Key::Account(signer(0).address()));
        let error = fresh.follow(&Block::new(header, transactions.to_vec())).unwrap_err();
        assert_eq!(fresh.head(), blocks[1].header.header);
        assert_eq!(fresh.prove(&Key::Account(signer(0).address())), before);
        // The right one is taken after it; if both are signed, that comes out.
        match fresh.follow(right) {
            Err(FollowError::Equivocation(_)) => fresh.follow(right).unwrap(),
            outcome => outcome.unwrap(),
        }
        assert_eq!(fresh.head(), right.header.header);
        error
    };
    let (header, all) = (&right.header, &right.transactions[..]);
    let third = Height::new(3);
    let error = refuse(resigned(header, |it| it.parent = BlockId::NONE), all);
    assert!(matches!(error, FollowError::Block(BlockError::Parent(at)) if at == third));
    let error = refuse(resigned(header, |it| it.time = blocks[1].header.header.time), all);
    assert!(matches!(error, FollowError::Block(BlockError::Time(at)) if at == third));
    let error = refuse(resigned(header, |it| it.number = Height::new(4)), all);
    assert!(matches!(error, FollowError::Number { expected, .. } if expected == third));
    let error = refuse(resigned(header, |it| it.ledger = Some(LedgerId::new([1; 32]))), all);
    assert!(matches!(error, FollowError::Block(BlockError::Parent(at)) if at == third));
    let error = refuse(resigned(header, |it| it.operator = signer(1).address()), all);
    assert!(matches!(error, FollowError::Block(BlockError::Signature(at)) if at == third));
    let error = refuse(resigned(header, |it| it.state_root[31] ^= 1), all);
    assert!(matches!(error, FollowError::StateRoot(at) if at == third));
    let error = refuse(header.clone(), &all[..1]);
    assert!(matches!(error, FollowError::Block(BlockError::Transactions(at)) if at == third));
    let error = refuse(resigned(header, |it| it.tx_root = tx_root(&all[..1])), &all[..1]);
    assert!(matches!(error, FollowError::StateRoot(_)));
    let twice = [all[0].clone(), all[0].clone()];
    let error = refuse(resigned(header, |it| it.tx_root = tx_root(&twice)), &twice);
    assert!(matches!(error, FollowError::Transaction { at: 1, error: TxError::Duplicate(_) }));
    let unsigned = [all[0].transaction().clone().with_signatures(Vec::new())];
    let error = refuse(resigned(header, |it| it.tx_root = tx_root(&unsigned)), &unsigned);
    assert!(matches!(error, FollowError::Transaction { at: 0, error: TxError::Signature(_) }));
}

#[test]
fn two_signed_headers_of_one_height_are_a_proof_wherever_they_come_from() {
    let (mut world, blocks) = world();
    let mut follower = follower(&mut world);
    let other = |at: usize, time| resigned(&blocks[at].header, |it| it.time = Timestamp::new(time));
    // Of a block that is here, and of one that is to come.
    follower.follow(&blocks[0]).unwrap();
    assert_eq!(follower.compare(&blocks[0].header).unwrap(), None);
    let proof = follower.compare(&other(0, 1)).unwrap().unwrap();
    let Equivocation { first, second, .. } = &proof;
    assert_eq!((first, second), (&blocks[0].header, &other(0, 1)));
    assert!(Equivocation::prove(first.clone(), second.clone(), &Schemes::default()).is_some());
    assert!(matches!(
        follower.follow(&Block::new(other(0, 1), Vec::new())),
        Err(FollowError::Equivocation(it)) if *it == proof
    ));
    assert_eq!(follower.compare(&other(1, 2)).unwrap(), None);
    assert!(matches!(
        follower.follow(&blocks[1]),
        Err(FollowError::Equivocation(it)) if it.first == other(1, 2) && it.second == blocks[1].header
    ));
    follower.follow(&blocks[1]).unwrap();
    // What the operator has not signed, or of another ledger, proves nothing.
    let mut forged = other(0, 1);
    forged.signature = signer(1).sign(&Signable::Block(&forged.header)).unwrap();
    assert_eq!(follower.compare(&forged).unwrap(), None);
    let elsewhere = resigned(&blocks[0].header, |it| it.ledger = Some(LedgerId::new([1; 32])));
    assert_eq!(follower.compare(&elsewhere).unwrap(), None);
    assert_eq!(Equivocation::prove(blocks[0].header.clone(), elsewhere, &Schemes::default()), None);
    let mut second = World::new(2, |_| {});
    let begins = [&mut world, &mut second].map(|it| it.ledger.block(Height::new(0)).unwrap().unwrap().header);
    let [first, second] = begins;
    assert_eq!(Equivocation::prove(first, second, &Schemes::default()), None);
    // Headers from far ahead are not kept.
    for number in 3..1000 {
        follower.compare(&resigned(&blocks[2].header, |it| it.number = Height::new(number))).unwrap();
    }
    let far = |time| resigned(&blocks[2].header, |it| (it.number, it.time) = (Height::new(999), Timestamp::new(time)));
    assert_eq!(follower.compare(&far(1)).unwrap(), None);
    assert_eq!(follower.compare(&far(2)).unwrap(), None);
}

/// A store that fails while it is told to, before or after it has written.
#[derive(Clone, Default)]
struct Flaky {
    inner: SharedStore,
    fault: Arc<Mutex<Option<Fault>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Before,
    After,
}

impl LedgerStore for Flaky {
    fn head(&mut self) -> Result<Option<Height>, StoreError> {
        self.inner.head()
    }

    fn load(&mut self, take: &mut TakeRecord<'_>) -> Result<(), StoreError> {
        self.inner.load(take)
    }

    fn block(&mut self, number: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.block(number)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let fault = *self.fault.lock().unwrap();
        if fault != Some(Fault::Before) {
            self.inner.commit(batch)?;
        }
        fault.map_or(Ok(()), |_| Err(io::Error::other("no space").into()))
    }
}

#[test]
fn a_block_that_cannot_be_written_is_written_later_and_what_is_written_is_opened_again() {
    for fault in [Fault::Before, Fault::After] {
        let (mut world, blocks) = world();
        let store = Flaky::default();
        let mut follower = world.follower(Box::new(store.clone()));
        follower.follow(&blocks[0]).unwrap();
        *store.fault.lock().unwrap() = Some(fault);
        for _ in 0..2 {
            assert!(matches!(follower.follow(&blocks[1]), Err(FollowError::Store(StoreError::Io(_)))));
        }
        let opened = world.follower(Box::new(store.clone()));
        let written = if fault == Fault::Before { 1 } else { 2 };
        assert_eq!(opened.head().number, Height::new(written));
        *store.fault.lock().unwrap() = None;
        follower.follow(&blocks[1]).unwrap();
        follower.follow(&blocks[2]).unwrap();
        let mut opened = world.follower(Box::new(store.clone()));
        assert_eq!(opened.head(), world.ledger.head());
        // It remembers which transactions were there.
        pay(&mut world, 9);
        world.seal(1);
        opened.follow(&world.ledger.block(Height::new(4)).unwrap().unwrap()).unwrap();
    }
}

#[test]
fn a_follower_begins_with_the_ledger_that_it_was_told_of() {
    let (mut world, blocks) = world();
    let first = world.ledger.block(Height::new(0)).unwrap().unwrap();
    let open = |id, genesis: &_, first: &_, store: MemoryLedgerStore| {
        Follower::open(id, genesis, first, ChainParams::embedded(), Schemes::default(), Box::new(store)).map(drop)
    };
    let (id, genesis) = (world.ledger.id(), &world.genesis);
    assert!(open(id, genesis, &first, MemoryLedgerStore::default()).is_ok());
    let other = LedgerId::new([1; 32]);
    let error = open(other, genesis, &first, MemoryLedgerStore::default());
    assert!(matches!(error, Err(OpenError::OtherLedger(it)) if it == id));
    assert!(matches!(open(id, genesis, &blocks[0], MemoryLedgerStore::default()), Err(OpenError::First)));
    let mut richer = genesis.clone();
    richer.balances[0].1 = units(2_000_000);
    assert!(matches!(open(id, &richer, &first, MemoryLedgerStore::default()), Err(OpenError::First)));
    let mut unsigned = first.clone();
    unsigned.header.signature[40] ^= 1;
    assert!(matches!(open(id, genesis, &unsigned, MemoryLedgerStore::default()), Err(OpenError::First)));
}
