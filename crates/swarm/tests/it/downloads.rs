//! What works when everybody behaves.

use crate::rig::{Rig, filled, make};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use unchoke_core::{InfoHash, InfoHashes, PieceIndex, Seed, Sha1Hash, Sha256Hash};
use unchoke_swarm::{Event, Session, SessionConfig, TorrentParams};

const LONG: Duration = Duration::from_secs(600);

fn config() -> SessionConfig {
    SessionConfig::default()
}

#[test]
fn two_sessions_download() {
    let made = make(1_000_001, 65_536);
    let mut rig = Rig::new(1);
    let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
    let stats = rig.stats(leech);
    assert_eq!((stats.downloaded, stats.wasted, stats.failed_pieces), (1_000_001, 0, 0));
    assert_eq!(rig.stats(seed).uploaded, 1_000_001);
}

#[test]
fn the_seed_may_be_the_one_that_connects() {
    let made = make(300_000, 32_768);
    let mut rig = Rig::new(2);
    let (seed, leech) = (rig.leech(&made, config()), rig.leech(&made, config()));
    let source = rig.seed(&made, config());
    rig.introduce(seed, &[source]);
    rig.introduce(seed, &[leech]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech) && rig.is_complete(seed)));
}

#[test]
fn the_metadata_comes_from_a_peer() {
    let made = make(500_000, 16_384);
    let mut rig = Rig::new(3);
    let (seed, leech) = (rig.seed(&made, config()), rig.magnet(&made, config()));
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(rig.count(leech, |event| matches!(event, Event::Metadata { .. })), 1);
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
}

#[test]
fn five_leeches_feed_one_another() {
    let made = make(8 << 20, 131_072);
    let mut rig = Rig::new(4);
    let seed = rig.seed(&made, config());
    rig.nodes[seed].uplink = Some(1_000_000);
    let leeches: Vec<usize> = (0..5).map(|_| rig.leech(&made, config())).collect();
    for leech in &leeches {
        rig.nodes[*leech].uplink = Some(2_000_000);
        // Each knows the seed only; peer exchange tells of the others.
        rig.introduce(*leech, &[seed]);
    }
    assert!(rig.run(LONG, |rig| leeches.iter().all(|leech| rig.is_complete(*leech))));
    for leech in leeches {
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
    }
    let sent = rig.stats(seed).uploaded;
    assert!(sent * 10 < made.bytes.len() as u64 * 25, "the seed sent {sent}");
}

#[test]
fn suspects_are_checked_and_what_is_right_is_not_fetched_again() {
    let made = make(640_000, 65_536);
    let mut store = filled(&made, |piece| piece % 2 == 0);
    store.put(PieceIndex(2), 1000, b"rotten");
    let mut rig = Rig::new(5);
    let (seed, leech) = (rig.seed(&made, config()), rig.checker(&made, config(), store));
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
    let checked = rig.count(leech, |event| matches!(event, Event::Checked { verified: 4, .. }));
    assert_eq!(checked, 1);
    let asked: BTreeSet<u32> = rig.nodes[leech].asked.iter().map(|(_, block)| block.piece.0).collect();
    assert_eq!(asked, BTreeSet::from([1, 2, 3, 5, 7, 9]));
    assert_eq!(rig.stats(leech).failed_pieces, 0);
}

#[test]
fn a_seed_connects_to_those_who_want_something_and_leaves_other_seeds_alone() {
    let made = make(300_000, 65_536);
    let mut rig = Rig::new(9);
    let (seed, leech, other) = (rig.seed(&made, config()), rig.leech(&made, config()), rig.seed(&made, config()));
    rig.introduce(seed, &[leech, other]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)));
    assert!(!rig.run(Duration::from_secs(7200), |_| false));
    // Each two may meet twice: one of them may hang up before it has told that it is a seed.
    let connected = |event: &Event| matches!(event, Event::PeerConnected { .. });
    for node in [seed, leech, other] {
        assert!((1..=4).contains(&rig.count(node, connected)), "{node}: {}", rig.count(node, connected));
        assert_eq!(rig.nodes[node].session.poll_timeout(), None);
    }
}

#[test]
fn an_idle_session_has_no_deadline() {
    let made = make(300_000, 65_536);
    let mut rig = Rig::new(6);
    let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    assert!(!rig.run(Duration::from_secs(5), |_| false));
    assert_eq!(rig.nodes[seed].session.poll_timeout(), None);
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)));
    assert!(!rig.run(Duration::from_secs(30), |_| false));
    assert_eq!(rig.stats(leech).peers, 0, "two seeds need nothing of one another");
    assert_eq!(rig.nodes[leech].session.poll_timeout(), None);
    assert_eq!(rig.nodes[seed].session.poll_timeout(), None);
    assert!(rig.count(leech, |event| matches!(event, Event::Synced { .. })) > 0);
}

#[test]
fn a_torrent_is_found_by_each_of_its_names_until_it_is_removed() {
    let now = Instant::now();
    let mut session = Session::new(now, config(), &Seed::new([3; 32]));
    let hybrid = InfoHashes::hybrid(Sha1Hash::new([1; 20]), Sha256Hash::new([2; 32]));
    let other = InfoHashes::v1(Sha1Hash::new([2; 20]));
    let first = session.add_torrent(now, TorrentParams::from_hashes(hybrid));
    let second = session.add_torrent(now, TorrentParams::from_hashes(other));
    let find = |session: &Session, byte| session.find(InfoHash::new([byte; 20]));
    // Both are called so: the one that came first has the name.
    assert_eq!([1, 2, 3].map(|byte| find(&session, byte)), [Some(first), Some(first), None]);
    assert!(session.remove_torrent(now, first));
    assert_eq!([1, 2, 3].map(|byte| find(&session, byte)), [None, Some(second), None]);
    assert!(session.remove_torrent(now, second) && !session.remove_torrent(now, second));
    assert_eq!(find(&session, 2), None);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |number| {
        let made = make(700_000, 32_768);
        let mut rig = Rig::new(number);
        rig.trace = Some(unchoke_core::Sha1::new());
        let seed = rig.seed(&made, config());
        let leeches: Vec<usize> = (0..3).map(|_| rig.leech(&made, config())).collect();
        leeches.iter().for_each(|leech| rig.introduce(*leech, &[seed]));
        assert!(rig.run(LONG, |rig| leeches.iter().all(|leech| rig.is_complete(*leech))));
        rig.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn two_that_connect_to_each_other_at_once_stay_connected() {
    let made = make(300_000, 32_768);
    for seed in 0..20 {
        let mut rig = Rig::new(seed);
        let (one, other) = (rig.leech(&made, config()), rig.leech(&made, config()));
        rig.introduce(one, &[other]);
        rig.introduce(other, &[one]);
        let connected = |rig: &Rig| rig.stats(one).peers == 1 && rig.stats(other).peers == 1;
        assert!(!rig.run(Duration::from_secs(3), |_| false));
        assert!(connected(&rig), "they keep one connection, and both the same one");
    }
}
