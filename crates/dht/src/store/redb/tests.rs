use super::*;
use crate::config::Config;
use crate::node::Node;
use crate::store::contract;
use std::path::PathBuf;
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;

const UNIX: Duration = Duration::from_secs(1_800_000_000);
const ALL: PeersWanted = PeersWanted { v6: false, no_seed: false, count: 1000 };

fn peers(store: &mut RedbStore, now: Instant, id: Id) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    store.peers(now, id, ALL, &mut Seed::new([1; 32]).rng(), &mut found);
    found.sort_unstable();
    found
}

fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([20, 0, 0, number], 6881))
}

/// A folder, and the path of a file in it.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    (folder, path)
}

#[test]
fn keeps_the_contract_on_disk() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut number = 0;
    contract::check(
        |own| {
            number += 1;
            let path = folder.path().join(number.to_string());
            let mut store = RedbStore::open(path, StoreLimits::default(), now, UNIX).unwrap();
            store.handle_id(own);
            Box::new(store)
        },
        now,
    );
}

#[test]
fn records_outlast_the_process_and_go_on_to_age() {
    let ((_folder, path), now) = (file(), Instant::now());
    let id = Id::new([1; 20]);
    let item = Item::sign(&SecretKey::from_bytes(&[7; 32]), b"salt", 5, b"i1e").unwrap();
    {
        let mut store = RedbStore::open(&path, StoreLimits::default(), now, UNIX).unwrap();
        store.announce_peer(now, id, peer(1), true).unwrap();
        let later = now + Duration::from_secs(20 * 60);
        store.announce_peer(later, id, peer(2), false).unwrap();
        store.put(later, &item, None, peer(1).ip()).unwrap();
    }
    // The process is another one, so its clock may stand anywhere; a quarter of an hour has passed.
    let (now, unix) = (now - Duration::from_secs(9), UNIX + Duration::from_secs(35 * 60));
    let mut store = RedbStore::open(&path, StoreLimits::default(), now, unix).unwrap();
    assert_eq!(peers(&mut store, now, id), [peer(1), peer(2)]);
    assert_eq!(store.scrape(now, id).seeds.estimate().round(), 1.0);
    assert_eq!(store.get(now, item.target()), Some(item.clone()));
    assert_eq!(store.put(now, &item, Some(4), peer(1).ip()), Err(PutError::CasMismatch(5)));
    let now = now + Duration::from_secs(12 * 60);
    store.expire(now);
    assert_eq!(peers(&mut store, now, id), [peer(2)], "the other one is 47 minutes old");
    drop(store);
    let unix = unix + Duration::from_secs(24 * 60 * 60);
    let store = RedbStore::open(&path, StoreLimits::default(), now, unix).unwrap();
    assert_eq!(store.usage(), StoreUsage::default(), "a day later nothing is left");
    drop(store);
    let store = RedbStore::open(&path, StoreLimits::default(), now, unix).unwrap();
    assert!(store.written_torrents.is_empty() && store.written_items.is_empty(), "not in the file either");
}

/// A copy of the file at any time is what a kill at that time leaves.
#[test]
fn a_kill_loses_no_more_than_the_last_seconds() {
    let ((_folder, path), mut now) = (file(), Instant::now());
    let killed = path.with_extension("killed");
    let mut store = RedbStore::open(&path, StoreLimits::default(), now, UNIX).unwrap();
    let id = Id::new([1; 20]);
    for number in 1..=40 {
        now += Duration::from_secs(1);
        store.announce_peer(now, id, peer(number), false).unwrap();
        std::fs::copy(&path, &killed).unwrap();
        let mut left = RedbStore::open(&killed, StoreLimits::default(), now, UNIX).unwrap();
        let found = peers(&mut left, now, id).len();
        assert!(found + 5 >= number.into() && found <= number.into(), "{found} of {number}");
    }
    assert_eq!(store.report().lock().unwrap().commits, 8, "one commit for all of five seconds");
    // What comes last is written when old records expire, without another announce.
    store.announce_peer(now, id, peer(99), false).unwrap();
    store.expire(now + Duration::from_secs(60));
    std::fs::copy(&path, &killed).unwrap();
    let mut left = RedbStore::open(&killed, StoreLimits::default(), now, UNIX).unwrap();
    assert!(peers(&mut left, now, id).contains(&peer(99)));
}

#[test]
fn a_flood_stays_within_the_limits_in_memory_and_on_disk_and_over_a_restart() {
    let ((_folder, path), mut now) = (file(), Instant::now());
    let mut rng = Seed::new([1; 32]).rng();
    let own = Id::random(&mut rng);
    let limits = StoreLimits { torrents: 200, peers: 100, all_peers: 1000, items: 50, ..StoreLimits::default() };
    let mut store = RedbStore::open(&path, limits, now, UNIX).unwrap();
    store.handle_id(own);
    let near = own.random_beside(20, &mut rng);
    store.announce_peer(now, near, peer(1), false).unwrap();
    let keys: Vec<Id> = (0..50).map(|_| Id::random(&mut rng)).collect();
    let key = SecretKey::from_bytes(&[7; 32]);
    for number in 0..60_000_u32 {
        now += Duration::from_millis(1);
        let [_, a, b, c] = number.to_be_bytes();
        let source = SocketAddr::from(([30 + a, b, c, 1], 1));
        let id = if number % 2 == 0 { Id::random(&mut rng) } else { keys[number as usize / 2 % keys.len()] };
        let _ = store.announce_peer(now, id, source, false);
        if number % 100 == 0 {
            let item = Item::sign(&key, &number.to_be_bytes(), 1, b"i1e").unwrap();
            let _ = store.put(now, &item, None, source.ip());
        }
    }
    let usage = store.usage();
    assert!(usage.torrents <= 200 && usage.peers <= 1000 && usage.items <= 50, "{usage:?}");
    let commits = store.report().lock().unwrap().commits;
    assert!((10..=12).contains(&commits), "{commits} in a minute");
    drop(store);
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 4 << 20, "{length}");
    let mut store = RedbStore::open(&path, limits, now, UNIX).unwrap();
    assert_eq!(store.usage(), usage);
    store.handle_id(own);
    assert_eq!(peers(&mut store, now, near), [peer(1)]);
    drop(store);
    let less = StoreLimits { torrents: 20, peers: 10, all_peers: 50, items: 5, ..limits };
    let usage = RedbStore::open(&path, less, now, UNIX).unwrap().usage();
    assert!(usage.torrents <= 20 && usage.peers <= 50 && usage.items <= 5, "{usage:?}");
}

#[test]
fn damaged_files_are_refused_or_read_and_never_believed() {
    let ((_folder, path), now) = (file(), Instant::now());
    let open = |path: &Path| RedbStore::open(path, StoreLimits::default(), now, UNIX);
    std::fs::write(&path, b"d2:id3:abce").unwrap();
    assert!(matches!(open(&path), Err(RedbError::Damaged(_))));
    std::fs::remove_file(&path).unwrap();
    let mut store = open(&path).unwrap();
    assert!(matches!(open(&path), Err(RedbError::InUse)));
    for number in 0..100 {
        store.announce_peer(now, Id::new([number; 20]), peer(number), false).unwrap();
    }
    store.put(now, &Item::immutable(b"5:hello").unwrap(), None, peer(1).ip()).unwrap();
    drop(store);
    let sound = std::fs::read(&path).unwrap();
    let usage = open(&path).unwrap().usage();
    let mut rng = Seed::new([1; 32]).rng();
    let mut refused = 0;
    for round in 0..200 {
        let mut bytes = sound.clone();
        if round % 4 == 0 {
            bytes.truncate(rng.below(bytes.len() as u32) as usize);
        } else {
            // Half of them in the header, which decides most.
            let end = if round % 2 == 0 { 4096 } else { bytes.len() as u32 };
            let at = rng.below(end) as usize;
            bytes[at] ^= 1 << rng.below(8);
        }
        std::fs::write(&path, &bytes).unwrap();
        match open(&path) {
            // What is not in use may change without harm; one commit earlier is sound, too.
            Ok(store) => assert!(store.usage() == usage || store.usage() == StoreUsage::default(), "{store:?}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "{refused}");
    let missing = path.with_file_name("missing").join("file");
    assert!(matches!(open(&missing), Err(RedbError::Io(_))));
}

#[test]
fn a_node_that_is_restored_has_what_it_kept() {
    let ((_folder, path), now) = (file(), Instant::now());
    let seed = Seed::new([1; 32]);
    let open = || Box::new(RedbStore::open(&path, StoreLimits::default(), now, UNIX).unwrap());
    let mut node = Node::with_store(Config::default(), open(), &seed, now);
    node.store().announce_peer(now, Id::new([1; 20]), peer(1), false).unwrap();
    let state = node.save();
    drop(node);
    let mut node = Node::restore_with_store(Config::default(), &state, open(), &seed, now).unwrap();
    assert_eq!((node.save(), node.store().usage().peers), (state, 1));
}
