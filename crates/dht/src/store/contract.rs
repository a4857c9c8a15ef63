//! What every [`RecordStore`] has to keep to, as a test that anybody can run on an implementation.

use super::{PeersWanted, PutError, RecordStore};
use crate::id::Id;
use crate::item::Item;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use unchoke_core::keys::SecretKey;
use unchoke_core::{Rng, Seed};

const ALL: PeersWanted = PeersWanted { v6: false, no_seed: false, count: 1000 };

/// Runs the test on stores that `make` makes for a node of the id that it gets.
///
/// # Panics
/// If the store does not keep to the contract.
pub fn check(mut make: impl FnMut(Id) -> Box<dyn RecordStore>, now: Instant) {
    let own = Id::new([0x55; 20]);
    let mut rng = Seed::new([1; 32]).rng();
    peers_come_back(&mut *make(own), now, &mut rng);
    families_and_seeds_are_told_apart(&mut *make(own), now, &mut rng);
    peers_of_a_torrent_are_bounded(&mut *make(own), now, &mut rng);
    items_follow_the_rules_of_bep_44(&mut *make(own), now);
    records_expire(&mut *make(own), now, &mut rng);
    a_sample_is_of_what_is_there(&mut *make(own), now, &mut rng);
    torrents_are_bounded(&mut *make(own), now, &mut rng);
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

/// A sequence number, a value, what is expected to be there, what comes of it, and what is there afterwards.
type Step = (i64, &'static [u8], Option<i64>, Result<(), PutError>, i64);

fn peer(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::new(IpAddr::from([40, a, b, c]), 6881)
}

fn peers(store: &mut dyn RecordStore, now: Instant, id: Id, wanted: PeersWanted, rng: &mut Rng) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    store.peers(now, id, wanted, rng, &mut found);
    found.sort_unstable();
    found
}

fn peers_come_back(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    let id = Id::new([1; 20]);
    assert!(peers(store, now, id, ALL, rng).is_empty(), "a new store is empty");
    assert!(store.has_room_for(id), "a new store has room");
    for number in [1, 2, 1] {
        assert_eq!(store.announce_peer(now, id, peer(number), false), Ok(()), "a new store has room");
    }
    assert_eq!(
        peers(store, now, id, ALL, rng),
        [peer(1), peer(2)],
        "a peer is there once, however often it was announced"
    );
    assert_eq!(peers(store, now, id, PeersWanted { count: 1, ..ALL }, rng).len(), 1, "no more than wanted");
    assert!(peers(store, now, Id::new([2; 20]), ALL, rng).is_empty(), "another torrent has other peers");
}

fn families_and_seeds_are_told_apart(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    let id = Id::new([1; 20]);
    let six = SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), 1);
    for (address, seed) in [(peer(1), true), (peer(2), false), (six, false)] {
        assert_eq!(store.announce_peer(now, id, address, seed), Ok(()), "a new store has room");
    }
    assert_eq!(peers(store, now, id, ALL, rng), [peer(1), peer(2)], "IPv4");
    assert_eq!(peers(store, now, id, PeersWanted { v6: true, ..ALL }, rng), [six], "IPv6");
    assert_eq!(peers(store, now, id, PeersWanted { no_seed: true, ..ALL }, rng), [peer(2)], "no seeds");
    let scrape = store.scrape(now, id);
    let counts = (scrape.seeds.estimate().round(), scrape.downloaders.estimate().round());
    assert!(counts == (1.0, 2.0), "the scrape counts one seed and two others: {counts:?}");
}

fn peers_of_a_torrent_are_bounded(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    let id = Id::new([1; 20]);
    for port in 1..1000 {
        let _ = store.announce_peer(now, id, SocketAddr::new(peer(1).ip(), port), false);
    }
    assert!(peers(store, now, id, ALL, rng).len() <= 16, "one address cannot be most of the peers");
    for number in 0..5000 {
        let later = later(now, Duration::from_millis(number.into()));
        let _ = store.announce_peer(later, id, peer(number), false);
    }
    assert!(store.usage().peers < 4000, "the peers of a torrent are bounded");
    assert!(peers(store, now, id, ALL, rng).contains(&peer(4999)), "the latest is there");
}

fn items_follow_the_rules_of_bep_44(store: &mut dyn RecordStore, now: Instant) {
    let source = peer(1).ip();
    let (Ok(plain), key) = (Item::immutable(b"5:hello"), SecretKey::from_bytes(&[7; 32])) else {
        unreachable!("a short string is a value")
    };
    assert_eq!(store.put(now, &plain, None, source), Ok(()), "there is room");
    assert_eq!(store.get(now, plain.target()).as_ref(), Some(&plain), "an item comes back");
    let version = |seq: i64, value: &[u8]| match Item::sign(&key, b"salt", seq, value) {
        Ok(item) => item,
        Err(error) => unreachable!("the value is short: {error}"),
    };
    let steps: [Step; 7] = [
        (5, b"i1e", None, Ok(()), 5),
        (5, b"i1e", None, Ok(()), 5),
        (5, b"i2e", None, Err(PutError::SeqTooLow(5)), 5),
        (4, b"i2e", None, Err(PutError::SeqTooLow(5)), 5),
        (6, b"i2e", Some(4), Err(PutError::CasMismatch(5)), 5),
        (6, b"i2e", Some(5), Ok(()), 6),
        (i64::MAX, b"i3e", None, Ok(()), i64::MAX),
    ];
    for (seq, value, cas, outcome, stored) in steps {
        let item = version(seq, value);
        assert_eq!(store.put(now, &item, cas, source), outcome, "sequence number {seq}, cas {cas:?}");
        assert_eq!(store.get(now, item.target()).and_then(|item| item.seq()), Some(stored), "after {seq}");
    }
    assert_eq!(store.get(now, Id::new([9; 20])), None, "nothing was stored there");
}

fn records_expire(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    let id = Id::new([1; 20]);
    let Ok(item) = Item::immutable(b"i1e") else { unreachable!("a number is a value") };
    let _ = (store.announce_peer(now, id, peer(1), false), store.put(now, &item, None, peer(1).ip()));
    let later = later(now, Duration::from_secs(25 * 60));
    store.expire(later);
    assert_eq!(peers(store, later, id, ALL, rng), [peer(1)], "a peer that announces itself each half hour stays");
    assert!(store.get(later, item.target()).is_some(), "so does an item that is put each hour");
    let late = self::later(now, Duration::from_secs(25 * 60 * 60));
    assert!(
        peers(store, late, id, ALL, rng).is_empty() && store.get(late, item.target()).is_none(),
        "a day later they are gone"
    );
    store.expire(late);
    let usage = store.usage();
    assert_eq!((usage.torrents, usage.peers, usage.items), (0, 0, 0), "and so is their memory");
}

fn a_sample_is_of_what_is_there(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    let ids: Vec<Id> = (0..50).map(|number| Id::new([number; 20])).collect();
    for (number, id) in (0..).zip(&ids) {
        let _ = store.announce_peer(now, *id, peer(number), false);
    }
    let (mut one, mut other) = (Vec::new(), Vec::new());
    store.sample(now, 0, rng, &mut one);
    let info = store.sample(now, 20, rng, &mut one);
    assert_eq!((info.total, one.len()), (50, 20), "all are counted, and as many told as wanted");
    assert!(one.iter().all(|id| ids.contains(id)), "they are what was announced");
    store.sample(later(now, Duration::from_secs(1)), 20, rng, &mut other);
    assert_eq!(one, other, "it stays the same for a while");
    other.clear();
    store.sample(later(now, Duration::from_secs(2)), 5, rng, &mut other);
    assert_eq!(
        one.iter().take(5).collect::<Vec<_>>(),
        other.iter().collect::<Vec<_>>(),
        "whoever asks for fewer gets fewer of the same"
    );
    assert!(info.interval <= 6 * 60 * 60, "BEP 51 allows six hours");
}

fn torrents_are_bounded(store: &mut dyn RecordStore, now: Instant, rng: &mut Rng) {
    for number in 0..100_000 {
        let _ = store.announce_peer(now, Id::random(rng), peer(number), false);
    }
    assert!(store.usage().torrents < 50_000, "torrents are bounded");
}
