//! Files that are wanted more than others, or not at all.

use crate::rig::{Made, Rig, filled, make_files};
use std::collections::BTreeSet;
use std::time::Duration;
use unchoke_core::PieceIndex;
use unchoke_swarm::Priority::{High, Low, Normal, Skip};
use unchoke_swarm::{Event, FilePriorities, PickerFactory, Priority, SessionConfig, TorrentState, picker::Sequential};

const LONG: Duration = Duration::from_secs(600);
const PIECE: u32 = 32_768;

/// Four files of ten pieces and a half each: pieces 10 and 31 belong to two files.
fn four() -> Made {
    make_files(&[344_064; 4], PIECE)
}

fn config() -> SessionConfig {
    SessionConfig::default()
}

fn leech(rig: &mut Rig, made: &Made, priorities: &[Priority]) -> usize {
    rig.leech_with(made, config(), |params| params.file_priorities = priorities.iter().copied().collect())
}

fn pieces(rig: &Rig, node: usize) -> BTreeSet<u32> {
    rig.nodes[node].store.as_ref().unwrap().committed.iter().map(|piece| piece.0).collect()
}

fn completions(rig: &Rig, node: usize) -> usize {
    rig.count(node, |event| matches!(event, Event::Completed { .. }))
}

#[test]
fn only_the_pieces_of_wanted_files_come_and_the_rest_when_it_is_wanted_too() {
    let made = four();
    let mut rig = Rig::new(60);
    let (seed, leech) = (rig.seed(&made, config()), leech(&mut rig, &made, &[Skip, Normal, Skip, Skip]));
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(pieces(&rig, leech), (10..=20).collect());
    assert_eq!(rig.nodes[leech].store.as_ref().unwrap().skipped, [0, 2, 3], "the store knows");
    let stats = rig.stats(leech);
    assert_eq!((stats.state, stats.wanted, stats.missing), (TorrentState::Seeding, 11 * u64::from(PIECE), 0));
    assert!(stats.verified_bytes < stats.total);

    rig.with(leech, |session, torrent, now| session.set_file_priorities(now, torrent, FilePriorities::default()));
    assert_eq!(rig.stats(leech).state, TorrentState::Downloading);
    assert!(rig.run(LONG, |rig| completions(rig, leech) == 2), "{:?}", rig.stats(leech));
    assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes));
    assert!(rig.nodes[leech].store.as_ref().unwrap().skipped.is_empty());
    assert_eq!(rig.stats(leech).wasted, 0);
}

#[test]
fn files_that_matter_more_come_first_whatever_the_picker() {
    let made = four();
    let pickers: [Option<PickerFactory>; 2] = [None, Some(Box::new(|geometry, _| Box::new(Sequential::new(geometry))))];
    for picker in pickers {
        let mut rig = Rig::new(61);
        let mut strict = config();
        strict.allowed_fast = 0;
        let seed = rig.seed(&made, strict);
        rig.nodes[seed].uplink = Some(500_000);
        let leech = rig.leech_with(&made, config(), |params| {
            params.file_priorities = [Low, Normal, High, Skip].into_iter().collect();
            params.picker = picker;
        });
        rig.introduce(leech, &[seed]);
        assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
        let mut asked: Vec<u32> = rig.nodes[leech].asked.iter().map(|(_, block)| block.piece.0).collect();
        asked.dedup();
        // Which file each piece counts to; 10 and 21 go with the more important one.
        let rank = |piece: u32| match piece {
            21..=31 => 0,
            10..=20 => 1,
            _ => 2,
        };
        let ranks: Vec<u32> = asked.iter().map(|piece| rank(*piece)).collect();
        assert!(ranks.is_sorted(), "{asked:?}");
        assert_eq!(pieces(&rig, leech), (0..=31).collect());
    }
}

#[test]
fn what_is_no_longer_wanted_is_not_asked_for_and_what_is_begun_is_finished() {
    let made = four();
    let mut rig = Rig::new(62);
    let seed = rig.seed(&made, config());
    rig.nodes[seed].uplink = Some(400_000);
    let leech = leech(&mut rig, &made, &[]);
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.stats(leech).verified == 8));
    let begun: BTreeSet<u32> = rig.nodes[leech].asked.iter().map(|(_, block)| block.piece.0).collect();
    rig.with(leech, |session, torrent, now| session.set_file_priorities(now, torrent, FilePriorities::only([])));
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(pieces(&rig, leech), begun, "nothing is thrown away, and nothing is begun");
    assert_eq!(rig.stats(leech).wasted, 0);
    assert!(rig.run(Duration::from_secs(30), |rig| rig.stats(seed).peers == 0), "neither side needs anything");
}

#[test]
fn a_piece_of_an_unwanted_file_that_is_found_wrong_is_not_fetched() {
    let made = four();
    let mut rig = Rig::new(63);
    let seed = rig.seed(&made, config());
    let mut store = filled(&made, |piece| piece < 20);
    for piece in [3, 15] {
        store.put(PieceIndex(piece), 9, b"damaged");
    }
    let leech = rig.checker(&made, config(), store);
    rig.with(leech, |session, torrent, now| {
        session.set_file_priorities(now, torrent, FilePriorities::only([1..=1]));
    });
    rig.introduce(leech, &[seed]);
    assert!(rig.run(LONG, |rig| rig.is_complete(leech)), "{:?}", rig.stats(leech));
    assert_eq!(pieces(&rig, leech), (0..=20).filter(|piece| *piece != 3).collect());
    rig.with(leech, |session, torrent, now| session.set_file_priorities(now, torrent, FilePriorities::only([0..=0])));
    assert!(rig.run(LONG, |rig| completions(rig, leech) == 2), "{:?}", rig.stats(leech));
    assert_eq!(pieces(&rig, leech), (0..=20).collect());
}

#[test]
fn priorities_that_change_at_any_moment_leave_nothing_behind() {
    let made = four();
    for round in 0..40_u32 {
        let mut rig = Rig::new(64);
        let seeds = [rig.seed(&made, config()), rig.seed(&made, config())];
        let mut small = config();
        small.memory_budget = 200_000;
        let leech = rig.leech(&made, small);
        rig.introduce(leech, &seeds);
        for step in 0..6_u32 {
            let until = Duration::from_millis((u64::from(round) * 7 + u64::from(step) * 13) % 90);
            assert!(!rig.run(until, |_| false));
            let priorities =
                (0..4).map(|file| [Skip, Low, Normal, High][((round * 5 + step * 3 + file * file) % 4) as usize]);
            let priorities: FilePriorities = priorities.collect();
            rig.with(leech, |session, torrent, now| session.set_file_priorities(now, torrent, priorities));
        }
        rig.with(leech, |session, torrent, now| session.set_file_priorities(now, torrent, FilePriorities::default()));
        assert!(rig.run(LONG, |rig| rig.stats(leech).missing == 0), "round {round}: {:?}", rig.stats(leech));
        assert!(rig.nodes[leech].store.as_ref().unwrap().holds(&made.bytes), "round {round}");
    }
}
