//! What every [`LedgerStore`] has to keep to, as a test that anybody can run on an implementation.

use super::{Batch, LedgerStore, StoreError};
use crate::ids::{AssetId, Height};
use crate::ledger::state::Key;
use std::collections::BTreeMap;

/// Runs the test on stores that `make` makes, each an empty one.
///
/// That what was committed outlasts the process is not tested here: only who has made the store can open it again.
///
/// # Panics
/// If the store does not keep to the contract.
pub fn check(mut make: impl FnMut() -> Box<dyn LedgerStore>) {
    a_new_store_is_empty(&mut *make());
    blocks_and_records_come_back(&mut *make());
    the_last_block_may_be_committed_again(&mut *make());
    a_block_out_of_order_changes_nothing(&mut *make());
    what_takes_the_records_may_stop(&mut *make());
    large_blocks_and_records_fit(&mut *make());
}

fn key(number: u64) -> Key {
    Key::Asset(AssetId::new(number))
}

fn batch(number: u64, records: &[(u64, Option<&[u8]>)]) -> Batch {
    let mut batch = Batch::new(Height::new(number), vec![number.to_le_bytes()[0]; 3]);
    batch.records = records.iter().map(|(number, value)| (key(*number), value.map(<[u8]>::to_vec))).collect();
    batch
}

fn commit(store: &mut dyn LedgerStore, batch: &Batch) {
    let outcome = store.commit(batch);
    assert!(outcome.is_ok(), "a block that follows is taken: {outcome:?}");
}

fn records(store: &mut dyn LedgerStore) -> BTreeMap<Key, Vec<u8>> {
    let mut all = BTreeMap::new();
    let outcome = store.load(&mut |key, value| {
        assert!(all.insert(key, value.to_vec()).is_none(), "each record comes once");
        Ok(())
    });
    assert!(outcome.is_ok(), "records are read: {outcome:?}");
    all
}

fn head(store: &mut dyn LedgerStore) -> Option<u64> {
    let head = store.head();
    assert!(head.is_ok(), "the head is read: {head:?}");
    head.ok().flatten().map(Height::get)
}

fn block(store: &mut dyn LedgerStore, number: u64) -> Option<Vec<u8>> {
    let block = store.block(Height::new(number));
    assert!(block.is_ok(), "blocks are read: {block:?}");
    block.ok().flatten()
}

fn a_new_store_is_empty(store: &mut dyn LedgerStore) {
    assert_eq!(head(store), None, "a new store has no block");
    assert!(records(store).is_empty(), "a new store has no records");
    assert_eq!(block(store, 0), None, "a new store has no first block");
}

fn blocks_and_records_come_back(store: &mut dyn LedgerStore) {
    commit(store, &batch(0, &[(1, Some(b"a")), (2, Some(b"b")), (3, Some(b""))]));
    assert_eq!(head(store), Some(0), "the first block has the number 0");
    commit(store, &batch(1, &[(1, None), (2, Some(b"c")), (4, None)]));
    assert_eq!(head(store), Some(1), "the head is the last block");
    assert_eq!((block(store, 0), block(store, 1), block(store, 2)), (Some(vec![0; 3]), Some(vec![1; 3]), None));
    let expected = BTreeMap::from([(key(2), b"c".to_vec()), (key(3), Vec::new())]);
    assert_eq!(records(store), expected, "records are set and removed, and others stay");
    let mut all = batch(2, &[]);
    let address = crate::address::Address::from_digest(&[7; 32]);
    let channel = crate::ids::ChannelId::new([8; 32]);
    let keys = [
        Key::Totals,
        Key::Account(address),
        Key::Exchange(2),
        Key::Vault(address, AssetId::new(2)),
        Key::Channel(channel),
    ];
    all.records = keys.map(|key| (key, Some(vec![1]))).to_vec();
    commit(store, &all);
    assert_eq!(records(store).len(), 7, "keys of other kinds are other keys");
}

fn the_last_block_may_be_committed_again(store: &mut dyn LedgerStore) {
    commit(store, &batch(0, &[(1, Some(b"a"))]));
    for _ in 0..2 {
        commit(store, &batch(1, &[(1, Some(b"b"))]));
        assert_eq!(head(store), Some(1), "it is there once");
    }
    let mut other = batch(1, &[(2, Some(b"c"))]);
    other.block = b"other".to_vec();
    commit(store, &other);
    assert_eq!(block(store, 1).as_deref(), Some(&b"other"[..]), "the later commit counts");
    assert_eq!(records(store).len(), 2, "records of both are set");
}

fn a_block_out_of_order_changes_nothing(store: &mut dyn LedgerStore) {
    for (there, number) in [(0, 1), (1, 2), (3, 1), (3, 5), (3, u64::MAX)] {
        while head(store).map_or(0, |it| it.saturating_add(1)) < there {
            let next = head(store).map_or(0, |it| it.saturating_add(1));
            commit(store, &batch(next, &[(1, Some(b"a"))]));
        }
        let outcome = store.commit(&batch(number, &[(1, Some(b"x"))]));
        assert!(matches!(outcome, Err(StoreError::Order(at)) if at.get() == number), "{outcome:?}");
        assert!(!records(store).values().any(|it| it == b"x"), "records of a refused block are not set");
        assert_eq!(head(store).map_or(0, |it| it.saturating_add(1)), there, "the head stays");
    }
}

fn what_takes_the_records_may_stop(store: &mut dyn LedgerStore) {
    commit(store, &batch(0, &[(1, Some(b"a")), (2, Some(b"b"))]));
    let mut taken = 0_u8;
    let outcome = store.load(&mut |_, _| {
        taken = taken.saturating_add(1);
        Err(StoreError::Corrupt("told to stop"))
    });
    assert!(matches!(outcome, Err(StoreError::Corrupt("told to stop"))), "its error comes back: {outcome:?}");
    assert_eq!(taken, 1, "it is not called again");
}

fn large_blocks_and_records_fit(store: &mut dyn LedgerStore) {
    let mut large = Batch::new(Height::new(0), vec![5; 4 << 20]);
    large.records = vec![(key(1), Some(vec![6; 1 << 20]))];
    commit(store, &large);
    assert_eq!(block(store, 0).map(|it| it.len()), Some(4 << 20), "a block of four MiB");
    assert_eq!(records(store).values().map(Vec::len).max(), Some(1 << 20), "a record of one MiB");
}
