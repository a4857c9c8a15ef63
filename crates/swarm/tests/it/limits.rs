//! Rates, slots and memory.

use crate::rig::{Rig, make};
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::{PeerId, Seed};
use unchoke_swarm::{Action, Content, Direction, Event, PeerOrigin, Session, SessionConfig, TorrentParams};
use unchoke_wire::{Handshake, Reserved};

const LONG: Duration = Duration::from_secs(600);
const RATE: u64 = 400_000;

fn config() -> SessionConfig {
    SessionConfig::default()
}

/// Downloads with the limits that `limit` sets and checks that the line was neither faster nor slower.
fn holds(what: &str, limit: impl FnOnce(&mut Rig, usize, usize)) {
    let made = make(6 << 20, 131_072);
    let mut rig = Rig::new(21);
    let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    limit(&mut rig, seed, leech);
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.stats(leech).downloaded > 200_000), "{what}");
    let (from, begin) = (rig.stats(leech).downloaded, rig.now);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{what}: {:?}", rig.stats(leech));
    let bytes = rig.stats(leech).downloaded - from;
    let rate = bytes as f64 / (rig.now - begin).as_secs_f64();
    let share = rate / RATE as f64;
    assert!((0.9..1.1).contains(&share), "{what}: {rate} of {RATE}");
}

#[test]
fn the_download_limit_of_a_session_holds() {
    holds("session down", |rig, _, leech| rig.with(leech, |it, _, now| it.set_limits(now, Some(RATE), None)));
}

#[test]
fn the_upload_limit_of_a_session_holds() {
    holds("session up", |rig, seed, _| rig.with(seed, |it, _, now| it.set_limits(now, None, Some(RATE))));
}

#[test]
fn the_download_limit_of_a_torrent_holds() {
    holds("torrent down", |rig, _, leech| {
        rig.with(leech, |it, torrent, now| it.set_torrent_limits(now, torrent, Some(RATE), None));
    });
}

#[test]
fn the_upload_limit_of_a_torrent_holds() {
    holds("torrent up", |rig, seed, _| {
        rig.with(seed, |it, torrent, now| it.set_torrent_limits(now, torrent, None, Some(RATE)));
    });
}

#[test]
fn a_limit_that_is_lifted_no_longer_holds_anything_up() {
    let made = make(2 << 20, 131_072);
    let mut rig = Rig::new(22);
    let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    rig.with(leech, |it, _, now| it.set_limits(now, Some(1000), None));
    rig.introduce(leech, &[seed]);
    assert!(!rig.run(Duration::from_secs(20), |rig| rig.is_complete(leech)));
    rig.with(leech, |it, _, now| it.set_limits(now, None, None));
    assert!(rig.run(Duration::from_secs(5), |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
}

#[test]
fn no_more_are_unchoked_than_there_are_slots() {
    let made = make(2 << 20, 65_536);
    let mut rig = Rig::new(23);
    let mut few = config();
    few.upload_slots = 3;
    let seed = rig.seed(&made, few);
    rig.nodes[seed].uplink = Some(500_000);
    let leeches: Vec<usize> = (0..8).map(|_| rig.leech(&made, config())).collect();
    leeches.iter().for_each(|leech| rig.introduce(*leech, &[seed]));
    let mut most = 0;
    let done = rig.run(LONG, |rig| {
        let peers = rig.nodes[seed].session.peers(rig.nodes[seed].torrent);
        most = most.max(peers.iter().filter(|peer| !peer.choked).count());
        leeches.iter().all(|leech| rig.is_complete(*leech))
    });
    assert!(done);
    assert_eq!(most, 3);
}

#[test]
fn payload_in_memory_stays_within_the_budget() {
    let (budget, piece, buffer) = (1 << 20, 1 << 20, 256 * 1024);
    let made = make(12 << 20, piece as u32);
    let mut rig = Rig::new(24);
    let mut tight = config();
    tight.memory_budget = budget;
    let seeds: Vec<usize> = (0..4).map(|_| rig.seed(&made, config())).collect();
    let leech = rig.leech(&made, tight);
    rig.nodes[leech].disk_time = Duration::from_millis(300);
    rig.introduce(leech, &seeds);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
    // Blocks that came twice are dropped at once, yet the rig counts them until the end.
    let most = rig.nodes[leech].most_held.saturating_sub(rig.stats(leech).wasted as usize);
    assert!(most <= budget + piece + buffer, "{most}");
    assert!(most >= budget / 2, "the budget is used: {most}");
}

#[test]
fn a_peer_that_is_not_read_from_is_neither_snubbed_nor_idle() {
    let made = make(2 << 20, 131_072);
    let mut rig = Rig::new(25);
    let mut slow = config();
    slow.download_limit = Some(500);
    let seeds: Vec<usize> = (0..4).map(|_| rig.seed(&made, config())).collect();
    let leech = rig.leech(&made, slow);
    rig.introduce(leech, &seeds);
    let snubbed = |rig: &Rig| {
        let peers = rig.nodes[leech].session.peers(rig.nodes[leech].torrent);
        peers.iter().any(|peer| peer.snubbed)
    };
    assert!(!rig.run(Duration::from_secs(400), snubbed), "{:?}", rig.elapsed());
    assert_eq!(rig.stats(leech).wasted, 0);
    assert_eq!(rig.stats(leech).peers, 4);
    let closed = |event: &Event| matches!(event, Event::PeerDisconnected { .. });
    assert_eq!(rig.count(leech, closed), 0);
    assert!(rig.stats(leech).downloaded > 100_000);
}

#[test]
fn strangers_cannot_keep_a_torrent_from_those_that_it_knows() {
    let made = make(300_000, 65_536);
    let (now, mut limited) = (Instant::now(), config());
    limited.max_connections_per_torrent = 8;
    let mut session = Session::new(now, limited, &Seed::new([1; 32]));
    let content = Content::new(Arc::clone(&made.info));
    let torrent = session.add_torrent(now, TorrentParams::from_content(made.info.info_hashes(), content));
    for number in 0..20_u8 {
        let peer = session.handle_connected(now, SocketAddr::from(([10, 0, 1, number], 6881)), Direction::Incoming);
        let info_hash = made.info.info_hashes().wire();
        let theirs = Handshake { info_hash, peer_id: PeerId::new([number; 20]), reserved: Reserved::new() };
        let _ = session.handle_input(now, peer, &mut BytesMut::from(&theirs.encode()[..]));
    }
    assert_eq!(session.peers(torrent).len(), 6);
    let known: Vec<SocketAddr> = (1..=9_u8).map(|number| SocketAddr::from(([10, 0, 2, number], 6881))).collect();
    session.add_peers(now, torrent, &known, PeerOrigin::Manual);
    let actions = std::iter::from_fn(|| session.poll_action());
    assert_eq!(actions.filter(|action| matches!(action, Action::Connect { .. })).count(), 2);
}

#[test]
fn what_is_committed_is_made_durable_by_bytes_as_well_as_by_time() {
    let made = make(4 << 20, 65_536);
    let mut rig = Rig::new(80);
    let mut often = SessionConfig::default();
    often.sync_interval = Duration::from_secs(3600);
    often.sync_bytes = 1 << 20;
    let seed = rig.seed(&made, SessionConfig::default());
    rig.nodes[seed].uplink = Some(500_000);
    let leech = rig.leech(&made, often);
    rig.introduce(leech, &[seed]);
    let synced = |event: &Event| matches!(event, Event::Synced { .. });
    assert!(rig.run(Duration::from_secs(60), |rig| rig.count(leech, synced) == 3), "{:?}", rig.stats(leech));
    let verified = rig.stats(leech).verified;
    assert!((48..64).contains(&verified), "{verified}");
}
