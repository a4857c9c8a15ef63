//! Peers that lie or fall silent, and disks that fail.

use crate::rig::{Made, Rig, make};
use bytes::BytesMut;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unchoke_core::{DiskError, PeerId, PieceIndex, Seed};
use unchoke_swarm::{
    CloseReason, Content, Direction, Event, Flow, Session, SessionConfig, TorrentParams, TorrentState,
};
use unchoke_wire::{Handshake, Message, Reserved};

const LONG: Duration = Duration::from_secs(1200);
const CANCEL: u8 = 8;

fn config() -> SessionConfig {
    SessionConfig::default()
}

#[test]
fn a_lone_liar_is_banned_after_one_piece_and_others_finish() {
    let made = make(1 << 20, 65_536);
    let mut rig = Rig::new(11);
    let (liar, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    rig.nodes[liar].corrupt = Some(Box::new(|_| true));
    rig.introduce(leech, &[liar]);
    let banned = |event: &Event| matches!(event, Event::PeerBanned { .. });
    assert!(rig.run(LONG, |rig| rig.count(leech, banned) > 0));
    let events = &rig.nodes[leech].events;
    let first = events.iter().position(|event| matches!(event, Event::PieceFailed { .. })).unwrap();
    assert!(events.iter().position(banned).unwrap() > first);
    assert_eq!(rig.stats(leech).failed_pieces, 1);
    assert_eq!(rig.stats(leech).peers, 0);

    let seed = rig.seed(&made, config());
    rig.introduce(leech, &[seed, liar]);
    rig.introduce(liar, &[leech]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(rig.banned_by(leech), [liar]);
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
}

#[test]
fn of_several_contributors_only_the_liar_is_banned() {
    let made = make(4 << 20, 1 << 20);
    let mut caught = 0;
    for number in 0..24 {
        let mut rig = Rig::new(number);
        let seeds: Vec<usize> = (0..4).map(|_| rig.seed(&made, config())).collect();
        let liar = seeds[usize::from(number) % 4];
        let one_in = [1, 3, 16][usize::from(number) % 3];
        let mut rng = Seed::new([number; 32]).rng();
        rig.nodes[liar].corrupt = Some(Box::new(move |_| rng.below(one_in) == 0));
        for seed in &seeds {
            rig.nodes[*seed].uplink = Some(150_000);
        }
        let leech = rig.leech(&made, config());
        rig.introduce(leech, &seeds);
        assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "run {number}: {:?}", rig.stats(leech));
        let banned = rig.banned_by(leech);
        assert!(banned.iter().all(|node| *node == liar), "run {number}: {banned:?} were banned, the liar is {liar}");
        assert!(rig.stats(leech).failed_pieces == 0 || banned == [liar], "run {number}: the liar went free");
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
        caught += banned.len();
    }
    assert!(caught > 12, "the liar was caught in {caught} runs");
}

#[test]
fn blame_is_exact_when_memory_is_short() {
    let made = make(4 << 20, 1 << 20);
    let mut discarded = 0;
    for number in 0..12 {
        let mut rig = Rig::new(100 + number);
        let mut tight = config();
        tight.memory_budget = 512 * 1024;
        let seeds: Vec<usize> = (0..3).map(|_| rig.seed(&made, config())).collect();
        rig.nodes[seeds[0]].corrupt = Some(Box::new(|block| block.number() % 7 == 3));
        for seed in &seeds {
            rig.nodes[*seed].uplink = Some(200_000);
        }
        let leech = rig.leech(&made, tight);
        rig.introduce(leech, &seeds);
        assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "run {number}: {:?}", rig.stats(leech));
        let banned = rig.banned_by(leech);
        assert!(banned == [seeds[0]], "run {number}: {banned:?}");
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
        discarded += rig.nodes[leech].discarded;
    }
    assert!(discarded > 12, "pieces that lie in the store before they are found bad: {discarded}");
}

#[test]
fn a_bitfield_that_turns_out_not_to_fit_is_the_peers_fault() {
    let made = make(500_000, 16_384);
    let (now, address) = (Instant::now(), "10.0.0.2:6881".parse().unwrap());
    let mut session = Session::new(now, config(), &Seed::new([1; 32]));
    let torrent = session.add_torrent(now, TorrentParams::from_hashes(made.info.info_hashes()));
    let peer = session.handle_connected(now, address, Direction::Outgoing(torrent));
    let info_hash = made.info.info_hashes().wire();
    let theirs = Handshake { info_hash, peer_id: PeerId::new([7; 20]), reserved: Reserved::new() };
    let mut input = BytesMut::from(&theirs.encode()[..]);
    Message::Bitfield(vec![0xff; 5].into()).encode(&mut input);
    assert_eq!(session.handle_input(now, peer, &mut input), Flow::Continue);
    session.handle_metadata(now, torrent, Content::new(Arc::clone(&made.info)));
    let reasons: Vec<CloseReason> = std::iter::from_fn(|| session.poll_event())
        .filter_map(|event| match event {
            Event::PeerDisconnected { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    assert!(matches!(reasons[..], [CloseReason::Protocol(_)]), "{reasons:?}");
}

#[test]
fn a_full_disk_pauses_and_recovers_and_loses_nothing() {
    for budget in [16 << 20, 256 * 1024] {
        let made = make(4 << 20, 131_072);
        let mut rig = Rig::new(12);
        let mut tight = config();
        tight.memory_budget = budget;
        let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, tight));
        rig.nodes[seed].uplink = Some(1_000_000);
        rig.introduce(leech, &[seed]);
        assert!(rig.run(LONG, |rig| rig.stats(leech).verified >= 10));
        let before: BTreeSet<PieceIndex> = rig.nodes[leech].store.as_ref().unwrap().committed.clone();
        rig.nodes[leech].disk_error = Some(DiskError::Full);
        let full = |event: &Event| matches!(event, Event::StorageFailed { error: DiskError::Full, .. });
        assert!(rig.run(LONG, |rig| rig.count(leech, full) == 1));
        assert_eq!(rig.stats(leech).state, TorrentState::StorageFailed);
        assert!(!rig.run(Duration::from_secs(40), |rig| rig.count(leech, full) > 1));
        let asked = rig.nodes[leech].asked.len();
        assert!(!rig.run(Duration::from_secs(20), |_| false));
        assert_eq!(rig.nodes[leech].asked.len(), asked, "nothing is asked for while the disk is full");
        assert!(before.is_subset(&rig.nodes[leech].store.as_ref().unwrap().committed));

        rig.nodes[leech].disk_error = None;
        assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
        assert_eq!(rig.count(leech, |event| matches!(event, Event::StorageRecovered { .. })), 1);
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
        let verified = rig.count(leech, |event| matches!(event, Event::PieceVerified { .. }));
        assert_eq!(verified, 32, "each piece is verified once");
        assert_eq!(rig.stats(leech).failed_pieces, 0);
    }
}

#[test]
fn endgame_asks_twice_and_cancels_the_rest() {
    let made = make(1 << 20, 65_536);
    let mut rig = Rig::new(13);
    let (fast, slow) = (rig.seed(&made, config()), rig.seed(&made, config()));
    rig.nodes[fast].uplink = Some(500_000);
    rig.nodes[slow].uplink = Some(5_000);
    let leech = rig.leech(&made, config());
    rig.introduce(leech, &[fast, slow]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)));
    assert!(rig.nodes[leech].sent.get(&CANCEL).is_some_and(|cancels| *cancels > 0));
    // The slow one alone would need a minute for what it was asked for first.
    assert!(rig.elapsed() < Duration::from_secs(10), "{:?}", rig.elapsed());
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
}

#[test]
fn the_requests_of_a_snubbed_peer_go_to_others() {
    let made = make(4 << 20, 65_536);
    let mut rig = Rig::new(14);
    let mut hasty = config();
    hasty.snub_after = Duration::from_secs(5);
    let (silent, seed) = (rig.seed(&made, config()), rig.seed(&made, config()));
    rig.nodes[silent].mute = true;
    rig.nodes[seed].uplink = Some(100_000);
    let leech = rig.leech(&made, hasty);
    rig.introduce(leech, &[silent, seed]);
    assert!(!rig.run(Duration::from_secs(7), |_| false));
    let peers = rig.nodes[leech].session.peers(rig.nodes[leech].torrent);
    let snubbed: Vec<_> = peers.iter().filter(|peer| peer.snubbed).collect();
    assert_eq!(snubbed.len(), 1);
    assert_eq!(snubbed[0].address, rig.nodes[silent].address);
    assert_eq!(snubbed[0].outstanding, 0);
    let of_silent = rig.nodes[leech].asked.iter().find(|(node, _)| *node == silent).unwrap().1;
    // Long before endgame, the other one is asked for what the silent one was asked for.
    let again = |rig: &Rig| rig.nodes[leech].asked.contains(&(seed, of_silent));
    assert!(rig.run(LONG, again));
    assert!(rig.stats(leech).verified < 48, "{}", rig.stats(leech).verified);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
}

fn errors(rig: &Rig, node: usize) -> Vec<DiskError> {
    let error = |event: &Event| if let Event::StorageFailed { error, .. } = event { Some(*error) } else { None };
    rig.nodes[node].events.iter().filter_map(error).collect()
}

fn recovered(event: &Event) -> bool {
    matches!(event, Event::StorageRecovered { .. })
}

#[test]
fn s3_a_seed_that_cannot_read_pauses_says_so_and_goes_on_when_the_data_is_back() {
    let made = make(1 << 20, 65_536);
    let mut rig = Rig::new(70);
    let (seed, leech) = (rig.seed(&made, config()), rig.leech(&made, config()));
    let piece = PieceIndex(7);
    let taken = rig.nodes[seed].store.as_mut().unwrap().tamper(piece, None);
    rig.introduce(leech, &[seed]);
    assert!(!rig.run(Duration::from_secs(60), |rig| rig.is_complete(leech)));
    assert_eq!(errors(&rig, seed), [DiskError::Missing]);
    assert_eq!(rig.stats(seed).state, TorrentState::StorageFailed);
    assert_eq!(rig.stats(leech).verified, 15, "what can be read is served");
    rig.nodes[seed].store.as_mut().unwrap().tamper(piece, taken);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(rig.count(seed, recovered), 1);
    assert_eq!(rig.stats(seed).state, TorrentState::Seeding);
}

#[test]
fn s3_what_somebody_put_in_place_of_a_piece_is_overwritten_only_after_a_recheck() {
    let made = make(1 << 20, 65_536);
    let mut rig = Rig::new(71);
    let (seed, leech, other) = (rig.seed(&made, config()), rig.leech(&made, config()), rig.seed(&made, config()));
    let piece = PieceIndex(7);
    rig.nodes[seed].store.as_mut().unwrap().tamper(piece, None);
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| !errors(rig, seed).is_empty()));
    rig.nodes[seed].store.as_mut().unwrap().tamper(piece, Some(vec![3; 65_536]));
    assert!(!rig.run(Duration::from_secs(3600), |rig| rig.is_complete(leech)));
    assert_eq!(errors(&rig, seed), [DiskError::Missing, DiskError::Changed]);
    assert_eq!(rig.nodes[seed].discarded, 0);

    rig.with(seed, |session, torrent, now| session.recheck(now, torrent));
    assert_eq!(rig.stats(seed).state, TorrentState::Checking);
    assert!(rig.run(LONG, |rig| rig.stats(seed).state == TorrentState::Downloading), "{:?}", rig.stats(seed));
    assert_eq!(rig.stats(seed).verified, 15);
    rig.introduce(seed, &[other]);
    let whole = |rig: &Rig| rig.stats(seed).is_seed() && rig.is_complete(leech);
    assert!(rig.run(LONG, whole), "{:?} {:?}", rig.stats(seed), rig.stats(leech));
    assert!(rig.nodes[seed].store.as_ref().unwrap().holds(&made.bytes));
    assert_eq!(rig.stats(seed).downloaded, 65_536, "nothing else is fetched");
}

/// A seed and a leech that has little memory, and a disk of another speed each round.
fn hurried(number: u8, made: &Made, round: u64) -> (Rig, usize, usize) {
    let mut rig = Rig::new(number);
    let seed = rig.seed(made, config());
    rig.nodes[seed].uplink = Some(3_000_000);
    let mut small = config();
    small.memory_budget = 150_000;
    let leech = rig.leech(made, small);
    rig.nodes[leech].disk_time = Duration::from_millis(round % 7 * 5);
    rig.introduce(leech, &[seed]);
    (rig, seed, leech)
}

#[test]
fn a_recheck_at_any_moment_of_a_download_loses_nothing() {
    let made = make(2 << 20, 32_768);
    for round in 0..60 {
        let (mut rig, _, leech) = hurried(72, &made, round);
        assert!(!rig.run(Duration::from_millis(30 + round * 13), |_| false));
        let before = rig.nodes[leech].store.as_ref().unwrap().committed.len();
        rig.with(leech, |session, torrent, now| session.recheck(now, torrent));
        assert!(rig.run(LONG, |rig| rig.stats(leech).is_seed()), "round {round}: {:?}", rig.stats(leech));
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes), "round {round}");
        let again = rig.stats(leech).downloaded.saturating_sub(2 << 20);
        assert!(again <= 1 << 20, "round {round}: {again} bytes more, {before} pieces were verified");
        assert_eq!(rig.stats(leech).failed_pieces, 0, "round {round}");
    }
}

#[test]
fn a_torrent_rests_at_any_moment_of_a_download_and_goes_on_with_what_the_store_holds() {
    let made = make(2 << 20, 32_768);
    for round in 0..60 {
        let (mut rig, seed, leech) = hurried(73, &made, round);
        // Memory that was not let go would be missing when it has rested often.
        let rests = if round % 10 == 9 { 12 } else { 1 };
        for _ in 0..rests {
            assert!(!rig.run(Duration::from_millis(30 + round * 13), |_| false));
            rest(&mut rig, seed, leech, &made);
        }
        assert!(rig.run(LONG, |rig| rig.stats(leech).is_seed()), "round {round}: {:?}", rig.stats(leech));
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes), "round {round}");
        let again = rig.stats(leech).downloaded.saturating_sub(2 << 20);
        assert!(again <= rests << 20, "round {round}: {again} bytes more");
    }
}

fn rest(rig: &mut Rig, seed: usize, leech: usize, made: &Made) {
    rig.with(leech, |session, torrent, now| session.suspend(now, torrent));
    let before = rig.stats(leech);
    assert_eq!((before.state, before.peers), (TorrentState::Suspended, 0));
    // Whoever knows of it tries in vain, and nothing happens to the store once the jobs have ended.
    rig.introduce(seed, &[leech]);
    assert!(!rig.run(Duration::from_secs(1), |_| false));
    let held = rig.nodes[leech].store.as_ref().unwrap().committed.clone();
    assert!(!rig.run(Duration::from_secs(60), |_| false));
    assert_eq!(rig.nodes[leech].store.as_ref().unwrap().committed, held);
    assert_eq!((rig.stats(leech).peers, rig.stats(leech).downloaded), (0, before.downloaded));
    let mut content = Content::new(Arc::clone(&made.info));
    content.verified = held.iter().copied().collect();
    rig.with(leech, |session, torrent, now| session.resume(now, torrent, Some(content)));
    assert_eq!(rig.stats(leech).verified as usize, held.len());
}
