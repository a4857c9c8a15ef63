//! What every store of a log must do, as a test that anybody can run on a store of their own.

use super::{ChannelStore, StoreError};
use crate::channel::gate::Durable;
use crate::ids::UpdateId;

/// Runs stores through the contract. `open` gives an empty one at each call.
///
/// # Panics
/// If a store breaks the contract; the message says how.
pub fn check<S: ChannelStore>(mut open: impl FnMut() -> S) {
    what_is_synced_is_read(&mut open());
    records_come_in_their_order(&mut open());
    a_snapshot_takes_the_place_of_what_was_before(&mut open());
}

fn what_is_synced_is_read(store: &mut dyn ChannelStore) {
    assert!(store.load().is_ok_and(|log| log == Default::default()), "an empty store has an empty log");
    assert!(store.sync().is_ok_and(|it| it == Durable::default()), "an empty log is durable");
    for number in 1..=50_u64 {
        let record = vec![7; usize::try_from(number % 7).unwrap_or(0)];
        assert!(store.append(UpdateId::new(number), &record).is_ok(), "records are taken");
        if number % 10 == 0 {
            let durable = store.sync();
            assert!(durable.is_ok_and(|it| it.last() == UpdateId::new(number)), "all that was appended is durable");
        }
    }
    let log = store.load().unwrap_or_default();
    assert_eq!((log.last(), log.damage), (UpdateId::new(50), None), "what was synced is there");
    let mut records = log.records.iter().zip(1_u64..);
    assert!(
        records.all(|((id, record), number)| id.get() == number && record.len() as u64 == number % 7),
        "records are as they were"
    );
}

fn records_come_in_their_order(store: &mut dyn ChannelStore) {
    for wrong in [0, 2] {
        let outcome = store.append(UpdateId::new(wrong), b"early");
        assert!(matches!(outcome, Err(StoreError::Order { .. })), "a record has the number after the last one");
    }
    assert!(store.append(UpdateId::new(1), b"first").is_ok(), "the first record has the number 1");
    let long = vec![0; crate::channel::log::MAX_RECORD.saturating_add(1)];
    assert!(matches!(store.append(UpdateId::new(2), &long), Err(StoreError::TooLong(_))), "length is limited");
    assert!(store.append(UpdateId::new(2), b"second").is_ok(), "what was refused was not added");
}

fn a_snapshot_takes_the_place_of_what_was_before(store: &mut dyn ChannelStore) {
    for number in 1..=3 {
        assert!(store.append(UpdateId::new(number), b"old").is_ok(), "records are taken");
    }
    let durable = store.replace(&[b"a".to_vec(), b"b".to_vec()]);
    assert!(durable.is_ok_and(|it| it.last() == UpdateId::new(3)), "a snapshot is durable at once");
    assert!(store.append(UpdateId::new(4), b"new").is_ok(), "numbers go on after a snapshot");
    assert!(store.sync().is_ok(), "a log with a snapshot can be synced");
    for _ in 0..2 {
        let log = store.load().unwrap_or_default();
        assert_eq!(
            (log.snapshot, log.at),
            (vec![b"a".to_vec(), b"b".to_vec()], UpdateId::new(3)),
            "the snapshot is there"
        );
        assert_eq!(log.records, [(UpdateId::new(4), b"new".to_vec())], "and what came after it");
    }
    assert!(store.replace(&[]).is_ok_and(|it| it.last() == UpdateId::new(4)), "a snapshot may be empty");
    assert!(store.load().is_ok_and(|log| log.last() == UpdateId::new(4)), "and still counts");
}
